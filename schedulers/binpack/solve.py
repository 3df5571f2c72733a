"""Large-neighbourhood search with CP-SAT: a part of the plan is taken back and decided again over patterns.

A pattern is a multiset of pod classes on one node, with its exact cost; an integer says how many nodes of a group of
equal nodes follow it. So there is no pod x node variable: pods of a class and nodes of a state are interchangeable.
The plan at hand is always among the answers, and an answer replaces it only when the whole window's score is greater.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from schedulers.binpack.board import NEVER, Spot
from schedulers.binpack.greedy import lay_out, take_back
from schedulers.binpack.neighbourhood import NodeGroup, Pattern, choose_pods, node_groups, patterns
from schedulers.binpack.plan import Gang, PlacementPlan, Problem
from schedulers.binpack.stranding import COST

OVERPAID = COST // 200
"""A pod that cost no more than this above its own optimum, in devices, is no reason to search."""

Key: TypeAlias = tuple[int, tuple[int, ...]]
"""(node group, sorted classes): patterns with the same key do the same."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search, in steps and deterministic time, never in wall time.

    `neighbourhoods`: most of them per window; `pods`: about so many pods in those around a pod that overpaid,
    `more_pods` in those around a pod that found no place, or opened a node; `deterministic_seconds`: CP-SAT's own unit
    of work, per part of the objective; `seed`: its random seed.
    """

    neighbourhoods: int = 12
    pods: int = 4
    more_pods: int = 12
    deterministic_seconds: float = 0.05
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Item:
    """Interchangeable pods of the neighbourhood: same class, priority and gang. `members` in queue order."""

    kind: int
    gang: Gang | None
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """`uses`: how many nodes follow each pattern. `placed`: how many pods of each item are placed."""

    uses: Counter[Key]
    placed: tuple[int, ...]


def improve(problem: Problem, plan: PlacementPlan, effort: Effort) -> PlacementPlan:
    """A plan whose score is at least that of `plan`. `plan` lies on the window before, the answer after."""
    score = problem.score(plan)
    settled: set[int] = set()
    for _ in range(effort.neighbourhoods):
        urgent, overpaid = _worth_a_thought(problem, plan)
        first = [index for index in urgent if index not in settled]
        focus = first + [index for index in overpaid if index not in settled]
        if not focus:
            break
        chosen = choose_pods(problem, plan, focus, effort.more_pods if first else effort.pods)
        settled.update(chosen)
        candidate = _decide_again(problem, plan, chosen, effort)
        if candidate is None:
            continue
        take_back(problem, plan)
        candidate = lay_out(problem, candidate)
        candidate_score = problem.score(candidate)
        if candidate_score > score:
            plan, score = candidate, candidate_score
            settled.difference_update(chosen)
        else:
            take_back(problem, candidate)
            plan = lay_out(problem, plan)
    return plan


def _worth_a_thought(problem: Problem, plan: PlacementPlan) -> tuple[list[int], list[int]]:
    """Pods left out though they fitted when the window began, or on a node opened for them where nodes count; and the
    others that overpaid, those first that did most.
    """
    window = problem.window
    least = window.start.min(axis=1).tolist()
    opened: set[int] = set()
    if problem.objective.fewest_nodes:
        opened = {spot.node for spot in plan.spots.values() if problem.empty[spot.node]}
    urgent: list[int] = []
    above: list[tuple[int, int]] = []
    for index, kind in enumerate(window.kind):
        spot = plan.spots.get(index)
        if spot is None:
            if least[kind] < NEVER:
                urgent.append(index)
        elif len(opened) > 1 and spot.node in opened:
            urgent.append(index)
        else:
            overpaid = int(window.start[kind, spot.node]) - least[kind]
            if overpaid > OVERPAID:
                above.append((-overpaid, index))
    return urgent, [index for _, index in sorted(above)]


def contended(problem: Problem, plan: PlacementPlan) -> bool:
    """Whether a pod is left out that fitted when the window began."""
    window = problem.window
    return any(
        index not in plan.spots and int(window.start[kind].min()) < NEVER for index, kind in enumerate(window.kind)
    )


def regret(problem: Problem, plan: PlacementPlan) -> int:
    """What the plan cost above the sum of what each of its pods, alone in the window, would have cost."""
    window = problem.window
    least = window.start.min(axis=1).tolist()
    alone: int = sum(least[window.kind[index]] for index in plan.spots)
    return plan.cost - alone


def _decide_again(problem: Problem, plan: PlacementPlan, chosen: Sequence[int], effort: Effort) -> PlacementPlan | None:
    """The plan with `chosen` placed as the solver says; None when the solver leaves them as they are.

    `plan` lies on the window before and after.
    """
    window = problem.window
    inside = set(chosen)
    wanted = Counter(window.kind[index] for index in chosen)
    held = {index: spot for index, spot in plan.spots.items() if index in inside}
    outside = {spot.node for index, spot in plan.spots.items() if index not in inside}
    for index, spot in held.items():
        window.remove(window.kind[index], spot)
    groups = node_groups(window, sorted(wanted), wanted, sorted({spot.node for spot in held.values()}))
    if not groups:  # nothing was held, and nothing fits
        return None
    options: dict[Key, Pattern] = {}
    for pattern in patterns(window, groups, wanted):
        _keep(options, pattern)
    # What the plan itself does, node by node, which also puts it back on the window.
    group_of = {node: g for g, group in enumerate(groups) for node in group.nodes}
    current: Counter[Key] = Counter()
    by_node: dict[int, list[int]] = {}
    for index, spot in held.items():
        by_node.setdefault(spot.node, []).append(index)
    for node, mine in by_node.items():
        cost = sum(window.place(window.kind[index], node, held[index].devices)[1] for index in mine)
        kinds = tuple(window.kind[index] for index in mine)
        current[_keep(options, Pattern(group_of[node], kinds, tuple(held[i].devices for i in mine), cost))] += 1
    items = _items(problem, chosen)
    opens = [bool(problem.empty[group.nodes[0]]) and group.nodes[0] not in outside for group in groups]
    answer = _master(problem, items, groups, opens, options, current, effort)
    if answer is None or answer.uses == current:
        return None
    spots = {index: spot for index, spot in plan.spots.items() if index not in inside}
    spots.update(_spots(items, groups, options, answer))
    return PlacementPlan(spots, plan.cost)


def _keep(options: dict[Key, Pattern], pattern: Pattern) -> Key:
    key = (pattern.group, tuple(sorted(pattern.kinds)))
    if key not in options or pattern.cost < options[key].cost:
        options[key] = pattern
    return key


def _items(problem: Problem, chosen: Sequence[int]) -> list[Item]:
    together: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for index in sorted(chosen):
        gang = problem.gangs.get(index)
        key = (-problem.pods[index].priority, problem.window.kind[index], () if gang is None else gang.members)
        together.setdefault(key, []).append(index)
    return [
        Item(kind, problem.gangs.get(members[0]), tuple(members)) for (_, kind, _), members in sorted(together.items())
    ]


def _master(
    problem: Problem,
    items: Sequence[Item],
    groups: Sequence[NodeGroup],
    opens: Sequence[bool],
    options: dict[Key, Pattern],
    current: Counter[Key],
    effort: Effort,
) -> Answer | None:
    """The objective's parts maximised one after the other, each then held; None when not even the first is reached."""
    from ortools.sat.python import cp_model  # slow to import, and only a strategy that runs needs it

    total = cp_model.LinearExpr.sum
    weighted = cp_model.LinearExpr.weighted_sum
    model = cp_model.CpModel()
    uses = {key: model.new_int_var(0, len(groups[key[0]].nodes), "") for key in options}
    placed = [model.new_int_var(0, len(item.members), "") for item in items]
    for g, group in enumerate(groups):
        mine = [use for key, use in uses.items() if key[0] == g]
        if mine:
            model.add(total(mine) <= len(group.nodes))
    for kind in sorted({item.kind for item in items}):
        covering = [(use, key[1].count(kind)) for key, use in uses.items() if kind in key[1]]
        filled = weighted([use for use, _ in covering], [count for _, count in covering])
        model.add(filled == total([placed[i] for i, item in enumerate(items) if item.kind == kind]))
    for gang in {item.gang.members: item.gang for item in items if item.gang is not None}.values():
        together = total([placed[i] for i, item in enumerate(items) if item.gang == gang])
        formed = model.new_bool_var("")
        model.add(together >= gang.quorum * formed)
        model.add(together <= len(gang.members) * formed)

    parts: list[Any] = []
    if sum(count * len(key[1]) for key, count in current.items()) == sum(len(item.members) for item in items):
        for place, item in zip(placed, items, strict=True):  # all are placed, and stay so
            model.add(place == len(item.members))
    else:
        parts.extend(_amounts(problem, items, placed, weighted))
    if problem.objective.fewest_nodes:
        opening = [use for key, use in uses.items() if opens[key[0]]]
        if opening:
            parts.append(-total(opening))
    parts.append(-weighted(list(uses.values()), [options[key].cost for key in uses]))

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.catch_sigint_signal = False  # Ctrl-C is for the whole run
    solver.parameters.random_seed = effort.seed
    solver.parameters.max_deterministic_time = effort.deterministic_seconds
    hint = current
    answer: Answer | None = None
    for part in parts:
        model.maximize(part)
        model.clear_hints()  # type: ignore[no-untyped-call]
        for key, use in uses.items():
            model.add_hint(use, hint[key])
        if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            break
        hint = Counter({key: solver.value(use) for key, use in uses.items() if solver.value(use)})
        answer = Answer(hint, tuple(solver.value(place) for place in placed))
        model.add(part >= solver.value(part))
    return answer


def _amounts(problem: Problem, items: Sequence[Item], placed: Sequence[Any], weighted: Any) -> list[Any]:
    """Values of the placed pods, one expression for each level and each part of the value."""
    objective = problem.objective
    first = [problem.pods[item.members[0]] for item in items]
    found: list[Any] = []
    for level in sorted({objective.level(pod) for pod in first}, reverse=True):
        mine = [i for i, pod in enumerate(first) if objective.level(pod) == level]
        for part in range(len(objective.value(first[0]))):
            weights = [objective.value(first[i])[part] for i in mine]
            if any(weights):
                found.append(weighted([placed[i] for i in mine], weights))
    return found


def _spots(
    items: Sequence[Item], groups: Sequence[NodeGroup], options: dict[Key, Pattern], answer: Answer
) -> dict[int, Spot]:
    """Patterns become spots: nodes of a group in rank order, pods of an item in queue order."""
    nodes = [list(group.nodes) for group in groups]
    waiting: dict[int, list[int]] = {}
    for item, count in zip(items, answer.placed, strict=True):
        waiting.setdefault(item.kind, []).extend(item.members[:count])
    spots: dict[int, Spot] = {}
    for key in sorted(answer.uses):
        pattern = options[key]
        for _ in range(answer.uses[key]):
            node = nodes[pattern.group].pop(0)
            for kind, devices in zip(pattern.kinds, pattern.devices, strict=True):
                spots[waiting[kind].pop(0)] = Spot(node, devices)
    return spots
