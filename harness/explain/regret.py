"""Bindings that cost most with hindsight: whose moving elsewhere would have let in a pod that never got a node.

Of the cluster as the run left it. A binding is regretted when its pod has another node that would take it now, and
without it on its own node a pod fits that found no place: the largest such pod is what the binding cost. Each is found
by taking the pod away and asking every constraint, so moving that one pod alone would have done it; regrets do not add
up, as two bindings may have kept out the same pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.explain.node_changes import Without, holds
from harness.explain.recorded_decision import RecordNotes
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import CPU, PodView


@dataclass(frozen=True, slots=True)
class Regret:
    """`pod` is on `node` and could be on `elsewhere` nodes; without it there, `kept_out` would have fitted."""

    pod: str
    node: str
    elsewhere: int
    kept_out: str
    gpu_milli: int
    cpu_milli: int

    def to_data(self) -> dict[str, Any]:
        return {
            "pod": self.pod,
            "node": self.node,
            "otherNodes": self.elsewhere,
            "keptOut": self.kept_out,
            "gpuMilli": self.gpu_milli,
            "cpuMilli": self.cpu_milli,
        }


def regrets(recorded: RecordNotes, most: int = 10) -> list[Regret]:
    """The worst first, by GPU and then CPU of what was kept out; ties by the pod's key."""
    on, waiting = recorded.end()
    return of_snapshot(on, waiting, most)


def of_snapshot(on: Snapshot, waiting: Sequence[PodView], most: int) -> list[Regret]:
    """`waiting`: pods that never got a node. One pod speaks for its class."""
    by_class: dict[int, PodView] = {}
    for view in sorted(waiting, key=lambda item: item.key):
        by_class.setdefault(view.cls.id, view)
    # The largest first: the first that fits is the answer.
    wanted = sorted(by_class.values(), key=lambda item: (-item.gpu.total_milli, -int(item.requests[CPU]), item.key))
    out: list[Regret] = []
    free_for: dict[int, np.ndarray] = {}
    for node, pods in enumerate(on.placements.pods):
        for pod in tuple(pods):
            kept_out = next((view for view in wanted if _lets_in(on, node, pod, view)), None)
            if kept_out is None:
                continue
            mask = free_for.get(pod.cls.id)
            if mask is None:
                mask = free_for[pod.cls.id] = on.feasible(pod).copy()
            elsewhere = int(np.count_nonzero(mask)) - bool(mask[node])
            if elsewhere:
                gpu, cpu = kept_out.gpu.total_milli, int(kept_out.requests[CPU])
                out.append(Regret(pod.key, on.node_table.names[node], elsewhere, kept_out.key, gpu, cpu))
    return sorted(out, key=lambda item: (-item.gpu_milli, -item.cpu_milli, item.pod))[:most]


def _lets_in(on: Snapshot, node: int, pod: PodView, view: PodView) -> bool:
    """Whether `view` does not fit on the node, and would without `pod`."""
    free = on.free_of[node]
    mine = pod.cls.amounts
    for row, want in enumerate(view.cls.amounts):  # most pods are ruled out here
        if want > free[row] + (mine[row] if row < len(mine) else 0):
            return False

    def fits(at: Snapshot) -> bool:
        return at.verdicts.holds(at.classes.class_now(view), node)

    return not fits(on) and holds(on, node, (Without(pod.key),), fits)
