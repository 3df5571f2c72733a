"""binpack: legal, work-conserving, never worse than its warm start, the optimum where a window is small."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.errors import UserError
from harness.scheduling.offline import fill
from harness.scheduling.strategy import NO_GPU, BindTogether, GpuRequest
from schedulers.binpack import BinPack
from schedulers.binpack.greedy import take_back
from schedulers.binpack.mix import Means
from schedulers.binpack.plan import OBJECTIVES, PlacementPlan, Problem
from schedulers.binpack.prices import DEVICE_MILLI, WORTH, residual_worth
from schedulers.binpack.solve import Effort, improve
from tests.examples import examples
from tests.schedulers.packing import GIB, Cluster, crowded, share, whole

NODES = st.tuples(st.integers(1, 16), st.integers(1, 32), st.integers(0, 4), st.sampled_from(["A", "B"]))
REQUESTS = st.one_of(
    st.just(NO_GPU),
    st.sampled_from([110, 250, 320, 470, 500, 810]).map(share),
    st.integers(1, 3).map(whole),
    st.builds(GpuRequest, st.just(1), st.sampled_from([300, 1000]), st.just(("A",))),
)
PODS = st.tuples(st.integers(0, 8), st.integers(0, 8), REQUESTS, st.integers(0, 2))


@st.composite
def clusters(draw: st.DrawFn, most_nodes: int = 6, most_pods: int = 24, gangs: bool = True) -> Cluster:
    cluster = Cluster()
    for cpu, gib, gpus, model in draw(st.lists(NODES, min_size=1, max_size=most_nodes)):
        cluster.node(1000 * cpu, gib, gpus, model)
    for cpu, gib, gpu, priority in draw(st.lists(PODS, min_size=1, max_size=most_pods)):
        group = draw(st.sampled_from([None, None, "default/a", "default/b"])) if gangs else None
        cluster.pod(500 * cpu, gib, gpu, priority, group, 3 if group else 0)
    return cluster


OBJECTIVE_NAMES = st.sampled_from(sorted(OBJECTIVES))


@settings(max_examples=examples(60), deadline=None)
@given(clusters(), OBJECTIVE_NAMES, st.sampled_from([1, 5, 64]))
def test_every_bind_is_legal_and_no_single_pod_that_fits_is_left_out(
    cluster: Cluster, objective: str, window: int
) -> None:
    strategy = BinPack(objective)
    for start in range(0, len(cluster.pods), window):
        pods = cluster.pods[start : start + window]
        out = fill(strategy, cluster.snapshot, pods, seed=0, window=window)
        assert out.violations == []
        for pod, node in zip(pods, out.node, strict=True):
            if node < 0:
                assert pod.group is not None or not cluster.snapshot.feasible(pod).any(), pod.key


@settings(max_examples=examples(60), deadline=None)
@given(clusters())
def test_a_gang_has_its_minimum_or_nothing(cluster: Cluster) -> None:
    cluster.fill(BinPack())
    for group in {pod.group for pod in cluster.pods if pod.group is not None}:
        assert cluster.snapshot.placed_in_group(group) == 0 or cluster.snapshot.placed_in_group(group) >= 3


class Watched(BinPack):
    """Keeps the score of the warm start beside that of the plan."""

    def __init__(self, objective: str, **effort: float) -> None:
        super().__init__(objective, **effort)  # type: ignore[arg-type]
        self.scores: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def plan(self, problem: Problem) -> PlacementPlan:
        warm = self.warm_start(problem)
        at_first = problem.score(warm)
        better = improve(problem, warm, Effort(neighbourhoods=3, deterministic_seconds=0.02))
        self.scores.append((at_first, problem.score(better)))
        return better


@settings(max_examples=examples(60), deadline=None)
@given(clusters(), OBJECTIVE_NAMES, st.sampled_from([7, 64]))
def test_a_plan_is_never_worse_than_its_warm_start(cluster: Cluster, objective: str, window: int) -> None:
    strategy = Watched(objective)
    assert cluster.fill(strategy, window).violations == []
    assert all(after >= before for before, after in strategy.scores)


@settings(max_examples=examples(40), deadline=None)
@given(clusters(gangs=False))
def test_taking_a_plan_back_leaves_no_trace(cluster: Cluster) -> None:
    strategy = BinPack()
    strategy._mix.observe(cluster.pods)
    strategy._board.sync(cluster.snapshot, strategy._current_stranding())
    problem = strategy._problem(cluster.pods, cluster.snapshot)
    before = problem.window.cost.copy()
    take_back(problem, strategy.plan(problem))
    assert (problem.window.cost == before).all()


def most_that_fits(cluster: Cluster) -> tuple[int, ...]:
    """Greatest (GPU milli, cpu, memory, pods) over all ways to place the pods, by trying them all."""
    nodes = [
        ([int(f) for f in cluster.snapshot.free[:, n]], [int(d) for d in cluster.snapshot.gpu_free[n]], n)
        for n in range(len(cluster.snapshot.names))
    ]
    best: tuple[int, ...] = (0, 0, 0, 0)

    def place(index: int, value: tuple[int, ...]) -> None:
        nonlocal best
        best = max(best, value)
        if index == len(cluster.pods):
            return
        pod = cluster.pods[index]
        gpu, needs = pod.gpu, pod.requests.tolist()
        place(index + 1, value)
        for free, devices, node in nodes:
            model = cluster.snapshot.gpu_models[cluster.snapshot.gpu_model[node]] if any(devices) else ""
            if any(need > have for need, have in zip(needs, free, strict=True)):
                continue
            if gpu.count and gpu.models and model not in gpu.models:
                continue
            fitting = [d for d, idle in enumerate(devices) if gpu.count and idle >= gpu.milli]
            for chosen in itertools.combinations(fitting, gpu.count):
                for row, need in enumerate(needs):
                    free[row] -= need
                for device in chosen:
                    devices[device] -= gpu.milli
                gained = (gpu.total_milli, needs[0], needs[1], 1)
                place(index + 1, tuple(a + b for a, b in zip(value, gained, strict=True)))
                for row, need in enumerate(needs):
                    free[row] += need
                for device in chosen:
                    devices[device] += gpu.milli

    place(0, best)
    return best


@settings(max_examples=examples(40), deadline=None)
@given(clusters(most_nodes=2, most_pods=5, gangs=False))
def test_a_small_window_is_packed_to_the_optimum(cluster: Cluster) -> None:
    optimum = most_that_fits(cluster)
    out = cluster.fill(BinPack("allocate-most", neighbourhoods=8, deterministic_seconds=1.0))
    placed = [pod for pod, node in zip(cluster.pods, out.node, strict=True) if node >= 0]
    assert optimum == (
        sum(pod.gpu.total_milli for pod in placed),
        sum(int(pod.requests[0]) for pod in placed),
        sum(int(pod.requests[1]) for pod in placed),
        len(placed),
    )


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 10_000))
def test_the_same_input_gives_the_same_decisions(seed: int) -> None:
    def run() -> tuple[list[int], dict[int, tuple[int, ...]]]:
        cluster = crowded(np.random.default_rng(seed), nodes=4, pods=36)
        out = cluster.fill(BinPack(neighbourhoods=4, deterministic_seconds=0.02), window=16)
        return out.node, out.devices

    assert run() == run()


def test_the_hash_seed_of_the_process_leaves_no_trace() -> None:
    code = (
        "import numpy as np, schedulers.binpack as b, harness.scheduling.offline as o\n"
        "from harness.scheduling.feasibility.snapshot import Snapshot\n"
        "from harness.scheduling.strategy import GpuRequest, PodView\n"
        "on, rng = Snapshot(), np.random.default_rng(4)\n"
        "for i in range(5): on.add_node(f'n{i}', {'cpu': 32000, 'pods': 99}, 4, 'G')\n"
        "def pod(i):\n"
        "    gpu = GpuRequest(1, int(rng.choice([160, 320, 470, 810])))\n"
        "    cls = on.classes.intern({'cpu': int(rng.integers(1, 9)) * 500}, gpu)\n"
        "    return PodView(f'p{i}', cls, group='g' if i % 9 == 0 else None, group_min=3 if i % 9 == 0 else 0)\n"
        "out = o.fill(b.BinPack(migrations=0.1, move_bare_pods=True), on, [pod(i) for i in range(36)], 0, 12)\n"
        "print(out)\n"
    )

    def run(hash_seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout

    first = run("1")
    assert first == run("2")
    assert "node=[" in first


def test_an_instance_serves_another_cluster_as_a_fresh_one_would() -> None:
    def cluster(seed: int) -> Cluster:
        return crowded(np.random.default_rng(seed), nodes=4, pods=36)

    used = BinPack(neighbourhoods=4, deterministic_seconds=0.02)
    used.fit(cluster(1).pods)
    cluster(2).fill(used)
    fresh = BinPack(neighbourhoods=4, deterministic_seconds=0.02)
    fresh.fit(cluster(1).pods)
    out = cluster(3).fill(used)
    assert 0 < out.placed < 36
    assert out == cluster(3).fill(fresh)


def test_it_sees_ahead_where_one_pod_at_a_time_cannot() -> None:
    # In queue order the shares would open both devices: 0.3 and 0.3 apart from 0.7 only by luck.
    cluster = Cluster().node(8000, gpus=1).node(8000, gpus=1)
    for milli in (600, 500, 500, 400):
        cluster.pod(100, gpu=share(milli))
    assert cluster.fill(BinPack()).placed == 4


def test_priority_comes_before_amount_unless_told_otherwise() -> None:
    def placed(objective: str) -> list[bool]:
        cluster = Cluster().node(8000, gpus=1)
        cluster.pod(1000, gpu=share(300), priority=10)
        cluster.pod(1000, gpu=whole(1), priority=0)
        return [node >= 0 for node in cluster.fill(BinPack(objective)).node]

    assert placed("priority") == [True, False]
    assert placed("allocate-most") == [False, True]


def test_fewest_nodes_opens_no_second_node_where_one_does() -> None:
    def opened(objective: str) -> int:
        cluster = Cluster()
        for gib in (16, 16, 64):
            cluster.node(8000, gib)
        for gib in (4, 12, 4, 12):
            cluster.pod(1500, gib)
        out = cluster.fill(BinPack(objective))
        assert out.placed == 4
        return len(set(out.node))

    assert opened("fewest-nodes") == 1


def test_a_gang_is_placed_whole_even_when_its_members_compete_with_each_other() -> None:
    cluster = Cluster().node(8000, gpus=2).node(8000, gpus=2)
    for milli in (600, 600, 400, 400, 1000, 1000):
        cluster.pod(100, gpu=share(milli), group="default/g", least=6)
    decisions = cluster.decisions(BinPack())
    assert [type(decision) for decision in decisions] == [BindTogether]
    assert isinstance(decisions[0], BindTogether)
    assert len(decisions[0].binds) == 6


def test_a_missing_member_joins_a_gang_that_runs() -> None:
    cluster = Cluster().node(8000)
    for _ in range(3):
        cluster.pod(1000, group="default/g", least=3)
    strategy = BinPack()
    assert fill(strategy, cluster.snapshot, cluster.pods, seed=0, window=3).placed == 3
    late = cluster.pod(1000, group="default/g", least=3)
    assert fill(strategy, cluster.snapshot, [late], seed=0).placed == 1


def test_a_refusal_carries_its_reason() -> None:
    cluster = Cluster().node(8000, gpus=1)
    cluster.pod(1000, gpu=whole(1))
    cluster.pod(1000, gpu=share(500))
    cluster.pod(9000)
    assert cluster.fill(BinPack()).waits == {
        1: "the nodes that it fitted went to pods that are worth more to the objective",
        2: "no node meets its constraints and has room",
    }


def test_an_unknown_objective_is_told_with_a_suggestion() -> None:
    with pytest.raises(UserError) as error:
        BinPack("allocate-more")
    assert "did you mean 'allocate-most'" in str(error.value)


def test_ortools_is_imported_only_by_a_strategy_that_runs() -> None:
    code = "import sys, schedulers.binpack; schedulers.binpack.BinPack(); print('ortools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_explain_names_both_parts_of_the_cost() -> None:
    cluster = Cluster().node(8000, gpus=2).node(1000).node(16000, gpus=4)
    pod = cluster.pod(4000, gpu=share(500))
    parts = BinPack().explain(pod, cluster.snapshot)
    assert sorted(parts) == ["stranding", "tightness"]
    assert [bool(np.isnan(value)) for value in parts["stranding"]] == [False, True, False]


# -- what it charges


@given(st.integers(1, 64), st.integers(0, 100_000))
def test_more_pods_and_more_nodes_are_charged_more(pods: int, nodes: int) -> None:
    charge = BinPack().modelled_seconds
    assert 0 < charge(pods, nodes) < charge(pods + 1, nodes)
    assert charge(pods, nodes) < charge(pods, nodes + 1)


# -- what a residual is worth


@settings(max_examples=examples(30), deadline=None)
@given(st.dictionaries(st.integers(1, 999), st.integers(1, 500), max_size=40))
def test_worth_grows_with_the_residual_from_nothing_to_a_device(shares: dict[int, int]) -> None:
    worth = residual_worth(tuple(sorted(shares.items())))
    assert worth.shape == (DEVICE_MILLI + 1,)
    assert worth[0] == 0
    assert worth[-1] == WORTH
    assert (np.diff(worth) >= 0).all()


def test_a_hole_that_nothing_fits_is_worth_less_than_one_that_is_asked_for() -> None:
    worth = residual_worth(((470, 300), (810, 300)))
    assert worth[530] - worth[460] > 4 * (worth[190] - worth[120])


def test_means_tell_pods_with_gpu_from_those_without() -> None:
    cluster = Cluster().node(1000)
    pods = [cluster.pod(2000, 4, share(500)), cluster.pod(8000, 16, whole(2)), cluster.pod(1000, 2)]
    strategy = BinPack()
    strategy.fit(pods)
    assert strategy._mix.means() == Means(
        device_cpu=4000.0,
        device_memory=8.0 * GIB,
        plain_cpu=1000.0,
        plain_memory=2.0 * GIB,
        shares=((500, 1),),
        together=((2, 0.8),),
    )
