"""Nodes that are taken out of the snapshot for the time being, with their pods on others: each can be put back alone,
so that a scan begins with what the last one found.

Source: cluster-autoscaler simulator/cluster.go SimulateNodeRemoval, replaceWithTaintedGhostNode (1.32), which begins
anew at each scan, with hints where pods fitted the last time (simulator/scheduling/hinting_simulator.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.autoscaling.cluster.cluster_state import TO_BE_DELETED, ClusterState
from harness.autoscaling.cluster.drainability import Blocked, RemainingBudgets, fate_of
from harness.autoscaling.cluster.fork import Fork
from harness.model.core import Node, Pod, Taint
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bool, PodView

GONE = Taint(key=TO_BE_DELETED, effect="NoSchedule")


@dataclass(frozen=True, slots=True)
class Removal:
    """`pods`: those that moved, in order; `onto`: nodes that took them; `movers`: removals that had moved some of them
    here before, by key of the pod. `is_risky`: budgets do not let all of them go at once, so that others are drained
    first. `waits`: a pod is to end first."""

    node: Node
    segment: Fork
    pods: tuple[Pod, ...]
    onto: frozenset[str]
    movers: dict[str, str]
    is_risky: bool
    waits: bool


class Removals:
    """`going`: nodes that take no pods because they are deleted."""

    def __init__(self, state: ClusterState, going: set[str]) -> None:
        self._state = state
        self._budgets: RemainingBudgets = state.remaining_budgets()
        self._made: dict[str, Removal] = {}
        self._onto: dict[str, dict[str, None]] = {}  # by node: removals that moved pods onto it
        self._bound: set[str] = set()  # removals of pods that are not plain
        self._mover: dict[str, str] = {}  # by key of a pod that was moved: the removal that did it last
        index = state.snapshot.node_table.index
        self._allowed: Bool = np.zeros(state.snapshot.room, dtype=np.bool_)
        for name in state.nodes:
            if name not in going and name not in state.starting:
                self._allowed[index[name]] = True

    def __contains__(self, name: str) -> bool:
        return name in self._made

    @property
    def are_plain(self) -> bool:
        """Whether nothing that happens to other nodes changes what was found."""
        return not self._bound

    def remove(self, now: int, name: str) -> Removal | str:
        """What was done, or why the node cannot go."""
        state, snapshot = self._state, self._state.snapshot
        index = snapshot.node_table.index[name]
        moved, waits = [], False
        for pod in self._pods_on(name, index):
            fate = fate_of(pod, now, self._budgets, state.settings)
            if isinstance(fate, Blocked):
                return f"BlockedByPod: {fate.pod.metadata.key} {fate.message}"
            waits = waits or fate == "wait"
            if fate == "move":
                moved.append(pod)
        segment = Fork(snapshot)
        self._allowed[index] = False
        onto = set()
        node = state.nodes[name]
        if all(is_plain(state.unbound_view(pod)) for pod in moved):
            for pod in moved:
                segment.forget(state.unbound_view(pod))
        else:  # it counts as a domain while its pods look for places, but is tainted and empty
            for view in tuple(snapshot.pods_on(index)):
                segment.forget(view)
            segment.taint(node, GONE)
            self._bound.add(name)
        for pod in moved:
            found = segment.place(state.unbound_view(pod), self._allowed)
            if found is None:
                segment.revert()
                self._bound.discard(name)
                self._allowed[index] = True
                return "NoPlaceToMovePods"
            onto.add(snapshot.node_table.names[found])
        for view in tuple(snapshot.pods_on(index)):
            segment.forget(view)
        segment.remove_node(node)
        is_risky = not self._budgets.allow_together(moved)
        self._budgets.spend(moved)
        keys = [pod.metadata.key for pod in moved]
        movers = {key: self._mover[key] for key in keys if key in self._mover}
        self._mover.update(dict.fromkeys(keys, name))
        made = Removal(node, segment, tuple(moved), frozenset(onto), movers, is_risky, waits)
        self._made[name] = made
        for other in onto:
            self._onto.setdefault(other, {})[name] = None
        return made

    def touch(self, name: str) -> list[str]:
        """Something changes on the node: it is put back, and so is whatever moved pods onto it. The nodes that are
        back."""
        names = [*self._onto.get(name, ()), name]
        back: list[str] = []
        for other in names:
            self._put_back(other, back)
        return back

    def undo(self) -> None:
        """All of them."""
        for name in reversed(tuple(self._made)):
            self._put_back(name, [])

    # -- within --------------------------------------------------------------------------------------------------------

    def _pods_on(self, name: str, index: int) -> Iterable[Pod]:
        """Its own, then those that were moved or are to come there."""
        state = self._state
        own = state.pods_on(name)
        yield from own
        keys = {pod.metadata.key for pod in own}
        for view in state.snapshot.pods_on(index):
            pod = None if view.key in keys else state.pods.get(view.key) or state.pending.get(view.key)
            if pod is not None:
                yield pod

    def _put_back(self, name: str, back: list[str]) -> None:
        """After those that have moved its pods on."""
        item = self._made.get(name)
        if item is None:
            return
        for pod in item.pods:
            while self._mover[pod.metadata.key] != name:
                self._put_back(self._mover[pod.metadata.key], back)
        del self._made[name]
        self._bound.discard(name)
        for other in item.onto:
            del self._onto[other][name]
        item.segment.revert()
        self._budgets.give_back(list(item.pods))
        for pod in item.pods:
            key = pod.metadata.key
            if key in item.movers:
                self._mover[key] = item.movers[key]
            else:
                self._mover.pop(key, None)
        snapshot, node = self._state.snapshot, self._state.nodes[name]
        if node is not item.node:
            snapshot.update_node(**node_columns(node))
        self._allowed[snapshot.node_table.index[name]] = True
        back.append(name)


def is_plain(view: PodView) -> bool:
    """Whether where the pod may go depends on nothing but the node itself, and it keeps no other pod away."""
    constraints, footprint = constraints_of(view.cls), view.cls.footprint
    return not (constraints.cluster or constraints.repelling or footprint.claims or footprint.ports)
