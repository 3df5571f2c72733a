"""A whole cluster: pods from create to Running, events, an idle hour, and the command's start-up.

PODYARD_BENCH=full for the sizes of the published figures: kube-scheduler as a library, all its parts on the same
two-core machine, reaches 509 pods/s at 5000 nodes and 10,000 pods (without API server and kubelets).
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from benchmarks.notes import FULL, fresh_peak, note, peak_mib
from benchmarks.rig import BOOT_NS, cluster, nodes, pods, running
from harness.cluster.cluster import Cluster
from harness.cluster.workload_driver import WorkloadDriver
from harness.engine.component import HOUR, SECOND
from harness.engine.loop import Loop

NODES, PODS = (5000, 10_000) if FULL else (500, 1000)
EVENTS = 1_000_000 if FULL else 50_000


@pytest.mark.benchmark(group="cluster")
@pytest.mark.parametrize("strategy", ["greedy", "least-allocated"])
def test_pods_from_create_to_running(benchmark: Any, strategy: str) -> None:
    """SchedulingBasic through API server, controllers and kubelets."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = cluster(nodes(NODES), strategy)
        made.add(WorkloadDriver([(BOOT_NS, pod) for pod in pods(PODS)]))
        fresh_peak()
        return (made,), {}

    def play(made: Cluster) -> None:
        made.run(90 * SECOND)
        assert running(made) == PODS

    benchmark.pedantic(play, setup=setup, rounds=5 if FULL else 3)
    note(benchmark, pods_per_second=lambda s: round(PODS / s))
    benchmark.extra_info["peak_mib"] = round(peak_mib())


@pytest.mark.benchmark(group="engine")
def test_events_that_do_nothing(benchmark: Any) -> None:
    """Mailboxes of one message each: post, heap, hand over."""

    def setup() -> tuple[tuple[Loop], dict[str, Any]]:
        loop = Loop()

        def handle(now: int, box: list[Any]) -> None:
            loop.post(now + 1000, 1, None)

        loop.handlers[1] = handle
        loop.post(1, 1, None)
        return (loop,), {}

    def play(loop: Loop) -> None:
        loop.run(1 + 1000 * EVENTS)
        assert loop.messages == EVENTS

    benchmark.pedantic(play, setup=setup, rounds=5)
    note(benchmark, events_per_second=lambda s: round(EVENTS / s))


@pytest.mark.benchmark(group="cluster")
def test_an_idle_hour(benchmark: Any) -> None:
    """All leases renewed on time for an hour: what matters to nobody is folded."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        return (cluster(nodes(NODES), "greedy"),), {}

    def play(made: Cluster) -> None:
        made.run(BOOT_NS + HOUR)

    benchmark.pedantic(play, setup=setup, rounds=3)


@pytest.mark.benchmark(group="cluster")
def test_an_hour_of_leases_renewed_one_by_one(benchmark: Any) -> None:
    """The same unfolded, at a tenth of the nodes: what folding saves."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = cluster(nodes(NODES // 10), "greedy", folded=False)
        return (made,), {}

    benchmark.pedantic(lambda made: made.run(BOOT_NS + (HOUR if FULL else HOUR // 20)), setup=setup, rounds=1)


@pytest.mark.benchmark(group="command")
def test_help(benchmark: Any) -> None:
    command = [sys.executable, "-m", "harness.cli", "--help"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)
