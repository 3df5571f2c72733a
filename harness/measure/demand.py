"""What was asked for, and when: pods by class with their instants, the input of the proven bound; a fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.measure.bound import Curve, Instance, Nodes, Pods, aggregate, bound_curve, lifetimes
from harness.measure.occupancy import GPU, Occupancy, capacity_of
from harness.model.core import Node, Pod
from harness.model.gpu import DEVICE_MILLI, GPU_MODEL

Int64 = npt.NDArray[np.int64]


class Demand:
    """Pods and nodes that ever were, with when they came and when they left (-1: they did not)."""

    def __init__(self, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._kinds: dict[tuple[Any, ...], int] = {}
        self.kind: list[int] = []
        self.begin_ns: list[int] = []
        self.end_ns: list[int] = []
        self._row: dict[str, int] = {}
        self._node_row: dict[str, int] = {}
        self._nodes: list[Node] = []
        self._node_begin: list[int] = []
        self._node_end: list[int] = []

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            self._pod(at_ns, change, obj)
        elif kind == "Node":
            self._node(at_ns, change, obj)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _pod(self, at_ns: int, change: str, pod: Pod) -> None:
        uid = pod.metadata.uid
        if change == "ADDED":
            (cpu, memory, gpu), milli = self._occupancy.requests.of(pod)
            models = pod.metadata.annotations.get(GPU_MODEL, "")
            key = (cpu, memory, gpu // milli if gpu else 0, milli if gpu else 0, models)
            self._row[uid] = len(self.kind)
            self.kind.append(self._kinds.setdefault(key, len(self._kinds)))
            self.begin_ns.append(at_ns)
            self.end_ns.append(-1)
        elif change == "DELETED" or pod.status.phase in ("Succeeded", "Failed"):
            row = self._row.get(uid)
            if row is not None and self.end_ns[row] < 0:
                self.end_ns[row] = at_ns

    def _node(self, at_ns: int, change: str, node: Node) -> None:
        name = node.metadata.name
        row = self._node_row.get(name)
        if change == "DELETED":
            if row is not None:
                self._node_end[row] = at_ns
                del self._node_row[name]
            return
        if row is None:
            self._node_row[name] = len(self._nodes)
            self._nodes.append(node)
            self._node_begin.append(at_ns)
            self._node_end.append(-1)
        else:
            self._nodes[row] = node

    def instance(self) -> Instance | None:
        """All that ever was; None without pods or nodes. Value: GPU milli where there are GPUs, else milli-CPU."""
        if not self.kind or not self._nodes:
            return None
        capacity = np.array([capacity_of(node) for node in self._nodes], dtype=np.int64)
        counts = capacity[:, GPU] // DEVICE_MILLI
        width = int(counts.max(initial=0))
        devices = np.where(np.arange(width)[None, :] < counts[:, None], DEVICE_MILLI, 0).astype(np.int64)
        kinds = list(self._kinds)
        per_kind = np.array([key[:4] for key in kinds], dtype=np.int64)
        rows = per_kind[np.array(self.kind)]
        ones = np.ones(len(rows), dtype=np.int64)
        models = [tuple(key[4].split("|")) if key[4] else () for key in kinds]
        pods = Pods(
            requests=np.stack([rows[:, 0], rows[:, 1], ones]),
            gpu_count=rows[:, 2],
            gpu_milli=rows[:, 3],
            models=[models[kind] for kind in self.kind],
        )
        nodes = Nodes(
            capacity=np.stack([capacity[:, 0], capacity[:, 1], capacity[:, 3]]),
            gpu_capacity=devices,
            gpu_model=[
                node.metadata.labels.get(GPU_MODEL, "") if count else ""
                for node, count in zip(self._nodes, counts.tolist(), strict=True)
            ],
        )
        instance = aggregate(nodes, pods)
        if not width or not per_kind[:, 2].any():
            return instance.valued(instance.request[:, 0])
        return instance

    def curve(self, instance: Instance, points: int = 8) -> Curve:
        """The most that any scheduler can have allocated of what there was at each instant, in the instance's value."""
        changes = lifetimes(instance, np.array(self.begin_ns, dtype=np.int64), np.array(self.end_ns, dtype=np.int64))
        return bound_curve(instance, changes, points=points)
