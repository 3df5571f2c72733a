"""Scored: incremental columns choose what whole columns would, ties and gangs included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.filter import Scope
from harness.scheduling.offline import Placements, fill
from harness.scheduling.ranking.max_index import NEVER, MaxIndex
from harness.scheduling.scoring import NodeScore, Scored
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import (
    CPU,
    Bind,
    BindTogether,
    Bool,
    ClusterView,
    Evict,
    Float64,
    GpuRequest,
    IncrementalScore,
    PodBatch,
    PodView,
    Wait,
)
from schedulers.fgd.baselines import BestFit, DotProduct, GpuClustering, GpuPacking
from schedulers.greedy import Fullness
from tests.examples import examples

SCORES: list[Callable[[], IncrementalScore]] = [
    lambda: Fullness(-1.0),
    lambda: Fullness(1.0),
    BestFit,
    DotProduct,
    GpuPacking,
    GpuClustering,
]


class Whole:
    """The same score as a plain function of the whole cluster: what the incremental table must equal."""

    def __init__(self, score: IncrementalScore) -> None:
        self.score = score

    def __call__(self, pod: PodView, cluster: ClusterView) -> Float64:
        out = np.zeros(len(cluster.names))
        alive = np.flatnonzero(cluster.alive)
        out[alive] = self.score.score(pod, cluster, alive)
        return out


@dataclass(frozen=True)
class Story:
    """Nodes, pod classes, and a course of events: place a pod of a class, drop a pod, add or remove a node."""

    nodes: list[tuple[int, int, int, int]]  # cpu, memory, devices, rank
    classes: list[tuple[int, int, int, int]]  # cpu, memory, devices, milli
    events: list[tuple[str, int]]


NODE = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3), st.integers(0, 3))
POD_CLASS = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.sampled_from([0, 0, 1, 1, 2]), st.sampled_from([300, 500, 1000])
)
EVENT = st.tuples(st.sampled_from(["place"] * 8 + ["drop", "drop", "join", "leave"]), st.integers(0, 1000))
STORIES = st.builds(
    Story,
    nodes=st.lists(NODE, min_size=1, max_size=40),
    classes=st.lists(POD_CLASS, min_size=1, max_size=4),
    events=st.lists(EVENT, max_size=60),
)


def tell(story: Story, strategy: Scored) -> list[str]:
    """What became of each event."""
    on = Snapshot()
    joined = 0

    def join(item: tuple[int, int, int, int]) -> None:
        nonlocal joined
        cpu, memory, devices, rank = item
        on.add_node(f"n{joined}", {"cpu": cpu, "memory": memory, "pods": 10}, devices, "T4", rank=rank)
        joined += 1

    for item in story.nodes:
        join(item)
    made = [
        on.classes.intern({"cpu": cpu, "memory": memory}, GpuRequest(count, milli if count == 1 else 1000))
        for cpu, memory, count, milli in story.classes
    ]
    log: list[str] = []
    placed: list[str] = []
    for number, (kind, pick) in enumerate(story.events):
        if kind == "place":
            pod = PodView(f"p{number}", made[pick % len(made)])
            done = fill(strategy, on, [pod], 0)
            assert not done.violations
            if done.placed:
                placed.append(pod.key)
                log.append(f"{pod.key} -> {on.names[done.node[0]]} {on.devices(pod.key)}")
        elif kind == "drop" and placed:
            on.forget(placed.pop(pick % len(placed)))
        elif kind == "join":
            join(story.nodes[pick % len(story.nodes)])
        elif kind == "leave" and len(on):
            name = sorted(on.node_table.index)[pick % len(on)]
            for pod in on.pods_on(on.node_table.index[name]):
                placed.remove(pod.key)
                on.forget(pod.key)
            on.remove_node(name)
    return log


@pytest.mark.parametrize("score", SCORES)
@given(story=STORIES)
@settings(max_examples=examples(40), deadline=None)
def test_incremental_columns_choose_what_whole_columns_would(
    score: Callable[[], IncrementalScore], story: Story
) -> None:
    assert tell(story, Scored(score())) == tell(story, Scored(Whole(score())))


@pytest.mark.parametrize("score", SCORES)
@given(story=STORIES)
@settings(max_examples=examples(25), deadline=None)
def test_one_node_scores_exactly_as_in_the_column(score: Callable[[], IncrementalScore], story: Story) -> None:
    """Equal to the last bit: a tie must be a tie on both paths."""
    on = Snapshot()
    for i, (cpu, memory, devices, _) in enumerate(story.nodes):
        on.add_node(f"n{i}", {"cpu": cpu, "memory": memory, "pods": 10}, devices, "T4")
    for i, (cpu, memory, count, milli) in enumerate(story.classes):
        cls = on.classes.intern({"cpu": cpu, "memory": memory}, GpuRequest(count, milli if count == 1 else 1000))
        scorer = score()
        assert isinstance(scorer, NodeScore)
        pod = PodView(f"p{i}", cls)
        fits = np.flatnonzero(on.feasible(pod))
        column = scorer.score(pod, on, fits)
        assert column.tolist() == [scorer.score_node(pod, on, node) for node in fits.tolist()]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=700),
    st.lists(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-1, 9)), min_size=1, max_size=12), max_size=12),
)
@settings(deadline=None)
def test_the_index_is_a_maximum(start: list[int], rounds: list[list[tuple[int, int]]]) -> None:
    values = [float(v) for v in start]
    index = MaxIndex(np.array(values))
    for i, drawn in enumerate(rounds):
        changes = [(at % len(values), NEVER if v < 0 else float(v)) for at, v in drawn]
        for at, value in changes:
            values[at] = value
        if i % 2:
            positions = np.array([at for at, _ in changes])
            index.set_many(positions, np.array([values[at] for at, _ in changes]))
        else:
            for at, value in changes:
                index.set(at, value)
        best = max(values)
        assert index.best() == (-1 if best == NEVER else values.index(best))


def cluster(*cpu: int) -> Snapshot:
    on = Snapshot()
    for i, amount in enumerate(cpu):
        on.add_node(f"n{i}", {"cpu": amount, "memory": 10, "pods": 10})
    return on


def pods(on: Snapshot, count: int, cpu: int = 1, group: str | None = None, group_min: int = 0) -> list[PodView]:
    cls = on.classes.intern({"cpu": cpu})
    return [PodView(f"default/p{i}", cls, group=group, group_min=group_min) for i in range(count)]


def emptiest(pod: PodView, view: ClusterView) -> Float64:
    score: Float64 = view.free[CPU].astype(np.float64)
    return score


def run(on: Snapshot, batch: list[PodView], strategy: object, window: int = 1) -> Placements:
    return fill(strategy, on, batch, seed=1, window=window)  # type: ignore[arg-type]


def test_a_function_is_a_strategy() -> None:
    on = cluster(3, 5, 4)
    done = run(on, pods(on, 4), Scored(emptiest))
    assert done.node == [1, 1, 2, 0]  # 5 4 4 3: ties to the lowest rank


def test_ties_go_to_the_lowest_rank_not_the_lowest_index() -> None:
    on = Snapshot()
    for name, rank in (("a", 2), ("b", 0), ("c", 1)):
        on.add_node(name, {"cpu": 1, "pods": 9}, rank=rank)
    for strategy in (Scored(emptiest), Scored(BestFit())):
        batch = pods(on, 4)
        assert run(on, batch, strategy).node == [1, 2, 0, -1]
        for pod in batch:
            on.forget(pod.key)


def test_minus_infinity_is_a_low_score_not_a_refusal() -> None:
    on = cluster(1, 1)
    assert run(on, pods(on, 2), Scored(lambda pod, view: np.array([-np.inf, 0.0]))).node == [1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.nan, 0.0], "not a number for 1 of 2 nodes"),
        ([0.0], r"shape \(1,\), expected \(2,\)"),
        ([1 + 2j, 0j], "complex"),
    ],
)
def test_a_score_that_is_no_score_is_named(values: list[float], message: str) -> None:
    on = cluster(1, 1)
    with pytest.raises(ValueError, match=message):
        run(on, pods(on, 1), Scored(lambda pod, view: np.array(values)))


def test_nowhere_is_said() -> None:
    on = cluster(1)
    done = run(on, pods(on, 2), Scored(BestFit()))
    assert (done.node, done.waits) == ([0, -1], {1: "no feasible node"})


def test_a_score_that_raises_amid_a_gang_leaves_no_trace() -> None:
    on = cluster(1, 1, 1)

    def flawed(pod: PodView, view: ClusterView) -> Float64:
        if view.free[CPU].sum() < 2:
            raise RuntimeError("flawed")
        return np.zeros(3)

    with pytest.raises(RuntimeError, match="flawed"):
        run(on, pods(on, 3, group="default/g", group_min=3), Scored(flawed), window=3)
    assert on.free[CPU].tolist() == [1, 1, 1]


def test_a_gang_goes_whole_or_waits_whole() -> None:
    on = cluster(2, 2)
    done = run(on, pods(on, 5, group="default/g", group_min=5), Scored(Fullness(-1.0)), window=5)
    assert done.node == [-1] * 5
    assert done.waits[0] == "gang default/g: 4 of at least 5 fit"
    assert on.free[CPU].tolist() == [2, 2]
    done = run(on, pods(on, 5, group="default/g", group_min=3), Scored(Fullness(-1.0)), window=5)
    assert (done.placed, done.waits) == (4, {4: "no feasible node"})
    assert not done.violations


@dataclass(frozen=True)
class NotBesideAnother:
    """At most one pod on all of the nodes of a pair: a constraint that looks at other nodes."""

    plugin = "InPairs"
    scope = Scope.CLUSTER
    resolvable = True
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        every = np.arange(len(state.node_table))[nodes].tolist()
        return np.array([self.holds(state, node) for node in every], dtype=np.bool_)

    def holds(self, state: ClusterState, node: int) -> bool:
        return not any(state.pods_on(other) for other in (node, node ^ 1) if other < len(state.node_table))

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return ("a pair has its pod",)


@pytest.mark.parametrize("strategy", [Scored(Fullness(-1.0)), Scored(emptiest)])
def test_constraints_that_look_elsewhere_hold_between_decisions(strategy: Scored) -> None:
    on = cluster(9, 9, 9, 9)
    cls = on.classes.intern({"cpu": 1}, filters=(NotBesideAnother(),))
    done = run(on, [PodView(f"p{i}", cls) for i in range(3)], strategy, window=3)
    assert done.node == [0, 2, -1]
    assert not done.violations
    assert str(diagnose(on, PodView("q", cls))) == "0/4 nodes are available: 4 a pair has its pod."


class Mover:
    """Binds to the first node, and moves the first pod when the second arrives."""

    def place(self, batch: PodBatch, view: ClusterView, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        for pod in batch:
            if pod.key == "default/p1":
                yield Evict("default/p0", "makes room")
                yield Evict("default/p7", "is not there")
                yield BindTogether((Bind(pod, 0), Bind(pod, 0)))
                yield Bind(pod, 0)
            elif view.feasible(pod)[0]:
                yield Bind(pod, 0)
            else:
                yield Wait(pod, "node 0 is full")


def test_offline_runs_apply_every_kind_of_decision() -> None:
    on = cluster(1, 1)
    done = run(on, pods(on, 2), Mover())
    assert done.node == [-1, 0]
    assert done.evictions == 1
    assert done.waits == {0: "node 0 is full"}
    assert [key for key, _ in done.violations] == ["default/p7", "default/p1"]


def test_after_is_told_of_every_window() -> None:
    on = cluster(1, 1)
    heard: list[tuple[int, list[str]]] = []
    fill(
        Scored(Fullness(-1.0)), on, pods(on, 3), seed=0, window=2,
        after=lambda last, binds: heard.append((last, [bind.pod.key for bind in binds])),
    )  # fmt: skip
    assert heard == [(1, ["default/p0", "default/p1"]), (2, [])]


def test_more_classes_than_are_remembered_choose_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.scheduling.ranking.score_table._BUDGET_BYTES", 0)
    monkeypatch.setattr("harness.scheduling.feasibility.verdict_cache._BUDGET_BYTES", 0)
    on = cluster(*range(1, 60))
    table, whole = Scored(Fullness(1.0)), Scored(Whole(Fullness(1.0)))
    rng = np.random.default_rng(0)
    views = [PodView(f"p{i}", on.classes.intern({"cpu": 1 + i % 50}, priority=i)) for i in range(100)]
    for turn in range(500):
        pod = views[turn * turn % 100]
        (mine,), (other,) = list(table.place([pod], on, rng)), list(whole.place([pod], on, rng))
        assert isinstance(mine, Bind)
        assert isinstance(other, Bind)
        assert mine.node == other.node
