"""Preemption through API server, scheduler and kubelets: scheduler_perf's PreemptionBasic.

Every node is filled by four pods of low priority (900 milli-CPU each); each measured pod (3000 of a node's 4000) takes
the place of three of them. What is timed: from the creation of the measured pods until all of them run, the victims'
graceful end included (in virtual time). Source of the workload: kubernetes/test/integration/scheduler_perf
misc/performance-config.yaml, PreemptionBasic (500 nodes, 2000 pods, 500 preemptors; 5000 nodes likewise), and
templates/pod-{low,high}-priority.yaml. The figure beside it is the floor of kube-scheduler's CI for its fastest
variant, asynchronous preemption at 5000 nodes (2026).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks.notes import FULL, fresh_peak, note, peak_mib
from benchmarks.rig import cluster, container, nodes, pods, running
from harness.cluster.cluster import Cluster
from harness.cluster.workload_driver import WorkloadDriver
from harness.engine.component import SECOND
from harness.model.core import Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.model.objects import PriorityClass

ANCHOR_PODS_PER_SECOND = 570

LOW = PodSpec(containers=(container(900),), priority_class_name="low")
HIGH = PodSpec(containers=(container(3000),), priority_class_name="high")


def booted(size: int, strategy: str) -> Cluster:
    """Four pods of low priority on each of `size` nodes."""
    made = cluster(nodes(size), strategy)
    begin = made.now + 1
    for name, value in (("low", 1), ("high", 10)):
        made.server.create(PriorityClass(metadata=ObjectMeta(name=name), value=value))
    low: Iterable[Pod] = pods(4 * size, "low", LOW)
    driver = WorkloadDriver((begin, pod) for pod in low)
    driver.name = "existing"
    made.add(driver)
    made.run(made.now + (size // 250 + 30) * SECOND)
    assert running(made) == 4 * size
    return made


def high_running(made: Cluster) -> int:
    return sum(
        pod.status.phase == "Running" and pod.spec.priority_class_name == "high"
        for pod in made.server.objects("Pod").values()
    )


@pytest.mark.benchmark(group="preemption")
@pytest.mark.parametrize("strategy", ["greedy", "kube"])
@pytest.mark.parametrize("size", [500, 5000] if FULL else [100])
def test_preemption_basic(benchmark: Any, size: int, strategy: str) -> None:
    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = booted(size, strategy)
        at = made.now + 1
        high = list(pods(size, "high", HIGH))
        made.add(WorkloadDriver((at, pod) for pod in high))
        fresh_peak()
        return (made,), {}

    def play(made: Cluster) -> None:
        latest = made.now + (size // 100 + 300) * SECOND
        while high_running(made) < size:
            assert made.now < latest, "some preemptor does not run"
            made.run(made.now + 5 * SECOND)

    benchmark.pedantic(play, setup=setup, rounds=3 if FULL else 1)
    note(benchmark, pods_per_second=lambda s: round(size / s))
    benchmark.extra_info.update(pods=size, nodes=size, peak_mib=round(peak_mib()))
    benchmark.extra_info["kube_scheduler_pods_per_second"] = ANCHOR_PODS_PER_SECOND
    note(benchmark, times_kube_scheduler=lambda s: round(size / s / ANCHOR_PODS_PER_SECOND, 1))
