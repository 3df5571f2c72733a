"""What a window decides: which pod goes where, and by which objective one plan is better than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.model.errors import UserError, did_you_mean
from harness.scheduling.strategy import CPU, MEMORY, Bool, PodBatch, PodView
from schedulers.binpack.board import Spot, Window


@dataclass(frozen=True, slots=True)
class Objective:
    """Lexicographic, greatest first: values of the placed pods, then (maybe) nodes kept empty, then least stranding.

    `by_priority`: values are summed by priority level, the highest level deciding first.
    `amounts`: a pod's value is its GPU milli, cpu, memory and 1, in this order; else 1 alone.
    """

    name: str
    by_priority: bool
    amounts: bool
    fewest_nodes: bool

    def level(self, pod: PodView) -> int:
        return pod.priority if self.by_priority else 0

    def value(self, pod: PodView) -> tuple[int, ...]:
        if not self.amounts:
            return (1,)
        return (pod.gpu.total_milli, int(pod.requests[CPU]), int(pod.requests[MEMORY]), 1)


OBJECTIVES: Mapping[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("priority", by_priority=True, amounts=True, fewest_nodes=False),
        Objective("allocate-most", by_priority=False, amounts=True, fewest_nodes=False),
        Objective("fewest-nodes", by_priority=True, amounts=True, fewest_nodes=True),
        Objective("least-fragmentation", by_priority=True, amounts=False, fewest_nodes=False),
    )
}


def objective_named(name: str) -> Objective:
    """Raises UserError with a suggestion for an unknown name."""
    if name not in OBJECTIVES:
        raise UserError(
            "binpack knows no such objective",
            found=name,
            expected=", ".join(OBJECTIVES),
            hint=did_you_mean(name, OBJECTIVES),
        )
    return OBJECTIVES[name]


@dataclass(frozen=True, slots=True)
class Gang:
    """Members of one group in this window (pod indices), of which at least `quorum` are placed, or none."""

    members: tuple[int, ...]
    quorum: int


@dataclass(frozen=True, slots=True)
class PlacementPlan:
    """`spots`: pod index -> spot, in the order of placement. `cost`: sum of what the placements cost."""

    spots: Mapping[int, Spot]
    cost: int


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One window: its pods, and what a plan for them is judged by.

    `gangs`: pod index -> its gang. `empty`: nothing runs there yet, bool per position on the board.
    """

    window: Window
    pods: PodBatch
    objective: Objective
    gangs: Mapping[int, Gang]
    empty: Bool

    def score(self, plan: PlacementPlan) -> tuple[int, ...]:
        """Comparable between plans of this window, greater is better."""
        objective = self.objective
        totals: dict[int, list[int]] = {
            level: [] for level in sorted({objective.level(pod) for pod in self.pods}, reverse=True)
        }
        for total in totals.values():
            total.extend([0] * len(objective.value(self.pods[0])))
        for index in plan.spots:
            total = totals[objective.level(self.pods[index])]
            for at, amount in enumerate(objective.value(self.pods[index])):
                total[at] += amount
        opened = 0
        if objective.fewest_nodes:
            opened = len({spot.node for spot in plan.spots.values() if self.empty[spot.node]})
        return (*(amount for total in totals.values() for amount in total), -opened, -plan.cost)
