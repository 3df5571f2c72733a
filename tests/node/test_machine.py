"""Whatever happens to a machine, and in whatever order: what must hold; and a machine in a box is the same machine."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.engine.component import (
    ADDED,
    SECOND,
    Effect,
    Event,
    FaultInjected,
    Observe,
    PatchStatus,
    RestartApiServer,
    Send,
    StandingLease,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.engine.latency import Latencies, LogNormal
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodStatus, Probe, ResourceRequirements
from harness.model.faults import ContainerCrash, Crash, Freeze, Partition
from harness.model.meta import ObjectMeta
from harness.model.pod_usage import CPU_PER_REQUEST, DURATION
from harness.model.quantity import count_quantity, parse_quantity
from harness.node.machine import Machine
from harness.node.pod_annotations import UNHEALTHY_AFTER
from harness.node.settings import NodeSettings, Route
from tests.examples import examples
from tests.node.rig import Rig
from workloads.generators.load import ramp

SECONDS = st.integers(1, 25).map(lambda s: s * SECOND)
FAULTS: Any = st.one_of(
    st.builds(Crash, SECONDS), st.builds(Freeze, SECONDS), st.builds(Partition, SECONDS), st.just(ContainerCrash()),
    st.builds(RestartApiServer, SECONDS),
)  # fmt: skip
POD = st.fixed_dictionaries(
    {
        "at": st.integers(0, 40),
        "cpu": st.integers(1, 5),
        "restart": st.sampled_from(("Always", "OnFailure", "Never")),
        "lasts": st.none() | st.integers(0, 15),
        "code": st.integers(0, 1),
        "gone": st.none() | st.tuples(st.integers(0, 40), st.none() | st.integers(0, 5)),
    }
)


@given(pods=st.lists(POD, max_size=10), faults=st.lists(st.tuples(st.integers(1, 40), FAULTS), max_size=5))
@settings(deadline=None, max_examples=examples(60))
def test_never_overfull_never_back_from_the_end_and_everything_comes_to_one(
    pods: list[dict[str, Any]], faults: list[tuple[int, Any]]
) -> None:
    rig = Rig(cpu="6")
    cpus: dict[str, int] = {}
    running: dict[str, int] = {}
    ended: set[str] = set()
    short = {
        f"p{number}"
        for number, form in enumerate(pods)
        if form["lasts"] == 0 and (form["restart"] == "Never" or (form["restart"] == "OnFailure" and not form["code"]))
    }
    outage = any(isinstance(fault, RestartApiServer) for _, fault in faults)

    def check(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "Pod":
            return
        name, phase = obj.metadata.name, obj.status.phase
        assert name not in ended or phase in ("Succeeded", "Failed"), f"{name} came back"
        if change == "DELETED" or phase in ("Succeeded", "Failed"):
            running.pop(name, None)
        elif phase == "Running" and name not in short:
            # A pod that ends at once is told to have ended only when it is known to run, and others start meanwhile.
            running[name] = cpus[name]
            # Behind an outage the server may learn that one pod runs before it learns that another has ended.
            assert sum(running.values()) <= 6 or outage
        if phase in ("Succeeded", "Failed"):
            ended.add(name)

    rig.server.listeners.append(check)
    happenings: list[tuple[int, int, Any]] = [(at, 1, fault) for at, fault in faults]
    for number, form in enumerate(pods):
        happenings.append((form["at"], 0, (f"p{number}", form)))
        if form["gone"] is not None:
            happenings.append((form["at"] + form["gone"][0], 2, (f"p{number}", form["gone"][1])))
    for at, _, what in sorted(happenings, key=lambda item: item[:2]):
        rig.run(1 + at)
        if isinstance(what, RestartApiServer):
            rig.cluster._machines(rig.cluster.now, what)
        elif not isinstance(what, tuple):
            rig.disturb(what)
        elif isinstance(what[1], dict):
            name, form = what
            cpus[name] = form["cpu"]
            lasts = {} if form["lasts"] is None else {DURATION: f"{form['lasts']}s"}
            rig.pod(
                name,
                cpu=str(form["cpu"]),
                restart=form["restart"],
                annotations={**lasts, "podyard.dev/exit-code": str(form["code"])},
            )
        elif rig.get(what[0]) is not None:
            rig.delete(what[0], grace_s=what[1])
    rig.run(150)
    for number, form in enumerate(pods):
        pod = rig.get(f"p{number}")
        if form["gone"] is not None:
            assert pod is None, "asked to go, still there"
            continue
        assert pod is not None
        lasting = form["lasts"] is None or form["restart"] == "Always"
        if not lasting and (form["restart"] == "Never" or form["code"] == 0):
            assert pod.status.phase in ("Succeeded", "Failed")
        else:
            assert pod.status.phase in ("Running", "Failed"), pod.status  # failed: refused, or lost with the power
    # Everything is given back: what is left can be had in one piece.
    rig.run(151)
    cpus["last"] = 6 - sum(running.values())
    if cpus["last"]:
        rig.pod("last", cpu=str(cpus["last"]))
        rig.run(160)
        last = rig.get("last")
        assert last is not None
        assert last.status.phase == "Running"


# -- in a box ----------------------------------------------------------------------------------------------------------

CAPACITY = {"cpu": parse_quantity("8"), "pods": count_quantity(20)}
LATENCIES = Latencies(
    container_start=LogNormal(400 * 10**6, 900 * 10**6), image_pull_base=LogNormal(300 * 10**6, 700 * 10**6)
)


def machine(**settings: Any) -> Machine:
    node = Node(metadata=ObjectMeta(name="n"), status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY))
    routes = (Route("default/web", ramp(0, 60 * SECOND, 100, 5000)),)
    return Machine(node, NodeSettings(latencies=LATENCIES, routes=routes, **settings), Random(5))


def pod(number: int) -> Pod:
    annotations = {CPU_PER_REQUEST: "3m"}
    if number % 3 == 1:
        annotations[DURATION] = "9s"
    if number % 3 == 2:
        annotations[UNHEALTHY_AFTER] = "12s"
    return Pod(
        metadata=ObjectMeta(name=f"p{number}", namespace="default", uid=f"0-{number:012x}", annotations=annotations),
        spec=PodSpec(
            node_name="n",
            restart_policy=("Always", "OnFailure", "Never")[number % 3],
            containers=(
                Container(
                    name="c",
                    image=f"image-{number % 2}",
                    resources=ResourceRequirements(requests={"cpu": parse_quantity("1500m")}),
                    liveness_probe=Probe(period_seconds=2, failure_threshold=2),
                ),
            ),
        ),
        status=PodStatus(phase="Pending"),
    )


def life(one: Machine, script: Iterable[tuple[int, Event]], until: int, boxed: bool) -> list[tuple[int, Effect]]:
    """Everything that it says, `boxed`: pickled and taken out again before every step, as between processes."""
    queue: list[tuple[int, int, Event]] = [(at, number, event) for number, (at, event) in enumerate(script)]
    number, said = len(queue), []
    while queue and min(queue)[0] < until:
        queue.sort(key=lambda item: item[:2])
        at, _, event = queue.pop(0)
        if boxed:
            one, event = pickle.loads(pickle.dumps((one, event)))
        for effect in one.step(at, [event]):
            said.append((at, effect))
            if isinstance(effect, WakeAt):
                number += 1
                queue.append((max(effect.at, at + 1), number, Timer(effect.token)))
        queue.sort(key=lambda item: item[:2])
    return said


SCRIPT: tuple[tuple[int, Event], ...] = (
    (1, Start()),
    *((number * 200 * 10**6 + 2, Watch(ADDED, pod(number))) for number in range(7)),
    (8 * SECOND, FaultInjected(Freeze(3 * SECOND))),
    (9 * SECOND, Watch("MODIFIED", replace(pod(0), metadata=replace(pod(0).metadata, labels={"a": "b"})))),
    (14 * SECOND, FaultInjected(Partition(10 * SECOND))),
    (18 * SECOND, FaultInjected(ContainerCrash(exit_code=3))),
    (30 * SECOND, FaultInjected(Crash(5 * SECOND))),
    *((36 * SECOND + number, Watch(ADDED, pod(number))) for number in range(7)),
)


@pytest.mark.parametrize("folded", [True, False])
def test_a_machine_in_a_box_says_the_same(folded: bool) -> None:
    at_home = life(machine(folded=folded), SCRIPT, 60 * SECOND, boxed=False)
    boxed = life(machine(folded=folded), SCRIPT, 60 * SECOND, boxed=True)
    assert boxed == at_home
    kinds = {type(effect) for _, effect in at_home}
    assert {PatchStatus, WakeAt, Observe} <= kinds
    assert (StandingLease in kinds) == folded


# -- faults over faults ------------------------------------------------------------------------------------------------


def stands(script: Iterable[tuple[int, Event]]) -> list[float]:
    """Seconds at which a machine is there (again)."""
    said = life(machine(), ((1, Start()), *script), 200 * SECOND, boxed=False)
    return [round(at / SECOND, 1) for at, effect in said if isinstance(effect, StandingLease)]


def struck(*faults: tuple[int, Any]) -> list[tuple[int, Event]]:
    return [(at * SECOND, FaultInjected(fault)) for at, fault in faults]


@pytest.mark.parametrize(
    ("faults", "back"),
    [
        ([(10, Freeze(30 * SECOND)), (20, Freeze(5 * SECOND))], [40]),  # the longer one holds
        ([(10, Freeze(5 * SECOND)), (12, Freeze(30 * SECOND))], [42]),
        ([(10, Partition(30 * SECOND)), (20, Freeze(50 * SECOND))], [70]),  # healed while it stood still
        ([(10, Freeze(30 * SECOND)), (20, Partition(50 * SECOND))], [70]),  # thawed while it was cut off
        ([(10, Freeze(30 * SECOND)), (20, Crash(50 * SECOND))], [70]),  # power goes at any time
        ([(10, Crash(30 * SECOND)), (20, Freeze(50 * SECOND))], [40]),  # nothing there to freeze
        ([(10, Crash(30 * SECOND)), (20, Partition(50 * SECOND))], [70]),  # booted behind a partition
        ([(10, Partition(50 * SECOND)), (20, Crash(10 * SECOND))], [60]),
        ([(10, Crash(30 * SECOND)), (20, Crash(50 * SECOND))], [70]),
        ([(10, Crash(30 * SECOND)), (20, Crash())], []),
        ([(10, Crash()), (20, Crash(10 * SECOND))], []),  # for good is for good
    ],
)
def test_faults_overlap(faults: list[tuple[int, Any]], back: list[int]) -> None:
    assert stands(struck(*faults)) == [0, *back]


def test_what_is_down_says_nothing() -> None:
    said = life(machine(), ((1, Start()), *struck((10, Crash(30 * SECOND)))), 39 * SECOND, boxed=False)
    after = [effect for at, effect in said if at > 10 * SECOND]
    assert after == []
    at_once = [effect for at, effect in said if at == 10 * SECOND]
    assert all(isinstance(effect, (Observe, Send, WakeAt)) for effect in at_once)  # what others see of it, no words


@pytest.mark.parametrize("after_ms", [0, 5, 10, 15, 20, 25, 30])
def test_a_pod_that_ended_is_deleted_though_power_goes_meanwhile(after_ms: int) -> None:
    """It was asked to go as its container ended, and the node lost power between the last status and the deletion. Then
    its kubelet, up again, took no interest in a pod that has ended, and it stayed Terminating for good."""
    rig = Rig()
    rig.run(2)
    rig.pod("a")
    rig.run(8.995)
    rig.disturb(ContainerCrash())
    rig.delete("a", grace_s=None)
    rig.run(8.995 + after_ms / 1000)
    rig.disturb(Crash(SECOND))
    rig.run(60)
    assert rig.get("a") is None


def test_a_pod_that_finalizers_keep_is_told_to_have_ended_though_power_went() -> None:
    """Seed 154 of podyard simulate: deleted while its node was down, held by somebody's finalizer, it stayed Running in
    the API server's books for good."""
    rig = Rig()
    rig.run(2)
    rig.pod("a", finalizers=("example.com/held",))
    rig.run(5)
    rig.disturb(Crash(5 * SECOND))
    rig.run(6)
    rig.delete("a", grace_s=None)
    rig.run(60)
    held = rig.get("a")
    assert held is not None
    assert held.status.phase == "Failed"
    (status,) = held.status.container_statuses
    assert status.state.terminated is not None
    assert status.state.terminated.reason == "ContainerStatusUnknown"
    rig.pod("b", cpu="4")
    rig.run(70)
    again = rig.get("b")
    assert again is not None
    assert again.status.phase == "Running", "what it held is given back"
