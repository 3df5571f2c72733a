"""What a kubelet refuses, and that a refusal stands."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from harness.engine.component import ADDED, Effect, PatchStatus, Start, Watch
from harness.engine.latency import Latencies
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.gpu import GPU_COUNT, GPU_INDEX, GPU_MILLI
from harness.model.meta import ObjectMeta
from harness.model.pod_usage import CPU_PER_REQUEST, DURATION
from harness.model.quantity import count_quantity, parse_quantity
from harness.node.machine import Machine
from harness.node.pod_annotations import read_annotations
from harness.node.run_spec import run_spec_of
from harness.node.settings import NodeSettings
from tests.node.rig import Rig


def node(**allocatable: str) -> Machine:
    resources = {name.replace("_", "/"): parse_quantity(amount) for name, amount in allocatable.items()}
    resources[GPU_COUNT] = count_quantity(2)
    made = Node(metadata=ObjectMeta(name="n"), status=NodeStatus(capacity=resources, allocatable=resources))
    machine = Machine(made, NodeSettings(latencies=Latencies()), None)  # type: ignore[arg-type]  # nothing is drawn
    machine.step(1, [Start()])
    return machine


def pod(
    number: int,
    requests: dict[str, str] | None = None,
    *,
    init: tuple[Container, ...] = (),
    annotations: dict[str, str] | None = None,
) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=f"p{number}", namespace="default", uid=f"u-{number:012x}", annotations=annotations or {}
        ),
        spec=PodSpec(node_name="n", containers=(container("c", requests or {}),), init_containers=init),
        status=PodStatus(phase="Pending"),
    )


def container(name: str, requests: dict[str, str], *, sidecar: bool = False) -> Container:
    amounts = {resource: parse_quantity(amount) for resource, amount in requests.items()}
    always = "Always" if sidecar else None
    return Container(name=name, image="i", resources=ResourceRequirements(requests=amounts), restart_policy=always)


def refusal(effects: list[Effect]) -> tuple[str, str] | None:
    for effect in effects:
        if isinstance(effect, PatchStatus) and effect.obj.status.phase == "Failed":
            return effect.obj.status.reason, effect.obj.status.message
    return None


@pytest.mark.parametrize(
    ("allocatable", "asked", "reason", "figures"),
    [
        ({"cpu": "9500m", "pods": "110"}, {"cpu": "10"}, "OutOfcpu", "cpu, requested: 10000, used: 0, capacity: 9500"),
        (
            {"memory": "1Gi", "pods": "110"},
            {"memory": "2Gi"},
            "OutOfmemory",
            "memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        ({"cpu": "4", "pods": "0"}, {"cpu": "1"}, "OutOfpods", "pods, requested: 1, used: 0, capacity: 0"),
        ({"pods": "9"}, {"example.com_foo": "1"}, "OutOfexample.com/foo", "example.com/foo, requested: 1, used: 0"),
    ],
)
def test_in_kubernetes_words(allocatable: dict[str, str], asked: dict[str, str], reason: str, figures: str) -> None:
    machine = node(**allocatable)
    requests = {name.replace("_", "/"): amount for name, amount in asked.items()}
    found = refusal(machine.step(2, [Watch(ADDED, pod(1, requests))]))
    assert found is not None
    assert found[0] == reason
    assert found[1].startswith(f"Pod was rejected: Node didn't have enough resource: {figures}")


def test_a_refusal_stands_when_there_is_room_later() -> None:
    rig = Rig(cpu="4")
    rig.pod("a", cpu="4")
    refused = rig.pod("b", cpu="1")
    rig.cluster.api.flush(rig.server.now)
    rig.run(1.006)  # the kubelet has refused it, the server does not know yet
    rig.delete("a", grace_s=0)
    rig.server.update(replace(refused, metadata=replace(refused.metadata, labels={"x": "y"}, resource_version="")))
    rig.cluster.api.flush(rig.server.now)
    rig.run(10)
    seen = rig.get("b")
    assert seen is not None
    assert seen.status.phase == "Failed"


def shares(index: str, milli: str) -> dict[str, str]:
    return {GPU_INDEX: index, GPU_MILLI: milli, GPU_COUNT: str(index.count("-") + 1)}


def test_devices_are_shared_up_to_their_last_milli() -> None:
    machine = node(pods="110")
    assert refusal(machine.step(2, [Watch(ADDED, pod(1, annotations=shares("0", "600")))])) is None
    assert refusal(machine.step(3, [Watch(ADDED, pod(2, annotations=shares("0", "400")))])) is None
    found = refusal(machine.step(4, [Watch(ADDED, pod(3, annotations=shares("0", "1")))]))
    assert found is not None
    assert found[0] == f"OutOf{GPU_MILLI}"
    assert "requested: 1, used: 1000, capacity: 1000" in found[1]
    assert refusal(machine.step(5, [Watch(ADDED, pod(4, annotations=shares("1", "1000")))])) is None
    assert refusal(machine.step(6, [Watch("DELETED", pod(2, annotations=shares("0", "400")))])) is None
    assert refusal(machine.step(7, [Watch(ADDED, pod(5, annotations=shares("0", "400")))])) is None


@pytest.mark.parametrize(
    ("index", "milli", "reason"),
    [
        ("2", "100", f"OutOf{GPU_MILLI}"),  # there are two devices: 0 and 1
        ("0-0", "600", f"OutOf{GPU_MILLI}"),  # twice the same
        ("one", "600", "UnexpectedAdmissionError"),
        ("0", "half", "UnexpectedAdmissionError"),
    ],
)
def test_devices_that_are_not_there_are_not_given(index: str, milli: str, reason: str) -> None:
    found = refusal(node(pods="110").step(2, [Watch(ADDED, pod(1, annotations=shares(index, milli)))]))
    assert found is not None
    assert found[0] == reason


def test_a_pod_needs_its_containers_and_sidecars_or_its_largest_start() -> None:
    """Source: KEP-753: an init container runs beside the sidecars that were started before it."""
    init: tuple[Container, ...] = (
        container("first", {"cpu": "5"}),
        container("sidecar", {"cpu": "1"}, sidecar=True),
        container("second", {"cpu": "3"}),
    )
    needs = dict(run_spec_of(pod(1, {"cpu": "2"}, init=init)).needs)
    assert needs["cpu"] == 5000  # alone; 1 + 3 and 2 + 1 are less
    init = (container("sidecar", {"cpu": "1"}, sidecar=True), container("second", {"cpu": "5"}))
    assert dict(run_spec_of(pod(2, {"cpu": "2"}, init=init)).needs)["cpu"] == 6000


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [("90s", 90 * 10**9), ("1.5s", 15 * 10**8), ("1h30m", 5400 * 10**9), ("250ms", 25 * 10**7), ("2m", 120 * 10**9)],
)
def test_durations_as_kubernetes_writes_them(text: str, duration_ns: int) -> None:
    assert read_annotations({DURATION: text}).duration_ns == duration_ns


def test_requests_may_cost_less_than_a_thousandth() -> None:
    assert read_annotations({CPU_PER_REQUEST: "200u"}).request_micro == 200
    assert read_annotations({CPU_PER_REQUEST: "5m"}).request_micro == 5000


@pytest.mark.parametrize("text", ["soon", "", "-3s", "1.5", "s"])
def test_what_cannot_be_read_is_told_and_ignored(text: str) -> None:
    rig = Rig()
    rig.pod(annotations={DURATION: text})
    rig.run(30)
    seen = rig.get()
    assert seen is not None
    assert seen.status.phase == "Running"
    assert "InvalidAnnotation" in rig.events()
