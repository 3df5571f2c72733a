"""Scale-down planning: which nodes are not needed, since when, and which of them may go now.

Source: cluster-autoscaler core/scaledown/{planner,unneeded,budgets} (1.32).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.drainability import Blocked, RemainingBudgets, fate_of
from harness.autoscaling.cluster.eligibility import AT_MINIMUM, Eligibility
from harness.autoscaling.cluster.removals import Removal, Removals
from harness.autoscaling.cluster.resource_limits import to_remove
from harness.engine.component import SECOND
from harness.model.core import Pod


@dataclass(frozen=True, slots=True)
class Removable:
    """A node that could go: its pods would find places. `since`: unneeded without a break."""

    name: str
    since: int
    removal: Removal


class ScaleDownPlanner:
    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._eligibility = Eligibility(state)
        self._unneeded: dict[str, Removable] = {}
        self._unremovable: dict[str, tuple[int, str]] = {}  # looked at again when, and why it stayed
        self.reasons: dict[str, str] = {}  # nodes that stay, and why, as of the last scan
        self._removals: Removals | None = None  # as the last scan left them, while they stand in the snapshot
        self._rest: dict[str, tuple[bool, bool, int]] = {}  # candidates that are not removed, with their order
        self._place: dict[str, int] = {}  # of nodes of pools, as pools list them
        self._touched: set[str] = set()
        self._now = 0

    @property
    def unneeded(self) -> tuple[str, ...]:
        return tuple(self._unneeded)

    def waiting(self) -> dict[str, str]:
        """Nodes that are not needed, and were not for as long as they are kept then, as of the last scan."""
        return {
            name: f"{why}: since {self._unneeded[name].since / SECOND:.0f} s"
            for name, why in self.waiting_reasons().items()
        }

    def waiting_reasons(self) -> dict[str, str]:
        """The same, in Kubernetes' words alone."""
        return {
            name: "NotUnreadyLongEnough" if name in self._state.unready else "NotUnneededLongEnough"
            for name, item in self._unneeded.items()
            if not self._long_enough(self._now, item)
        }

    def forget(self, name: str) -> None:
        """The node is gone, or goes."""
        self._unneeded.pop(name, None)
        self._unremovable.pop(name, None)
        self.reasons.pop(name, None)

    def clear(self) -> None:
        self._unneeded.clear()

    def update(self, now: int, going: set[str]) -> None:
        """Simulate the removal of one node after the other; each that succeeds stays, so that all that are unneeded
        could go together. Those found unneeded before come first, then empty ones, then others, as pools list them."""
        self._now = now
        self._removals = Removals(self._state, going)
        self._touched.clear()
        self._rest, self.reasons = {}, {}
        against = self._eligibility.against_all(now, going)
        self._place = {name: at for at, name in enumerate(against)}
        for name, reason in against.items():
            self._judge(now, name, reason)
        found: dict[str, Removable] = {}
        self._look_at(now, found)
        self._unneeded = found

    def carry_on(self, now: int) -> None:
        """From where the last look ended: what was found unneeded still is, but for nodes that were touched and those
        that counted on them: these are simulated again, with candidates that may be looked at again or were not yet."""
        assert self._removals is not None
        self._now = now
        for name in sorted(self._touched & self._place.keys()):
            self._judge(now, name, self._eligibility.against(now, name))
        self._touched.clear()
        found = {name: item for name, item in self._unneeded.items() if name in self._removals}
        was = len(found)
        self._look_at(now, found)
        if len(found) > was:
            order = {
                name: (name not in self._unneeded, self._state.has_pods(name), self._place[name]) for name in found
            }
            found = dict(sorted(found.items(), key=lambda item: order[item[0]]))
        self._unneeded = found

    @property
    def are_plain(self) -> bool:
        """Whether nodes may be touched one by one."""
        return self._removals is None or self._removals.are_plain

    def touch(self, name: str) -> None:
        """Something is about to change on the node."""
        self._touched.add(name)
        if self._removals is None:
            return
        for back in self._removals.touch(name):
            self._rest[back] = self._order(back)

    @property
    def touched(self) -> set[str]:
        """Nodes that have changed since the last look; as they are, without pods that others would move there."""
        return self._touched

    def release(self) -> None:
        """The snapshot is as it was before the first look."""
        if self._removals is not None:
            self._removals.undo()
            self._removals = None

    def _judge(self, now: int, name: str, reason: str) -> None:
        """Whether the node is a candidate."""
        if reason:
            until, why = self._unremovable.get(name, (-1, ""))
            self.reasons[name] = why if until > now else reason
            self._rest.pop(name, None)
        else:
            self._rest[name] = self._order(name)

    def _order(self, name: str) -> tuple[bool, bool, int]:
        return (name not in self._unneeded, self._state.has_pods(name), self._place[name])

    def _look_at(self, now: int, found: dict[str, Removable]) -> None:
        """Simulate the candidates one after the other, up to the limit in `found`."""
        removals, again_ns = self._removals, self._state.settings.unremovable_node_recheck_timeout_ns
        assert removals is not None
        limit = self._limit()
        for name in sorted(self._rest, key=self._rest.__getitem__):
            until, why = self._unremovable.get(name, (-1, ""))
            if until > now:  # CA says RecentlyUnremovable; what it was then says more
                self.reasons[name] = why
                continue
            if len(found) >= limit:
                continue
            removal = removals.remove(now, name)
            if isinstance(removal, str):
                self.reasons[name] = removal
                self._unremovable[name] = (now + again_ns, removal)
                continue
            known = self._unneeded.get(name)
            found[name] = Removable(name, known.since if known is not None else now, removal)
            self.reasons.pop(name, None)
            del self._rest[name]

    def to_delete(self, now: int, empty_going: int, drain_going: int, going: set[str]) -> tuple[list[str], list[str]]:
        """(empty nodes, nodes to drain) that may go now, within the parallelism that is left."""
        state, settings = self._state, self._state.settings
        sizes = {
            name: pool.size - sum(member in going for member in pool.members) for name, pool in state.pools.items()
        }
        lists: tuple[list[str], list[str]] = ([], [])
        limits = to_remove(state, going)
        for wanted in (False, True):
            # Risky ones last. Source: planner.go sortByRisk.
            for removable in sorted(self._unneeded.values(), key=lambda item: item.removal.is_risky):
                if bool(removable.removal.pods) != wanted or not self._long_enough(now, removable):
                    continue
                pool = state.pool_of(state.nodes[removable.name])
                assert pool is not None, removable.name
                if sizes[pool.pool.name] <= pool.pool.least:
                    self.reasons[removable.name] = AT_MINIMUM
                    continue
                node = state.nodes[removable.name]
                if not limits.nodes(node, 1):
                    self.reasons[removable.name] = "MinimalResourceLimitExceeded"
                    continue
                limits.take(node, 1)
                sizes[pool.pool.name] -= 1
                if removable.removal.waits:
                    self.reasons[removable.name] = "BlockedByOnCompletionPod"
                    continue
                lists[wanted].append(removable.name)
        left = settings.max_scale_down_parallelism - empty_going - drain_going
        empty = lists[False][: max(left, 0)]
        left -= len(empty)
        to_drain = settings.max_drain_parallelism - drain_going
        drain = lists[True][: max(min(left, to_drain), 0)]
        of_all, of_drained = (
            f"max-scale-down-parallelism={settings.max_scale_down_parallelism}",
            f"max-drain-parallelism={settings.max_drain_parallelism}",
        )
        self.reasons.update(dict.fromkeys(lists[False][len(empty) :], of_all))
        self.reasons.update(dict.fromkeys(lists[True][len(drain) :], of_drained if to_drain <= left else of_all))
        return empty, drain

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
