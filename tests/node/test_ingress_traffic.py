"""Clients behind an Ingress: who serves them while its rules change, and what is lost when they name nobody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.experiment.run import run_once
from harness.model.core import Service, ServicePort, ServiceSpec
from harness.model.errors import UserError
from harness.model.ingress import Backend, backend_of
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.node.settings import Route
from tests.experiment.scenarios import loaded
from tests.node.test_traffic import Street
from workloads.generators.load import constant


def path(service: str, wanted: str = "/", kind: str = "Prefix", port: Any = None) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    return {"path": wanted, "pathType": kind, "backend": backend}


def rule(host: str, *paths: dict[str, Any]) -> dict[str, Any]:
    return {**({"host": host} if host else {}), "http": {"paths": list(paths)}}


def ingress(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}
    return {**body, "metadata": {"name": "shop", "namespace": "default"}, "spec": {"rules": list(rules), **spec}}


SHOP = ingress(
    rule("a.example.com", path("long", "/cart/items"), path("cart", "/cart"), path("root")),
    rule("a.example.com", path("exact", "/cart", "Exact")),
    rule("*.example.com", path("wild")),
    rule("", path("open", "/open")),
    defaultBackend={"service": {"name": "rest", "port": {"name": "http"}}},
)


@pytest.mark.parametrize(
    ("host", "asked", "service"),
    [
        ("a.example.com", "/cart", "exact"),
        ("a.example.com", "/cart/", "cart"),
        ("a.example.com", "/cart/items/7?x=1", "long"),
        ("a.example.com", "/cartoon", "root"),
        ("b.example.com", "/cart", "wild"),
        ("b.c.example.com", "/cart", "rest"),
        ("example.com", "/open/x", "open"),
        ("elsewhere", "/", "rest"),
    ],
)
def test_the_closest_host_and_then_the_longest_path_wins(host: str, asked: str, service: str) -> None:
    """Kubernetes' own examples of path types and of wildcards."""
    found = backend_of(SHOP, host, asked)
    assert found is not None
    assert found.service == service


def test_what_has_no_rule_and_no_default_goes_nowhere() -> None:
    assert backend_of(ingress(rule("a", path("x", "/y"))), "a", "/z") is None
    assert backend_of({}, "a", "/") is None
    assert backend_of({"spec": {"defaultBackend": {"resource": {"kind": "Bucket", "name": "b"}}}}, "a", "/") is None
    assert backend_of(SHOP, "", "/") == Backend("rest", "http")


@given(
    st.lists(st.sampled_from(["", "/", "/a", "/a/", "/a/b", "/ab"]), unique=True),
    st.sampled_from(["/", "/a", "/a/b/c", "/abc"]),
)
def test_the_order_of_rules_does_not_matter(wanted: list[str], asked: str) -> None:
    rules = [rule("h", path(f"s{place.rstrip('/')}", place)) for place in wanted]
    assert backend_of(ingress(*rules), "h", asked) == backend_of(ingress(*reversed(rules)), "h", asked)


def apply(street: Street, body: dict[str, Any]) -> None:
    server = street.rig.server
    held = server.objects("Ingress").get("default/shop")
    made = from_wire(body)
    if held is None:
        server.create(made)
    else:
        server.update(replace(held, extra=made.extra))
    street.rig.cluster.api.flush(server.now)


def test_the_rules_say_who_serves_and_what_nobody_serves_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.node.test_traffic.Route",
        lambda service, curve: Route(service, curve, ingress="shop", host="shop.example.com"),
    )
    street = Street(constant(100))
    server = street.rig.server
    street.run(10)
    assert street.routes()[-1][1:] == ({}, 100), "there is no Ingress yet"
    apply(street, ingress(rule("shop.example.com", path("web"))))
    street.run(20)
    assert street.routes()[-1][1:] == ({"p0": 50, "p1": 50}, 0)
    before = street.lost(15, 20)
    assert before == 0
    pods = server.objects("Pod")
    first = replace(pods["default/p0"].metadata, labels={"app": "web", "only": "first"}, resource_version="")
    server.update(replace(pods["default/p0"], metadata=first))
    spec = ServiceSpec(selector={"only": "first"}, ports=(ServicePort(port=8080, name="http"),))
    server.create(Service(metadata=ObjectMeta(name="other", namespace="default"), spec=spec))
    apply(street, ingress(rule("shop.example.com", path("other", port={"name": "http"}))))
    street.run(30)
    assert street.routes()[-1][1:] == ({"p0": 100}, 0)
    apply(street, ingress(rule("shop.example.com", path("other", port={"number": 81}))))
    street.run(40)
    assert street.routes()[-1][1:] == ({}, 100), "the Service has no such port"
    server.delete("Ingress", "default", "shop")
    street.rig.cluster.api.flush(server.now)
    street.run(50)
    assert street.lost(40, 50) == pytest.approx(1, rel=0.01)


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]},
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}


def scenario(clients: dict[str, Any], **spec: Any) -> Any:
    body = ingress(rule("shop.example.com", path("web", "/cart")))
    workload = [
        {"objects": [DEPLOYMENT, SERVICE, body]},
        {"clients": {"service": "web", "load": {"constant": {"rps": 20}}, **clients}},
    ]
    nodes = [{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "8Gi"}}]
    return loaded(nodes=nodes, workload=workload, duration="3m", bound=False, **spec)


THROUGH = {"ingress": "shop", "host": "shop.example.com", "path": "/cart/1"}


def test_a_scenario_counts_what_its_ingress_sends_nowhere() -> None:
    """The rules are changed two minutes in: from then on all is lost."""
    served = run_once(scenario(THROUGH), "greedy", 1).metrics["requests"]["default/web"]
    assert served["lost"] == 0
    changed = ingress(rule("shop.example.com", path("web", "/checkout")))
    faults = [{"at": "2m", "apply": {"objects": [changed]}}]
    lost = run_once(scenario(THROUGH, faults=faults), "greedy", 1).metrics["requests"]["default/web"]
    assert 0.25 < lost["lost"] / lost["sent"] < 0.45


@pytest.mark.parametrize(
    ("clients", "why"),
    [
        ({**THROUGH, "ingress": "shpo"}, "no such Ingress"),
        ({**THROUGH, "path": "/elsewhere"}, "it sends shop.example.com/elsewhere nowhere"),
        ({"host": "shop.example.com"}, "it is what an Ingress is asked for"),
    ],
)
def test_clients_that_the_ingress_would_never_serve_are_an_error(clients: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        run_once(scenario(clients), "greedy", 1)
