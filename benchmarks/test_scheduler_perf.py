"""The workloads of kube-scheduler's own scheduler_perf, each through API server, controllers, scheduler and kubelets.

What is timed: from the creation of the measured pods until all of them run. PODYARD_BENCH=full for scheduler_perf's
sizes. Beside each figure stands kube-scheduler's: the floor of its CI (in-process API server and etcd, no kubelets).
Source of workloads and floors: kubernetes/test/integration/scheduler_perf {misc,affinity,topology_spreading}/
performance-config.yaml and templates (2026). Where two variants have different floors, the higher one is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec
import pytest

from benchmarks.notes import FULL, fresh_peak, note, peak_mib
from benchmarks.rig import SPEC, cluster, container, node, nodes, pods, running
from harness.cluster.cluster import Cluster
from harness.cluster.workload_driver import WorkloadDriver
from harness.engine.component import MS, SECOND, Create, Delete, Effect, Event, Start, Timer, WakeAt
from harness.model.core import (
    Affinity,
    Namespace,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSchedulingGate,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
MOONS = ("moon-1", "moon-2", "moon-3")
BOTH = ("sched-1", "sched-0")


@dataclass(frozen=True)
class Workload:
    """`nodes`, `init` and `measured`: full sizes; a quick run takes `quick` of them. `floor`: kube-scheduler's pods/s.

    `existing` and `pod`: what is there before, and what is measured. `others`: components that disturb meanwhile.
    """

    nodes: int
    init: int
    measured: int
    floor: int | None
    pod: PodSpec = SPEC
    labels: dict[str, str] | None = None
    existing: PodSpec | None = None  # None: like `pod`
    existing_labels: dict[str, str] | None = None
    spaces: tuple[str, str] = ("default", "measured")  # namespaces of existing and measured pods
    zones: tuple[str, ...] = ()
    quick: float = 0.05
    one_large_node: bool = False  # and pods of all other kinds have no place but there
    others: Callable[[float], Sequence[Any]] = lambda share: ()
    gated: int = 0

    def machines(self, share: float) -> Iterable[Node]:
        yield from nodes(max(round(self.nodes * share), 1) if self.nodes else 0, self.zones)
        if self.one_large_node:
            capacity = {"cpu": milli_quantity(4000), "memory": bytes_quantity(32 << 30), "pods": count_quantity(90_000)}
            yield node(LARGE, capacity=capacity)


LARGE = "scheduler-perf-node"


class Churn:
    """Makes objects while others are scheduled. `again`: the ones before go, so that one of each is there at a time."""

    watches = ()

    def __init__(self, makers: Sequence[Callable[[int], Any]], every_ns: int, *, again: bool) -> None:
        self.name = "churn"
        self._makers = makers
        self._every = every_ns
        self._again = again
        self._turn = 0
        self._there: list[Any] = []

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        if any(type(event) is Timer for event in events):
            if self._again:
                effects += [Delete(type(o).__name__, o.metadata.namespace, o.metadata.name) for o in self._there]
            self._there = [make(self._turn) for make in self._makers]
            self._turn += 1
            effects += map(Create, self._there)
        if any(type(event) in (Start, Timer) for event in events):
            effects.append(WakeAt(now + self._every))
        return effects


class Deleter:
    """Deletes pods of a namespace one after another."""

    watches = ()

    def __init__(self, namespace: str, count: int, every_ns: int) -> None:
        self.name = "deleter"
        self._namespace = namespace
        self._count = count
        self._every = every_ns
        self._turn = 0

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        if any(type(event) is Timer for event in events):
            effects.append(Delete("Pod", self._namespace, f"existing-{self._turn}"))
            self._turn += 1
        if self._turn < self._count and any(type(event) in (Start, Timer) for event in events):
            effects.append(WakeAt(now + self._every))
        return effects


def large_pod(turn: int) -> Pod:
    """Fits nowhere."""
    spec = PodSpec(containers=(container(cpu_milli=9000),))
    return Pod(metadata=ObjectMeta(name=f"pod-h-{turn}", namespace="default"), spec=spec)


def churned_node(turn: int) -> Node:
    """It takes no pod, and has no machine."""
    made = node(f"node-churn-{turn}", capacity={"pods": count_quantity(0)})
    return Node(metadata=ObjectMeta(name=made.metadata.name), status=made.status)


def churned_service(turn: int) -> Service:
    return Service(
        metadata=ObjectMeta(name=f"service-churn-{turn}", namespace="default"),
        spec=ServiceSpec(selector={"app": "foo"}, ports=(ServicePort(port=8080, target_port=8080),)),
    )


def spreading(key: str, when: str) -> PodSpec:
    constraint = TopologySpreadConstraint(
        max_skew=5, topology_key=key, when_unsatisfiable=when, label_selector=LabelSelector(match_labels=BLUE)
    )
    return PodSpec(containers=(container(),), topology_spread_constraints=(constraint,))


def term(key: str, labels: dict[str, str]) -> PodAffinityTerm:
    return PodAffinityTerm(topology_key=key, label_selector=LabelSelector(match_labels=labels), namespaces=BOTH)


def required(key: str, labels: dict[str, str]) -> PodAffinity:
    return PodAffinity(required_during_scheduling_ignored_during_execution=(term(key, labels),))


def preferred(key: str, labels: dict[str, str]) -> PodAffinity:
    weighted = WeightedPodAffinityTerm(weight=1, pod_affinity_term=term(key, labels))
    return PodAffinity(preferred_during_scheduling_ignored_during_execution=(weighted,))


def with_affinity(affinity: Affinity) -> PodSpec:
    return PodSpec(containers=(container(),), affinity=affinity)


def on_nodes(by_field: bool, key: str, *values: str) -> PodSpec:
    wanted = NodeSelectorRequirement(key=key, operator="In", values=values)
    one = NodeSelectorTerm(match_fields=(wanted,)) if by_field else NodeSelectorTerm(match_expressions=(wanted,))
    selector = NodeSelector(node_selector_terms=(one,))
    node_affinity = NodeAffinity(required_during_scheduling_ignored_during_execution=selector)
    return with_affinity(Affinity(node_affinity=node_affinity))


def bare() -> PodSpec:
    return PodSpec(containers=(msgspec.structs.replace(SPEC.containers[0], resources=NOTHING),))


BLUE, GREEN, RED, YELLOW = ({"color": name} for name in ("blue", "green", "red", "yellow"))
NOTHING = type(SPEC.containers[0].resources)()
ANTI = with_affinity(Affinity(pod_anti_affinity=required(HOST, GREEN)))
AT_THE_LARGE_ONE = msgspec.structs.replace(on_nodes(True, "metadata.name", LARGE), containers=bare().containers)


def mixed_churn(share: float) -> Sequence[Any]:
    return [Churn((churned_node, large_pod, churned_service), SECOND, again=True)]


def unschedulable(share: float) -> Sequence[Any]:
    return [Churn((large_pod,), 200 * MS, again=False)]


def deleting(share: float) -> Sequence[Any]:
    return [Deleter("default", round(20_000 * share), 20 * MS)]


WORKLOADS = {
    "SchedulingBasic": Workload(5000, 1000, 10_000, 680),
    "SchedulingBasic-50000": Workload(5000, 5000, 50_000, 810, quick=0.02),
    "SchedulingDaemonset": Workload(15_000, 0, 30_000, 1100, AT_THE_LARGE_ONE, one_large_node=True, quick=0.02),
    "Unschedulable": Workload(5000, 100, 10_000, 590, others=unschedulable),
    "Unschedulable-20000": Workload(5000, 20_000, 10_000, 600, others=unschedulable, quick=0.02),
    "SchedulingWithMixedChurn": Workload(5000, 0, 10_000, 710, others=mixed_churn),
    "SchedulingWhileGated": Workload(
        0, 20_000, 20_000, 910, bare(), one_large_node=True, gated=10_000, others=deleting, quick=0.02
    ),
    "TopologySpreading": Workload(
        5000, 5000, 5000, 460, spreading(ZONE, "DoNotSchedule"), BLUE, existing=SPEC, zones=MOONS
    ),
    "TopologySpreading-hosts": Workload(
        5000, 5000, 5000, None, spreading(HOST, "DoNotSchedule"), BLUE, existing=SPEC, zones=MOONS
    ),
    "PreferredTopologySpreading": Workload(
        5000, 5000, 5000, 340, spreading(ZONE, "ScheduleAnyway"), BLUE, existing=SPEC, zones=MOONS
    ),
    "SchedulingPodAntiAffinity": Workload(5000, 1000, 2000, 60, ANTI, GREEN, spaces=BOTH[::-1]),
    "SchedulingPodAntiAffinity-5000": Workload(6000, 1000, 5000, 60, ANTI, GREEN, spaces=BOTH[::-1]),
    "SchedulingPodMatchingAntiAffinity": Workload(
        6000, 1000, 5000, 595, SPEC, GREEN, existing=ANTI, existing_labels=GREEN, spaces=BOTH[::-1]
    ),
    "SchedulingPodAffinity": Workload(
        5000,
        5000,
        5000,
        35,
        with_affinity(Affinity(pod_affinity=required(ZONE, BLUE))),
        BLUE,
        spaces=BOTH[::-1],
        zones=("zone1",),
    ),
    "SchedulingPreferredPodAffinity": Workload(
        5000, 5000, 5000, 90, with_affinity(Affinity(pod_affinity=preferred(HOST, RED))), RED, spaces=BOTH[::-1]
    ),
    "SchedulingPreferredPodAntiAffinity": Workload(
        5000,
        5000,
        5000,
        90,
        with_affinity(Affinity(pod_anti_affinity=preferred(HOST, YELLOW))),
        YELLOW,
        spaces=BOTH[::-1],
    ),
    "SchedulingNodeAffinity": Workload(
        5000, 5000, 10_000, 220, on_nodes(False, ZONE, "zone1", "zone2"), zones=("zone1",)
    ),
}
"""By scheduler_perf's names. Preemption: see test_preemption.py."""

LIBRARY = {"kube": 68, "kube-share": 509}
"""kube-scheduler 1.20.5 as a library on two cores, 5000 nodes, 10,000 pods: all nodes scored, the adaptive share."""


def booted(workload: Workload, strategy: str, share: float) -> tuple[Cluster, int]:
    """With everything there that is not measured, and the number of pods to measure."""
    first = workload.spaces[0]
    made = cluster(workload.machines(share), strategy)
    begin = made.now + 1
    existing: list[tuple[int, Any]] = [
        (begin, Namespace(metadata=ObjectMeta(name=name)))
        for name in dict.fromkeys(workload.spaces)
        if name != "default"
    ]
    spec = workload.existing or workload.pod
    labels = workload.existing_labels if workload.existing is not None else workload.labels
    init = round(workload.init * share)
    existing += ((begin + MS, pod) for pod in pods(init, "existing", spec, labels, first))
    if workload.gated:
        gated = msgspec.structs.replace(workload.pod, scheduling_gates=(PodSchedulingGate(name="example.com/gate"),))
        existing += ((begin + MS, pod) for pod in pods(round(workload.gated * share), "gated", gated))
    driver = WorkloadDriver(existing)
    driver.name = "existing"
    made.add(driver)
    made.run(made.now + (init // 1000 + 30) * SECOND)
    assert running(made, first) == init
    return made, round(workload.measured * share)


@pytest.mark.benchmark(group="scheduler_perf")
@pytest.mark.parametrize("strategy", ["greedy", "kube", "kube-share"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_from_create_to_running(benchmark: Any, name: str, strategy: str) -> None:
    workload = WORKLOADS[name]
    share = 1.0 if FULL else workload.quick

    def setup() -> tuple[tuple[Cluster, int], dict[str, Any]]:
        made, count = booted(workload, strategy, share)
        measured = pods(count, "measured", workload.pod, workload.labels, workload.spaces[1])
        at = made.now + 1
        made.add(WorkloadDriver((at, pod) for pod in list(measured)))
        for other in workload.others(share):
            made.add(other)
        fresh_peak()
        return (made, count), {}

    cpu_s: list[float] = []

    def play(made: Cluster, count: int) -> None:
        began = time.process_time()
        latest = made.now + (count // 1000 + 60) * SECOND
        while running(made, workload.spaces[1]) < count:
            assert made.now < latest, "some pod does not run"
            made.run(made.now + max(count // 1000, 1) * SECOND)
        cpu_s.append(time.process_time() - began)

    benchmark.pedantic(play, setup=setup, rounds=3 if FULL else 1)
    count = round(workload.measured * share)
    note(benchmark, pods_per_second=lambda s: round(count / s))
    benchmark.extra_info["pods_per_cpu_second"] = round(count / median(cpu_s))  # steadier where the machine is shared
    benchmark.extra_info.update(pods=count, nodes=round(workload.nodes * share), peak_mib=round(peak_mib()))
    if workload.floor is not None:
        benchmark.extra_info["kube_scheduler_pods_per_second"] = workload.floor
        note(benchmark, times_kube_scheduler=lambda s: round(count / s / (workload.floor or 1), 1))
    if name == "SchedulingBasic" and strategy in LIBRARY:
        benchmark.extra_info["kube_scheduler_as_a_library_pods_per_second"] = LIBRARY[strategy]
