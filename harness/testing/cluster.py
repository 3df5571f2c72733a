"""A whole cluster for a test, in one line, and what happened in it as text.

sim = Cluster(best_fit).node("n", cpu_milli=2000).pod("a", cpu_milli=1500)
assert sim.run() == "0s a -> n"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace as replace_plan
from typing import Any

from msgspec.structs import replace

from harness.autoscaling.pool import POOL_LABEL, NodePool
from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.engine.component import SECOND
from harness.engine.latency import Constant
from harness.faults.timeline import parse
from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import PriorityClass
from harness.model.times import duration_text
from harness.model.workloads import PodGroup, PodGroupSpec
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.registry import load
from harness.scheduling.strategy import Strategy
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from harness.testing.worlds import WorldNode, WorldPod

_BOOT_NS = 2 * SECOND
"""Nodes are Ready by then: instant 0 of the log."""


class Cluster:
    """API server, controllers, scheduler and kubelets in virtual time; each method returns the cluster itself.

    `strategy`: a Strategy, something that makes one, or a name as --scheduler takes it. `deadline_s`: of one of its
    calls, on the wall clock.
    """

    def __init__(self, strategy: Strategy | Callable[[], Strategy] | str, *, seed: int = 0, deadline_s: float = 30.0):
        made: Any = load(strategy)() if isinstance(strategy, str) else strategy
        if inspect.isclass(made) or not hasattr(made, "place"):
            made = made()
        self._plan = ClusterPlan(
            settings=ClusterSettings(seed=seed, record_events=False),
            strategy=made,
            scheduling=SchedulerSettings(deadline_s=deadline_s),
        )
        self._pools: list[NodePool] = []
        self._faults: list[dict[str, Any]] = []
        self._nodes: list[WorldNode] = []
        self._timeline: list[tuple[float, Callable[[], None]]] = []
        self._groups: dict[str, int] = {}
        self._priorities: set[int] = set()
        self._lines: list[tuple[int, str]] = []  # (instant, text)

    def node(self, name: str, **size: Any) -> Cluster:
        """`size`: cpu_milli, memory_mib, pods, gpus, gpu_model, zone, tainted."""
        self._nodes.append(WorldNode(name, **size))
        return self

    def pool(self, name: str, *, most: int, least: int = 0, provisioning_s: float = 45.0, **size: Any) -> Cluster:
        """A node pool of the cluster autoscaler; `size` as of a node. Its nodes are `<name>-0`, `<name>-1`, .."""
        node = WorldNode("", **size).object(0)
        labels = {**node.metadata.labels, POOL_LABEL: name}
        template = replace(node, metadata=replace(node.metadata, labels=labels, annotations={}))
        latency = Constant(round(provisioning_s * SECOND))
        self._pools.append(NodePool(name=name, template=template, least=least, most=most, provisioning=latency))
        return self

    def fault(self, name: str, *, at_s: float, **fields: Any) -> Cluster:
        """As in a scenario: fault("nodeCrash", at_s=3, select={"names": ["n"]}, downFor="1m")."""
        self._faults.append({"at": duration_text(_BOOT_NS + round(at_s * SECOND)), name: fields})
        return self

    def pod(self, name: str, *, at_s: float = 0.0, **asks: Any) -> Cluster:
        """`asks`: cpu_milli, memory_mib, gpus, gpu_milli, zone, priority, group and group_min (a gang)."""
        pod = WorldPod(name, **asks)
        if pod.group:
            self._groups[pod.group] = pod.group_min
        if pod.priority:
            self._priorities.add(pod.priority)
        self._timeline.append((at_s, lambda: self._create(pod)))
        return self

    def delete(self, name: str, *, at_s: float) -> Cluster:
        """Of a pod."""
        self._timeline.append((at_s, lambda: self._sim.server.delete("Pod", "default", name, grace_s=0) and None))
        return self

    def run(self, until_s: float = 30.0) -> str:
        """The log up to there: '0s a -> n' for each binding, '3s a gone', '0s ! raised a: ...' for what went wrong.

        Instants in whole seconds. A pod that waits still is told last: 'b waits: 0/1 nodes are available: ...'.
        """
        plan = replace_plan(
            self._plan,
            nodes=[node.object(rank) for rank, node in enumerate(self._nodes)],
            pools=tuple(self._pools),
            faults=parse(self._faults),
        )
        assembled = assemble(MemoryStore(ObjectCodec()), plan)
        self._sim, self.scheduler = assembled.cluster, assembled.scheduler
        self._sim.server.listeners.append(self._written)
        sim = self._sim
        for value in sorted(self._priorities):
            sim.server.create(PriorityClass(metadata=ObjectMeta(name=f"p{value}"), value=value))
        for group, least in self._groups.items():
            sim.server.create(
                PodGroup(metadata=ObjectMeta(name=group, namespace="default"), spec=PodGroupSpec(min_member=least))
            )
        sim.api.flush(sim.server.now)
        self._advance(0.0)
        for at_s, act in sorted(self._timeline, key=lambda item: item[0]):
            self._advance(at_s)
            act()
            sim.api.flush(sim.server.now)
        self._advance(until_s)
        faults = [
            (at, f"{_seconds(at)} ! {kind} {pod.removeprefix('default/')}: {reason}")
            for at, kind, pod, reason in self.scheduler.tally.violations
        ]
        lines = self._lines + faults
        waits = [
            f"{pod.metadata.name} waits: {_why(pod)}"
            for pod in sim.server.objects("Pod").values()
            if not pod.spec.node_name and pod.metadata.deletion_timestamp is None
        ]
        return "\n".join([line for _, line in sorted(lines, key=lambda item: item[0])] + sorted(waits))

    @property
    def violations(self) -> list[tuple[str, str, str]]:
        """(kind, pod, reason) of what the strategy did wrong."""
        return [(kind, pod, reason) for _, kind, pod, reason in self.scheduler.tally.violations]

    def _advance(self, to_s: float) -> None:
        at = _BOOT_NS + round(to_s * SECOND)
        self._sim.run(at)
        self._sim.server.now = max(self._sim.server.now, at)

    def _create(self, pod: WorldPod) -> None:
        made = pod.object()
        spec: Any = made.spec
        if pod.priority:
            spec = replace(spec, priority=None, priority_class_name=f"p{pod.priority}")
        self._sim.server.create(Pod(metadata=made.metadata, spec=spec))

    def _written(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "Pod":
            return
        if change == "DELETED":
            self._lines.append((self._sim.server.now, f"{_seconds(self._sim.server.now)} {obj.metadata.name} gone"))
        elif old is not None and obj.spec.node_name and not old.spec.node_name:
            line = f"{_seconds(self._sim.server.now)} {obj.metadata.name} -> {obj.spec.node_name}"
            self._lines.append((self._sim.server.now, line))


def _seconds(at_ns: int) -> str:
    return f"{max(0, at_ns - _BOOT_NS) // SECOND}s"


def _why(pod: Pod) -> str:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.message:
            return condition.message
    return "nothing was said"
