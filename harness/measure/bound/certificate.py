"""Prices that prove a bound: integers only, checked by adding up, whatever computed them.

Let a pod of class p be worth v_p and a used node of class c cost k_c. Take any prices l_p for pods and any m_cr >= 0
for resource r on node class c. Every placement that holds a_pc pods of class p on the nodes of class c, at least
least_p and at most count_p in all, is worth at most

    sum_p max(l_p, 0) count_p - sum_p max(-l_p, 0) least_p
        + sum_c nodes_c max(0, Z_c + sum_r m_cr capacity_cr - k_c)

where Z_c is the most that one node can hold when a pod is worth v_p - l_p - sum_r m_cr request_pr. (Lagrangian duality:
what a node holds is worth at most Z_c beyond what it pays for pods and room, and it can pay for no more of them than
there is.) So the bound holds for any prices and for any Z_c that is not too low: a floating-point error in the linear
program that proposed the prices makes the bound weaker, never wrong. Prices are rounded to integers, in units of
1/scale of the objective; prices of room carry RESOURCE_BITS more and are rounded against the bound; Z_c comes from
integer programs (`pattern`); the sums are Python's unbounded integers.

The formula is linear in the counts of pods and nodes, so that one certificate bounds every prefix of the arrivals and
every set of living nodes: a curve over time costs one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.measure.bound.instance import Instance, Int64, fits_alone
from harness.measure.bound.pattern import NodePatterns, Pattern

Float64: TypeAlias = npt.NDArray[np.float64]

RESOURCE_BITS = 24
"""Fraction bits of the price of one unit of a resource, so that bytes can be priced."""

SCALE_BITS = 20
"""The dearest thing is at least 2 ** SCALE_BITS price units, so that rounding costs about a millionth of it."""

DEARER = 6
"""How often a resource that a pattern overruns is made dearer: from a 32nd of the pattern's worth to all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What a linear program proposes: its optimum, `pods` float64 [P], `room` float64 [N, R] for all of one node's."""

    worth: float
    pods: Float64
    room: Float64

    def towards(self, other: Prices, weight: float) -> Prices:
        """The mean of both, `weight` of it from `other`."""
        return Prices(
            other.worth,
            (1 - weight) * self.pods + weight * other.pods,
            (1 - weight) * self.room + weight * other.room,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A bound as prices: `pod_price` int64 [P], `node_price` int64 [N], in units of 1/`scale` of the objective.

    It holds for up to `most` pods of each class, int64 [P]. The objective's values are multiples of `grain`.
    """

    scale: int
    pod_price: Int64
    node_price: Int64
    most: Int64
    grain: int

    def bound(self, pod_count: Int64, node_count: Int64, least: Int64 | None = None) -> int:
        """The most that any placement of these pods on these nodes is worth; int64 [P], [N] and [P].

        Error: ValueError for more pods of a class than `most`.
        """
        none = np.zeros_like(pod_count)
        bounds = self.bounds(pod_count[None], node_count[None], none[None] if least is None else least[None])
        return int(bounds[0])

    def bounds(self, pod_counts: Int64, node_counts: Int64, least: Int64 | None = None) -> Int64:
        """`bound` for each of T rows: int64 [T, P], [T, N] or [1, N], [T, P]. int64 [T]."""
        kind = self.exact(pod_counts.max(axis=0, initial=0), node_counts.max(axis=0, initial=0))
        asked, given = np.maximum(self.pod_price, 0), np.maximum(-self.pod_price, 0)
        total = pod_counts.astype(kind) @ asked.astype(kind) + node_counts.astype(kind) @ self.node_price.astype(kind)
        if least is not None:
            total = total - least.astype(kind) @ given.astype(kind)
        return self.whole(np.asarray(total))

    def exact(self, pod_count: Int64, node_count: Int64) -> np.dtype[Any]:
        """In what to add prices up for so many pods [P] and nodes [N] at most: int64, or Python's integers where that
        could overflow. Error: ValueError for more pods of a class than `most`."""
        if (pod_count > self.most).any():
            raise ValueError("a certificate does not reach beyond the pod counts that it was made for")
        reach = np.abs(self.pod_price).astype(float) @ self.most + self.node_price.astype(float) @ node_count
        return np.dtype(np.int64 if float(reach) < 2.0**62 else np.object_)

    def whole(self, total: npt.NDArray[Any]) -> Int64:
        """Sums of prices as bounds: in units of the objective, down to what a placement can really be worth."""
        return np.asarray(total // (self.scale * self.grain) * self.grain).astype(np.int64)


class Certifier:
    """Turns proposed prices into certificates, and says which patterns are worth most at them."""

    def __init__(self, instance: Instance, most: Int64 | None = None) -> None:
        """`most`: up to which pod counts certificates shall hold, int64 [P]; None for the instance's own.

        Error: ValueError for values so large that their sums would leave int64.
        """
        self.instance = instance
        self.most = instance.pod_count if most is None else most
        self.fits = fits_alone(instance)
        self.penalty = penalty(instance)
        dearest = max(int(instance.value.max(initial=0)), int(instance.node_cost.max(initial=0)), 1)
        self.scale = 1 << max(0, SCALE_BITS + 1 - dearest.bit_length())
        self.grain = grain(instance)
        # Tables of patterns are int64: no sum of prices may leave it.
        if (dearest + self.penalty) * self.scale * float(self.most.sum()) >= 2.0**62:
            raise ValueError(f"values up to {dearest} are too large to be added up; give them in a larger unit")
        nodes = range(len(instance.node_count))
        self._patterns = [NodePatterns(instance, node, self.fits, self.most) for node in nodes]

    def certify(self, prices: Prices, steps: int) -> tuple[Certificate, Sequence[Pattern]]:
        """The certificate at these prices, and per node class a pattern worth most. `steps`: width of the grid.

        Prices out of range, not finite ones included, are drawn into it.
        """
        pods = self._pod_prices(prices)
        found, worths = [], []
        for node, patterns in enumerate(self._patterns):
            net, room, main = self._net(prices, pods, node)
            pattern = patterns.best(net, main, steps)
            found.append(pattern)
            worths.append(max(0, room + pattern.worth - int(self.instance.node_cost[node]) * self.scale))
        node_price = np.array(worths, np.int64)
        return Certificate(self.scale, pods, node_price, self.most, self.grain), found

    def real_patterns(self, prices: Prices, steps: int) -> Sequence[tuple[int, Pattern]]:
        """Patterns worth much at these prices that really fit where the main resource limits: (node class, pattern).

        Where another resource is overrun, it is made dearer, twice as much each time, until the pattern fits.
        """
        pods = self._pod_prices(prices)
        capacity = self.instance.capacity
        found = []
        for node, patterns in enumerate(self._patterns):
            dearer = np.zeros(capacity.shape[1])
            for attempt in range(DEARER):
                net, _, main = self._net(prices, pods, node, dearer)
                pattern = patterns.best(net, main, steps, inner=True)
                found.append((node, pattern))
                over = pattern.counts @ self.instance.request > capacity[node]
                if not over.any():
                    break
                dearer += np.where(over, 2.0**attempt * pattern.worth / self.scale / 2.0 ** (DEARER - 1), 0.0)
        return found

    def value(self, certificate: Certificate) -> int:
        """The certificate's bound for the instance itself."""
        instance = self.instance
        return certificate.bound(instance.pod_count, instance.node_count, instance.least)

    def _pod_prices(self, prices: Prices) -> Int64:
        top = float(self.instance.value.max(initial=0))
        inside = np.clip(np.nan_to_num(prices.pods), np.where(self.instance.least > 0, -self.penalty, 0.0), top)
        return np.rint(inside * self.scale).astype(np.int64)

    def _net(self, prices: Prices, pods: Int64, node: int, dearer: Float64 | None = None) -> tuple[Int64, int, int]:
        """Worth of each pod at these prices int64 [P], price of all the node's room, and the main resource."""
        instance, fits = self.instance, self.fits[:, node]
        net, room = instance.value * self.scale - pods, 0
        price = np.nan_to_num(prices.room[node])
        main = int(np.argmax(price + 1e-9 * self._pressure(node)))
        price = np.clip(price if dearer is None else price + dearer, 0.0, 2.0**37 / self.scale)
        for r, capacity in enumerate(instance.capacity[node].tolist()):
            unit = int(price[r] * self.scale * 2**RESOURCE_BITS / capacity) if capacity else 0
            # Only what fits is priced: its request is at most the capacity, so nothing overflows.
            net = net - (np.where(fits, instance.request[:, r], 0) * unit >> RESOURCE_BITS)
            room += capacity * unit >> RESOURCE_BITS
        return net, room, main

    def _pressure(self, node: int) -> Float64:
        """How much of each resource those ask for who could come, relative to one node, at most 1 in sum."""
        instance = self.instance
        asked = (instance.request.astype(float) * instance.pod_count[:, None])[self.fits[:, node]].sum(axis=0)
        share = asked / np.maximum(instance.capacity[node], 1)
        return np.asarray(share / max(1.0, float(share.sum())))


def grain(instance: Instance) -> int:
    """What everything that a placement can be worth is a multiple of."""
    return max(1, gcd(*instance.value.tolist(), *instance.node_cost.tolist()))


def penalty(instance: Instance) -> float:
    """More than what placing one more pod can cost: all that a node can be worth, and the dearest node.

    0 where no pod must be placed.
    """
    if not instance.least.any():
        return 0.0
    most = min(int(instance.pod_count.sum()), 1000)
    return float(int(instance.value.max(initial=0)) * most + 2 * int(instance.node_cost.max(initial=0)))
