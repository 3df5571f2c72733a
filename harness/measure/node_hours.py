"""Nodes and what they cost, over time: of the cluster, and of each pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

POOL = "podyard.dev/pool"
"""Label of a node that was ordered for a pool."""

CLIENTS = "node-role.kubernetes.io/gateway"
"""Label of the node of the clients: it costs nothing."""

HOUR_NS = 3600 * 10**9


class Prices(msgspec.Struct, frozen=True):
    """Of a node for an hour, in any currency; by pool, of the other nodes by name, and of those that neither knows by
    their labels (instance type, zone, how it was bought)."""

    pools: Mapping[str, float] = {}
    nodes: Mapping[str, float] = {}
    by_labels: Callable[[Mapping[str, str]], float | None] | None = None

    @property
    def any(self) -> bool:
        return bool(self.pools or self.nodes)

    def of(self, name: str, pool: str, labels: Mapping[str, str]) -> float | None:
        known = self.pools.get(pool) if pool else self.nodes.get(name)
        return known if known is not None or self.by_labels is None else self.by_labels(labels)


class NodeHours:
    """A fold. A node counts from when it registers until it is deleted."""

    def __init__(self, pools: Iterable[str] = (), prices: Prices | None = None) -> None:
        self._prices = prices or Prices()
        self.came: list[int] = []
        """Instants at which a node came or went."""
        self._log: list[tuple[int, int]] = [(0, 0)]  # nodes, from then on
        self._pools: dict[str, list[tuple[int, int]]] = {pool: [(0, 0)] for pool in pools}
        self._there: dict[str, str] = {}  # the pool of each node, '' for none
        self._since: dict[str, int] = {}
        self._spells: list[tuple[str, int, int]] = []  # of nodes that are gone, and are priced one by one
        self._prices_of: dict[str, tuple[str, float]] = {}  # of those: pool, price
        self._unpriced = self._priced = False

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind != "Node" or CLIENTS in obj.metadata.labels:
            return
        name = obj.metadata.name
        if change == "DELETED":
            pool = self._there.pop(name, None)
            if pool is None:
                return
            self._spells.append((name, self._since.pop(name), at_ns))
            step = -1
        elif name in self._there:
            return
        else:
            pool = self._there[name] = obj.metadata.labels.get(POOL, "")
            self._since[name] = at_ns
            self._set_price(name, pool, obj.metadata.labels)
            step = 1
        self.came.append(at_ns)
        self._log.append((at_ns, self._log[-1][1] + step))
        if pool:
            log = self._pools.setdefault(pool, [(0, 0)])
            log.append((at_ns, log[-1][1] + step))

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _set_price(self, name: str, pool: str, labels: Mapping[str, str]) -> None:
        price = self._prices.of(name, pool, labels)
        self._unpriced |= price is None
        if price is not None and pool not in self._prices.pools:
            self._prices_of[name] = (pool, price)
            self._priced = True

    @property
    def pools(self) -> list[str]:
        return sorted(self._pools)

    def of_cluster(self, until_ns: int) -> dict[str, Any]:
        """Most nodes, hours, and money where there are prices; a lower bound where some node has none. All from the
        beginning of the run: who serves late pays for its nodes meanwhile."""
        out: dict[str, Any] = {
            "nodesPeak": _peak(self._log),
            "nodeHours": _hours(self._log, until_ns),
        }
        if self._prices.any or self._priced:
            pools = {
                pool: _hours(log, until_ns) * self._prices.pools.get(pool, 0.0) for pool, log in self._pools.items()
            }
            out["cost"] = sum(pools.values()) + self._one_by_one(until_ns)
            if self._unpriced:
                out["atLeast"] = ["cost"]
        return out

    def of_pool(self, pool: str, until_ns: int) -> dict[str, Any]:
        log = self._pools.get(pool, [(0, 0)])
        out: dict[str, Any] = {"nodesPeak": _peak(log), "nodeHours": _hours(log, until_ns)}
        if pool in self._prices.pools:
            out["cost"] = out["nodeHours"] * self._prices.pools[pool]
        elif any(known == pool for known, _ in self._prices_of.values()):
            out["cost"] = self._one_by_one(until_ns, pool)
        return out

    def _one_by_one(self, until_ns: int, of_pool: str | None = None) -> float:
        """Money for nodes whose pool has no price (None: for all of them)."""
        spells = [*self._spells, *((name, since, until_ns) for name, since in self._since.items())]
        none = ("", 0.0)
        return sum(
            self._prices_of.get(name, none)[1] * max(0, min(end, until_ns) - since) / HOUR_NS
            for name, since, end in spells
            if of_pool is None or self._prices_of.get(name, none)[0] == of_pool
        )


def _peak(log: list[tuple[int, int]]) -> int:
    """The most at any time; several changes of an instant are one."""
    untils = [*(at for at, _ in log[1:]), 1 << 62]
    return max(count for (at, count), until in zip(log, untils, strict=True) if until > at)


def _hours(log: list[tuple[int, int]], until_ns: int) -> float:
    ends = [*(at for at, _ in log[1:]), until_ns]
    area = sum(count * max(0, min(end, until_ns) - at) for (at, count), end in zip(log, ends, strict=True))
    return area / HOUR_NS
