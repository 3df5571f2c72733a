"""Verdicts that follow from counts by domain, as a mask over nodes that is touched only where a verdict turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.scheduling.relations import FEW, MANY, Domains
from harness.scheduling.strategy import Bool

if TYPE_CHECKING:
    from harness.scheduling.constraints.term import Term
    from harness.scheduling.snapshot import Snapshot


class NodeMask(Protocol):
    """`refresh`, then read `mask` (bool, at least [nodes]); `stamp` grows when it has changed."""

    dirty: list[int]
    stamp: int

    @property
    def mask(self) -> Bool: ...

    def refresh(self) -> None: ...

    def holds(self, node: int) -> bool:
        """Of one node, now, without refreshing the mask."""


class DomainMask:
    """A node is in where its domain's count is at most `limit()`, or, `more`, where it is above.

    `absent`: what holds for nodes without the topology label.
    """

    def __init__(self, on: Snapshot, domains: Domains, *, more: bool, absent: bool) -> None:
        self._on = on
        self.domains = domains
        self._column = domains.placement.column
        self._more = more
        self._absent = absent
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)
        self._ok: Bool = np.zeros(0, dtype=np.bool_)
        self._limit = 0
        self._seen = -1
        domains.masks.append(self)

    def limit(self) -> int:
        return 0

    def holds(self, node: int) -> bool:
        domains = self.domains
        domains.sync()
        code = self._column.codes.item(node)
        if code < 0:
            return self._absent
        return (domains.counts[code] > self.limit()) == self._more

    def refresh(self) -> None:
        domains = self.domains
        domains.sync()
        limit = self.limit()
        specs = self._on.spec_log.version
        dirty = self.dirty
        if specs != self._seen or limit != self._limit or len(dirty) >= MANY:
            self._seen, self._limit = specs, limit
            self._anew()
        elif dirty:
            self._turn(dirty)
        if dirty:
            self.dirty.clear()

    def _anew(self) -> None:
        n = len(self._on.facts)
        counts = self.domains.counts
        self._ok = np.full(max(len(counts), len(self._column.values)) + 1, self._absent)  # code -1 picks the last
        self._ok[: len(counts)] = (np.array(counts, dtype=np.int64) > self._limit) == self._more
        self._ok[len(counts) : -1] = (self._limit < 0) == self._more
        if len(self.mask) != self._on.room:
            self.mask = np.zeros(self._on.room, dtype=np.bool_)
        self.mask[:n] = self._ok[self._column.codes[:n]]
        self.stamp += 1

    def _turn(self, dirty: list[int]) -> None:
        counts, limit, more, ok, mask = self.domains.counts, self._limit, self._more, self._ok, self.mask
        members = self._column.members()
        wide = turned = False
        for code in dirty:
            verdict = (counts[code] > limit) == more
            if ok[code] == verdict:
                continue
            turned = True
            ok[code] = verdict
            nodes = members[code]
            if len(nodes) > FEW:
                wide = True
            elif not wide:
                for node in nodes:
                    mask[node] = verdict
        if wide:
            n = len(self._on.facts)
            mask[:n] = ok[self._column.codes[:n]]
        self.stamp += turned


class Anew:
    """A term that keeps no live mask: asked for every node after each change."""

    def __init__(self, on: Snapshot, term: Term) -> None:
        self._on = on
        self._term = term
        self._seen = -1
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)

    def holds(self, node: int) -> bool:
        return self._term.holds(self._on, node)

    def refresh(self) -> None:
        on = self._on
        if on.log.version != self._seen:
            self._seen = on.log.version
            self.mask = np.zeros(on.room, dtype=np.bool_)
            n = len(on.facts)
            self.mask[:n] = self._term.mask(on, slice(0, n))
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
