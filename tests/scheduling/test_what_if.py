"""What a strategy may try on the cluster: seen while it stands, undone at its end, contained whatever it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest

from harness.model.core import Affinity, Container, Pod, PodAffinity, PodAffinityTerm, PodSpec, ResourceRequirements
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.sandbox.guard import Guard
from harness.scheduling.sandbox.rebuild import rebuild_snapshot
from harness.scheduling.scoring import one_by_one, what_if
from harness.scheduling.strategy import Bind, BindTogether, ClusterView, Decision, Evict, PodBatch, StrategyFault, Wait

HOST = "kubernetes.io/hostname"
RNG = np.random.default_rng(0)


def cluster(nodes: int = 4) -> Snapshot:
    on = Snapshot()
    for i in range(nodes):
        labels = {HOST: f"n{i}"}
        on.add_node(f"n{i}", {"cpu": 4000, "memory": 8 << 30, "pods": 10}, 4, "T4", labels=labels)
    return on


def pod(name: str, cpu: str = "1", *, apart: bool = False, gpus: int = 0, app: str = "a", priority: int = 0) -> Pod:
    requests = {"cpu": parse_quantity(cpu)} | ({"nvidia.com/gpu": parse_quantity(str(gpus))} if gpus else {})
    term = PodAffinityTerm(topology_key=HOST, label_selector=LabelSelector(match_labels={"app": app}))
    anti = PodAffinity(required_during_scheduling_ignored_during_execution=(term,))
    return Pod(
        metadata=ObjectMeta(name=name, namespace="d", labels={"app": app}),
        spec=PodSpec(
            containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),),
            affinity=Affinity(pod_anti_affinity=anti) if apart else None,
            priority=priority,
        ),
    )


def state(on: Snapshot) -> list[Any]:
    """All that a strategy could have changed."""
    return [
        on.free.tolist(),
        on.gpu_free.tolist(),
        [[p.key for p in on.pods_on(n)] for n in range(len(on.names))],
        [[on.devices(p.key) for p in on.pods_on(n)] for n in range(len(on.names))],
        [on.feasible(on.classes.view(pod("probe", "3", apart=True))).tolist()],
    ]


def filled(seed: int) -> Snapshot:
    on, random = cluster(), Random(seed)
    for i in range(8):
        view = on.classes.view(pod(f"r{i}", "500m", gpus=random.randrange(3), app=random.choice("ab")))
        fits = np.flatnonzero(on.feasible(view))
        if len(fits):
            on.assume(view, int(random.choice(fits.tolist())))
    return on


@pytest.mark.parametrize("seed", range(8))
def test_what_is_tried_is_seen_and_undone(seed: int) -> None:
    on, random = filled(seed), Random(seed)
    before = state(on)
    with what_if(on) as trial:
        for step in range(12):
            version = on.version
            running = [p.key for n in range(4) for p in on.pods_on(n)]
            if random.randrange(2) and running:
                key = random.choice(running)
                node = on.where(key)
                assert trial.remove(key)
                assert on.where(key) is None
                assert on.version > version, "whoever keeps something by the log is told"
                assert not trial.remove(key)
                assert node is not None
            else:
                view = on.classes.view(pod(f"t{step}", random.choice(("1", "3")), gpus=random.randrange(3)))
                node = random.randrange(4)
                fits = bool(on.feasible(view)[node])
                done = trial.bind(view, node)
                assert isinstance(done, Bind) == fits
                assert (on.where(view.key) == node) == fits
                if isinstance(done, Bind) and view.gpu.count:
                    assert on.devices(view.key) == done.devices
    assert state(on) == before


def test_one_anti_affinity_shows_in_the_next_question() -> None:
    on = cluster(2)
    first, second = (on.classes.view(pod(name, apart=True)) for name in ("a", "b"))
    assert on.feasible(second).all()
    with what_if(on) as trial:
        assert isinstance(trial.bind(first, 0), Bind)
        assert on.feasible(second).tolist() == [False, True]
        assert "anti-affinity" in str(trial.bind(second, 0))
    assert on.feasible(second).all()


class Preempting:
    """A third party's preemption in ten lines: the node where fewest pods of lower priority must go."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            best: list[str] | None = None
            for node in np.flatnonzero(cluster.alive).tolist():
                with what_if(cluster) as trial:
                    gone: list[str] = []
                    for other in sorted(cluster.pods_on(node), key=lambda other: (other.priority, other.key)):
                        if cluster.feasible(pod)[node] or other.priority >= pod.priority:
                            break
                        trial.remove(other.key)
                        gone.append(other.key)
                    if cluster.feasible(pod)[node] and (best is None or len(gone) < len(best)):
                        best = gone
            yield from (Evict(key, f"for {pod.key}") for key in best or ())
            yield Wait(pod, "room is being made")


def test_a_strangers_preemption_needs_nothing_else() -> None:
    on = cluster(2)
    for name, node in (("x", 0), ("y", 0), ("z", 0), ("v", 1)):
        on.assume(on.classes.view(pod(name, "1" if name != "v" else "3")), node)
    before = state(on)
    big = on.classes.view(pod("big", "3", priority=9))
    answers = list(Guard(Preempting()).place([big], on, RNG))
    assert [answer.pod for answer in answers if isinstance(answer, Evict)] == ["d/v"]
    assert state(on) == before


class LeavesOpen:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        trial = what_if(cluster)
        trial.bind(pods[0], 0)
        return iter([])


class DecidesInside:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        with what_if(cluster) as trial:
            trial.remove("d/r0")
            trial.remove("d/r1")
            trial.bind(pods[0], 0)
            yield Bind(pods[0], 0)
            trial.remove("d/r2")  # it is over, and says so


class RaisesInside:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        what_if(cluster).remove("d/r0")
        raise ValueError("no")


class Hangs:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        with what_if(cluster) as trial:
            trial.remove("d/r0")
            trial.bind(pods[0], 1)
            while True:
                pass
        yield


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (LeavesOpen, "left open"),
        (DecidesInside, "a decision inside what_if()"),
        (RaisesInside, "ValueError: no"),
    ],
)
def test_whatever_it_does_is_undone_and_counted(strategy: Callable[[], Any], message: str) -> None:
    on = filled(3)
    before = state(on)
    view = on.classes.view(pod("new"))
    answers = list(Guard(strategy()).place([view], on, RNG))
    faults = [answer.reason for answer in answers if isinstance(answer, StrategyFault)]
    assert any(message in reason for reason in faults), faults
    assert state(on) == before


def test_a_call_that_is_broken_off_loses_nobody() -> None:
    on = filled(3)
    before = state(on)
    guard = Guard(Hangs(), deadline_s=0.2)
    answers = list(guard.place([on.classes.view(pod("new"))], on, RNG))
    assert [answer.kind for answer in answers if isinstance(answer, StrategyFault)] == ["deadline"]
    assert guard.interrupted
    after = rebuild_snapshot(on, without=["d/new"], removed=guard.removed)
    assert sorted(k for keys in state(after)[2] for k in keys) == sorted(k for keys in before[2] for k in keys)
    assert after.free.tolist() == before[0]
    assert after.gpu_free.tolist() == before[1]


def test_a_gang_needs_no_snapshot_of_its_own() -> None:
    """one_by_one places gangs through the view that strategies are handed."""
    on = cluster(3)
    from dataclasses import replace

    gang = [replace(on.classes.view(pod(f"g{i}", apart=True)), group="d/g", group_min=3) for i in range(3)]

    class First:
        def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
            def choose(pod: Any) -> Bind | None:
                fits = np.flatnonzero(cluster.feasible(pod))
                return Bind(pod, int(fits[0])) if len(fits) else None

            return one_by_one(pods, cluster, choose)

    (decision,) = list(Guard(First()).place(gang, on, RNG))
    assert isinstance(decision, BindTogether)
    assert sorted(bind.node for bind in decision.binds) == [0, 1, 2]
    assert not any(on.pods_on(node) for node in range(3))
