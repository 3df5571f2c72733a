"""Energy of the nodes over time, from a power model for each node: what it draws when idle, and what the requests of
running pods add.

Utilisation is what is requested: actual usage is known only for services. A node draws nothing while it has
no power (a crash that lasts), and nothing before it registers or after it is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.measure.node_hours import POOL
from harness.measure.occupancy import CLIENTS, CPU, GPU, capacity_of
from harness.measure.pods import NEVER, PodTimes
from harness.model.gpu import DEVICE_MILLI, GPU_MODEL
from harness.model.karpenter import INSTANCE_TYPE
from harness.model.power import GPU_MODELS, POWER_MODEL, Power, Watts, power_of_labels

GPU_NAME = "karpenter.k8s.aws/instance-gpu-name"
"""Label of a just-in-time node. Source: karpenter-provider-aws pkg/apis/v1/labels.go."""

FOREVER_NS = 1 << 62
JOULES_PER_KWH = 3.6e6


class _Node:
    __slots__ = ("cpu", "cpus", "gpu", "gpus", "off", "spells", "why")

    def __init__(self) -> None:
        self.cpus = self.gpus = 0.0
        self.cpu = self.gpu = Watts(0.0, 0.0)
        self.why = ""
        self.spells: list[list[int]] = []  # [registered, deleted]
        self.off: list[tuple[int, int]] = []


class Energy:
    """A fold. `powers`: of nodes by name, and of the nodes of pools by 'pool/<name>'. Other nodes, such as just-in-time
    ones, are looked up by their labels. `told`: whether there is to be a number at all."""

    def __init__(self, powers: Mapping[str, Power], *, told: bool = True) -> None:
        self._powers = powers
        self._told = told
        self._nodes: dict[str, _Node] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind != "Node" or CLIENTS in obj.metadata.labels:
            return
        name = obj.metadata.name
        node = self._nodes.get(name)
        if change == "DELETED":
            if node is not None and node.spells:
                node.spells[-1][1] = at_ns
        elif node is None or node.spells[-1][1] != FOREVER_NS:
            node = self._nodes.setdefault(name, _Node())
            node.spells.append([at_ns, FOREVER_NS])
            self._read(node, obj)

    def _read(self, node: _Node, obj: Any) -> None:
        capacity = capacity_of(obj)
        whole = obj.status.capacity.get("cpu")  # not what is left of it for pods
        node.cpus, node.gpus = (capacity[CPU] if whole is None else whole.milli) / 1000, capacity[GPU] / DEVICE_MILLI
        labels, name = obj.metadata.labels, obj.metadata.name
        pool = labels.get(POOL, "")
        power = self._powers.get(f"pool/{pool}") if pool else self._powers.get(name)
        cpu = power_of_labels(labels) if power is None else power.cpu
        if cpu is None:
            node.why = f"{_whose(name, pool, labels)} has no power model"
            return
        node.cpu = cpu
        if node.gpus:
            model = labels.get(GPU_MODEL) or labels.get(GPU_NAME, "").upper()
            found = (power and power.gpu) or GPU_MODELS.get(model)
            if found is None:
                node.why = f"there is no power model of GPU {model or '(no model)'}, as of node {name}"
            else:
                node.gpu = found

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "disturbed" and data[1] == "Crash" and data[0] in self._nodes:
            lasts = data[2]
            self._nodes[data[0]].off.append((at_ns, FOREVER_NS if lasts < 0 else at_ns + lasts))

    def metrics(self, lives: Mapping[str, PodTimes], since_ns: int, until_ns: int) -> dict[str, Any]:
        """Kilowatt-hours over the window; or why there is no such number. Empty where no node has a power model."""
        if not self._told:
            return {}
        why = next((node.why for node in self._nodes.values() if node.why), "")
        if why:
            return {"saysNothing": why}
        idle = math.fsum(self._idle_joules(node, since_ns, until_ns) for node in self._nodes.values())
        busy = math.fsum(self._busy_joules(life, since_ns, until_ns) for life in lives.values())
        return {
            "kwh": (idle + busy) / JOULES_PER_KWH,
            "idleKwh": idle / JOULES_PER_KWH,
            "wattsAtEnd": self._watts_at(lives, until_ns),
            "poweredHours": math.fsum(self._on_ns(node, since_ns, until_ns) for node in self._nodes.values()) / 3.6e12,
        }

    def _watts_at(self, lives: Mapping[str, PodTimes], at_ns: int) -> float:
        """Watts at an instant, which stay the same until something happens."""
        second = 10**9
        idle = math.fsum(self._idle_joules(node, at_ns, at_ns + second) for node in self._nodes.values())
        return idle + math.fsum(
            self._busy_joules(life, at_ns, at_ns + second) for life in lives.values() if life.ended_ns == NEVER
        )

    def _on_ns(self, node: _Node, begin_ns: int, end_ns: int) -> int:
        total = 0
        for since, until in node.spells:
            begin, end = max(since, begin_ns), min(until, end_ns)
            total += max(0, end - begin)
            total -= _covered([(max(off, begin), min(on, end)) for off, on in node.off])
        return total

    def _idle_joules(self, node: _Node, since_ns: int, until_ns: int) -> float:
        watts = node.cpus * node.cpu.idle + node.gpus * node.gpu.idle
        return watts * self._on_ns(node, since_ns, until_ns) / 1e9

    def _busy_joules(self, life: PodTimes, since_ns: int, until_ns: int) -> float:
        node = self._nodes.get(life.node)
        if node is None or life.running_ns == NEVER:
            return 0.0
        begin = max(life.running_ns, since_ns)
        end = min(until_ns if life.ended_ns == NEVER else life.ended_ns, until_ns)
        ran = max(0, end - begin) - _covered([(max(off, begin), min(on, end)) for off, on in node.off])
        watts = life.cpu_milli / 1000 * (node.cpu.full - node.cpu.idle)
        watts += life.gpu_milli / DEVICE_MILLI * (node.gpu.full - node.gpu.idle)
        return watts * ran / 1e9


def _covered(spans: list[tuple[int, int]]) -> int:
    """The length of the union of the spans."""
    total, reached = 0, -FOREVER_NS
    for begin, end in sorted(spans):
        begin = max(begin, reached)
        if end > begin:
            total += end - begin
            reached = end
    return total


def _whose(name: str, pool: str, labels: Mapping[str, str]) -> str:
    """Which node, pool or instance type lacks a power model."""
    if POWER_MODEL in labels:
        return f"node {name}, of {POWER_MODEL} {labels[POWER_MODEL]},"
    kind = labels.get(INSTANCE_TYPE)
    if kind is not None:
        return f"instance type {kind}"
    return f"pool {pool}" if pool else f"node {name}"
