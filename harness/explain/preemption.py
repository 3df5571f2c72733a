"""Who would be evicted for a pod that fits nowhere: every candidate node, and those that are the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from harness.model.core import Pod
from harness.model.objects import PodDisruptionBudget
from harness.scheduling.feasibility.fit_error import Diagnosis
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.victims import NoPreemption, Preemption, Victims
from harness.scheduling.strategy import PodView


@dataclass(frozen=True, slots=True)
class PreemptionAnswer:
    """`best`: nodes any of which may be nominated. `victims`: by candidate node, the most important first.

    `violations`: budgets that would be broken, by node, where any would. `message`: why nobody goes, else ''.
    """

    best: tuple[str, ...]
    victims: Mapping[str, tuple[str, ...]]
    violations: Mapping[str, int]
    message: str

    def to_data(self) -> dict[str, Any]:
        return {
            "best": list(self.best),
            "candidates": {node: list(pods) for node, pods in self.victims.items()},
            "violations": dict(self.violations),
            "message": self.message,
        }


class PreemptionDryRun:
    """kube-scheduler's DefaultPreemption asked without carrying it out."""

    def __init__(self, snapshot: Snapshot, waiting: Mapping[str, Pod]) -> None:
        self._snapshot = snapshot
        self._preemption = Preemption(snapshot, Random(0), waiting)

    def add_pod(self, pod: Pod) -> None:
        """A running pod."""
        self._preemption.update_pod(pod)

    def add_budget(self, budget: PodDisruptionBudget) -> None:
        self._preemption.budgets.put(budget)

    def answer(self, view: PodView, pod: Pod, diagnosis: Diagnosis) -> PreemptionAnswer:
        """For a pod that fits nowhere, as `diagnosis` says."""
        verdict = self._preemption.verdict(view, pod, diagnosis)
        if isinstance(verdict, NoPreemption):
            return PreemptionAnswer((), {}, {}, verdict.reason)
        found: list[Victims] = self._preemption.candidates(view, diagnosis)
        names = self._snapshot.node_table.names
        least = min(item.rank for item in found)
        return PreemptionAnswer(
            tuple(names[item.node] for item in found if item.rank == least),
            {names[item.node]: tuple(victim.key for victim in item.pods) for item in found},
            {names[item.node]: item.violations for item in found if item.violations},
            "",
        )
