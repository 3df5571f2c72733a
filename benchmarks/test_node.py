"""What a machine costs by itself: a pod's way from bound to Running, a pod's end, a boot, and its memory.

PODYARD_BENCH=full: 5000 machines and 10,000 pods, as in the published figures of kube-scheduler.
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from benchmarks.notes import FULL, note
from harness.engine.component import ADDED, MODIFIED, PatchStatus, Start, Timer, WakeAt, Watch
from harness.engine.latency import Latencies
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import Condition, ObjectMeta
from harness.model.pod_usage import DURATION
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.model.wire import Time
from harness.node.machine import Machine
from harness.node.settings import NodeSettings

NODES, PODS = (5000, 10_000) if FULL else (500, 1000)

CAPACITY = {"cpu": milli_quantity(4000), "memory": bytes_quantity(32 << 30), "pods": count_quantity(110)}
SETTINGS = NodeSettings(latencies=Latencies(), record_events=False)
SPEC = PodSpec(
    node_name="n",
    restart_policy="Never",
    containers=(
        Container(
            name="c",
            image="registry.k8s.io/pause:3.10",
            resources=ResourceRequirements(requests={"cpu": milli_quantity(100), "memory": bytes_quantity(500 << 20)}),
        ),
    ),
)
BOUND = PodStatus(
    phase="Pending",
    qos_class="Burstable",
    conditions=(Condition(type="PodScheduled", status="True", last_transition_time=Time(1000)),),
)


def nodes() -> list[Node]:
    return [
        Node(
            metadata=ObjectMeta(name=f"n{i}", annotations={"podyard.dev/rank": str(i)}),
            status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY),
        )
        for i in range(NODES)
    ]


def machines() -> list[Machine]:
    made = [Machine(node, SETTINGS, None) for node in nodes()]  # type: ignore[arg-type]  # constants draw nothing
    for machine in made:
        machine.step(1, [Start()])
    return made


def bound(annotations: dict[str, str]) -> list[Watch]:
    return [
        Watch(
            ADDED,
            Pod(
                metadata=ObjectMeta(
                    name=f"p{i}", namespace="default", uid=f"00000000-0000-4000-8000-{i:012x}", annotations=annotations
                ),
                spec=SPEC,
                status=BOUND,
            ),
        )
        for i in range(PODS)
    ]


def start(made: list[Machine], events: list[Watch]) -> int:
    """Admitted, its timers come due (the start, the PLEG's next look), Running told, and that seen in the watch."""
    running = 0
    for i, event in enumerate(events):
        machine = made[i % NODES]
        due = list(machine.step(10_000 + i // NODES, [event]))
        told = 0
        while due and not told:
            at = [effect for effect in due if type(effect) is WakeAt]
            due = [said for wake in at for said in machine.step(wake.at, [Timer(wake.token)])]
            for said in due:
                if type(said) is PatchStatus and said.obj.status.phase == "Running":
                    told += 1
                    machine.step(at[-1].at + 10**7, [Watch(MODIFIED, said.obj, event.obj)])
        running += told
    return running


@pytest.mark.benchmark(group="node")
def test_from_bound_to_running(benchmark: Any) -> None:
    def setup() -> tuple[tuple[list[Machine], list[Watch]], dict[str, Any]]:
        args = (machines(), bound({}))
        gc.collect()
        return args, {}

    running = benchmark.pedantic(start, setup=setup, rounds=7)
    assert running == PODS
    note(benchmark, us_per_pod=lambda s: round(1e6 * s / PODS, 2))


@pytest.mark.benchmark(group="node")
def test_from_bound_to_succeeded(benchmark: Any) -> None:
    """With a duration of its own, as pods of a trace have."""

    def setup() -> tuple[tuple[list[Machine], list[Watch]], dict[str, Any]]:
        return (machines(), bound({DURATION: "93.25s"})), {}

    def play(made: list[Machine], events: list[Watch]) -> None:
        ended = 0
        for i, event in enumerate(events):
            machine = made[i % NODES]
            at = 10_000 + i // NODES
            due = list(machine.step(at, [event]))
            while due:
                wakes = [effect for effect in due if type(effect) is WakeAt]
                asked = [effect for effect in due if type(effect) is PatchStatus]
                ended += sum(effect.obj.status.phase == "Succeeded" for effect in asked)
                shown = [
                    said for effect in asked for said in machine.step(at, [Watch(MODIFIED, effect.obj, event.obj)])
                ]
                due = shown + [said for wake in wakes for said in machine.step(wake.at, [Timer(wake.token)])]
                at = max([at, *(wake.at for wake in wakes)])
        assert ended == PODS

    benchmark.pedantic(play, setup=setup, rounds=7)
    note(benchmark, us_per_pod=lambda s: round(1e6 * s / PODS, 2))


@pytest.mark.benchmark(group="node")
def test_boot(benchmark: Any) -> None:
    benchmark.pedantic(machines, rounds=5)
    note(benchmark, us_per_machine=lambda s: round(1e6 * s / NODES, 2))
    given = nodes()
    tracemalloc.start()
    made = [Machine(node, SETTINGS, None) for node in given]  # type: ignore[arg-type]
    benchmark.extra_info["bytes_per_machine"] = tracemalloc.get_traced_memory()[0] // len(made)
    tracemalloc.stop()
