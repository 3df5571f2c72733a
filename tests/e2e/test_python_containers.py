"""The official Python client with containers and custom resources, on a whole cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")
pytest.importorskip("kubernetes", reason="the official client is not installed")

from kubernetes import client, dynamic
from kubernetes import config as kube_config
from kubernetes.client.exceptions import NotFoundException
from kubernetes.stream import portforward, stream

from tests.apiserver.test_custom_resources import PARTS, definition
from tests.e2e.test_up import eventually, podyard_up

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path: Path = tmp_path_factory.mktemp("python") / "kubeconfig"
    with podyard_up(path, "--nodes", "2", "--time-scale", "4"):
        yield kube_config.new_client_from_config(str(path))


@pytest.fixture(scope="module")
def pod(api: Any) -> str:
    core: Any = client.CoreV1Api(api)
    container = client.V1Container(name="web", image="nginx", ports=[client.V1ContainerPort(container_port=80)])
    body = client.V1Pod(metadata=client.V1ObjectMeta(name="web"), spec=client.V1PodSpec(containers=[container]))
    eventually(lambda: core.list_namespaced_service_account("default").items, "the default account")
    core.create_namespaced_pod("default", body)
    eventually(lambda: core.read_namespaced_pod("web", "default").status.phase == "Running", "a running pod")
    return "web"


def test_exec_sends_and_receives(api: Any, pod: str) -> None:
    """It sends stdin as text, where kubectl sends bytes."""
    core = client.CoreV1Api(api)
    options = {"stderr": True, "stdout": True, "tty": False}
    run = core.connect_get_namespaced_pod_exec
    assert stream(run, pod, "default", command=["echo", "hi"], stdin=False, **options) == "hi\n"
    shell = stream(run, pod, "default", command=["sh"], stdin=True, _preload_content=False, **options)
    shell.write_stdin("echo one\n")
    assert shell.readline_stdout(timeout=10) == "one"
    shell.write_stdin("exit 3\n")
    shell.run_forever(timeout=10)
    assert shell.returncode == 3


def test_port_forward_reaches_the_service(api: Any, pod: str) -> None:
    forwarded = portforward(client.CoreV1Api(api).connect_get_namespaced_pod_portforward, pod, "default", ports="80")
    connection = forwarded.socket(80)
    connection.setblocking(True)
    connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(1024):
        answer += piece
    assert answer.endswith(b"default/web port 80: GET /x\n")
    assert forwarded.error(80) is None


def test_logs_are_followed(api: Any, pod: str) -> None:
    core: Any = client.CoreV1Api(api)
    lines = core.read_namespaced_pod_log(pod, "default", follow=True, _preload_content=False)
    assert b"Started container web" in next(iter(lines.stream()))
    lines.close()
    assert core.read_namespaced_pod_log(pod, "default", tail_lines=1) == "Started container web\n"


def test_custom_objects_and_server_side_apply(api: Any) -> None:
    extensions: Any = client.ApiextensionsV1Api(api)
    custom: Any = client.CustomObjectsApi(api)
    extensions.create_custom_resource_definition(definition("boxes", "Box", **PARTS))
    where = ("example.com", "v1", "default", "boxes")

    def create() -> Any:
        try:
            body = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {}}
            return custom.create_namespaced_custom_object(*where, body)
        except client.ApiException:
            time.sleep(0.1)
            return None

    assert eventually(create, "the kind")["spec"] == {"size": 2, "mode": "Safe"}
    assert custom.get_namespaced_custom_object_scale(*where, "b")["spec"] == {"replicas": 2}
    boxes = dynamic.DynamicClient(api).resources.get(api_version="example.com/v1", kind="Box")
    body = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 7}}
    options = {"name": "b", "namespace": "default", "field_manager": "me", "force_conflicts": True}
    applied = boxes.server_side_apply(body=body, **options)
    assert applied.spec.size == 7
    assert "me" in [item.manager for item in applied.metadata.managedFields]


EVENTS_OF_KUBELETS = "list_event_for_all_namespaces"
"""Of events.k8s.io: Kubernetes has no eventTime for those either, which this client refuses."""


def test_every_list_of_a_cluster_in_use_decodes(api: Any, pod: str) -> None:
    """The client insists on fields that Go always sends: of init and ephemeral containers, of a budget's conditions."""
    core = client.CoreV1Api(api)
    meta, selector = (
        client.V1ObjectMeta(name="used", labels={"a": "b"}),
        client.V1LabelSelector(match_labels={"a": "b"}),
    )
    first = client.V1Container(name="first", image="busybox", command=["sleep", "1"])
    spec = client.V1PodSpec(init_containers=[first], containers=[client.V1Container(name="c", image="nginx")])
    core.create_namespaced_pod("default", client.V1Pod(metadata=meta, spec=spec))
    budget = client.V1PodDisruptionBudgetSpec(min_available=1, selector=selector)
    client.PolicyV1Api(api).create_namespaced_pod_disruption_budget(
        "default", client.V1PodDisruptionBudget(metadata=meta, spec=budget)
    )

    def status() -> Any:
        return core.read_namespaced_pod("used", "default").status

    eventually(lambda: status().phase == "Running", "it runs")
    debugger = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": "busybox", "command": ["sleep", "9"]}]}}
    core.patch_namespaced_pod_ephemeralcontainers("used", "default", debugger)
    told = eventually(lambda: status().ephemeral_container_statuses, "it is told of")
    assert told[0].name == "debugger"
    begun = status().init_container_statuses[0]
    assert begun.container_id.startswith("containerd://")
    assert begun.image_id.startswith("busybox@sha256:")
    decoded = 0
    for group in (name for name in dir(client) if name.endswith(("V1Api", "V2Api"))):
        of_group = getattr(client, group)(api)
        for name in dir(of_group):
            plain = not name.endswith(("_with_http_info", "_without_preload_content")) and "namespaced" not in name
            if name.startswith("list_") and plain and (group, name) != ("EventsV1Api", EVENTS_OF_KUBELETS):
                with contextlib.suppress(NotFoundException):  # a kind that is not served
                    decoded += len(getattr(of_group, name)().items)
    assert decoded > 50
