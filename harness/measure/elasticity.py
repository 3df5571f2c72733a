"""Autoscaling response: demand and supply of replicas over time, how long and how far they were apart, and why.

Demand d is the smallest supply that meets the service's SLO under the load (`queueing`): it does not depend on the
autoscaler. Supply s is the number of ready endpoints. Accuracy, timeshare, instability and jitter as in SPEC RG (Herbst
et al., "Ready for Rain?", SPEC-RG-2016-01). Both are sampled once a second; as replicas come and go in jumps,
instability compares how both moved over the last minute.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from harness.measure.node_hours import NodeHours, Prices
from harness.measure.queue_model import QueueModel
from harness.measure.queueing import most_in_time
from harness.measure.traffic import WARM_UP_NS
from harness.model.load import LoadCurve

Int64 = npt.NDArray[np.int64]
SECOND_NS = 10**9

TREND_S = 60
"""Seconds over which the trends of supply and demand are compared."""


class Target(msgspec.Struct, frozen=True):
    """A service, its load, and what one replica can do. `scaled`: whether an autoscaler is known to size it; otherwise
    it counts once a HorizontalPodAutoscaler names its Deployment. `warm_up_ns`: as in `traffic`."""

    service: str
    curve: LoadCurve
    model: QueueModel
    scaled: bool = True
    warm_up_ns: int = WARM_UP_NS

    def demand(self, t_ns: int) -> int:
        """The fewest replicas, alike and with even shares of the load, that answer the objective's share of requests in
        time."""
        rate_rps = self.curve.rate_milli_rps(t_ns) / 1000
        return math.ceil(rate_rps / most_in_time(self.model) - 1e-9)


class Elasticity:
    kinds = ("EndpointSlice", "HorizontalPodAutoscaler", "Node")

    def __init__(self, targets: tuple[Target, ...], pools: Iterable[str] = (), prices: Prices | None = None) -> None:
        self.targets = targets
        self._scaled = {target.service for target in targets if target.scaled}
        self.machines = NodeHours(pools, prices)
        self._ready: dict[str, dict[str, int]] = {target.service: {} for target in targets}
        self._supply: dict[str, list[tuple[int, int]]] = {target.service: [(0, 0)] for target in targets}
        self._wanted: dict[str, list[tuple[int, int]]] = {target.service: [] for target in targets}
        self._scalers: dict[str, list[tuple[int, int]]] = {}  # HPAs of others: replicas that there are, by target
        self.asked: list[tuple[int, tuple[Any, ...]]] = []

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "EndpointSlice":
            meta = obj.metadata
            service = f"{meta.namespace}/{meta.labels.get('kubernetes.io/service-name', '')}"
            if service in self._ready:
                ready = 0 if change == "DELETED" else sum(bool(e.conditions.ready) for e in obj.endpoints)
                self._ready[service][meta.name] = ready
                self._supply[service].append((at_ns, sum(self._ready[service].values())))
        elif kind == "HorizontalPodAutoscaler":
            wanted = obj.status.desired_replicas
            service = f"{obj.metadata.namespace}/{obj.spec.scale_target_ref.name}"
            self._scaled.add(service)
            if wanted is not None:
                log = self._wanted.setdefault(service, [])
                if not log:  # what there was when it first looked: the status tells both
                    log.append((at_ns, obj.status.current_replicas or 0))
                if log[-1][1] != wanted:
                    log.append((at_ns, wanted))
            if service not in self._supply:
                self._scalers.setdefault(service, [(0, 0)]).append((at_ns, obj.status.current_replicas or 0))
        elif kind == "Node":
            self.machines.write(at_ns, kind, change, obj, old)

    @property
    def seen(self) -> bool:
        """Whether anything scaled."""
        return bool(self._scaled or self.machines.pools or self.asked)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "autoscaling":
            self.asked.append((at_ns, data))

    def metrics(self, until_ns: int) -> dict[str, Any]:
        """By service. Accuracy in percent of demand, shares in percent of time, times in seconds."""
        out = {target.service: self._of(target, until_ns) for target in self.targets if target.service in self._scaled}
        grid = np.arange(0, max(until_ns // SECOND_NS, 1), dtype=np.int64) * SECOND_NS
        # The load of these is not known, so there is supply and no demand.
        for target, log in sorted(self._scalers.items()):
            supply = _along(log, grid)
            out[target] = {
                "supplyPeak": int(supply.max(initial=0)),
                "podHours": float(supply.sum()) / 3600,
                "rescales": max(len(self._wanted.get(target, ())) - 1, 0),
                **self.machines.of_cluster(until_ns),
            }
        refused: Counter[str] = Counter()
        for _, (pool, way, count) in self.asked:
            refused[pool] += count if way == "refused" else 0
        for pool in sorted({*self.machines.pools, *(pool for pool, count in refused.items() if count)}):
            out[f"pool {pool}"] = self.machines.of_pool(pool, until_ns)
            if refused[pool]:
                out[f"pool {pool}"]["refused"] = refused[pool]
        return out

    def _of(self, target: Target, until_ns: int) -> dict[str, Any]:
        grid = np.arange(0, max(until_ns // SECOND_NS, 1), dtype=np.int64) * SECOND_NS
        demand = np.array([target.demand(at) for at in grid.tolist()], dtype=np.int64)
        supply = _along(self._supply[target.service], grid)
        first = _begin(demand, supply, target.warm_up_ns)
        demand, supply, grid = demand[first:], supply[first:], grid[first:]
        under, over = np.maximum(demand - supply, 0), np.maximum(supply - demand, 0)
        change_d, change_s = np.sign(np.diff(demand)), np.sign(np.diff(supply))
        spent = max(len(grid), 1)
        episodes = _episodes(under > 0)
        out: dict[str, Any] = {
            "underAccuracy": 100.0 * float((under / np.maximum(demand, 1)).sum()) / spent,
            "overAccuracy": 100.0 * float((over / np.maximum(demand, 1)).sum()) / spent,
            "underTimeshare": 100.0 * int((under > 0).sum()) / spent,
            "overTimeshare": 100.0 * int((over > 0).sum()) / spent,
            "instability": 100.0 * int((_trend(demand) * _trend(supply) < 0).sum()) / spent,
            "jitter": (int((change_s != 0).sum()) - int((change_d != 0).sum())) / spent,
            "demandPeak": int(demand.max(initial=0)),
            "supplyPeak": int(supply.max(initial=0)),
            "rescales": max(len(self._wanted[target.service]) - 1, 0),
        }
        out["podHours"] = float(supply.sum()) / 3600
        lengths = [end - begin for begin, end in episodes]
        out["responseSeconds"] = {
            "episodes": len(lengths),
            "mean": sum(lengths) / len(lengths) if lengths else 0.0,
            "max": max(lengths, default=0),
        }
        if episodes and episodes[-1][1] >= len(grid):  # it continues beyond the end of the run
            out["responseSeconds"]["atLeast"] = ["mean", "max"]
        if episodes:
            begin, end = max(episodes, key=lambda item: (item[1] - item[0], -item[0]))
            begin_ns = int(grid[begin])
            out["longest"] = self._waterfall(target, begin_ns, begin_ns + (end - begin) * SECOND_NS)
            if end >= len(grid):
                out["longest"]["atLeast"] = ["readySeconds"]
        return out | self.machines.of_cluster(until_ns)

    def _waterfall(self, target: Target, begin_ns: int, end_ns: int) -> dict[str, Any]:
        """Seconds from the beginning of the longest shortage to each step that ended it."""
        out: dict[str, Any] = {"atSeconds": begin_ns / 1e9, "readySeconds": (end_ns - begin_ns) / 1e9}
        steps = pairwise(self._wanted[target.service])
        wanted = [at for (_, before), (at, after) in steps if begin_ns <= at <= end_ns and after > before]
        if wanted:
            out["decidedSeconds"] = (wanted[0] - begin_ns) / 1e9
        asked = [at for at, what in self.asked if what[1] == "up" and begin_ns <= at <= end_ns]
        if asked:
            out["nodesAskedSeconds"] = (asked[0] - begin_ns) / 1e9
        came = [at for at in self.machines.came if begin_ns <= at <= end_ns]
        if came:
            out["nodesThereSeconds"] = (came[0] - begin_ns) / 1e9
        return out


def _begin(demand: Int64, supply: Int64, warm_up_ns: int) -> int:
    """The second from which both count: the first with a replica, or the end of the warm-up after the first with a
    demand, whichever is earlier."""
    up, asked = (np.flatnonzero(values > 0)[:1].tolist() for values in (supply, demand))
    latest = [second + warm_up_ns // SECOND_NS for second in asked]
    return min([*up, *latest, len(demand) - 1]) if up or latest else 0


def _trend(values: Int64) -> Int64:
    """Whether it rose (1) or fell (-1) over the last TREND_S."""
    before = np.concatenate([np.repeat(values[:1], TREND_S), values])[: len(values)]
    return np.asarray(np.sign(values - before))


def _along(log: list[tuple[int, int]], grid: Int64) -> Int64:
    """A step function, given by its changes, on a grid."""
    at = np.array([instant for instant, _ in log], dtype=np.int64)
    values = np.array([value for _, value in log], dtype=np.int64)
    return values[np.clip(np.searchsorted(at, grid, side="right") - 1, 0, len(values) - 1)]


def _episodes(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[begin, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
