"""Where a pod class may go: verdicts cached by class, looked at again only on the nodes that changed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from harness.scheduling.filters.live_masks import Anew, NodeMask, all_of
from harness.scheduling.state.columns import frozen
from harness.scheduling.state.pod_counts import HasNodeMask
from harness.scheduling.strategy import Bool, Int64, PodClass

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot
    from harness.scheduling.pods.pod_classes import Needs

_BUDGET_BYTES = 128 << 20  # of cached masks, over all classes
_MASKS = 4096  # classes whose masks over CLUSTER terms are found by number
_FEW = 20  # so many changed nodes are cheaper one by one than by numpy


class _Verdicts:
    """Of one class. `node`: where the terms on the node's spec hold; `all`: where every term but CLUSTER ones does."""

    __slots__ = ("all", "all_array", "cluster_seen", "cluster_view", "epoch", "node", "node_array", "seen", "spec_seen")

    def __init__(self, room: int) -> None:
        # Bytes answer for one node, the arrays over the same memory for all of them.
        self.node = bytearray(room)
        self.node_array: Bool = np.frombuffer(self.node, dtype=np.bool_)
        self.all: bytearray | None = None
        self.all_array: Bool = self.node_array
        self.epoch = -1
        self.spec_seen = 0
        self.seen = 0
        self.cluster_seen = (-1, -1)
        self.cluster_view: Bool = self.node_array


class Feasibility:
    """Verdicts of every class seen lately, in bounded memory."""

    def __init__(self, on: Snapshot) -> None:
        self._on = on
        self._verdicts: OrderedDict[int, _Verdicts] = OrderedDict()
        self._masks: dict[int, tuple[int, NodeMask]] = {}  # of CLUSTER terms, by class, with their generation

    def holds(self, cls: PodClass, node: int, but: str = "") -> bool:
        """Whether every constraint of the class holds on one node now. `but`: a nominated pod that is not counted."""
        needs: Needs = cls.constraints
        on = self._on
        if needs.refusal:
            return False
        if needs.only is not None:  # one of a few nodes: no verdicts on all the others for its sake
            if not (on.facts.alive[node] and all(term.holds(on, node) for term in needs.node)):
                return False
        elif not self.spec_verdicts(cls)[node]:
            return False
        for term in needs.load:
            if not term.holds(on, node):
                return False
        if needs.cluster and not self.mask_elsewhere(cls).holds(node):
            return False
        return node not in on.nominations.by_node or on.nominations.leave_room(cls, node, but)

    def among(self, cls: PodClass) -> list[int]:
        """Of a class that names its nodes: those where it fits now."""
        index = self._on.facts.index
        named = [index[name] for name in cls.constraints.only if name in index]
        return [node for node in named if self.holds(cls, node)]

    def spec_verdicts(self, cls: PodClass) -> bytearray:
        """Where the terms on the nodes' own specs hold, a byte a node; valid until the next change of a node's spec."""
        found = self._verdicts.get(cls.id)
        on = self._on
        if found is None or found.epoch != on.epoch:
            found = self._fresh(cls)
        elif found.spec_seen != on.spec_log.version:
            self._refresh_specs(found, cls)
        return found.node

    def column(self, cls: PodClass) -> Bool:
        """Where every constraint holds now, bool [nodes], read-only."""
        on = self._on
        needs: Needs = cls.constraints
        n = len(on.facts)
        if needs.refusal:
            return frozen(np.zeros(n, dtype=np.bool_))
        if needs.only is not None:
            named = np.zeros(n, dtype=np.bool_)
            named[self.among(cls)] = True
            return frozen(named)
        self.spec_verdicts(cls)
        found = self._verdicts[cls.id]
        self._verdicts.move_to_end(cls.id)
        changed = None if found.all is None else on.log.since(found.seen)
        if changed is None:
            self._all_anew(found, cls)
        elif changed:
            self._refresh_all(found, cls, changed)
        found.seen = on.log.version
        if not needs.cluster:
            return frozen(found.all_array[:n])
        seen = (on.log.version, on.relations.generation)
        if found.cluster_seen != seen:
            found.cluster_view, found.cluster_seen = frozen(found.all_array[:n] & self.elsewhere(cls)), seen
        return found.cluster_view

    def elsewhere(self, cls: PodClass) -> Bool:
        """Where the CLUSTER terms hold now, bool [nodes]; valid until the next change. For classes that have some."""
        live = self.mask_elsewhere(cls)
        live.refresh()
        mask = live.mask[: len(self._on.facts)]
        nominations = self._on.nominations
        # What is nominated on one node bears on other pods there alone, so it is no part of the live mask.
        return nominations.mask(cls, mask) if nominations.by_node else mask

    def mask_elsewhere(self, cls: PodClass) -> NodeMask:
        """The same as a live mask; valid until the generation of relations grows."""
        relations = self._on.relations
        found = self._masks.get(cls.id)
        if found is not None and found[0] == relations.generation:
            return found[1]
        generation = -1
        while generation != relations.generation:  # making a mask may void those made before
            generation = relations.generation
            parts = [
                relations.mask(term) if isinstance(term, HasNodeMask) else Anew(self._on, term)
                for term in cls.constraints.cluster
            ]
        if len(self._masks) >= _MASKS:
            self._masks.clear()
        mask = all_of(parts)
        self._masks[cls.id] = (generation, mask)
        return mask

    def local(self, cls: PodClass, nodes: Int64) -> Bool:
        """Where every term but the CLUSTER ones holds now, bool [len(nodes)], uncached."""
        needs: Needs = cls.constraints
        self.spec_verdicts(cls)
        out: Bool = self._verdicts[cls.id].node_array[nodes]
        if needs.refusal:
            out[:] = False
        for term in needs.load:
            out &= term.mask(self._on, nodes)
        nominations = self._on.nominations
        return nominations.mask(cls, out, nodes) if nominations.by_node and not needs.cluster else out

    def _fresh(self, cls: PodClass) -> _Verdicts:
        on = self._on
        found = self._verdicts[cls.id] = _Verdicts(on.room)
        self._verdicts.move_to_end(cls.id)
        limit = max(64, _BUDGET_BYTES // (2 * on.room))
        while len(self._verdicts) > limit:
            self._verdicts.popitem(last=False)
        n = len(on.facts)
        mask = on.facts.alive[:n].copy()
        for term in cls.constraints.node:
            mask &= term.mask(on, slice(0, n))
        found.node_array[:n] = mask
        found.epoch, found.spec_seen = on.epoch, on.spec_log.version
        return found

    def _refresh_specs(self, found: _Verdicts, cls: PodClass) -> None:
        on = self._on
        changed = on.spec_log.since(found.spec_seen)
        if changed is None or len(changed) > _FEW:
            seen = found.seen
            mine = on.facts.alive[: len(on.facts)].copy()
            for term in cls.constraints.node:
                mine &= term.mask(on, slice(0, len(on.facts)))
            found.node_array[: len(mine)] = mine
            found.seen = seen
        else:
            for node in changed:
                found.node[node] = bool(on.facts.alive[node]) and all(
                    term.holds(on, node) for term in cls.constraints.node
                )
        found.spec_seen = on.spec_log.version

    def _all_anew(self, found: _Verdicts, cls: PodClass) -> None:
        on = self._on
        n = len(on.facts)
        if found.all is None:
            found.all = bytearray(len(found.node))
            found.all_array = np.frombuffer(found.all, dtype=np.bool_)
        mask: Bool = found.node_array[:n].copy()
        for term in cls.constraints.load:
            mask &= term.mask(on, slice(0, n))
        if on.nominations.by_node and not cls.constraints.cluster:
            mask = on.nominations.mask(cls, mask)
        found.all_array[:n] = mask

    def _refresh_all(self, found: _Verdicts, cls: PodClass, changed: list[int]) -> None:
        on = self._on
        assert found.all is not None
        load = cls.constraints.load
        nominations = on.nominations
        nominated = nominations.by_node if not cls.constraints.cluster else {}
        if len(changed) <= _FEW:
            for node in changed:
                verdict = found.node[node] != 0
                for term in load:
                    verdict = verdict and term.holds(on, node)
                if verdict and node in nominated:
                    verdict = nominations.leave_room(cls, node)
                found.all[node] = verdict
            return
        nodes = np.array(list(dict.fromkeys(changed)), dtype=np.int64)
        mask: Bool = found.node_array[nodes]
        for term in load:
            mask &= term.mask(on, nodes)
        found.all_array[nodes] = nominations.mask(cls, mask, nodes) if nominated else mask
