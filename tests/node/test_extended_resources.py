"""An extended resource that somebody advertises for a node, as Kubernetes' documentation tells how."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.model.core import Container, ResourceRequirements
from harness.model.quantity import count_quantity
from tests.node.rig import Rig

DONGLE = "example.com/dongle"


def advertise(rig: Rig, count: int) -> None:
    """PATCH status/capacity; 0 takes it out again."""
    node = rig.server.objects("Node")["n0"]
    capacity = {name: amount for name, amount in node.status.capacity.items() if name != DONGLE}
    if count:
        capacity[DONGLE] = count_quantity(count)
    rig.server.update(replace(node, status=replace(node.status, capacity=capacity)), "status")
    rig.cluster.api.flush(rig.server.now)


def wanting(rig: Rig, name: str, count: int) -> Any:
    made = rig.pod(name, restart="Always")
    rig.server.delete("Pod", "default", name, grace_s=0)
    requests = {DONGLE: count_quantity(count)}
    container = Container(name="c", image="i", resources=ResourceRequirements(requests=requests, limits=requests))
    meta = replace(made.metadata, uid="", resource_version="")
    rig.server.create(replace(made, metadata=meta, spec=replace(made.spec, containers=(container,), node_name="n0")))
    rig.cluster.api.flush(rig.server.now)


def allocatable(rig: Rig) -> int | None:
    found = rig.server.objects("Node")["n0"].status.allocatable.get(DONGLE)
    return None if found is None else found.milli // 1000


def test_the_kubelet_makes_it_allocatable_and_pods_take_it() -> None:
    rig = Rig()
    rig.run(5)
    advertise(rig, 4)
    rig.run(30)
    assert allocatable(rig) == 4
    wanting(rig, "three", 3)
    wanting(rig, "two", 2)
    rig.run(60)
    phases = {name: pod.status.phase for name, pod in rig.server.objects("Pod").items()}
    assert phases == {"default/three": "Running", "default/two": "Failed"}
    assert rig.server.objects("Pod")["default/two"].status.reason == f"OutOf{DONGLE}"
    advertise(rig, 0)
    rig.run(90)
    assert allocatable(rig) is None


def test_what_a_machine_has_is_its_own_to_say() -> None:
    rig = Rig()
    rig.run(5)
    node = rig.server.objects("Node")["n0"]
    before = node.status.capacity
    capacity = {**before, "cpu": count_quantity(1000)}
    rig.server.update(replace(node, status=replace(node.status, capacity=capacity)), "status")
    rig.cluster.api.flush(rig.server.now)
    rig.run(30)
    assert rig.server.objects("Node")["n0"].status.capacity == before
