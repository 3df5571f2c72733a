"""Scale-down planning: which nodes are not needed, since when, and which of them may go now.

Source: cluster-autoscaler core/scaledown/{planner,eligibility,unneeded,budgets}, simulator/cluster.go and
simulator/utilization/info.go (1.32).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.autoscaling.cluster.cluster_state import TO_BE_DELETED, ClusterState
from harness.autoscaling.cluster.drainability import (
    MIRROR,
    Blocked,
    RemainingBudgets,
    fate_of,
    is_daemon,
    long_terminating,
)
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.pool_state import PoolState
from harness.model.core import Node, Pod
from harness.scheduling.strategy import Bool

SCALE_DOWN_DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
"""Node annotation."""


@dataclass(slots=True)
class _Simulated:
    """Where a simulation stands, for the scans after it. `allowed`: nodes that may take pods; `rest`: eligible nodes
    that were not looked at, or were not removable, by name, with their place in the order of candidates."""

    allowed: Bool
    budgets: RemainingBudgets
    rest: dict[str, tuple[bool, bool, int]]


@dataclass(frozen=True, slots=True)
class Removable:
    """A node that could go: its pods, in order, would find places. `since`: unneeded without a break. `is_risky`:
    budgets do not let all of its pods go at once, so that others are drained first. `waits`: a pod is to end."""

    name: str
    since: int
    pods: tuple[Pod, ...]
    is_risky: bool = False
    waits: bool = False


class ScaleDownPlanner:
    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._unneeded: dict[str, Removable] = {}
        self._unremovable: dict[str, tuple[int, str]] = {}  # looked at again when, and why it stayed
        self.reasons: dict[str, str] = {}  # nodes that stay, and why, as of the last scan
        self._simulated: _Simulated | None = None

    @property
    def unneeded(self) -> tuple[str, ...]:
        return tuple(self._unneeded)

    def forget(self, name: str) -> None:
        """The node is gone, or goes."""
        self._unneeded.pop(name, None)
        self._unremovable.pop(name, None)
        self.reasons.pop(name, None)

    def clear(self) -> None:
        self._unneeded.clear()

    def update(self, now: int, fork: Fork, going: set[str]) -> None:
        """Simulate the removal of one node after the other; each that succeeds stays in the fork, so that all that are
        unneeded could go together."""
        state = self._state
        snapshot = fork.snapshot
        allowed = np.zeros(snapshot.room, dtype=np.bool_)
        for name in state.nodes:
            if name not in going and name not in state.starting:
                allowed[snapshot.node_table.index[name]] = True
        limit = self._limit()
        self.reasons = {}
        eligible = self._eligible(now, going)
        self._simulated = _Simulated(allowed, state.remaining_budgets(), eligible)
        found: dict[str, Removable] = {}
        self._look_at(now, fork, found, limit)
        self._unneeded = found

    def carry_on(self, now: int, fork: Fork) -> None:
        """Nothing has changed since the last look, and the fork is as that left it: what was found unneeded still is,
        and only nodes that were not looked at yet, or may be looked at again, are simulated."""
        assert self._simulated is not None
        self._look_at(now, fork, self._unneeded, self._limit())

    def _look_at(self, now: int, fork: Fork, found: dict[str, Removable], limit: int) -> None:
        """Simulate the candidates one after the other, up to `limit` in `found`."""
        simulated, again_ns = self._simulated, self._state.settings.unremovable_node_recheck_timeout_ns
        assert simulated is not None
        for name in sorted(simulated.rest, key=simulated.rest.__getitem__):
            until, why = self._unremovable.get(name, (-1, ""))
            if until > now:  # CA says RecentlyUnremovable; what it was then says more
                self.reasons[name] = why
                continue
            if len(found) >= limit:
                continue
            pods = self._simulate(now, name, fork, simulated.allowed, simulated.budgets)
            if pods is None:
                self._unremovable[name] = (now + again_ns, self.reasons[name])
                continue
            is_risky = not simulated.budgets.allow_together(list(pods))
            simulated.budgets.spend(list(pods))
            known = self._unneeded.get(name)
            since = known.since if known is not None else now
            found[name] = Removable(name, since, pods, is_risky, self.has_completing(now, name))
            self.reasons.pop(name, None)
            del simulated.rest[name]

    def to_delete(self, now: int, empty_going: int, drain_going: int, going: set[str]) -> tuple[list[str], list[str]]:
        """(empty nodes, nodes to drain) that may go now, within the parallelism that is left."""
        state, settings = self._state, self._state.settings
        sizes = {
            name: pool.size - sum(member in going for member in pool.members) for name, pool in state.pools.items()
        }
        lists: tuple[list[str], list[str]] = ([], [])
        for wanted in (False, True):
            # Risky ones last. Source: planner.go sortByRisk.
            for removable in sorted(self._unneeded.values(), key=lambda item: item.is_risky):
                if bool(removable.pods) != wanted or not self._long_enough(now, removable):
                    continue
                pool = state.pool_of(state.nodes[removable.name])
                assert pool is not None, removable.name
                if sizes[pool.pool.name] <= pool.pool.least:
                    self.reasons[removable.name] = "NodeGroupMinSizeReached"
                    continue
                sizes[pool.pool.name] -= 1
                if removable.waits:
                    self.reasons[removable.name] = "BlockedByOnCompletionPod"
                    continue
                lists[wanted].append(removable.name)
        left = settings.max_scale_down_parallelism - empty_going - drain_going
        empty = lists[False][: max(left, 0)]
        left -= len(empty)
        return empty, lists[True][: max(min(left, settings.max_drain_parallelism - drain_going), 0)]

    # -- within --------------------------------------------------------------------------------------------------------

    def _long_enough(self, now: int, removable: Removable) -> bool:
        settings = self._state.settings
        unready = removable.name in self._state.unready
        needed = settings.scale_down_unready_time_ns if unready else settings.scale_down_unneeded_time_ns
        # CA asks for more than that, but its scans drift by the time that each takes; here they are on the grid.
        return now - removable.since >= needed

    def _limit(self) -> int:
        """More unneeded nodes would have to wait anyway. Source: planner.go unneededNodesLimit."""
        settings = self._state.settings
        parallel = settings.max_scale_down_parallelism
        loops = max(settings.scale_down_unneeded_time_ns // max(settings.scan_interval_ns, 1), 1)
        return min(len(self._unneeded) + 2 * parallel, parallel * loops + parallel)

    def _eligible(self, now: int, going: set[str]) -> dict[str, tuple[bool, bool, int]]:
        """Eligible nodes with their order: those found unneeded before, then empty ones, then the others, as pools list
        them."""
        state = self._state
        used = self._usual_utilization()
        out: dict[str, tuple[bool, bool, int]] = {}
        for pool in state.pools.values():
            for name in pool.members:
                if name in going or name in state.starting:
                    continue
                reason = self._ineligible(now, pool, state.nodes[name], used)
                until, why = self._unremovable.get(name, (-1, ""))
                if reason:
                    self.reasons[name] = why if until > now else reason
                    continue
                out[name] = (name not in self._unneeded, state.has_pods(name), len(out))
        return out

    def _ineligible(self, now: int, pool: PoolState, node: Node, usual: list[float]) -> str:
        """Source: eligibility.go unremovableReasonAndNodeUtilization; '' for none."""
        settings = self._state.settings
        if any(taint.key == TO_BE_DELETED for taint in node.spec.taints):
            return "CurrentlyBeingDeleted"
        if node.metadata.annotations.get(SCALE_DOWN_DISABLED) == "true":
            return "ScaleDownDisabledAnnotation"
        if not settings.scale_down_unready_enabled and node.metadata.name in self._state.unready:
            return "ScaleDownUnreadyDisabled"
        index = self._state.snapshot.node_table.index[node.metadata.name]
        used, of_gpus = usual[index], False
        if used < 0:
            used, of_gpus = self.utilization(now, node.metadata.name)
        threshold = (
            settings.scale_down_gpu_utilization_threshold if of_gpus else settings.scale_down_utilization_threshold
        )
        return "NotUnderutilized" if used > threshold else ""

    def _usual_utilization(self) -> list[float]:
        """By column: what `utilization` says of nodes all of whose pods count; -1 where some may not, or GPUs do."""
        state, settings, snapshot = self._state, self._state.settings, self._state.snapshot
        if settings.ignore_daemonsets_utilization or settings.ignore_mirror_pods_utilization:
            return [-1.0] * snapshot.room
        there = snapshot.capacity[:2].astype(np.float64)
        used = np.where(there > 0, (there - snapshot.free[:2]) / np.maximum(there, 1), 0.0).max(axis=0)
        used = np.maximum(used, 0.0)
        out: list[float] = used.tolist()
        for node in state.terminating.values():
            index = snapshot.node_table.index.get(node)
            if index is not None:
                out[index] = -1.0
        for index, devices in enumerate(snapshot.devices_of):
            if devices:
                out[index] = -1.0
        return out

    def utilization(self, now: int, name: str) -> tuple[float, bool]:
        """(share that is requested, whether of its GPUs): of CPU or memory the larger one. Pods that should have ended
        long ago do not count. Source: utilization.Calculate."""
        state, settings = self._state, self._state.settings
        snapshot = state.snapshot
        node = snapshot.node_table.index[name]
        aside_pods: list[Pod] = []  # neither used nor there
        over: list[Pod] = []
        for pod in state.pods_on(name):
            if (settings.ignore_daemonsets_utilization and is_daemon(pod)) or (
                settings.ignore_mirror_pods_utilization and MIRROR in pod.metadata.annotations
            ):
                aside_pods.append(pod)
            elif long_terminating(pod, now):
                over.append(pod)
        devices = snapshot.devices_of[node]
        if devices:
            there = 1000 * len(devices)
            used = there - sum(devices)
            aside, gone = (
                sum(view.cls.gpu.count * view.cls.gpu.milli for view in map(state.view, pods))
                for pods in (aside_pods, over)
            )
            return (used - aside - gone) / max(there - aside, 1), True
        out = 0.0
        for row in (0, 1):
            there, free = int(snapshot.capacity[row, node]), int(snapshot.free[row, node])
            aside, gone = (sum(state.view(pod).cls.amounts[row] for pod in pods) for pods in (aside_pods, over))
            if there - aside > 0:
                out = max(out, (there - free - aside - gone) / (there - aside))
        return out, False

    def is_ignored(self, now: int, pod: Pod, budgets: RemainingBudgets) -> bool:
        """Whether it does not count at all: a mirror pod, one that ended, or should have long ago."""
        return fate_of(pod, now, budgets, self._state.settings) == "ignore"

    def has_completing(self, now: int, name: str) -> bool:
        """Whether a pod on the node is to complete before it goes."""
        state = self._state
        nothing = RemainingBudgets({})
        return any(fate_of(pod, now, nothing, state.settings) == "wait" for pod in state.pods_on(name))

    def pods_to_move(self, now: int, name: str, budgets: RemainingBudgets) -> list[Pod] | Blocked:
        """Source: simulator/drain.go GetPodsToMove."""
        out = []
        for pod in self._state.pods_on(name):
            fate = fate_of(pod, now, budgets, self._state.settings)
            if isinstance(fate, Blocked):
                return fate
            if fate == "move":
                out.append(pod)
        return out

    def _simulate(
        self, now: int, name: str, fork: Fork, allowed: Bool, budgets: RemainingBudgets
    ) -> tuple[Pod, ...] | None:
        """The pods that would move; None when the node cannot go. What moves stays moved in the fork."""
        state = self._state
        moved = self.pods_to_move(now, name, budgets)
        if isinstance(moved, Blocked):
            self.reasons[name] = f"BlockedByPod: {moved.pod.metadata.key} {moved.message}"
            return None
        index = fork.snapshot.node_table.index[name]
        mark = fork.mark
        allowed[index] = False
        for pod in moved:
            fork.forget(state.view(pod))
        for pod in moved:
            if fork.place(state.unbound_view(pod), allowed) is None:
                fork.revert(mark)
                allowed[index] = True
                self.reasons[name] = "NoPlaceToMovePods"
                return None
        for view in tuple(fork.snapshot.pods_on(index)):
            fork.forget(view)
        fork.remove_node(state.nodes[name])
        return tuple(moved)
