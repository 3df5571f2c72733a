"""How many nodes are searched, and in which order: zone by zone in turn, on from where the last search ended.

Source: kube-scheduler 1.32 backend/cache/node_tree.go; component-helpers/node/topology GetZoneKey.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.columns import grown
from harness.scheduling.strategy import Bool, Int64

_NONE: Int64 = np.zeros(0, dtype=np.int64)

ZONE_LABELS = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone")
REGION_LABELS = ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region")
"""The first that a node has counts. Source: component-helpers/node/topology GetZoneKey."""


MIN_NODES = 100
MIN_PERCENTAGE = 5
"""Source: kube-scheduler 1.32 schedule_one.go minFeasibleNodesToFind, minFeasibleNodesPercentageToFind."""


def nodes_to_find(percentage: int | None, nodes: int) -> int:
    """How many feasible nodes are enough; `percentage` None or 0 asks for the adaptive share.

    Source: kube-scheduler 1.32 schedule_one.go numFeasibleNodesToFind.
    """
    if nodes < MIN_NODES:
        return nodes
    if not percentage:
        percentage = max(50 - nodes // 125, MIN_PERCENTAGE)
    return max(nodes * percentage // 100, MIN_NODES)


def zone_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """(region, zone); a node without a label is where the label is empty."""
    region, zone = (next((labels[key] for key in keys if key in labels), "") for keys in (REGION_LABELS, ZONE_LABELS))
    return region, zone


class NodeSearch:
    """Zones in the order in which they first had a node, nodes of a zone in the order in which they came to it."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._seen = -1  # version of the log of nodes' specs
        self.nodes: Int64 = _NONE
        self._twice: Int64 = _NONE
        self.start = 0  # where the next search begins
        # By node: when it came to its zone (-1: not there), its zone's number, the rank it had then.
        self._came: Int64 = _NONE
        self._zone: Int64 = _NONE
        self._rank: Int64 = _NONE
        self._comings = 0
        self._zones: dict[tuple[str, str], int] = {}
        self._turn: list[int] = []  # by zone: the place among the others
        self._count: list[int] = []  # by zone: nodes
        self._turns = 0

    def sync(self, snapshot: Snapshot) -> None:
        version = snapshot.spec_log.version
        if snapshot is self._snapshot and version == self._seen:
            return
        changed = snapshot.spec_log.since(self._seen) if snapshot is self._snapshot else None
        if changed is None:
            self._came, self._zones, self._turn, self._count = _NONE, {}, [], []
            order = snapshot.order_column()
            changed = order[order >= 0].tolist()
        self._snapshot, self._seen = snapshot, version
        self._came = grown(self._came, (snapshot.room,), -1)
        self._zone, self._rank = grown(self._zone, (snapshot.room,)), grown(self._rank, (snapshot.room,))
        for node in dict.fromkeys(changed):
            self._put(snapshot, node)
        self._line_up()

    def _put(self, snapshot: Snapshot, node: int) -> None:
        alive, there = bool(snapshot.node_table.alive[node]), self._came[node] >= 0
        zone = self._number(zone_of(snapshot.node_table.labels[node])) if alive else -1
        if alive and there and zone == self._zone[node] and snapshot.rank[node] == self._rank[node]:
            return
        if there:
            self._count[self._zone[node]] -= 1
            self._came[node] = -1
        if alive:
            if not self._count[zone]:  # a zone that had no node comes after the others
                self._turn[zone], self._turns = self._turns, self._turns + 1
            self._count[zone] += 1
            self._came[node], self._comings = self._comings, self._comings + 1
            self._zone[node], self._rank[node] = zone, snapshot.rank[node]

    def _number(self, zone: tuple[str, str]) -> int:
        found = self._zones.get(zone)
        if found is None:
            found = self._zones[zone] = len(self._turn)
            self._turn.append(0)
            self._count.append(0)
        return found

    def _line_up(self) -> None:
        """The first of each zone, then the second of each, and so on."""
        nodes = np.flatnonzero(self._came >= 0)
        turn = np.array(self._turn, dtype=np.int64)[self._zone[nodes]] if len(nodes) else _NONE
        by_zone = np.lexsort((self._came[nodes], turn))
        nodes, turn = nodes[by_zone], turn[by_zone]
        _, first, place = np.unique(turn, return_index=True, return_inverse=True)
        within = np.arange(len(nodes)) - first[place] if len(nodes) else _NONE
        self.nodes = nodes[np.lexsort((turn, within))]
        self._twice = np.concatenate((self.nodes, self.nodes))
        if len(nodes):
            self.start %= len(nodes)

    def search(self, fits: Bool, enough: int) -> Int64:
        """The first `enough` nodes that fit, from where the last search ended; fits: bool [nodes]."""
        n = len(self.nodes)
        nodes = self._twice[self.start : self.start + n]
        found: list[Int64] = []
        count = at = 0
        while at < n and count <= enough:  # one more than enough tells where the search ends
            window = nodes[at : at + 2 * (enough - count) + 512]
            here = np.flatnonzero(fits[window])
            found.append(window[here])
            if count + len(here) > enough:
                self.start = (self.start + at + int(here[enough - count])) % n
            count += len(here)
            at += len(window)
        return np.concatenate(found)[:enough] if found else _NONE

    def passed_by(self, looked_at: int) -> None:
        """A pod that names its nodes was held against these alone; the next search begins so many nodes on.

        Source: schedule_one.go findNodesThatFitPod: nextStartNodeIndex moves by the nodes that were processed.
        """
        if len(self.nodes):
            self.start = (self.start + looked_at) % len(self.nodes)
