"""Where a pod class may go: verdicts cached by class, looked at again only on the nodes that changed."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from harness.scheduling.feasibility.nominations import Nominations
from harness.scheduling.filters.live_masks import HasLiveMask, NodeMask, RecomputedMask, all_of, live_mask
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import frozen
from harness.scheduling.strategy import Bool, Int64, PodClass

_BUDGET_BYTES = 128 << 20  # of cached masks, over all classes
_MASKS = 4096  # classes whose masks over CLUSTER filters are found by number
_FEW = 20  # so many changed nodes are cheaper one by one than by numpy


class _Verdicts:
    """Of one class. `node`: where the filters of Scope.NODE hold; `all`: where all but those of Scope.CLUSTER do."""

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


class VerdictCache:
    """Verdicts of every class seen lately, in bounded memory."""

    def __init__(self, state: ClusterState, nominations: Nominations) -> None:
        self._state = state
        self._nominations = nominations
        self._verdicts: OrderedDict[int, _Verdicts] = OrderedDict()
        self._masks: dict[int, tuple[int, NodeMask]] = {}  # of CLUSTER filters, by class, with their generation

    def holds(self, cls: PodClass, node: int, except_pod: str = "") -> bool:
        """Whether every constraint of the class holds on one node now. `but`: a nominated pod that is not counted."""
        constraints = constraints_of(cls)
        state = self._state
        if constraints.refusal:
            return False
        for item in constraints.node_usage:  # first: on a full cluster it is this that says no
            if not item.holds(state, node):
                return False
        if constraints.node_names is not None:  # one of a few nodes: no verdicts on all the others for its sake
            if not (state.node_table.alive[node] and all(item.holds(state, node) for item in constraints.node)):
                return False
        elif not self.spec_verdicts(cls)[node]:
            return False
        if constraints.cluster and not self.cluster_scope_mask(cls).holds(node):
            return False
        return node not in self._nominations.by_node or self._nominations.leave_room(cls, node, except_pod)

    def feasible_named_nodes(self, cls: PodClass) -> list[int]:
        """Of a class that names its nodes: those where it fits now."""
        index = self._state.node_table.index
        named = [index[name] for name in constraints_of(cls).node_names or () if name in index]
        return [node for node in named if self.holds(cls, node)]

    def spec_verdicts(self, cls: PodClass) -> bytearray:
        """Where the filters of Scope.NODE hold, a byte a node; valid until the next change of a node's spec."""
        found = self._verdicts.get(cls.id)
        state = self._state
        if found is None or found.epoch != state.epoch:
            found = self._fresh(cls)
        elif found.spec_seen != state.spec_log.version:
            self._refresh_specs(found, cls)
        return found.node

    def mask(self, cls: PodClass) -> Bool:
        """Where every constraint holds now, bool [nodes], read-only."""
        state = self._state
        constraints = constraints_of(cls)
        n = len(state.node_table)
        if constraints.refusal:
            return frozen(np.zeros(n, dtype=np.bool_))
        if constraints.node_names is not None:
            named = np.zeros(n, dtype=np.bool_)
            named[self.feasible_named_nodes(cls)] = True
            return frozen(named)
        self.spec_verdicts(cls)
        found = self._verdicts[cls.id]
        self._verdicts.move_to_end(cls.id)
        changed = None if found.all is None else state.log.since(found.seen)
        if changed is None or len(changed) > max(n, _FEW):  # picking the nodes would cost more than all of them
            self._all_anew(found, cls)
        elif changed:
            self._refresh_all(found, cls, changed)
        found.seen = state.log.version
        if not constraints.cluster:
            return frozen(found.all_array[:n])
        seen = (state.log.version, state.pod_counts.generation)
        if found.cluster_seen != seen:
            found.cluster_view, found.cluster_seen = frozen(found.all_array[:n] & self.cluster_scope(cls)), seen
        return found.cluster_view

    def cluster_scope(self, cls: PodClass) -> Bool:
        """Where the CLUSTER filters hold now, bool [nodes]; valid until the next change. For classes that have some."""
        live = self.cluster_scope_mask(cls)
        live.refresh()
        mask = live.mask[: len(self._state.node_table)]
        nominations = self._nominations
        # What is nominated on one node bears on other pods there alone, so it is no part of the live mask.
        return nominations.mask(cls, mask) if nominations.by_node else mask

    def cluster_scope_mask(self, cls: PodClass) -> NodeMask:
        """The same as a live mask; valid until the generation of pod_counts grows."""
        pod_counts = self._state.pod_counts
        found = self._masks.get(cls.id)
        if found is not None and found[0] == pod_counts.generation:
            return found[1]
        generation = -1
        while generation != pod_counts.generation:  # making a mask may void those made before
            generation = pod_counts.generation
            parts = [
                live_mask(self._state, item) if isinstance(item, HasLiveMask) else RecomputedMask(self._state, item)
                for item in constraints_of(cls).cluster
            ]
        if len(self._masks) >= _MASKS:
            self._masks.clear()
        mask = all_of(parts)
        self._masks[cls.id] = (generation, mask)
        return mask

    def mask_without_cluster_scope(self, cls: PodClass, nodes: Int64) -> Bool:
        """Where every item but the CLUSTER ones holds now, bool [len(nodes)], uncached."""
        constraints = constraints_of(cls)
        self.spec_verdicts(cls)
        out: Bool = self._verdicts[cls.id].node_array[nodes]
        if constraints.refusal:
            out[:] = False
        for item in constraints.node_usage:
            out &= item.mask(self._state, nodes)
        nominations = self._nominations
        return nominations.mask(cls, out, nodes) if nominations.by_node and not constraints.cluster else out

    def _fresh(self, cls: PodClass) -> _Verdicts:
        state = self._state
        found = self._verdicts[cls.id] = _Verdicts(state.room)
        self._verdicts.move_to_end(cls.id)
        limit = max(64, _BUDGET_BYTES // (2 * state.room))
        while len(self._verdicts) > limit:
            self._verdicts.popitem(last=False)
        n = len(state.node_table)
        mask = state.node_table.alive[:n].copy()
        for item in constraints_of(cls).node:
            mask &= item.mask(state, slice(0, n))
        found.node_array[:n] = mask
        found.epoch, found.spec_seen = state.epoch, state.spec_log.version
        return found

    def _refresh_specs(self, found: _Verdicts, cls: PodClass) -> None:
        state = self._state
        changed = state.spec_log.since(found.spec_seen)
        if changed is None or len(changed) > _FEW:
            seen = found.seen
            mine = state.node_table.alive[: len(state.node_table)].copy()
            for item in constraints_of(cls).node:
                mine &= item.mask(state, slice(0, len(state.node_table)))
            found.node_array[: len(mine)] = mine
            found.seen = seen
        else:
            for node in changed:
                found.node[node] = bool(state.node_table.alive[node]) and all(
                    item.holds(state, node) for item in constraints_of(cls).node
                )
        found.spec_seen = state.spec_log.version

    def _all_anew(self, found: _Verdicts, cls: PodClass) -> None:
        state = self._state
        n = len(state.node_table)
        if found.all is None:
            found.all = bytearray(len(found.node))
            found.all_array = np.frombuffer(found.all, dtype=np.bool_)
        mask: Bool = found.node_array[:n].copy()
        for item in constraints_of(cls).node_usage:
            mask &= item.mask(state, slice(0, n))
        if self._nominations.by_node and not constraints_of(cls).cluster:
            mask = self._nominations.mask(cls, mask)
        found.all_array[:n] = mask

    def _refresh_all(self, found: _Verdicts, cls: PodClass, changed: list[int]) -> None:
        state = self._state
        assert found.all is not None
        load = constraints_of(cls).node_usage
        nominations = self._nominations
        nominated = nominations.by_node if not constraints_of(cls).cluster else {}
        nodes_changed = set(changed)
        if len(nodes_changed) <= _FEW:
            for node in nodes_changed:
                verdict = found.node[node] != 0
                for item in load:
                    verdict = verdict and item.holds(state, node)
                if verdict and node in nominated:
                    verdict = nominations.leave_room(cls, node)
                found.all[node] = verdict
            return
        nodes = np.array(list(nodes_changed), dtype=np.int64)
        mask: Bool = found.node_array[nodes]
        for item in load:
            mask &= item.mask(state, nodes)
        found.all_array[nodes] = nominations.mask(cls, mask, nodes) if nominated else mask
