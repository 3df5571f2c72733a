"""The folds against sums done by hand, or the slow way."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.measure.elasticity import Elasticity
from harness.measure.invariants import Invariants
from harness.measure.job_lives import JobLives
from harness.measure.journal import Journal
from harness.measure.missing_replicas import MissingReplicas
from harness.measure.occupancy import CPU, Occupancy
from harness.measure.placement import waits
from harness.measure.pods import PodLives, seconds
from harness.measure.recovery import Recovery
from harness.measure.rounds import Rounds
from harness.measure.traffic import Traffic
from harness.model.core import (
    Container,
    Node,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from harness.model.gpu import GPU_COUNT, GPU_INDEX, GPU_MILLI
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.objects import KINDS
from harness.model.quantity import milli_quantity
from tests.measure.nodes import node

S = 10**9


def pod(
    name: str, on: str = "", cpu: int = 1000, phase: str = "Pending", gpu: tuple[int, int, str] | None = None
) -> Pod:
    annotations = {}
    if gpu is not None:
        annotations = {GPU_COUNT: str(gpu[0]), GPU_MILLI: str(gpu[1])} | ({GPU_INDEX: gpu[2]} if on else {})
    requests = {"cpu": milli_quantity(cpu)}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="d", uid=name, annotations=annotations),
        spec=PodSpec(
            containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),), node_name=on
        ),
        status=PodStatus(phase=phase),
    )


# -- allocation --------------------------------------------------------------------------------------------------------


def test_allocation_is_weighted_by_time_from_the_first_arrival_on() -> None:
    seen = Occupancy()
    seen.write(0, "Node", "ADDED", node("n"), None)
    seen.write(5 * S, "Pod", "ADDED", pod("a"), None)
    seen.write(10 * S, "Pod", "MODIFIED", pod("a", "n", 1000), pod("a"))
    seen.write(20 * S, "Pod", "MODIFIED", pod("b", "n", 3000), pod("b"))
    seen.write(30 * S, "Pod", "DELETED", pod("a", "n", 1000), None)
    assert seen.ratios()["cpu"] == 0.75
    # Nothing for 5 s, 1 core for 10 s, 4 for 10 s, 3 for 10 s, of 4 cores: a strategy that starts late is not spared.
    assert seen.mean_ratios(40 * S)["cpu"] == pytest.approx((10 + 40 + 30) / 140)
    assert seen.counted(40 * S)[CPU] == 80_000 * S
    assert seen.mean_busy_nodes(40 * S) == 30 / 35


def task(name: str, on: str = "", owner: str = "", phase: str = "Pending") -> Pod:
    """One core for 10 s."""
    made = pod(name, on, phase=phase)
    references = (OwnerReference(api_version="batch/v1", kind="Job", name=owner, uid=owner),) if owner else ()
    meta = replace(made.metadata, annotations={"podyard.dev/duration": "10s"}, owner_references=references)
    return replace(made, metadata=meta, spec=replace(made.spec, restart_policy="Never"))


def test_a_task_counts_for_no_longer_than_it_runs() -> None:
    seen = Occupancy()
    seen.write(0, "Node", "ADDED", node("n"), None)
    seen.write(0, "Pod", "ADDED", task("a"), None)
    seen.write(0, "Pod", "MODIFIED", task("a", "n"), task("a"))  # its node dies, and holds on to it for 30 s
    assert seen.counted(20 * S)[CPU] == 10_000 * S
    seen.write(30 * S, "Pod", "DELETED", task("a", "n"), None)
    assert seen.counted(40 * S)[CPU] == 10_000 * S
    assert seen.held_beyond(40 * S)["cpu"] == pytest.approx(20 / 160)


def test_work_that_is_done_again_counts_once() -> None:
    seen = Occupancy()
    seen.write(0, "Node", "ADDED", node("n"), None)
    for begin, name in ((0, "first"), (4, "second")):  # both hold a core from 4 s to 6 s
        seen.write(begin * S, "Pod", "ADDED", task(name, owner="job"), None)
        seen.write(begin * S, "Pod", "MODIFIED", task(name, "n", "job"), task(name, owner="job"))
    seen.write(6 * S, "Pod", "DELETED", task("first", "n", "job"), None)
    assert seen.counted(8 * S)[CPU] == 8_000 * S
    assert seen.counted(20 * S)[CPU] == 10_000 * S
    assert seen.beyond(20 * S)[CPU] == (6 + 16 - 10) * 1000 * S


def test_what_is_idle_beside_what_is_exhausted_is_stranded() -> None:
    seen = Occupancy()
    seen.write(0, "Node", "ADDED", node("full", cpu=4000, gpus=2), None)
    seen.write(0, "Node", "ADDED", node("empty", cpu=4000, gpus=2), None)
    seen.write(1, "Pod", "MODIFIED", pod("a", "full", 3900), pod("a"))
    assert seen.stranded()["gpu"] == 0.5
    assert seen.stranded()["cpu"] == 0.0


def test_an_overfull_node_and_an_overfull_device_are_told() -> None:
    seen = Occupancy()
    seen.write(0, "Node", "ADDED", node("n", cpu=2000, gpus=1), None)
    for name in ("a", "b"):
        seen.write(1, "Pod", "MODIFIED", pod(name, "n", 1500, gpu=(1, 600, "0")), pod(name))
    told = " ".join(seen.overfull)
    assert "cpu 3000 of 2000" in told
    assert "gpu 0 1200 of 1000" in told


STEP = st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 2), st.integers(100, 3000))


@given(st.lists(STEP, max_size=40))
@settings(deadline=None)
def test_allocation_equals_the_slow_sum(steps: list[tuple[int, int, int, int]]) -> None:
    seen = Occupancy()
    for index in range(3):
        seen.write(0, "Node", "ADDED", node(f"n{index}"), None)
    on: dict[str, int] = {}
    now, area, begun = 0, 0, None
    for number, (wait, who, where, cpu) in enumerate(steps):
        if begun is not None:
            area += sum(on.values()) * wait * S
        now += wait * S
        name = f"p{who}"
        if name in on:
            del on[name]
            seen.write(now, "Pod", "DELETED", pod(name, f"n{where}"), None)
        else:
            on[name] = cpu
            begun = now if begun is None else begun
            seen.write(now, "Pod", "MODIFIED", pod(name, f"n{where}", cpu), pod(name))
        assert seen.allocated[CPU] == sum(on.values()), number
    if begun is not None and now > begun:
        assert seen.counted(now)[CPU] == area


# -- pods --------------------------------------------------------------------------------------------------------------


def test_a_pods_way_in_instants() -> None:
    lives = PodLives()
    lives.write(1 * S, "Pod", "ADDED", pod("a"), None)
    lives.write(3 * S, "Pod", "MODIFIED", pod("a", "n"), pod("a"))
    lives.write(4 * S, "Pod", "MODIFIED", pod("a", "n", phase="Running"), pod("a", "n"))
    lives.write(9 * S, "Pod", "MODIFIED", pod("a", "n", phase="Succeeded"), pod("a", "n", phase="Running"))
    life = lives.all["a"]
    assert (life.bound_ns, life.running_ns, life.ended_ns, life.ready_ns) == (3 * S, 4 * S, 9 * S, -1)
    told = waits([life], 10 * S)
    assert told["pendingSeconds"] == {"p50": 2, "p95": 2, "p99": 2, "max": 2, "mean": 2}
    assert told["startSeconds"]["mean"] == 3
    assert waits([], 10 * S)["pendingSeconds"] == {}


def test_a_pod_without_a_grace_period_that_is_preempted_waits_on_in_the_next_one() -> None:
    """It is gone at once, without a deletionTimestamp: a scheduler that took such pods away made nobody wait."""
    lives = PodLives()
    told = Condition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler")

    def owned(name: str, on: str = "", *conditions: Condition) -> Pod:
        made = pod(name, on)
        owner = (OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="set", uid="set"),)
        metadata = replace(made.metadata, owner_references=owner)
        return replace(made, metadata=metadata, status=replace(made.status, conditions=conditions))

    lives.write(0, "Pod", "ADDED", owned("a"), None)
    lives.write(2 * S, "Pod", "MODIFIED", owned("a", "n"), owned("a"))
    lives.write(9 * S, "Pod", "MODIFIED", owned("a", "n", told), owned("a", "n"))
    lives.write(9 * S, "Pod", "DELETED", owned("a", "n", told), owned("a", "n", told))
    lives.write(9 * S, "Pod", "ADDED", owned("b"), None)
    lives.write(14 * S, "Pod", "MODIFIED", owned("b", "n"), owned("b"))
    assert lives.all["a"].evicted_ns == 9 * S
    pending = waits([*lives.all.values()], 20 * S)["pendingSeconds"]
    assert pending["mean"] == pending["max"] == 7


def test_what_never_came_counts_to_the_end_and_says_so() -> None:
    lives = PodLives()
    for index in range(10):
        lives.write(index * S, "Pod", "ADDED", pod(f"p{index}"), None)
        if index < 8:
            lives.write((index + 2) * S, "Pod", "MODIFIED", pod(f"p{index}", "n"), pod(f"p{index}"))
    lives.write(20 * S, "Pod", "DELETED", pod("p8"), None)  # it was withdrawn after 12 s
    told = waits([*lives.all.values()], 100 * S)["pendingSeconds"]
    assert told["mean"] == (8 * 2 + 12 + 91) / 10
    assert (told["p50"], told["p95"], told["max"]) == (2, 91, 91)
    assert told["censored"] == 2
    assert told["atLeast"] == ["p95", "p99", "max", "mean"]


@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8), st.integers(0, 9))
def test_a_number_that_is_not_marked_is_what_it_would_be_had_one_looked_longer(
    known: list[int], late: list[int], longer: int
) -> None:
    spans_ns, late_ns = np.array(known, np.int64) * S, np.array(late, np.int64) * S
    told = seconds(spans_ns, late_ns)
    after = seconds(np.concatenate([spans_ns, late_ns + longer * S]))
    unsure = told.pop("atLeast", [])
    told.pop("censored", None)
    for name, value in told.items():
        assert after[name] == value or (name in unsure and after[name] > value)


# -- requests ----------------------------------------------------------------------------------------------------------


def test_requests_to_who_does_not_serve_and_to_nobody_are_lost() -> None:
    traffic = Traffic()
    traffic.observe(0, "gateway", "route", ("d/web", (), 10_000))  # nobody there: 10 rps for 5 s
    traffic.observe(5 * S, "n", "serving", ("d/a", "a", 1))
    traffic.observe(5 * S, "gateway", "route", ("d/web", (("a", 10_000),), 0))
    traffic.observe(20 * S, "n", "serving", ("d/a", "a", 0))  # it crashed; the proxy learns of it 3 s later
    traffic.observe(23 * S, "gateway", "route", ("d/web", (), 10_000))
    measured = traffic.metrics(25 * S)["d/web"]
    assert measured["warmUp"] == pytest.approx(50)  # before it ever served
    assert measured["sent"] == pytest.approx(200)
    assert measured["lost"] == pytest.approx(30 + 20)
    assert measured["lostBy"] == {"noEndpoint": pytest.approx(20), "unreachable": pytest.approx(30)}
    assert traffic.lost_on("a", 23 * S) == {"d/web": pytest.approx(30e12)}
    assert traffic.unrouted_between("d/web", 0, 24 * S) == pytest.approx(60)


RATE = st.integers(0, 5000)
MOVE = st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", "serve-a", "serve-b"]), RATE, RATE)


WARM_UP_S = 30
"""It ends at the latest so long after the first request: the sum did not know that."""


@example([(0, "a", 0, 1), *[(4, "a", 0, 0)] * 7, (2, "a", 0, 1), (3, "a", 0, 0)])
@given(st.lists(MOVE, max_size=30))
@settings(deadline=None)
def test_lost_equals_the_slow_sum(moves: list[tuple[int, str, int, int]]) -> None:
    traffic = Traffic()
    routes: dict[str, tuple[int, int]] = {}
    serving = {"a": False, "b": False}
    now = sent = lost = warm_up = 0
    warm, asked_s = False, None
    for wait, what, first, second in moves:
        for _ in range(wait):
            rates = [sum(of) for of in zip(*routes.values(), strict=True)] or [0, 0]
            if asked_s is None and any(rates):
                asked_s = now
            if warm or (asked_s is not None and now - asked_s >= WARM_UP_S):
                sent += sum(rates)
                lost += sum(rate for rate, uid in zip(rates, ("a", "b"), strict=True) if not serving[uid])
            else:
                warm_up += sum(rates)
            now += 1
        if what.startswith("serve"):
            serving[what[-1]] = bool(first % 2)
            traffic.observe(now * S, "n", "serving", ("k", what[-1], first % 2))
        else:
            routes[what] = (first, second)
            traffic.observe(now * S, what, "route", ("d/web", (("a", first), ("b", second)), 0))
        warm = warm or any(
            serving[uid] and any(rates[index] for rates in routes.values()) for index, uid in enumerate(("a", "b"))
        )
    measured = traffic.metrics(now * S).get("d/web", {"sent": 0.0, "lost": 0.0, "warmUp": 0.0})
    assert measured["sent"] == pytest.approx(sent / 1000)
    assert measured["warmUp"] == pytest.approx(warm_up / 1000)
    assert measured["lost"] == pytest.approx(lost / 1000)


# -- journal and invariants --------------------------------------------------------------------------------------------


def test_the_digest_depends_on_every_entry_and_not_on_when_it_is_asked_for() -> None:
    def journal(*names: str, ask: bool = False) -> str:
        made = Journal(lambda: 5)
        for name in names:
            made.written(KINDS["Pod"], "ADDED", pod(name), None, 7)
            if ask:
                made.digest()
        assert [entry.key for entry in made] == [f"d/{name}" for name in names]
        return made.digest()

    assert journal("a", "b") == journal("a", "b", ask=True)
    assert len({journal("a", "b"), journal("b", "a"), journal("a"), journal()}) == 4


def test_a_fold_hears_of_the_kinds_that_it_names_and_one_that_names_none_of_all() -> None:
    class Heard:
        def __init__(self) -> None:
            self.kinds_heard: list[str] = []

        def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
            self.kinds_heard.append(kind)

        def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
            pass

    class OfNodes(Heard):
        kinds = ("Node",)

    everything, nodes = Heard(), OfNodes()
    made = Journal(lambda: 5, (everything, nodes))
    made.written(KINDS["Pod"], "ADDED", pod("a"), None, 7)
    made.written(KINDS["Node"], "ADDED", Node(metadata=ObjectMeta(name="n")), None, 8)
    assert (everything.kinds_heard, nodes.kinds_heard) == (["Pod", "Node"], ["Node"])


@pytest.mark.parametrize("fold", [PodLives, JobLives, Occupancy, Traffic, Recovery, Elasticity, Invariants, Rounds])
def test_a_fold_names_each_kind_that_it_reads(fold: Any) -> None:
    """Each kind that the source of `write` compares with, that of a fold within it included."""
    text = inspect.getsource(fold.write) + (inspect.getsource(MissingReplicas.write) if fold is Recovery else "")
    read = {name for name in re.findall(r'"(\w+)"', text) if name in KINDS}
    assert read == set(fold.kinds)


def broken_by(*writes: tuple[str, str, Any, Any], created: int = 0, differences: tuple[str, ...] = ()) -> list[str]:
    lives, occupancy = PodLives(), Occupancy()
    watch = Invariants(lives, occupancy)
    pods: dict[str, Pod] = {}
    for kind, change, obj, old in writes:
        for fold in (lives, occupancy, watch):
            fold.write(S, kind, change, obj, old)
        if kind == "Pod":
            pods[obj.metadata.key] = obj
            if change == "DELETED":
                del pods[obj.metadata.key]
    watch.finish(pods, created, differences)
    return watch.broken


def test_a_run_where_all_is_well_breaks_nothing() -> None:
    assert broken_by(
        ("Node", "ADDED", node("n"), None),
        ("Pod", "ADDED", pod("a"), None),
        ("Pod", "MODIFIED", pod("a", "n"), pod("a")),
        ("Pod", "DELETED", pod("a", "n"), pod("a", "n")),
        created=1,
    ) == []  # fmt: skip


def test_each_invariant_is_told_when_it_breaks() -> None:
    there = ("Node", "ADDED", node("n", cpu=1000), None)
    new = ("Pod", "ADDED", pod("a"), None)
    (moved,) = broken_by(new, ("Pod", "MODIFIED", pod("a", "m"), pod("a", "n")))
    assert "moved from n to m" in moved
    (back,) = broken_by(new, ("Pod", "MODIFIED", pod("a", "n", phase="Running"), pod("a", "n", phase="Failed")))
    assert "was Failed, is Running" in back
    (full,) = broken_by(there, new, ("Pod", "MODIFIED", pod("a", "n", cpu=2000), pod("a")))
    assert "over capacity" in full
    (lost,) = broken_by(new, created=3)
    assert "2 pods of the workload were never seen" in lost
    assert broken_by(differences=("a watcher is wrong",)) == ["a watcher is wrong"]
