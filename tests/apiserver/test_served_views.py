"""What is there for clients: Endpoints, metrics, component statuses, ports of nodes, what a Node says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.admission.service_addresses import FIRST_NODE_PORT
from harness.apiserver.server import ApiServer
from harness.model.core import Service, ServicePort, ServiceSpec
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import DEADLINE_S, Live, live

pytestmark = pytest.mark.live

NS = "/api/v1/namespaces/default"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


def eventually(found: Callable[[], Any]) -> Any:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_endpoints_follow_the_slices(cluster: Live) -> None:
    def addresses() -> Any:
        return cluster.request("GET", f"{NS}/endpoints/web")[1].get("subsets")

    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    cluster.request("POST", f"{NS}/services", {"metadata": {"name": "web"}, "spec": spec})
    slice_: dict[str, Any] = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [
            {"addresses": ["10.0.0.2"], "conditions": {"ready": True}, "nodeName": "n"},
            {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
        ],
    }
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    cluster.request("POST", path, slice_)
    assert eventually(addresses) == [
        {
            "addresses": [{"ip": "10.0.0.2", "nodeName": "n"}],
            "notReadyAddresses": [{"ip": "10.0.0.1"}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
    ]
    cluster.request("DELETE", f"{path}/web-1")
    eventually(lambda: addresses() is None)
    cluster.request("DELETE", f"{NS}/services/web")
    eventually(lambda: cluster.request("GET", f"{NS}/endpoints/web")[0] == 404)


def test_what_is_only_read(cluster: Live) -> None:
    _, found = cluster.request("GET", "/api/v1/componentstatuses")
    assert [item["metadata"]["name"] for item in found["items"]] == ["controller-manager", "etcd-0", "scheduler"]
    assert cluster.request("GET", "/api/v1/componentstatuses/nobody")[0] == 404
    assert cluster.request("POST", "/api/v1/componentstatuses", {"metadata": {"name": "x"}})[0] == 405
    code, status = cluster.request("GET", "/apis/metrics.k8s.io/v1beta1/pods?watch=true&timeoutSeconds=1")
    assert (code, "metrics are measured when somebody asks" in status["message"]) == (405, True)
    assert cluster.request("GET", "/apis/metrics.k8s.io/v1beta1/nodes")[1]["items"] == []


def test_a_node_that_a_client_creates_takes_no_pods_yet(cluster: Live) -> None:
    _, node = cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": "mine"}})
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert node["status"]["nodeInfo"]["operatingSystem"] == "linux"
    cluster.request("DELETE", "/api/v1/nodes/mine")


def service(name: str, kind: str, *ports: ServicePort) -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(type=kind, ports=ports))


def test_ports_of_nodes_are_given_out_once() -> None:
    server = ApiServer(MemoryStore(ObjectCodec()), seed=1)
    pair = (ServicePort(port=80, name="a"), ServicePort(port=81, name="b"))
    made = server.create(service("one", "NodePort", *pair))
    assert [port.node_port for port in made.spec.ports] == [FIRST_NODE_PORT, FIRST_NODE_PORT + 1]
    with pytest.raises(ApiError, match="provided port is already allocated"):
        server.create(service("two", "NodePort", ServicePort(port=80, node_port=FIRST_NODE_PORT)))
    with pytest.raises(ApiError, match="not in the valid range"):
        server.create(service("two", "NodePort", ServicePort(port=80, node_port=80)))
    # An update that does not say the port keeps it; a type without one gives it back.
    again = server.update(service("one", "NodePort", *pair))
    assert again.spec.ports == made.spec.ports
    inner = server.update(service("one", "ClusterIP", *again.spec.ports))
    assert [port.node_port for port in inner.spec.ports] == [None, None]
    taken = server.create(service("two", "LoadBalancer", ServicePort(port=80, node_port=FIRST_NODE_PORT)))
    server.recover()
    with pytest.raises(ApiError, match="already allocated"):
        server.create(service("three", "NodePort", ServicePort(port=80, node_port=taken.spec.ports[0].node_port)))
