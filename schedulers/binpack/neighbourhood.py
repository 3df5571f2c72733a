"""Which part of a plan to decide again, and every way to fill each candidate node with the pods taken out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schedulers.binpack.board import NEVER, ClassRequests, Window, choose_devices, costs, potential_of
from schedulers.binpack.plan import PlacementPlan, Problem

CANDIDATES = 6  # cheapest nodes looked at for each class, counted after equal nodes are taken together
DEPTH = 4  # most pods of a neighbourhood on one node, beyond what the plan itself does
PATTERNS = 400  # most patterns of each size handed to the solver


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes in equal state for the classes at hand (positions on the board), so one integer stands for all of them."""

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """`kinds`: class of each pod put on one node of `group`, in the order of placement, and what that costs."""

    group: int
    kinds: tuple[int, ...]
    devices: tuple[tuple[int, ...], ...]
    cost: int


def choose_pods(problem: Problem, plan: PlacementPlan, focus: Sequence[int], size: int) -> list[int]:
    """About `size` pods: the first of `focus` with what is related to it, then the next.

    Related are the members of its gang, and the pods on the nodes that it would have had rather, alone in the window:
    they are in its way. Then those on its own node.
    """
    window = problem.window
    by_node: dict[int, list[int]] = {}
    for index, spot in plan.spots.items():
        by_node.setdefault(spot.node, []).append(index)
    chosen: dict[int, None] = {}
    for pod in focus:
        if len(chosen) >= size:
            break
        gang = problem.gangs.get(pod)
        chosen.update(dict.fromkeys((pod,) if gang is None else gang.members))
        price = window.start[window.kind[pod]]
        own = [plan.spots[pod].node] if pod in plan.spots else []
        limit = price[own[0]] if own else NEVER
        rather = sorted((node for node in by_node if price[node] < limit), key=lambda node: (int(price[node]), node))
        for node in (*rather, *own):
            related = [other for other in by_node[node] if other not in problem.gangs]
            if len(chosen) < size:
                chosen.update(dict.fromkeys(related))
    return list(chosen)


def node_groups(
    window: Window, kinds: Sequence[int], wanted: Mapping[int, int], held: Sequence[int]
) -> list[NodeGroup]:
    """Candidate nodes: the cheapest for each class, enough of them for `wanted[kind]` pods, and those in `held`."""
    candidates: dict[int, None] = dict.fromkeys(held)
    for kind in kinds:
        row = window.cost[kind]
        want = min(len(row), 4 * (CANDIDATES + wanted[kind]))
        cheapest = np.argpartition(row, want - 1)[:want] if want < len(row) else np.arange(len(row))
        groups: dict[int, int] = {}
        # By cost, then position: argpartition alone leaves the order, and ties at its border, to its own devices.
        for node in cheapest[np.lexsort((cheapest, row[cheapest]))].tolist():
            price = int(row[node])
            if price >= NEVER or (price not in groups and len(groups) == CANDIDATES):
                break
            if groups.get(price, 0) < wanted[kind]:
                groups[price] = groups.get(price, 0) + 1
                candidates[node] = None
    states: dict[tuple[bytes, bytes, int, bytes], list[int]] = {}
    some = np.array(kinds)
    columns = window.columns
    for node in sorted(candidates):
        key = (
            columns.free[:, node].tobytes(),
            columns.devices[node].tobytes(),
            int(columns.model[node]),
            window.cost[some, node].tobytes(),
        )
        states.setdefault(key, []).append(node)
    return [NodeGroup(tuple(nodes)) for nodes in states.values()]


def patterns(window: Window, groups: Sequence[NodeGroup], wanted: Mapping[int, int]) -> list[Pattern]:
    """Multisets of at most DEPTH pods that fit a node of each group, with their exact cost.

    Of each size the PATTERNS that cost least above what their pods cost alone; only those are extended by one more
    pod. Classes come largest first, so that a multiset is met once.
    """
    board = window.board
    kinds = sorted(wanted, key=lambda k: (-window.classes[k].gpu.total_milli, -int(window.classes[k].requests[0]), k))
    needs = ClassRequests([window.classes[k] for k in kinds], board.models)
    found: list[Pattern] = []
    least: list[int] = []  # cost of each class alone
    # Of each pattern: its group, classes (indices into `kinds`), devices, and cost above that of its pods alone.
    layer: list[tuple[int, tuple[int, ...], tuple[tuple[int, ...], ...], int]] = [
        (g, (), (), 0) for g in range(len(groups))
    ]
    heads = np.array([group.nodes[0] for group in groups])
    columns = window.columns.take(heads)
    for _ in range(DEPTH):
        at = heads[[g for g, _, _, _ in layer]]
        base = potential_of(columns, board.stranding)
        price = costs(needs, columns, base, window.touch[at], board.stranding)
        price = np.where(window.allowed[np.array(kinds)][:, at], price, NEVER)
        if not least:
            least = price.min(axis=1).tolist()
        rows = price.T.tolist()
        grown = [
            (above + row[t] - least[t], s, t)
            for s, ((_, used, _, above), row) in enumerate(zip(layer, rows, strict=True))
            for t in range(used[-1] if used else 0, len(kinds))
            if row[t] < NEVER and used.count(t) < wanted[kinds[t]]
        ]
        if not grown:
            break
        if len(grown) > PATTERNS:
            grown = sorted(grown)[:PATTERNS]
        columns = columns.take(np.array([s for _, s, _ in grown]))
        extended = []
        for row_at, (above, s, t) in enumerate(grown):
            g, used, chosen, _ = layer[s]
            used = (*used, t)
            devices = choose_devices(needs.classes[t], columns.devices[row_at], board.stranding.worth)
            columns.free[:, row_at] -= needs.requests[t]
            for device in devices:
                columns.devices[row_at, device] -= needs.milli[t]
            chosen = (*chosen, devices)
            extended.append((g, used, chosen, above))
            found.append(Pattern(g, tuple(kinds[u] for u in used), chosen, above + sum(least[u] for u in used)))
        layer = extended
    return found
