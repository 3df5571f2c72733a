"""The books of the round scheduler: gangs and what is known of when they broke, GPUs and the nodes they are on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.runtime.informer import Informer
from harness.controllers.workloads.rounds.gangs import (
    DURATION,
    Gangs,
    WholeGang,
    bind,
    binds,
    endings,
    gang_since,
    lasting,
    misplaced,
    missing_nodes,
    resumed,
    running_since,
)
from harness.controllers.workloads.rounds.nodes import GpuNodes, node_state
from harness.engine.component import ADDED, SECOND, STANDING_LEASE, BindPod, Update, Watch
from harness.model.core import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
    Node,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    Taint,
    Toleration,
)
from harness.model.gpu import GPU_COUNT
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.quantity import count_quantity
from harness.model.training import ROUND_SCHEDULER
from harness.model.wire import MicroTime, Time
from harness.model.workloads import Job, JobSpec, Lease, LeaseSpec
from tests.controllers.rig import template

JOB = OwnerReference(api_version="batch/v1", kind="Job", name="j", uid="j", controller=True)


def pod(
    name: str,
    node: str = "",
    phase: str = "Running",
    started: int | None = None,
    ended: int | None = None,
    owner: OwnerReference | None = JOB,
    **meta: Any,
) -> Pod:
    running = None if started is None else ContainerStateRunning(started_at=Time(started))
    over = None if ended is None else ContainerStateTerminated(exit_code=1, finished_at=Time(ended))
    state = ContainerState(running=running, terminated=over)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"u-{name}",
            owner_references=(owner,) if owner is not None else (),
            creation_timestamp=meta.pop("created", None),
            **meta,
        ),
        spec=PodSpec(node_name=node, scheduler_name=ROUND_SCHEDULER),
        status=PodStatus(phase=phase, container_statuses=(ContainerStatus(name="c", state=state),)),
    )


# -- when a gang broke -------------------------------------------------------------------------------------------------


def whole() -> WholeGang:
    return WholeGang(10, {"u-a": 5, "u-b": 10})


@pytest.mark.parametrize(
    ("seen", "broken", "heard"),
    [
        (pod("a", started=5), None, None),
        (pod("a", phase="Succeeded", ended=30), None, None),
        (pod("a", phase="Succeeded", deletion_timestamp=Time(30)), None, None),
        # One of its own that tells when: surely whole until then.
        (pod("a", phase="Failed", ended=30), 30, 30),
        (pod("a", started=31), 31, 31),
        (pod("a", started=5, deletion_timestamp=Time(40)), 40, 40),
        (pod("a", deletion_timestamp=Time(40 * SECOND), deletion_grace_period_seconds=30), 10 * SECOND, 10 * SECOND),
        (pod("a", phase="Failed", ended=30, deletion_timestamp=Time(29)), 29, 29),
        (pod("a", phase="Failed", ended=8), 10, 10),
        # Another in its place: since when it was gone nobody knows, as long ago as it was heard of.
        (pod("c", started=50, created=40), 40, 20),
        (pod("c", started=50, created=15), 15, 15),
        (pod("c", started=50, created=10), None, None),
        (pod("c", started=50), None, None),
    ],
)
def test_what_a_pod_tells_of_its_gang(seen: Pod, broken: int | None, heard: int | None) -> None:
    gang = whole()
    gang.see(seen, 20)
    assert (gang.broken, gang.heard) == (broken, heard)


def test_of_several_losses_the_first_counts() -> None:
    gang = whole()
    for at, heard in ((50, 40), (60, 30), (45, 44)):
        gang.lost_at(at, heard)
    assert (gang.broken, gang.heard) == (45, 30)
    gang.lost_at(3, 2)
    assert (gang.broken, gang.heard) == (10, 10), "not before it was whole"


def ran() -> Gangs:
    """The gang of default/j: a on n, b on m, whole since 10; heard of last at 20."""
    gangs = Gangs()
    for at, each in ((3, pod("a", "n", started=5)), (10, pod("b", "m", started=10))):
        assert gangs.changed(None, each, at) == ("default/j", False)
    gangs.ran("default/j", 10)
    gangs.changed(pod("x", owner=None), pod("x", owner=None), 20)
    return gangs


def test_a_gang_is_whole_until_a_member_is_known_to_be_lost() -> None:
    gangs = ran()
    assert not gangs.is_broken("default/j")
    assert not gangs.is_broken("default/other")
    for until in (gangs.whole_until, gangs.surely_until, gangs.heard_until):
        assert until("default/j", 99) == 99
        assert until("default/other", 99) == 99
    failed = pod("a", "n", phase="Failed", ended=25)
    assert gangs.changed(pod("a", "n", started=5), failed, 30) == ("default/j", True), "that is news"
    assert gangs.changed(failed, replace(failed), 31) == ("default/j", False)
    assert gangs.is_broken("default/j")
    assert gangs.whole_until("default/j", 99) == gangs.heard_until("default/j", 99) == 25
    assert gangs.whole_until("default/j", 24) == gangs.heard_until("default/j", 24) == 24
    assert gangs.surely_until("default/j", 99) == 99, "somebody watched"


def test_a_member_that_vanishes_was_there_when_it_was_heard_of_last() -> None:
    gangs = ran()
    gangs.changed(pod("a", "n", started=5), None, 30)
    assert (gangs.whole_until("default/j", 99), gangs.heard_until("default/j", 99)) == (30, 20)
    gangs = ran()
    gangs.changed(pod("a", "n", started=5), pod("a", "n", started=5), 30)  # the same instant counts as one
    gangs.changed(pod("a", "n", started=5), None, 30)
    assert gangs.heard_until("default/j", 99) == 20
    gangs = ran()
    gangs.changed(pod("a", "n", started=5), pod("a", "n", started=5), 25, watched=False)
    gangs.changed(pod("a", "n", started=5), None, 30)
    assert gangs.heard_until("default/j", 99) == 20, "an answer to a write tells nothing of the others"
    gangs = ran()
    going = pod("a", "n", started=5, deletion_timestamp=Time(28))
    gangs.changed(going, None, 30)
    assert (gangs.whole_until("default/j", 99), gangs.heard_until("default/j", 99)) == (28, 28)
    gangs = ran()
    gangs.changed(pod("a", "n", "Succeeded", ended=22), None, 30)
    gangs.changed(None, pod("late", "n", started=5), 30)
    gangs.changed(pod("late", "n", started=5), None, 30)
    assert not gangs.is_broken("default/j"), "ended before, or no member"


def test_members_that_are_not_listed_went_while_nobody_watched() -> None:
    for now, heard in ((20, 10), (30, 20)):
        gangs = ran()
        gangs.listed([pod("a", "n", started=5), pod("b", "m", started=10)], now)
        assert not gangs.is_broken("default/j")
        gangs.listed([pod("b", "m", started=10)], now)
        assert gangs.whole_until("default/j", 99) == now
        assert gangs.surely_until("default/j", 99) == gangs.heard_until("default/j", 99) == heard
    gangs.clear()
    assert gangs.is_broken("default/j"), "what was seen to run is kept"
    assert gangs.pods("default/j") == []
    assert gangs.count_on("m") == 0


# -- GPUs that are taken -----------------------------------------------------------------------------------------------


def test_pods_that_live_take_a_gpu_of_their_node() -> None:
    gangs = ran()
    assert [each.metadata.name for each in gangs.pods("default/j")] == ["a", "b"]
    waits = pod("c", phase="Pending")
    gangs.changed(None, waits, 30)
    going = pod("d", phase="Pending", deletion_timestamp=Time(1))
    gangs.changed(None, going, 30)
    assert gangs.first_waiting("default/j") == waits
    gangs.assume([bind(waits, "n", "t")])
    assert gangs.first_waiting("default/j") is None
    assert gangs.count_on("n") == 2
    gangs.assume([bind(waits, "m", "t")])
    assert (gangs.count_on("n"), gangs.count_on("m")) == (1, 2)
    gangs.changed(waits, replace(waits, metadata=replace(waits.metadata, labels={"x": "y"})), 30)
    assert gangs.count_on("m") == 2, "the watch has not told of the binding yet"
    gangs.changed(waits, pod("c", "m", "Pending"), 31)
    assert gangs.count_on("m") == 2
    gangs.changed(pod("c", "m", "Pending"), pod("c", "m", "Failed"), 32)
    assert gangs.count_on("m") == 1
    gangs.changed(going, None, 33)
    for name, node in (("a", "n"), ("b", "m")):
        gangs.changed(pod(name, node), None, 34)
    assert (gangs.count_on("n"), gangs.count_on("m"), gangs.pods("default/j")) == (0, 0, [])
    assert gangs.first_waiting("default/j") is None


def test_a_binding_that_fails_or_whose_pod_goes_frees_the_gpu() -> None:
    for end in ("forget", "gone", "ended"):
        gangs, waits = Gangs(), pod("c", phase="Pending")
        gangs.changed(None, waits, 1)
        gangs.assume([bind(waits, "n", "t")])
        if end == "forget":
            gangs.forget("default/c")
            gangs.forget("default/c")
        else:
            gangs.changed(waits, None if end == "gone" else pod("c", phase="Failed"), 2)
        assert gangs.count_on("n") == 0


def test_pods_whose_job_was_taken_from_them_are_strangers_on_their_gpu() -> None:
    gangs, alone = ran(), pod("a", "n", owner=None)
    assert gangs.changed(pod("a", "n", started=5), alone, 30) == ("default/j", False), "whose it was"
    assert dict(+gangs.strangers) == {"n": 1}
    assert gangs.count_on("n") == 1
    other = replace(alone, spec=replace(alone.spec, scheduler_name="other"))
    gangs.changed(None, replace(other, metadata=replace(other.metadata, name="o")), 30)
    gangs.changed(None, pod("unbound", owner=None), 30)
    assert dict(+gangs.strangers) == {"n": 1}
    assert gangs.changed(alone, None, 40) is None
    assert not +gangs.strangers
    assert gangs.count_on("n") == 0


# -- what is written ---------------------------------------------------------------------------------------------------


def test_wanted_nodes_that_nobody_is_on_are_bound_to_as_far_as_there_is_room() -> None:
    there = [pod("a", "n"), pod("b"), pod("c"), pod("d")]
    wanted = ("n", "m", "n", "o")
    assert missing_nodes(there, wanted) == ["m", "n", "o"]
    room = {"n": 0, "m": 1, "o": 2}
    assert binds("t", there, wanted, room) == [
        BindPod("default", "b", "u-b", "m", {}, "t"),
        BindPod("default", "d", "u-d", "o", {}, "t"),
    ]
    assert room == {"n": 0, "m": 0, "o": 1}


def test_pods_beyond_what_is_wanted_of_a_node_are_misplaced() -> None:
    there = [pod("a", "n"), pod("b", "n"), pod("c", "x"), pod("d")]
    assert [each.metadata.name for each in misplaced(there, ("n", "m"))] == ["b", "c"]
    assert misplaced(there, ("n", "n", "x")) == []


def test_a_gang_runs_since_its_last_member_does() -> None:
    members = [pod("a", "n", started=5), pod("b", "m", started=9)]
    assert gang_since(members, 2, {}) == 9
    assert gang_since(members, 3, {}) is None
    assert gang_since(members, 1, {"m": None}) == 5
    assert gang_since([*members, pod("c", phase="Pending")], 2, {}) is None
    assert running_since(pod("a", phase="Pending", started=5)) is None
    assert running_since(replace(pod("a"), status=PodStatus(phase="Running"))) is None
    assert running_since(pod("a")) is None


def test_containers_are_told_once_when_to_end() -> None:
    runs = pod("a", started=5)
    (told,) = endings("t", [runs, pod("b", phase="Pending")], 3 * SECOND + 5 + 7)
    assert isinstance(told, Update)
    assert told.obj.metadata.annotations == {DURATION: "3.000000007s"}
    assert endings("t", [told.obj], 3 * SECOND + 12) == []
    (early,) = endings("t", [runs], 4)
    assert early.obj.metadata.annotations[DURATION] == "0.000000000s"
    assert lasting(early.obj, "0.000000000s") is None


@pytest.mark.parametrize(
    ("mode", "completions", "expected"), [("Indexed", 2, 3), ("NonIndexed", 2, 2), ("", None, None)]
)
def test_a_job_is_resumed_with_pods_for_its_gang(mode: str, completions: int | None, expected: int | None) -> None:
    spec = JobSpec(parallelism=2, completions=completions, completion_mode=mode, suspend=True, template=template())
    job = Job(metadata=ObjectMeta(name="j"), spec=spec)
    same, larger = resumed(job, 2).spec, resumed(job, 3).spec
    assert (same.suspend, same.parallelism, same.completions) == (False, 2, completions)
    assert (larger.suspend, larger.parallelism, larger.completions) == (False, 3, expected)


# -- nodes -------------------------------------------------------------------------------------------------------------

MINE = Taint(key="mine", effect="NoSchedule")


def node(name: str, *taints: Taint, ready: str = "True", cordoned: bool = False, gpus: int = 1) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, uid=f"u-{name}", resource_version="1"),
        spec=NodeSpec(taints=taints, unschedulable=cordoned),
        status=NodeStatus(
            allocatable={GPU_COUNT: count_quantity(gpus)}, conditions=(Condition(type="Ready", status=ready),)
        ),
    )


def lease(name: str, renewed: int | None, standing: bool = False) -> Lease:
    annotations = {STANDING_LEASE: "true"} if standing else {}
    meta = ObjectMeta(
        name=name, namespace="kube-node-lease", uid=f"l-{name}", resource_version="1", annotations=annotations
    )
    return Lease(metadata=meta, spec=LeaseSpec(renew_time=None if renewed is None else MicroTime(renewed)))


def job(*tolerations: Toleration) -> Job:
    made = template()
    return Job(
        metadata=ObjectMeta(name="j"),
        spec=JobSpec(template=replace(made, spec=replace(made.spec, tolerations=tolerations))),
    )


def nodes(gpus: str, *objects: Node | Lease) -> GpuNodes:
    informer = Informer({"Node": None, "Lease": None})
    for obj in objects:
        informer.take(Watch(ADDED, obj))
    return GpuNodes(informer, gpus.split())


def test_who_is_silent() -> None:
    held = nodes(
        "a a b c d e f",
        *(node(name) for name in "abcd"),
        node("e", ready="False"),
        lease("a", 80),
        lease("b", 79),
        lease("c", 0, standing=True),
        lease("d", None),
    )
    assert held.silent(100, 10) == {"b", "d", "e", "f"}
    assert [held.renewed(name, 100) for name in "abcdef"] == [80, 79, 100, 0, 100, 100]


def test_gpus_that_nothing_can_be_started_on() -> None:
    ours = Taint(key="node.kubernetes.io/x", effect="NoSchedule")
    held = nodes(
        "a b b c d e f",
        node("a"),
        node("b", cordoned=True),
        node("c", MINE),
        node("d", Taint(key="mine", effect="PreferNoSchedule"), ours),
        node("e", Taint(key="mine", effect="NoExecute")),
    )
    tolerant = job(Toleration(key="mine", operator="Exists"))
    assert held.unusable((), []) == {1, 2, 6}
    assert held.unusable((), [tolerant]) == {1, 2, 6}
    assert held.unusable((), [tolerant, job()]) == {1, 2, 3, 5, 6}
    assert held.unusable(("a",), []) == {0, 1, 2, 6}
    assert held.held({"b": 1, "a": 3, "z": 1}) == {0, 1}
    assert held.held({"b": 2}) == {1, 2}
    assert [held.is_reachable(name) for name in "abcf"] == [True, False, True, False]
    assert node_state(node("e", ready="Unknown", cordoned=True)) == (False, True, ())


def test_room_is_where_a_gpu_is_free() -> None:
    held = nodes("a a b c", node("a"), node("b", MINE), node("c"), lease("c", 0))
    taken = {"a": 2, "b": 0, "c": 0}
    assert held.with_room(job(), taken.__getitem__, 100, 10) is None
    assert held.with_room(job(Toleration(operator="Exists")), taken.__getitem__, 100, 10) == "b"
    assert held.with_room(job(), {**taken, "a": 1}.__getitem__, 100, 10) == "a"


def test_nodes_that_are_gone_are_replaced_by_others_that_came() -> None:
    held = nodes("a a b c", node("b"), node("y"), node("x", gpus=2), node("z", MINE, gpus=9))
    assert held.replace_gone([job()])
    assert held.names == ["x", "x", "b", "y"], "the first by name that has as many GPUs, each for one"
    assert held.gpus_of == {"x": 2, "b": 1, "y": 1}
    assert not held.replace_gone([job()])
    left = nodes("a a b", node("b"), node("y"))
    assert not left.replace_gone([])
    assert left.names == ["a", "a", "b"]
