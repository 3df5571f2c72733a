"""Scale-up: which pool grows, and by how many nodes, for pods that fit nowhere; one scale-up a scan.

Source: cluster-autoscaler core/scaleup/orchestrator, core/static_autoscaler.go (RunOnce) and
processors/status/eventing_scale_up_processor.go (1.32).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from harness.autoscaling.cluster.balancing import are_similar, balance
from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.estimator import Groups, daemon_requests, estimate, reasons_against
from harness.autoscaling.cluster.expander import priority_expanders
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.provider import STATUS
from harness.autoscaling.cluster.resource_limits import ResourceLimits, to_add
from harness.autoscaling.policy import Expander, ScaleUpOption
from harness.autoscaling.pool import NodePool
from harness.engine.component import MINUTE, SECOND, Effect, Record
from harness.model.core import Pod
from harness.scheduling.strategy import PodView

NEW_PODS_NS, NEW_GPU_PODS_NS = 2 * SECOND, 30 * SECOND
"""Pods so young may be the first of many: one scan is left out. Source: static_autoscaler.go
unschedulablePodTimeBuffer, unschedulablePodWithGpuTimeBuffer."""
REPEAT_NS = 5 * MINUTE
"""The same Event about the same pod is not told again within. Source: --record-duplicated-events."""
GREW, FAILED = "grew", "failed"
"""What came of a scale-up."""
MAX_SIZE, BACKOFF, NOT_READY = (
    "max node group size reached",
    "in backoff after failed scale-up",
    "not ready for scale-up",
)
"""Source: core/scaleup/orchestrator/skippedreasons.go."""
OVER_LIMIT = "max cluster {} limit reached"
"""Source: the same, NewMaxResourceLimitReached."""
FILTERED_OUT = "expansion options filtered out and no longer considered"
"""Source: core/scaleup/orchestrator/rejectedreasons.go."""
FULL = "max total nodes in cluster reached"
"""Source: eventing_scale_up_processor.go ReasonsMessage."""


class ScaleUp:
    """`request`: orders nodes of a pool, and says whether that was taken; what it does is appended to the effects."""

    def __init__(
        self,
        state: ClusterState,
        expander: Expander,
        rng: Random,
        request: Callable[[int, NodePool, int, list[Effect]], bool],
    ) -> None:
        self._state = state
        self._expander = expander
        self._rng = rng
        self._request = request
        self._recorded: dict[str, tuple[str, int]] = {}  # by pod: the last Event about it, and when
        self._group_of: dict[str, int] = {}  # by pod: those that the last scan was for
        self._against: dict[str, dict[int, tuple[str, ...]]] = {}  # by pool, by group: why it did not help
        self._full = False
        self._capped: dict[str, Groups] = {}  # pools that could have helped, but for the limit of all nodes
        self._in_vain: tuple[Groups, tuple[str, ...]] | None = None  # of the last scan, where none would help

    def forget(self, key: str) -> None:
        """The pod is bound or gone."""
        self._recorded.pop(key, None)

    def reasons_against(self, key: str) -> dict[str, tuple[str, ...]]:
        """Of a pod: for each pool that the last scan found of no help to it, why."""
        group = self._group_of.get(key)
        if group is None:
            return {}
        capped = {pool: (FULL,) for pool, groups in self._capped.items() if group in groups}
        return capped | {pool: rejected[group] for pool, rejected in self._against.items() if group in rejected}

    def are_new(self, now: int, pods: Sequence[Pod]) -> bool:
        """Whether to wait a scan for more of them; not where pods are looked at before their scheduler was."""
        if self._state.settings.bypassed_scheduler_names:
            return False
        created = [pod.metadata.creation_timestamp or 0 for pod in pods]
        if min(created) + NEW_PODS_NS > now:
            return True
        with_gpu = [at for at, pod in zip(created, pods, strict=True) if self._state.view(pod).cls.gpu.count]
        return bool(with_gpu) and min(with_gpu) + NEW_GPU_PODS_NS > now

    def scan(self, now: int, fork: Fork, pods: Sequence[PodView], effects: list[Effect]) -> str:
        """GREW where a pool grows for `pods`, which fit on nothing that is there or coming; FAILED where the provider
        refuses; '' where none would help."""
        groups: dict[int, list[PodView]] = {}
        for view in pods:
            groups.setdefault(view.cls.id, []).append(view)
        self._group_of = {view.key: view.cls.id for view in pods}
        against: dict[str, dict[int, tuple[str, ...]]] = {}
        self._against = against
        self._in_vain = None
        self._capped = {}
        if self._is_full(effects):
            self._tell_nothing_helps(now, groups, against, effects)
            self._in_vain = groups, self._skip_reasons(now)
            return ""
        options = []
        limits = to_add(self._state)
        daemon_pods = self._state.daemon_pods
        for pool in self._state.pools.values():
            skipped = self._skip_reason(now, pool, limits)
            against[pool.pool.name] = (
                dict.fromkeys(groups, (skipped,))
                if skipped
                else reasons_against(fork, pool.expected, groups, daemon_pods)
            )
        similar = self._similar(fork, groups, against)
        for pool in self._state.pools.values():
            rejected = against[pool.pool.name]
            fitting = {key: found for key, found in groups.items() if key not in rejected}
            limit = self._limit(pool, similar[pool.pool.name])
            if fitting and limit <= 0:  # CA says nothing of it in its event
                self._capped[pool.pool.name] = fitting
            if fitting and limit > 0:
                count, placed = estimate(fork, pool.expected, fitting, limit, daemon_pods)
                if placed:
                    grown = pool.pool
                    options.append(ScaleUpOption(grown.name, grown.template, count, tuple(placed), grown.price))
        if not options:
            self._tell_nothing_helps(now, groups, against, effects)
            self._in_vain = groups, self._skip_reasons(now)
            return ""
        # CA draws among the best; here the pool that is named first grows, so that runs can be compared.
        best = self._expander.best(options, self._rng)
        for item in priority_expanders(self._expander):
            item.warn(effects)
        if not best:
            for option in options:
                against[option.pool] = dict.fromkeys(groups, (FILTERED_OUT,))
            self._tell_nothing_helps(now, groups, against, effects)
            return ""
        chosen = best[0]
        return GREW if self._grow(now, chosen, similar[chosen.pool], limits, effects) else FAILED

    def repeat(self, now: int, effects: list[Effect]) -> bool:
        """Nothing has changed since a scan in which no pool would help: none would now. False where a pool may be asked
        again that was left out then."""
        if self._in_vain is None or self._in_vain[1] != self._skip_reasons(now):
            return False
        self._tell_nothing_helps(now, self._in_vain[0], self._against, effects)
        return True

    # -- within --------------------------------------------------------------------------------------------------------

    def _skip_reasons(self, now: int) -> tuple[str, ...]:
        limits = to_add(self._state)
        return tuple(self._skip_reason(now, pool, limits) for pool in self._state.pools.values())

    def _skip_reason(self, now: int, pool: PoolState, limits: ResourceLimits) -> str:
        if not self._is_healthy(pool):
            return NOT_READY
        if now < pool.backoff_until_ns:
            return BACKOFF
        if pool.room <= 0:
            return MAX_SIZE
        over = limits.exceeded(pool.pool.template)
        return OVER_LIMIT.format(over) if over else ""

    def _is_full(self, effects: list[Effect]) -> bool:
        """Whether the cluster has as many ready nodes as it may have. Source: static_autoscaler.go shouldScaleUp."""
        state = self._state
        most, was = state.settings.max_nodes_total, self._full
        self._full = 0 < most <= len(state.nodes) - len(state.unready) - len(state.starting)
        if self._full and not was:
            effects.append(
                Record(STATUS, "Warning", "MaxNodesTotalReached", f"Max total nodes in cluster reached: {most}")
            )
        return self._full

    def _is_healthy(self, pool: PoolState) -> bool:
        """Source: clusterstate.go IsNodeGroupHealthy."""
        state, settings = self._state, self._state.settings
        ready = sum(name not in state.unready and name not in state.starting for name in pool.members)
        missing = pool.size - pool.increase - ready  # but for those of a scale-up that is under way
        if missing <= settings.ok_total_unready_count:
            return True
        return missing <= settings.max_total_unready_percentage / 100 * len(pool.members)

    def _limit(self, pool: PoolState, similar: Sequence[PoolState]) -> int:
        """New nodes in one scale-up. Source: estimator/sng_capacity_threshold.go, cluster_capacity_threshold.go."""
        settings = self._state.settings
        room = pool.room + sum(other.room for other in similar)
        limit = min(room, settings.max_nodes_per_scaleup)
        if settings.max_nodes_total:
            there = len(self._state.nodes) + sum(len(other.requested) for other in self._state.pools.values())
            limit = min(limit, settings.max_nodes_total - there)
        return limit

    def _similar(
        self, fork: Fork, groups: Groups, against: dict[str, dict[int, tuple[str, ...]]]
    ) -> dict[str, list[PoolState]]:
        """By pool, others that are alike and could take the same pods. Source: orchestrator.go
        ComputeSimilarNodeGroups, matchingSchedulablePodGroups."""
        settings, pools = self._state.settings, self._state.pools
        if not settings.balance_similar_node_groups:
            return {name: [] for name in pools}
        open_pools = {name: pool for name, pool in pools.items() if len(against[name]) < len(groups)}
        taken = {
            name: daemon_requests(fork, pool.expected, self._state.daemon_pods) for name, pool in open_pools.items()
        }
        out: dict[str, list[PoolState]] = {name: [] for name in pools}
        for name, pool in open_pools.items():
            fitting = set(groups) - set(against[name])
            for other_name, other in open_pools.items():
                sizes = (taken[name], taken[other_name])
                may_take = other is not pool and not fitting & set(against[other_name])
                if may_take and are_similar(pool.pool.template, other.pool.template, settings, sizes):
                    out[name].append(other)
        return out

    def _grow(
        self,
        now: int,
        chosen: ScaleUpOption,
        similar: Sequence[PoolState],
        limits: ResourceLimits,
        effects: list[Effect],
    ) -> bool:
        """Whether the provider takes the orders, one pool after the other; the first that it refuses ends it."""
        pool = self._state.pools[chosen.pool]
        told = []
        for target, wanted in balance([pool, *similar], limits.nodes(chosen.template, chosen.count)):
            more = limits.nodes(target.pool.template, wanted)
            if not more:
                continue
            limits.take(target.pool.template, more)
            before = target.size
            if not self._request(now, target.pool, more, effects):
                return False
            told.append(f"{{{target.pool.name} {before}->{target.size} (max: {target.pool.most})}}")
        text = f"pod triggered scale-up: [{' '.join(told)}]"
        for view in chosen.pods:
            self._record(now, view, "TriggeredScaleUp", text, effects)
        return True

    def _tell_nothing_helps(
        self, now: int, groups: Groups, against: dict[str, dict[int, tuple[str, ...]]], effects: list[Effect]
    ) -> None:
        """Source: ReasonsMessage; in order of reason, where CA takes a map's."""
        for key, pods in groups.items():
            counts = Counter(reason for rejected in against.values() for reason in rejected.get(key, ()))
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
            text = f"pod didn't trigger scale-up: {FULL if self._full else reasons}"
            for view in pods:
                self._record(now, view, "NotTriggerScaleUp", text, effects)

    def _record(self, now: int, view: PodView, reason: str, text: str, effects: list[Effect]) -> None:
        last = self._recorded.get(view.key)
        repeated = last is not None and last[0] == text and now - last[1] < REPEAT_NS
        if repeated and not self._state.settings.record_duplicated_events:
            return
        self._recorded[view.key] = (text, now)
        effects.append(Record(self._state.pending[view.key], "Normal", reason, text))
