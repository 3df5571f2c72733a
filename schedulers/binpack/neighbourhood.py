"""Which part of a plan to decide again, and every way to fill each candidate node with the pods taken out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schedulers.binpack.board import NEVER, Needs, Window, choose_devices, costs, potential_of
from schedulers.binpack.plan import Gang, Plan

CANDIDATES = 6  # cheapest nodes looked at for each class, counted after equal nodes are taken together
DEPTH = 4  # most pods of a neighbourhood on one node, beyond what the plan itself does
PATTERNS = 1200  # most patterns handed to the solver


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


def choose_pods(plan: Plan, focus: Sequence[int], gangs: Mapping[int, Gang], size: int) -> list[int]:
    """The first pod of `focus`, what shares its node or its gang, then further pods of `focus`, about `size` in all."""
    by_node: dict[int, list[int]] = {}
    for index, spot in plan.spots.items():
        by_node.setdefault(spot.node, []).append(index)
    chosen: dict[int, None] = {}
    for pod in focus:
        if len(chosen) >= size:
            break
        group = gangs[pod].members if pod in gangs else (pod,)
        related = list(group)
        if pod in plan.spots:
            related += [p for p in by_node[plan.spots[pod].node] if p not in gangs]
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
    """All multisets of at most DEPTH pods that fit a node of each group, with their exact cost, up to PATTERNS of them.

    Cheap prefixes are extended first; classes come largest first, so that a multiset is met once.
    """
    board = window.board
    kinds = sorted(wanted, key=lambda k: (-window.classes[k].gpu.total_milli, -int(window.classes[k].requests[0]), k))
    needs = Needs([window.classes[k] for k in kinds], board.models)
    place_of = {k: at for at, k in enumerate(kinds)}
    heads = np.array([group.nodes[0] for group in groups])
    found: list[Pattern] = []
    layer: list[tuple[int, tuple[int, ...], tuple[tuple[int, ...], ...], int]] = [
        (g, (), (), 0) for g in range(len(groups))
    ]
    columns = window.columns.take(heads)
    for _ in range(DEPTH):
        at = np.array([heads[g] for g, _, _, _ in layer])
        allowed = window.allowed[np.array(kinds)][:, at]
        base = potential_of(columns, board.stranding)
        price = np.where(allowed, costs(needs, columns, base, board.touch[at], board.stranding), NEVER)
        grown: list[tuple[int, int, int]] = []
        for s, (_, used, _, spent) in enumerate(layer):
            start = place_of[used[-1]] if used else 0
            grown.extend(
                (spent + int(price[t, s]), s, t)
                for t in range(start, len(kinds))
                if price[t, s] < NEVER and used.count(kinds[t]) < wanted[kinds[t]]
            )
        room = PATTERNS - len(found)
        if len(grown) > room:
            grown = sorted(sorted(grown)[:room], key=lambda entry: entry[1:])
        if not grown:
            break
        source = np.array([s for _, s, _ in grown])
        columns = columns.take(source)
        next_layer = []
        for row, (spent, s, t) in enumerate(grown):
            g, used, chosen, _ = layer[s]
            cls = window.classes[kinds[t]]
            devices = choose_devices(cls, columns.devices[row], board.stranding.worth)
            columns.free[:, row] -= needs.requests[t]
            for device in devices:
                columns.devices[row, device] -= cls.gpu.milli
            entry = (g, (*used, kinds[t]), (*chosen, devices), spent)
            next_layer.append(entry)
            found.append(Pattern(*entry))
        layer = next_layer
    return found
