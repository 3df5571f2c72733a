"""Pods that victims were evicted for, and the nodes kept for them until they come.

Source: kube-scheduler 1.32 backend/queue/nominator.go; framework.RunFilterPluginsWithNominatedPods: a pod goes to a
node only where it fits both with and without the pods of its priority or above that are nominated there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.scheduling.feasibility.dry_run import DryRun
from harness.scheduling.filters.filter import Filter
from harness.scheduling.filters.inter_pod_affinity import ExistingAntiAffinity
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.strategy import Bool, Int64, PodClass, PodView


def only_amounts(cls: PodClass) -> bool:
    """What runs on a node bears on the class by the amounts left alone: no ports, no devices, no look at other pods."""
    needs = constraints_of(cls)
    return len(needs.node_usage) == 1 and not needs.cluster


def _run_beside(state: ClusterState, cls: PodClass) -> Sequence[Filter]:
    """The filters of `cls` that run beside nominated pods.

    kube-scheduler's PreFilter skips InterPodAffinity for a pod without terms of its own that no running pod's
    anti-affinity speaks of; then Filter does not see that of a nominated pod either.
    Source: kube-scheduler 1.32 plugins/interpodaffinity/filtering.go PreFilter.
    """
    filters = constraints_of(cls).filters
    own = [item for item in filters if item.plugin == "InterPodAffinity"]
    if len(own) == 1 and isinstance(own[0], ExistingAntiAffinity) and not own[0].bears_on(state):
        return [item for item in filters if item is not own[0]]
    return filters


class Nominations:
    """`by_node`: nominated pods by node index, in order of nomination; empty as long as nothing was preempted."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.by_node: dict[int, dict[str, PodView]] = {}
        self._node_of: dict[str, int] = {}
        self._held: dict[int, Int64] = {}  # by priority: amounts of those nominated, [resources, nodes]

    def __len__(self) -> int:
        return len(self._node_of)

    def node_of(self, key: str) -> int | None:
        return self._node_of.get(key)

    def nominate(self, pod: PodView, node: int) -> None:
        """`pod` is to go to `node`, and nowhere that it was to go before."""
        self.remove(pod.key)
        self.by_node.setdefault(node, {})[pod.key] = pod
        self._node_of[pod.key] = node
        self._hold(pod, node, 1)
        self._state.log.add(node)

    def remove(self, key: str) -> int | None:
        """The node that was kept for it."""
        node = self._node_of.pop(key, None)
        if node is None:
            return None
        here = self.by_node[node]
        self._hold(here.pop(key), node, -1)
        if not here:
            del self.by_node[node]
        self._state.log.add(node)
        return node

    def pods_on(self, node: int) -> Sequence[PodView]:
        return tuple(self.by_node.get(node, {}).values())

    def ahead_of(self, cls: PodClass, node: int, except_pod: str = "") -> list[PodView]:
        """Those that a pod of `cls` (not `except_pod`) yields to: of its priority or above, and on no node by now.

        One that is assumed elsewhere, or is tried there with its gang, needs this node no longer.
        """
        here = self.by_node.get(node)
        if here is None:
            return []
        placed = self._state.placements.node_of
        return [
            pod
            for pod in here.values()
            if pod.cls.priority >= cls.priority and pod.key != except_pod and pod.key not in placed
        ]

    def note_placement(self, key: str) -> None:
        """A pod was assumed, or no longer is: the log tells of the node that is kept for it."""
        node = self._node_of.get(key)
        if node is not None:
            self._state.log.add(node)

    # -- beside them -----------------------------------------------------------------------------------------------

    def leave_room(self, cls: PodClass, node: int, except_pod: str = "") -> bool:
        """Whether `cls`, which fits as the node is, would fit beside the pods that are nominated there too."""
        ahead = self.ahead_of(cls, node, except_pod)
        if not ahead:
            return True
        if only_amounts(cls):
            left = list(self._state.free_of[node])
            for pod in ahead:
                for row, amount in pod.cls.footprint.amounts:
                    left[row] -= amount
            return all(amount <= left[row] for row, amount in cls.footprint.amounts)
        return self._failure_beside(cls, node, ahead) is None

    def first_failure(self, cls: PodClass, node: int, except_pod: str = "") -> tuple[Filter, tuple[str, ...]] | None:
        """The first filter that does not hold beside them, with its reasons; None when all do, or there is nobody."""
        ahead = self.ahead_of(cls, node, except_pod)
        return self._failure_beside(cls, node, ahead) if ahead else None

    def _failure_beside(
        self, cls: PodClass, node: int, ahead: Sequence[PodView]
    ) -> tuple[Filter, tuple[str, ...]] | None:
        state = self._state
        filters = _run_beside(state, cls)
        with DryRun(state, node) as dry_run:
            for pod in ahead:
                dry_run.add(pod)
            for item in filters:
                if not item.holds(state, node):
                    return item, tuple(item.reasons(state, node))
        return None

    def free_beside(self, priority: int, row: int, except_pod: str = "") -> Int64:
        """What is free of a resource, less what those of `priority` or above are to take, int64 [nodes]."""
        free: Int64 = self._state.free[row]
        for level, amounts in self._held.items():
            if level >= priority:
                free = free - (amounts[row, : len(free)] if row < len(amounts) else 0)
        placed = self._state.placements.node_of
        for key, node in self._node_of.items():
            pod = self.by_node[node][key]
            if (key == except_pod or key in placed) and pod.priority >= priority:  # these need no room
                free = free.copy()
                free[node] += dict(pod.cls.footprint.amounts).get(row, 0)
        return free

    def _hold(self, pod: PodView, node: int, sign: int) -> None:
        state = self._state
        level = pod.cls.priority
        held = self._held.get(level)
        if held is None or held.shape != (len(state.resources), state.room):
            held = np.zeros((len(state.resources), state.room), dtype=np.int64)
            for at, pods in self.by_node.items():
                for other in pods.values():
                    if other.cls.priority == level:
                        held[[row for row, _ in other.cls.footprint.amounts], at] += [
                            amount for _, amount in other.cls.footprint.amounts
                        ]
            self._held[level] = held
            return  # counted from `by_node`, where a pod that is put is by now, and one that is dropped no longer
        for row, amount in pod.cls.footprint.amounts:
            held[row, node] += sign * amount

    def mask(self, cls: PodClass, mask: Bool, nodes: Int64 | None = None) -> Bool:
        """`mask` (over `nodes`, None: all) without the nodes where they leave no room; a copy if anything changes."""
        here: Sequence[int] = tuple(self.by_node)
        at = here
        if nodes is not None:
            position = {int(node): i for i, node in enumerate(nodes)} if len(here) > 1 else {}
            if len(here) == 1:
                found = np.flatnonzero(nodes == here[0])
                position = {here[0]: int(found[0])} if len(found) else {}
            here = tuple(node for node in here if node in position)
            at = tuple(position[node] for node in here)
        taken = [i for i, node in zip(at, here, strict=True) if mask[i] and not self.leave_room(cls, node)]
        if not taken:
            return mask
        out = mask.copy()
        out[taken] = False
        return out

    def copy(self, state: ClusterState) -> Nominations:
        twin = Nominations(state)
        twin.by_node = {node: dict(pods) for node, pods in self.by_node.items()}
        twin._node_of = dict(self._node_of)
        twin._held = {level: amounts.copy() for level, amounts in self._held.items()}
        return twin
