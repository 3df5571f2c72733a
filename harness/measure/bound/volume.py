"""The simplest bound: one resource at a time, as if the cluster were one node and pods were liquid."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

from harness.measure.bound.instance import Instance

Amounts = Sequence[int]


def volume(instance: Instance) -> int:
    """The least, over the resources and GPU milli, of what could be placed, less what the nodes for the rest must cost.

    In exact numbers, rounded down.
    """
    values, counts = instance.value.tolist(), instance.pod_count.tolist()
    demands = [(instance.request[:, r].tolist(), instance.capacity[:, r].tolist()) for r in range(_resources(instance))]
    demands.append((instance.gpu_total.tolist(), (instance.devices * instance.device_milli).tolist()))
    worth = Fraction(sum(value * count for value, count in zip(values, counts, strict=True)))
    cost = Fraction(0)
    for asked, room in demands:
        worth = min(worth, _most_placed(values, counts, asked, _total(instance.node_count.tolist(), room)))
        owed = _total(instance.least.tolist(), asked)
        cost = max(cost, _least_cost(instance.node_cost.tolist(), instance.node_count.tolist(), room, owed))
    return floor(worth - cost)


def _resources(instance: Instance) -> int:
    return int(instance.capacity.shape[1])


def _total(counts: Amounts, amounts: Amounts) -> int:
    return sum(count * amount for count, amount in zip(counts, amounts, strict=True))


def _most_placed(values: Amounts, counts: Amounts, asked: Amounts, room: int) -> Fraction:
    """The fractional knapsack: the pods of most value for what they ask first."""
    worth = Fraction(sum(v * n for v, n, a in zip(values, counts, asked, strict=True) if not a))
    dense = sorted((p for p, a in enumerate(asked) if a), key=lambda p: (-Fraction(values[p], asked[p]), p))
    for pod in dense:
        part = min(Fraction(counts[pod]), Fraction(room, asked[pod]))
        worth += part * values[pod]
        room -= min(counts[pod] * asked[pod], room)
    return worth


def _least_cost(costs: Amounts, counts: Amounts, room: Amounts, owed: int) -> Fraction:
    """What nodes with room for `owed` cost at least: those of most room for their cost first, the last one in part."""
    cost, left = Fraction(0), Fraction(owed)
    for node in sorted((n for n, r in enumerate(room) if r), key=lambda n: (Fraction(costs[n], room[n]), n)):
        part = min(Fraction(counts[node]), left / room[node])
        cost += part * costs[node]
        left -= part * room[node]
    return cost
