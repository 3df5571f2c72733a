"""Migrations: who is moved aside for whom, within the budget, and that nobody is lost by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scheduling.offline import fill
from harness.scheduling.strategy import Bind, ClusterView, Decision, Evict, PodBatch, PodView
from schedulers.binpack import BinPack, Migrating, gain_by_budget
from schedulers.fgd import FGD
from tests.examples import examples
from tests.schedulers.packing import Cluster, crowded, share, whole

EFFORT: Any = {"neighbourhoods": 4, "deterministic_seconds": 0.02}


def test_without_a_budget_nothing_is_evicted() -> None:
    assert _moved(0.0) == (0, 2)


def test_a_pod_is_moved_aside_for_one_that_fits_nowhere() -> None:
    assert _moved(0.5) == (1, 3)


def _moved(migrations: float) -> tuple[int, int]:
    """Evictions and pods that run in the end: a share sits where the only large cpu is, and could sit elsewhere."""
    cluster = Cluster().node(8000)
    strategy = BinPack(migrations=migrations, move_bare_pods=True)
    cluster.pod(4000)
    cluster.pod(2000)
    first = fill(strategy, cluster.snapshot, cluster.pods, seed=0, window=2)
    assert first.placed == 2
    cluster.node(3000)
    cluster.pod(4000)
    snapshot = cluster.snapshot
    evicted = 0
    again: list[PodView] = [cluster.pods[2]]
    for _ in range(3):
        for decision in strategy.place(again, snapshot, np.random.default_rng(0)):
            match decision:
                case Evict(key, _):
                    evicted += 1
                    snapshot.forget(key)
                    again = [*again, *(pod for pod in cluster.pods if pod.key == key)]
                case Bind(pod, node, devices):
                    assert snapshot.feasible(pod)[node]
                    snapshot.assume(pod, node, devices)
                    again = [other for other in again if other.key != pod.key]
                case _:
                    pass
    return evicted, sum(snapshot.where(pod.key) is not None for pod in cluster.pods)


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.3]))
def test_migrations_stay_in_their_budget_and_lose_no_pod(seed: int, budget: float) -> None:
    cluster = crowded(np.random.default_rng(seed), nodes=2, pods=36)
    out = cluster.fill(_Watched(BinPack(migrations=budget, move_bare_pods=True, **EFFORT)), window=8)
    assert out.violations == []
    binds = out.placed + out.evictions
    assert out.evictions <= budget * binds
    still = crowded(np.random.default_rng(seed), nodes=2, pods=36).fill(BinPack(**EFFORT), window=8)
    assert budget or out == still


class _Watched:
    """A strategy, and the pods that it moved aside: all of them come back at once, each to a node."""

    def __init__(self, inner: BinPack | Migrating) -> None:
        self.inner = inner

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        away: set[str] = getattr(self, "away", set())
        self.away: set[str] = set()
        for decision in self.inner.place(pods, cluster, rng):
            match decision:
                case Evict(key, _):
                    self.away.add(key)
                case Bind(pod, _, _):
                    away.discard(pod.key)
                case _:
                    pass
            yield decision
        assert not away, f"moved aside, and lost: {away}"


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from([1, 8]))
def test_a_strategy_with_migrations_places_no_less_and_loses_no_pod(seed: int, budget: float, window: int) -> None:
    def made() -> Cluster:
        return crowded(np.random.default_rng(seed), nodes=6, pods=120)

    moved = made().fill(_Watched(Migrating(FGD(), migrations=budget, move_bare_pods=True)), window=window)
    assert moved.violations == []
    assert moved.evictions <= budget * (moved.placed + moved.evictions)
    nothing = made().fill(Migrating(FGD(), migrations=0.0, move_bare_pods=True), window=window)
    plain = made().fill(FGD(), window=window)
    assert (nothing.node, nothing.evictions) == (plain.node, 0)


def test_two_pods_change_places_where_that_frees_what_a_third_one_lacks() -> None:
    """The node with the idle device has no cpu left, the other no device: its large pod and a small one swap."""
    cluster = Cluster().node(8000, gpus=2)
    strategy = Migrating(FGD(), migrations=1.0, move_bare_pods=True)
    large = cluster.pod(7000, gpu=whole(1))
    assert list(_carried_out(strategy, [large], cluster)) == [Bind(large, 0)]
    cluster.node(12000, gpus=1)
    small = cluster.pod(2000, gpu=whole(1))
    assert list(_carried_out(strategy, [small], cluster)) == [Bind(small, 1)]
    third = cluster.pod(6000, gpu=whole(1))
    assert not cluster.snapshot.feasible(third).any()
    *evicted, bound = _carried_out(strategy, [third], cluster)
    assert {decision.pod for decision in evicted if type(decision) is Evict} == {large.key, small.key}
    assert bound == Bind(third, 0, (1,))
    back = list(_carried_out(strategy, [large, small], cluster))
    assert back == [Bind(large, 1, (0,)), Bind(small, 0, (0,))]


def test_shares_change_places_until_a_third_one_fits_beside_one_of_them() -> None:
    """470 + 320 and 650 + 230 leave 210 and 120 idle; 470 + 230 and 650 + 320 leave 300 and 30."""
    cluster = Cluster()
    strategy = Migrating(FGD(), migrations=1.0, move_bare_pods=True)
    running: list[PodView] = []
    for milli in ((470, 320), (650, 230)):
        cluster.node(32000, gpus=1)
        for pod in [cluster.pod(1000, gpu=share(amount)) for amount in milli]:
            running.append(pod)
            assert [type(decision) for decision in _carried_out(strategy, [pod], cluster)] == [Bind]
    third = cluster.pod(1000, gpu=share(230))
    assert not cluster.snapshot.feasible(third).any()
    *evicted, bound = _carried_out(strategy, [third], cluster)
    away = [pod for pod in running if pod.key in {decision.pod for decision in evicted if type(decision) is Evict}]
    assert [pod.gpu.milli for pod in away] == [320, 230]
    assert bound == Bind(third, 0, (0,))
    back = list(_carried_out(strategy, away, cluster))
    assert back == [Bind(away[0], 1, (0,)), Bind(away[1], 0, (0,))]


def _carried_out(strategy: Migrating, pods: Sequence[PodView], cluster: Cluster) -> Iterator[Decision]:
    for decision in strategy.place(pods, cluster.snapshot, np.random.default_rng(0)):
        match decision:
            case Evict(key, _):
                cluster.snapshot.forget(key)
            case Bind(pod, node, devices):
                assert cluster.snapshot.feasible(pod)[node]
                cluster.snapshot.assume(pod, node, devices)
            case _:
                pass
        yield decision


def test_the_curve_of_gain_by_budget_starts_without_migrations_and_keeps_each_budget() -> None:
    cluster = crowded(np.random.default_rng(7), nodes=4, pods=80)
    free = cluster.snapshot.free.copy()
    points = gain_by_budget(cluster.snapshot, cluster.pods, window=8, budgets=(0.0, 0.1, 0.3))
    assert (cluster.snapshot.free == free).all()
    assert [point.budget for point in points] == [0.0, 0.1, 0.3]
    assert points[0].migrations == 0
    assert all(point.migrations <= point.budget * (point.placed + point.migrations) for point in points)
    alone = cluster.fill(BinPack(), window=8)
    assert points[0].placed == alone.placed
    assert points[0].gpu_milli == sum(
        pod.gpu.total_milli for pod, node in zip(cluster.pods, alone.node, strict=True) if node >= 0
    )
