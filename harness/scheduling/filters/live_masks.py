"""Verdicts that follow from counts by domain, as a mask over nodes that is touched only where a verdict turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from harness.scheduling.filters.filter import Filter
from harness.scheduling.state.change_log import ChangeLog
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.domain_counts import FEW, MANY, DomainCounts
from harness.scheduling.state.node_table import Codes
from harness.scheduling.strategy import Bool


class NodeMask(Protocol):
    """`refresh`, then read `mask` (bool, at least [nodes]); `stamp` grows when it has changed."""

    dirty: list[int]
    stamp: int

    @property
    def mask(self) -> Bool: ...

    def refresh(self) -> None: ...

    def holds(self, node: int) -> bool:
        """Of one node, now, without refreshing the mask."""

    def parts(self) -> Sequence[DomainMask] | None:
        """The masks by domain that must all hold, as things stand; None where it is none of such."""


class DomainMask:
    """A node is in where its domain's count is at most `limit()`, or, `more`, where it is above.

    `absent`: what holds for nodes without the topology label. `settle`, then read `verdicts` by the label column's code
    (-1 for none); `turned` logs the codes whose verdict turned since the nodes last changed.
    """

    def __init__(self, state: ClusterState, domains: DomainCounts, *, more: bool, absent: bool) -> None:
        self._state = state
        self.domains = domains
        self._column = domains.index.column
        self._more = more
        self._absent = absent
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)
        self.verdicts: Bool = np.zeros(0, dtype=np.bool_)
        self.turned = ChangeLog()
        self._limit = 0
        self._seen = -1
        self._shown = (-1, 0)  # what `mask` shows: version of the nodes' specs, of `turned`
        domains.masks.append(self)

    def limit(self) -> int:
        return 0

    @property
    def width(self) -> int:
        """Domains of the topology key."""
        return len(self._column.values)

    @property
    def codes(self) -> Codes:
        """The domain of each node, int32 [nodes]."""
        return self._column.codes

    def members(self) -> Sequence[Sequence[int]]:
        """Nodes by code."""
        return self._column.members()

    def parts(self) -> Sequence[DomainMask] | None:
        return (self,)

    def holds(self, node: int) -> bool:
        domains = self.domains
        domains.sync()
        code = self._column.codes.item(node)
        if code < 0:
            return self._absent
        return (domains.counts[code] > self.limit()) == self._more

    def settle(self) -> None:
        """Bring `verdicts` up to date."""
        domains = self.domains
        domains.sync()
        limit = self.limit()
        specs = self._state.spec_log.version
        dirty = self.dirty
        if specs != self._seen:
            self._seen, self._limit = specs, limit
            self.verdicts = self._all()
            self.stamp += 1
        elif limit != self._limit or len(dirty) >= MANY:
            self._limit = limit
            verdicts = self._all()
            turned = np.flatnonzero(verdicts != self.verdicts).tolist()
            self.verdicts = verdicts
            self._turn(turned)
        elif dirty:
            verdicts, counts, more = self.verdicts, domains.counts, self._more
            turned = []
            for code in dirty:
                verdict = (counts[code] > limit) == more
                if verdicts[code] != verdict:
                    verdicts[code] = verdict
                    turned.append(code)
            self._turn(turned)
        if dirty:
            dirty.clear()

    def _all(self) -> Bool:
        counts = self.domains.counts
        out = np.full(max(len(counts), len(self._column.values)) + 1, self._absent)  # code -1 picks the last
        out[: len(counts)] = (np.array(counts, dtype=np.int64) > self._limit) == self._more
        out[len(counts) : -1] = (self._limit < 0) == self._more
        return out

    def _turn(self, codes: list[int]) -> None:
        for code in codes:
            self.turned.add(code)
        self.stamp += bool(codes)

    def refresh(self) -> None:
        self.settle()
        now = (self._seen, self.turned.version)
        specs, version = self._shown
        if now == self._shown:
            return
        self._shown = now
        codes = self.turned.since(version) if specs == self._seen else None
        mask, verdicts = self.mask, self.verdicts
        if codes is not None and len(codes) <= FEW:
            members = self._column.members()
            if sum(len(members[code]) for code in codes) <= FEW:
                for code in codes:
                    for node in members[code]:
                        mask[node] = verdicts[code]
                return
        n = len(self._state.node_table)
        if len(mask) != self._state.room:
            mask = self.mask = np.zeros(self._state.room, dtype=np.bool_)
        mask[:n] = verdicts[self._column.codes[:n]]


class RecomputedMask:
    """A filter that keeps no live mask: asked for every node after each change."""

    def __init__(self, state: ClusterState, of: Filter) -> None:
        self._state = state
        self._filter = of
        self._seen = -1
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)

    def holds(self, node: int) -> bool:
        return self._filter.holds(self._state, node)

    def parts(self) -> Sequence[DomainMask] | None:
        return None

    def refresh(self) -> None:
        state = self._state
        if state.log.version != self._seen:
            self._seen = state.log.version
            self.mask = np.zeros(state.room, dtype=np.bool_)
            n = len(state.node_table)
            self.mask[:n] = self._filter.mask(state, slice(0, n))
            self.stamp += 1


class AllOf:
    """Where every part holds."""

    def __init__(self, parts: Sequence[NodeMask]) -> None:
        self._parts = parts
        self.dirty: list[int] = []
        self.stamp = 0
        self._seen: tuple[int, ...] = ()
        self.mask: Bool = np.zeros(0, dtype=np.bool_)

    def holds(self, node: int) -> bool:
        return all(part.holds(node) for part in self._parts)

    def parts(self) -> Sequence[DomainMask] | None:
        out: list[DomainMask] = []
        for part in self._parts:
            found = part.parts()
            if found is None:
                return None
            out += found
        return out

    def refresh(self) -> None:
        for part in self._parts:
            part.refresh()
        seen = tuple(part.stamp for part in self._parts)
        if seen == self._seen:
            return
        self._seen = seen
        self.stamp += 1
        first, *rest = self._parts
        if not rest:
            self.mask = first.mask
            return
        self.mask = np.logical_and(first.mask, rest[0].mask)
        for part in rest[1:]:
            self.mask &= part.mask


def all_of(parts: Sequence[NodeMask]) -> NodeMask:
    return parts[0] if len(parts) == 1 else AllOf(parts)


@runtime_checkable
class HasLiveMask(Protocol):
    """A CLUSTER filter whose verdicts are kept live; a value, so that equal filters share one mask."""

    def live(self, state: ClusterState) -> NodeMask:
        """Where it holds, kept up to date."""


def live_mask(state: ClusterState, of: HasLiveMask) -> NodeMask:
    """The live mask of a filter, one for all who ask; valid until the generation of the state's counts grows."""
    counts = state.pod_counts
    found: NodeMask | None = counts.derived.get(of)
    if found is None:
        counts.trim()
        found = counts.derived[of] = of.live(state)
        counts.charge(state.room)
    return found


def node_mask(state: ClusterState, of: HasLiveMask) -> Bool:
    """Where a filter with a live mask holds now, bool [nodes]; valid until the next change."""
    mask = live_mask(state, of)
    mask.refresh()
    return mask.mask[: len(state.node_table)]
