"""The recommender: once a minute it looks at what containers use, and writes what they should ask for.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender (1.8) routines/recommender.go,
input/cluster_feeder.go, input/oom/observer.go, model/vpa.go, checkpoint/checkpoint_writer.go. Of a VPA's pods those are
looked at that are not Pending, from its creation on.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec

from harness.autoscaling.periodic import PeriodicController
from harness.autoscaling.resource_metrics import ResourceMetrics
from harness.autoscaling.vertical.estimator import PodEstimator, whole_cores
from harness.autoscaling.vertical.settings import RecommenderSettings, parse_settings
from harness.autoscaling.vertical.usage_history import ContainerUsage, UsageHistory, new_history
from harness.autoscaling.vertical.watched import WATCHES, Watched
from harness.engine.component import (
    DELETED,
    Create,
    Delete,
    Effect,
    Instant,
    LazyWatch,
    Outcome,
    Relist,
    Update,
    Watch,
)
from harness.model.constants import DEFAULTS
from harness.model.core import ContainerStatus, Pod
from harness.model.meta import Condition, ObjectMeta
from harness.model.pod_usage import Scrapes
from harness.model.vertical import (
    CONFIG_UNSUPPORTED,
    NO_PODS_MATCHED,
    RECOMMENDATION_PROVIDED,
    SCALING_OFF,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    VerticalPodAutoscalerCheckpoint,
    VerticalPodAutoscalerCheckpointSpec,
    VerticalPodAutoscalerStatus,
    container_policy,
)
from harness.model.vertical_capping import capped_by_policy
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, Time
from harness.model.workloads import Lease, PodMetrics

NODE_LEASES = "kube-node-lease"

replaced = msgspec.structs.replace


class _Oom(msgspec.Struct, frozen=True):
    pod: str
    container: str
    requested: int
    at_ns: int


class _Tracked(msgspec.Struct):
    """Of one VPA: histories by name of the container, containers by (key of the pod, uid, name)."""

    uid: str
    histories: dict[str, UsageHistory]
    containers: dict[tuple[str, str, str], ContainerUsage]


class VerticalRecommender(PeriodicController):
    """Recommends requests to VerticalPodAutoscalers. Parameters: the recommender's flags."""

    name = "vpa-recommender"
    constants = DEFAULTS
    scrapes = Scrapes()
    epoch_unix_ns = VIRTUAL_EPOCH_UNIX_NS
    watches = (*WATCHES, "PodMetrics", "VerticalPodAutoscalerCheckpoint")
    lazy_watches = (LazyWatch(watches[1:], {"VerticalPodAutoscaler": None}),)
    handled_failures = 0

    def __init__(self, **flags: Any) -> None:
        """Raises UserError."""
        self.settings = parse_settings(RecommenderSettings, self.name, flags)
        self._estimator = PodEstimator(self.settings)
        self._reset()

    @property
    def period_ns(self) -> int:
        return self.settings.interval_ns

    def _reset(self) -> None:
        super()._reset()
        self._seen = Watched(self._pod_changed)
        self._reports: dict[str, PodMetrics] = {}
        self._leases: dict[str, Lease] = {}
        self._checkpoints: dict[str, VerticalPodAutoscalerCheckpoint] = {}
        self._tracked: dict[str, _Tracked] = {}
        self._ooms: list[_Oom] = []

    def _is_needed(self) -> bool:
        return bool(self._seen.vpas or self._tracked)

    def _needs_leases(self) -> bool:
        return bool(self._seen.vpas)

    def _handle_outcome(self, now: Instant, outcome: Outcome, effects: list[Effect]) -> None:
        if outcome.error is not None:
            self.handled_failures += 1  # the next look writes again

    # -- what the watches bring ----------------------------------------------------------------------------------------

    def _hear(self, event: Watch) -> None:
        if self._seen.hear(event):
            return
        obj = event.obj
        known: dict[Any, Any]
        key = obj.metadata.key
        if type(obj) is PodMetrics:
            known = self._reports
        elif type(obj) is VerticalPodAutoscalerCheckpoint:
            known = self._checkpoints
        elif type(obj) is Lease and obj.metadata.namespace == NODE_LEASES:
            known, key = self._leases, obj.metadata.name
        else:
            return
        known.pop(key, None)
        if event.type != DELETED:
            known[key] = obj

    def _relist(self, event: Relist) -> None:
        if self._seen.relist(event):
            return
        of_kind: dict[str, dict[str, Any]] = {
            "PodMetrics": self._reports,
            "Lease": self._leases,
            "VerticalPodAutoscalerCheckpoint": self._checkpoints,
        }
        of_kind[event.kind].clear()
        for obj in event.objects:
            self._hear(Watch("ADDED", obj))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Source: observer.go OnUpdate."""
        if old is None or new is None or old.status.container_statuses is new.status.container_statuses:
            return
        before = {status.name: status for status in old.status.container_statuses}
        for status in new.status.container_statuses:
            known = before.get(status.name)
            if known is not None and (killed := _killed_for_memory(known, status)) is not None:
                finished, pod = killed, new if status.state.terminated is not None else old
                asked = next((c.resources.requests.get("memory") for c in pod.spec.containers if c.name == status.name), None)  # fmt: skip  # noqa: E501
                self._ooms.append(_Oom(new.metadata.key, status.name, asked.value if asked else 0, finished))

    # -- one look ------------------------------------------------------------------------------------------------------

    def _run_once(self, now: int, effects: list[Effect]) -> None:
        """Source: recommender.go RunOnce."""
        metrics = ResourceMetrics(now, self._reports, self._leases, self.scrapes, self.constants.lease_renewal_ns)
        for key in sorted(self._seen.vpas):
            vpa = self._seen.vpas[key]
            tracked = self._tracked.get(key)
            if tracked is None or tracked.uid != vpa.metadata.uid:
                tracked = self._tracked[key] = self._start_tracking(now, vpa)
            selector, problem = self._seen.selector(vpa)
            pods: Sequence[Pod] = ()
            if selector is not None:
                selected = self._seen.pods.selected(vpa.metadata.namespace, selector)
                pods = [pod for pod in selected if pod.status.phase != "Pending"]
            self._sample(now, tracked, pods, metrics)
            recommendation = self._recommend(vpa, tracked)
            self._write_status(now, vpa, recommendation, bool(pods), problem, effects)
            self._write_checkpoints(now, vpa, tracked, effects)
        self._ooms.clear()
        for key in sorted(self._tracked.keys() - self._seen.vpas.keys()):
            del self._tracked[key]
        for _, checkpoint in sorted(self._checkpoints.items()):
            meta = checkpoint.metadata
            if f"{meta.namespace}/{checkpoint.spec.vpa_object_name}" not in self._seen.vpas:
                effects.append(Delete("VerticalPodAutoscalerCheckpoint", meta.namespace, meta.name, uid=meta.uid))

    def _start_tracking(self, now: int, vpa: VerticalPodAutoscaler) -> _Tracked:
        """With what a recommender before this one wrote down. Source: InitFromCheckpoints."""
        tracked = _Tracked(vpa.metadata.uid, {}, {})
        for _, checkpoint in sorted(self._checkpoints.items()):
            spec = checkpoint.spec
            if (checkpoint.metadata.namespace, spec.vpa_object_name) == (vpa.metadata.namespace, vpa.metadata.name):
                history = self._new_history(now)
                try:
                    history.load(checkpoint.status)
                except ValueError:
                    continue  # of another version: its history begins anew
                tracked.histories[spec.container_name] = history
        return tracked

    def _new_history(self, now: int) -> UsageHistory:
        return new_history(self.settings, now, self.epoch_unix_ns)

    def _sample(self, now: int, tracked: _Tracked, pods: Sequence[Pod], metrics: ResourceMetrics) -> None:
        """Source: cluster_feeder.go LoadPods, LoadRealTimeMetrics; init containers have no recommendation."""
        live: dict[tuple[str, str, str], ContainerUsage] = {}
        for pod in pods:
            meta = pod.metadata
            for container in pod.spec.containers:
                history = tracked.histories.get(container.name)
                if history is None:
                    history = tracked.histories[container.name] = self._new_history(now)
                key = (meta.key, meta.uid, container.name)
                live[key] = tracked.containers.get(key) or ContainerUsage(history, self.settings)
            found = metrics.of(pod)
            for item in found.containers if found is not None else ():
                usage = live.get((meta.key, meta.uid, item.name))
                if usage is not None and found is not None:
                    at_ns = found.timestamp or 0
                    if "cpu" in item.usage:
                        usage.add_cpu(item.usage["cpu"].milli, at_ns)
                    if "memory" in item.usage:
                        usage.add_memory(item.usage["memory"].value, at_ns)
            for oom in self._ooms:
                killed = live.get((oom.pod, meta.uid, oom.container))
                if oom.pod == meta.key and killed is not None:
                    killed.record_oom(oom.requested, oom.at_ns)
        tracked.containers = live
        running = {name for _, _, name in live}
        for name, history in sorted(tracked.histories.items()):
            empty = not history.samples and name not in running
            if empty or history.is_expired(now, self.settings.memory_window_ns):
                del tracked.histories[name]
                tracked.containers = {key: value for key, value in tracked.containers.items() if key[2] != name}

    def _recommend(self, vpa: VerticalPodAutoscaler, tracked: _Tracked) -> RecommendedPodResources:
        policy = vpa.spec.resource_policy
        scaled = {
            name: history
            for name, history in tracked.histories.items()
            if (own := container_policy(name, policy)) is None or own.mode != SCALING_OFF
        }
        found = self._estimator.recommend(scaled, policy)
        if self.settings.cpu_as_integer:
            found = whole_cores(found, vpa.metadata.annotations)
        return capped_by_policy(found, policy, self.settings.max_allowed)

    # -- what is written -----------------------------------------------------------------------------------------------

    def _write_status(
        self,
        now: int,
        vpa: VerticalPodAutoscaler,
        recommendation: RecommendedPodResources,
        matched: bool,
        problem: str,
        effects: list[Effect],
    ) -> None:
        """Source: model/vpa.go updateConditionsLocked, AsStatus."""
        provided = bool(recommendation.container_recommendations)
        reason, message = ("", "") if matched else (NO_PODS_MATCHED, "No pods match this VPA object")
        wanted = [(RECOMMENDATION_PROVIDED, provided, *(("", "") if provided else (reason, message)))]
        if not matched:
            wanted.append((NO_PODS_MATCHED, True, reason, message))
        if problem:
            wanted.append((CONFIG_UNSUPPORTED, True, "", problem))
        known = {item.type: item for item in vpa.status.conditions}
        conditions = []
        for kind, holds, why, words in sorted(wanted):
            old, truth = known.get(kind), "True" if holds else "False"
            since = old.last_transition_time if old is not None and old.status == truth else Time(now)
            conditions.append(Condition(type=kind, status=truth, reason=why, message=words, last_transition_time=since))
        status = VerticalPodAutoscalerStatus(
            recommendation=recommendation if provided or vpa.status.recommendation is not None else None,
            conditions=tuple(conditions),
            observed_generation=vpa.metadata.generation,
        )
        if status != vpa.status:
            # A whole status: a condition that holds no more is left out.
            effects.append(Update(replaced(vpa, status=status), subresource="status"))

    def _write_checkpoints(
        self, now: int, vpa: VerticalPodAutoscaler, tracked: _Tracked, effects: list[Effect]
    ) -> None:
        """Source: checkpoint_writer.go; the peak of an interval that is not over is left out."""
        for name, history in sorted(tracked.histories.items()):
            if not history.samples:
                continue
            saved = copied_history(history)
            for key, usage in tracked.containers.items():
                if key[2] == name:
                    usage.without_current_peak(saved.memory, now)
            meta = ObjectMeta(name=f"{vpa.metadata.name}-{name}", namespace=vpa.metadata.namespace)
            spec = VerticalPodAutoscalerCheckpointSpec(vpa_object_name=vpa.metadata.name, container_name=name)
            known = self._checkpoints.get(meta.key)
            if known is None:
                checkpoint = VerticalPodAutoscalerCheckpoint(metadata=meta, spec=spec, status=saved.checkpoint(now))
                effects.append(Create(checkpoint))
            elif known.spec == spec and known.status.last_sample_start != history.last_ns:
                effects.append(Update(replaced(known, status=saved.checkpoint(now))))


def copied_history(history: UsageHistory) -> UsageHistory:
    """A copy whose memory can be changed."""
    return UsageHistory(
        history.cpu, deepcopy(history.memory), history.created_ns, history.first_ns, history.last_ns, history.samples
    )


def _killed_for_memory(old: ContainerStatus, new: ContainerStatus) -> int | None:
    """When the container was killed, if this change tells of it. Source: observer.go OnUpdate isNewOOM,
    isPreviousOOM."""
    restarted = (new.restart_count or 0) > (old.restart_count or 0)
    ended = new.state.terminated
    if ended is not None:
        if ended.reason == "OOMKilled" and (old.state.terminated is None or restarted):
            return ended.finished_at or 0
        return None
    before = new.last_state.terminated
    if new.state.running is not None and old.state.running is not None and restarted and before is not None:
        return (before.finished_at or 0) if before.reason == "OOMKilled" else None
    return None
