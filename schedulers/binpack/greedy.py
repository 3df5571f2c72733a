"""The warm start: pods one by one, each to the node where it costs least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.scheduling.strategy import PodBatch
from schedulers.binpack.board import Spot
from schedulers.binpack.plan import PlacementPlan, Problem


def queue_order(pods: PodBatch) -> list[int]:
    """As the queue has them: priority, then entry."""
    return sorted(range(len(pods)), key=lambda i: (-pods[i].priority, i))


def whole_devices_first(pods: PodBatch) -> list[int]:
    """By priority, then those that ask for most whole devices: what is hardest to place goes while there is room."""
    return sorted(range(len(pods)), key=lambda i: (-pods[i].priority, -(pods[i].gpu.total_milli // 1000), i))


def one_by_one(
    problem: Problem, order: Sequence[int], taken: Mapping[int, Spot] | None = None, cost: int = 0
) -> PlacementPlan:
    """Place pods in `order`, after those in `taken`, which lie on the window already and cost `cost`.

    The placements stay on the window. A gang is tried as a whole where its first member stands, and taken back
    when fewer than its quorum fit. Afterwards no single pod that is left out fits anywhere.
    """
    window = problem.window
    spots: dict[int, Spot] = dict(taken or {})
    tried: set[int] = set(spots)
    for index in order:
        if index in tried:
            continue
        gang = problem.gangs.get(index)
        members = (index,) if gang is None else tuple(m for m in gang.members if m not in tried)
        tried.update(members)
        placed: list[int] = []
        spent = 0
        for member in members:
            kind = window.kind[member]
            node = window.best(kind)
            if node is not None:
                spots[member], paid = window.place(kind, node)
                spent += paid
                placed.append(member)
        if gang is not None and sum(m in spots for m in gang.members) < gang.quorum:
            for member in placed:
                window.remove(window.kind[member], spots.pop(member))
        else:
            cost += spent
    return PlacementPlan(spots, cost)


def take_back(problem: Problem, plan: PlacementPlan) -> None:
    for index, spot in plan.spots.items():
        problem.window.remove(problem.window.kind[index], spot)


def lay_out(problem: Problem, plan: PlacementPlan) -> PlacementPlan:
    """Place the plan's pods on the window, add whoever still fits, and count the cost as it comes out."""
    cost = 0
    for index, spot in plan.spots.items():
        _, paid = problem.window.place(problem.window.kind[index], spot.node, spot.devices)
        cost += paid
    return one_by_one(problem, queue_order(problem.pods), plan.spots, cost)
