"""EndpointSlices: every reachable pod of a Service exactly once, in slices of at most a hundred."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.engine.component import Create, Delete, Update
from harness.model.core import Container, ContainerPort, Pod, PodSpec, Service, ServicePort, ServiceSpec
from harness.model.meta import ObjectMeta
from harness.model.workloads import Endpoint, EndpointSlice
from tests.controllers.rig import Rig
from tests.examples import examples


def service(name: str = "web", port: int | str = 8080, **spec: Any) -> Service:
    spec.setdefault("selector", {"app": name})
    spec.setdefault("ports", (ServicePort(port=80, target_port=port, name="http"),))
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**spec))


SPEC = PodSpec(containers=(Container(name="c", image="i:1"),))


def pod(name: str, app: str = "web", spec: PodSpec = SPEC) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="default", labels={"app": app}), spec=spec)


class Street(Rig):
    def __init__(self, **kwargs: Any) -> None:
        self.controller = EndpointSliceController()
        super().__init__(self.controller, **kwargs)

    def slices(self) -> list[EndpointSlice]:
        return self.server.listed("EndpointSlice")

    def endpoints(self) -> dict[str, Endpoint]:
        found = [item for slice_ in self.slices() for item in slice_.endpoints]
        named = {item.target_ref.name: item for item in found if item.target_ref is not None}
        assert len(named) == len(found), "a pod is listed twice"
        return named

    def conditions(self, name: str) -> tuple[bool | None, bool | None, bool | None]:
        """(ready, serving, terminating)"""
        found = self.endpoints()[name].conditions
        return found.ready, found.serving, found.terminating

    def writes(self) -> list[type]:
        return [type(effect) for _, effect in self.sent if isinstance(effect, (Create, Update, Delete))]


@pytest.fixture
def street() -> Street:
    return Street()


def test_a_ready_pod_is_listed_with_where_it_is(street: Street) -> None:
    made = street.create(service())
    street.node("n", zone="z1")
    street.set_ready(street.create(pod("a")))
    street.run()
    (only,) = street.slices()
    assert only.metadata.name.startswith("web-")
    assert only.metadata.labels["kubernetes.io/service-name"] == "web"
    assert only.metadata.labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    (owner,) = only.metadata.owner_references
    assert (owner.kind, owner.uid) == ("Service", made.metadata.uid)
    assert (owner.controller, owner.block_owner_deletion) == (True, True)
    assert [(port.name, port.port, port.protocol) for port in only.ports] == [("http", 8080, "TCP")]
    (endpoint,) = only.endpoints
    assert endpoint.addresses == (street.get("Pod", "a").status.pod_ip,)
    assert (endpoint.node_name, endpoint.zone) == ("n", "z1")
    assert endpoint.target_ref is not None
    assert endpoint.target_ref.uid == street.get("Pod", "a").metadata.uid
    assert street.conditions("a") == (True, True, False)


def test_conditions_follow_the_pod(street: Street) -> None:
    street.create(service())
    first = street.set_ready(street.create(pod("a")), False)
    street.run()
    assert street.conditions("a") == (False, False, False)
    first = street.set_ready(first)
    street.run()
    assert street.conditions("a") == (True, True, False)
    street.delete("Pod", "a")
    street.run()
    assert street.conditions("a") == (False, True, True)
    street.kubelet_kills(first)
    street.run()
    assert street.endpoints() == {}
    assert len(street.slices()) == 1  # an empty one stays


def test_pods_without_address_or_ended_are_not_listed(street: Street) -> None:
    street.create(service())
    street.create(pod("pending"))
    street.finish(street.set_ready(street.create(pod("ended"))))
    street.set_ready(street.create(pod("other", app="other")))
    street.run()
    assert street.endpoints() == {}


def test_not_ready_addresses_may_be_published(street: Street) -> None:
    street.create(service(extra={"publishNotReadyAddresses": True}))
    street.set_ready(street.create(pod("a")), False)
    street.run()
    assert street.conditions("a") == (True, False, False)


def test_a_headless_service_is_marked(street: Street) -> None:
    street.create(service(cluster_ip="None"))
    street.set_ready(street.create(pod("a")))
    street.run()
    assert "service.kubernetes.io/headless" in street.slices()[0].metadata.labels
    assert list(street.endpoints()) == ["a"]


def test_without_selector_nothing_is_written(street: Street) -> None:
    street.create(service(selector={}))
    street.create(service("x", type="ExternalName", extra={"externalName": "x.example"}))
    street.set_ready(street.create(pod("a")))
    street.run()
    assert street.slices() == []


def test_a_hundred_fit_into_a_slice(street: Street) -> None:
    for number in range(250):
        street.set_ready(street.create(pod(f"p{number}")))
    street.create(service())
    street.run()
    assert sorted(len(item.endpoints) for item in street.slices()) == [50, 100, 100]
    assert len(street.endpoints()) == 250


def test_one_change_writes_one_slice(street: Street) -> None:
    for number in range(250):
        street.set_ready(street.create(pod(f"p{number}")))
    street.create(service())
    street.run()
    street.sent.clear()
    street.set_ready(street.get("Pod", "p17"), False)
    street.run()
    assert street.writes() == [Update]
    street.sent.clear()
    street.delete("Pod", "p17", grace_s=0)
    street.set_ready(street.create(pod("late")))
    street.run()
    assert street.writes() == [Update]  # the late one takes the place of the one that left
    street.sent.clear()
    street.set_ready(street.create(pod("later")))
    street.run()
    assert street.writes() == [Update]  # into the slice with room
    assert len(street.endpoints()) == 251


def test_many_changes_at_once_are_written_once(street: Street) -> None:
    street.create(service())
    street.run()
    pods = [street.create(pod(f"p{number}")) for number in range(80)]
    street.run()
    street.sent.clear()
    for item in pods:
        street.set_ready(item)
    street.run()
    assert len(street.writes()) == 1


def test_named_ports_are_looked_up_in_each_pod(street: Street) -> None:
    def speaking(number: int) -> PodSpec:
        ports = (ContainerPort(name="api", container_port=number),)
        return PodSpec(containers=(Container(name="c", image="i:1", ports=ports),))

    street.create(service(port="api"))
    street.set_ready(street.create(pod("a", spec=speaking(1000))))
    street.set_ready(street.create(pod("b", spec=speaking(1000))))
    street.set_ready(street.create(pod("c", spec=speaking(2000))))
    street.run()
    found = {
        port.port: sorted(item.target_ref.name for item in slice_.endpoints if item.target_ref)
        for slice_ in street.slices()
        for port in slice_.ports
    }
    assert found == {1000: ["a", "b"], 2000: ["c"]}


def test_another_selector_lists_other_pods(street: Street) -> None:
    street.create(service())
    street.set_ready(street.create(pod("a")))
    street.set_ready(street.create(pod("b", app="other")))
    street.run()
    street.change("Service", "web", selector={"app": "other"})
    street.run()
    assert list(street.endpoints()) == ["b"]
    street.change("Service", "web", ports=(ServicePort(port=80, target_port=9090, name="http"),))
    street.run()
    assert list(street.endpoints()) == ["b"]
    assert [port.port for item in street.slices() for port in item.ports] == [9090]


def test_labels_change_where_a_pod_is_listed(street: Street) -> None:
    street.create(service())
    street.create(service("api"))
    item = street.set_ready(street.create(pod("a")))
    street.run()
    street.do(Update(replace(item, metadata=replace(item.metadata, labels={"app": "api"}))))
    street.run()
    listed = [s.metadata.labels["kubernetes.io/service-name"] for s in street.slices() if s.endpoints]
    assert listed == ["api"]


def test_a_slice_that_somebody_deletes_comes_again(street: Street) -> None:
    street.create(service())
    street.set_ready(street.create(pod("a")))
    street.run()
    street.delete("EndpointSlice", street.slices()[0].metadata.name)
    street.run()
    assert list(street.endpoints()) == ["a"]


def test_a_slice_that_somebody_edits_is_put_right(street: Street) -> None:
    street.create(service())
    street.set_ready(street.create(pod("a")))
    street.run()
    street.do(Update(replace(street.slices()[0], endpoints=())))
    street.run()
    assert list(street.endpoints()) == ["a"]


def test_the_zone_of_a_node_that_is_heard_of_late_is_filled_in() -> None:
    controller = EndpointSliceController()
    from harness.engine.component import ADDED, Watch

    rig = Rig()
    web = rig.create(service())
    item = rig.set_ready(rig.create(pod("a")), node="n1")
    node = replace(rig.server.get("Node", "", "n1"), metadata=ObjectMeta(name="n1", labels={
        "topology.kubernetes.io/zone": "z9"}))  # fmt: skip
    (made,) = controller.step(1, [Watch(ADDED, web), Watch(ADDED, item)])
    assert isinstance(made, Create)
    assert made.obj.endpoints[0].zone is None
    there = replace(made.obj, metadata=replace(made.obj.metadata, name="web-1", namespace="default",
                                               resource_version="7", uid="u"))  # fmt: skip
    from harness.engine.component import Outcome

    controller.step(2, [Outcome(made, there), Watch(ADDED, there)])
    (update,) = controller.step(3, [Watch(ADDED, node)])
    assert isinstance(update, Update)
    assert update.obj.endpoints[0].zone == "z9"


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["new", "new", "ready", "unready", "end", "kill", "move", "restart", "conflict"]),
                  st.integers(0, 9)),
        max_size=40,
    ),
    st.sampled_from([1_000_000, 8_000_000]),
)  # fmt: skip
def test_whatever_happens_the_slices_list_what_is_there(story: list[tuple[str, int]], latency_ns: int) -> None:
    street = Street(latency_ns=latency_ns)
    street.create(service())
    for turn, (what, number) in enumerate(story):
        street.run(number * 0.002)
        pods = [item for item in street.pods() if item.metadata.deletion_timestamp is None]
        item = pods[number % len(pods)] if pods else None
        if item and item.status.phase == "Succeeded" and what in ("ready", "unready"):
            continue  # the API server lets no pod leave a terminal phase
        match what:
            case "new":
                street.create(pod(f"p{turn}"))
            case "ready" | "unready" if item:
                street.set_ready(item, what == "ready")
            case "end" if item:
                street.finish(item)
            case "kill" if item:
                street.delete("Pod", item.metadata.name)
            case "move" if item:
                app = "other" if item.metadata.labels["app"] == "web" else "web"
                street.do(Update(replace(item, metadata=replace(item.metadata, labels={"app": app}))))
            case "restart":
                street.run(0.2)
                street.start(street.controller)
            case "conflict":
                for slice_ in street.slices():
                    note = replace(slice_.metadata, annotations={"edited": str(turn)})
                    street.do(Update(replace(slice_, metadata=note)))
    street.settle()
    expected = {
        item.metadata.name: item
        for item in street.pods(app="web")
        if item.status.pod_ip and item.status.phase not in ("Succeeded", "Failed")
    }
    assert set(street.endpoints()) == set(expected)
    for name, item in expected.items():
        is_ready = any(c.type == "Ready" and c.status == "True" for c in item.status.conditions)
        going = item.metadata.deletion_timestamp is not None
        assert street.conditions(name) == (is_ready and not going, is_ready, going)
    assert street.slices()
