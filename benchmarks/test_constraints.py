"""Decisions a second where pods look at each other: spreading, affinity, and the scores of kube-scheduler."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.model.core import (
    Affinity,
    Container,
    ContainerPort,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    ResourceRequirements,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import Placements, fill
from harness.scheduling.strategy import Strategy
from schedulers.greedy import greedy, least_allocated
from schedulers.kube import kube

NODES = (5_000, 20_000, 100_000) if FULL else (1_000,)
PODS = 5_000 if FULL else 500
ZONES = 3
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
REQUESTS = ResourceRequirements(requests={"cpu": parse_quantity("100m"), "memory": parse_quantity("500Mi")})
APP = LabelSelector(match_labels={"app": "a"})


def cluster(nodes: int) -> Snapshot:
    """Nodes of scheduler_perf in three zones."""
    on = Snapshot()
    for i in range(nodes):
        labels = {HOST: f"node-{i}", ZONE: f"zone-{i % ZONES}"}
        on.add_node(f"node-{i}", {"cpu": 4000, "memory": 32 << 30, "pods": 110}, labels=labels)
    return on


def pods(spec: PodSpec, count: int) -> list[Pod]:
    return [Pod(metadata=ObjectMeta(name=f"p{i}", namespace="d", labels={"app": "a"}), spec=spec) for i in range(count)]


def spec(**rest: object) -> PodSpec:
    ports = rest.pop("ports", ())
    return PodSpec(containers=(Container(name="c", resources=REQUESTS, ports=ports),), **rest)  # type: ignore[arg-type]


def spread(key: str, when: str, skew: int = 1) -> PodSpec:
    constraint = TopologySpreadConstraint(max_skew=skew, topology_key=key, when_unsatisfiable=when, label_selector=APP)
    return spec(topology_spread_constraints=(constraint,))


def beside(key: str) -> PodAffinity:
    term = PodAffinityTerm(topology_key=key, label_selector=APP)
    return PodAffinity(required_during_scheduling_ignored_during_execution=(term,))


def rather(key: str) -> PodAffinity:
    term = WeightedPodAffinityTerm(weight=1, pod_affinity_term=PodAffinityTerm(topology_key=key, label_selector=APP))
    return PodAffinity(preferred_during_scheduling_ignored_during_execution=(term,))


HARD = {
    "plain": spec(),
    "host ports": spec(ports=(ContainerPort(container_port=80, host_port=80),)),
    "spread zones": spread(ZONE, "DoNotSchedule"),
    "spread hosts": spread(HOST, "DoNotSchedule"),
    "anti-affinity hosts": spec(affinity=Affinity(pod_anti_affinity=beside(HOST))),
    "affinity zone": spec(affinity=Affinity(pod_affinity=beside(ZONE))),
}


BY_DEFAULT = spec()
"""Of a service, so that the system's constraints spread its pods over hosts and zones."""


def measure(benchmark: BenchmarkFixture, strategy: Strategy, nodes: int, of: PodSpec) -> Placements:
    on = cluster(nodes)
    if of is BY_DEFAULT:
        on.tables.owner_selectors.put_service("d", "a", {"app": "a"})
    made = pods(of, min(PODS, nodes))
    views = [on.classes.view(pod) for pod in made]
    done: Placements = benchmark.pedantic(fill, args=(strategy, on, views, 0, 64), rounds=1, warmup_rounds=0)
    note(benchmark, us_per_decision=lambda s: round(1e6 * s / len(views), 2))
    assert not done.violations
    return done


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("make", [greedy, least_allocated])
def test_hard(benchmark: BenchmarkFixture, nodes: int, name: str, make: Callable[[], Strategy]) -> None:
    done = measure(benchmark, make(), nodes, HARD[name])
    assert done.placed == (min(PODS, nodes) if name != "affinity zone" else done.placed)
    assert done.placed > 0


SOFT = {
    "plain": spec(),
    "spread zones": spread(ZONE, "ScheduleAnyway", 5),
    "spread hosts": spread(HOST, "ScheduleAnyway", 3),
    "spread by default": BY_DEFAULT,
    "preferred anti-affinity hosts": spec(affinity=Affinity(pod_anti_affinity=rather(HOST))),
    "preferred affinity zones": spec(affinity=Affinity(pod_affinity=rather(ZONE))),
    "required spread zones": HARD["spread zones"],
    "required anti-affinity hosts": HARD["anti-affinity hosts"],
}


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("percentage", [0, 100])
def test_kube(benchmark: BenchmarkFixture, nodes: int, name: str, percentage: int) -> None:
    """`percentage` 0: the adaptive share of nodes is scored, as kube-scheduler does; 100: every node."""
    assert measure(benchmark, kube(percentage=percentage), nodes, SOFT[name]).placed == min(PODS, nodes)
