"""A whole cluster: pods from create to Running, events, an idle hour, and the command's start-up.

PODYARD_BENCH=full for the sizes of the published figures: kube-scheduler as a library, all its parts on the same
two-core machine, reaches 509 pods/s at 5000 nodes and 10,000 pods (without API server and kubelets).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Any

import pytest

from harness.engine.component import HOUR, SECOND
from harness.engine.loop import Loop
from harness.engine.streams import array_stream, stream
from harness.experiment.cluster import Cluster, ClusterSettings
from harness.experiment.control_plane import controllers
from harness.experiment.workload import Feeder
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.scheduling.registry import load
from harness.scheduling.scheduler import Scheduler
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

FULL = os.environ.get("PODYARD_BENCH") == "full"
NODES, PODS = (5000, 10_000) if FULL else (500, 1000)
EVENTS = 1_000_000 if FULL else 50_000

CAPACITY = {"cpu": milli_quantity(4000), "memory": bytes_quantity(32 << 30), "pods": count_quantity(110)}
SPEC = PodSpec(
    containers=(
        Container(
            name="c",
            image="registry.k8s.io/pause:3.10",
            resources=ResourceRequirements(requests={"cpu": milli_quantity(100), "memory": bytes_quantity(500 << 20)}),
        ),
    )
)


def cluster(nodes: int, strategy: str = "greedy") -> Cluster:
    """Booted, with every controller."""
    made = Cluster(MemoryStore(ObjectCodec()), ClusterSettings(record_events=False))
    made.start_nodes(
        Node(
            metadata=ObjectMeta(name=f"node-{i:05}", labels={"kubernetes.io/hostname": f"node-{i:05}"}),
            status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY),
        )
        for i in range(nodes)
    )
    for component in controllers():
        made.add(component)
    made.add(Scheduler(load(strategy)(), stream(1, "scheduler"), array_stream(1, "strategy")))
    made.run(2 * SECOND)
    return made


@pytest.mark.benchmark(group="cluster")
@pytest.mark.parametrize("strategy", ["greedy", "least-allocated"])
def test_pods_from_create_to_running(benchmark: Any, strategy: str) -> None:
    """SchedulingBasic through API server, controllers and kubelets."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = cluster(NODES, strategy)
        pods = [
            (2 * SECOND, Pod(metadata=ObjectMeta(name=f"pod-{i}", namespace="default"), spec=SPEC)) for i in range(PODS)
        ]
        made.add(Feeder(pods))
        return (made,), {}

    def play(made: Cluster) -> None:
        made.run(90 * SECOND)
        running = sum(pod.status.phase == "Running" for pod in made.server.objects("Pod").values())
        assert running == PODS

    benchmark.pedantic(play, setup=setup, rounds=5 if FULL else 3)
    benchmark.extra_info["pods_per_second"] = PODS / benchmark.stats.stats.median
    benchmark.extra_info["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    benchmark.extra_info["events_per_second"] = EVENTS / benchmark.stats.stats.median


@pytest.mark.benchmark(group="cluster")
def test_an_idle_hour(benchmark: Any) -> None:
    """All leases renewed on time for an hour: what matters to nobody is folded."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        return (cluster(NODES),), {}

    def play(made: Cluster) -> None:
        made.run(2 * SECOND + HOUR)

    benchmark.pedantic(play, setup=setup, rounds=3)


@pytest.mark.benchmark(group="cluster")
def test_an_hour_of_leases_renewed_one_by_one(benchmark: Any) -> None:
    """The same unfolded, at a tenth of the nodes: what folding saves."""

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = Cluster(MemoryStore(ObjectCodec()), ClusterSettings(folded=False, record_events=False))
        made.start_nodes(
            Node(metadata=ObjectMeta(name=f"node-{i}"), status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY))
            for i in range(NODES // 10)
        )
        for component in controllers():
            made.add(component)
        made.run(2 * SECOND)
        return (made,), {}

    benchmark.pedantic(lambda made: made.run(2 * SECOND + (HOUR if FULL else HOUR // 20)), setup=setup, rounds=1)


@pytest.mark.benchmark(group="command")
def test_help(benchmark: Any) -> None:
    command = [sys.executable, "-m", "harness.cli", "--help"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)
