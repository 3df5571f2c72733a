"""The horizontal pod autoscaler: replicas by metrics, by Kubernetes' algorithm.

Source: kubernetes 1.34 pkg/controller/podautoscaler. This file hears what there is and writes what was decided; the
decision is made in `reconcile`, the arithmetic in `replica_calculator`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from harness.autoscaling.horizontal.behavior import Memory
from harness.autoscaling.horizontal.foresight import Oracle
from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter
from harness.autoscaling.horizontal.reconcile import Decision, Scale, not_rescaled, reconcile, rescaled
from harness.autoscaling.horizontal.served_metrics import Seen, ServedMetrics
from harness.autoscaling.periodic import PeriodicController
from harness.autoscaling.pod_index import PodIndex
from harness.autoscaling.policy import REPLICA_POLICIES, ReplicaPolicy
from harness.autoscaling.sandbox.calls import DEADLINE_S
from harness.autoscaling.sandbox.replica_policy import ContainedReplicaPolicy, contain_replica_policy
from harness.engine.component import (
    DELETED,
    Effect,
    Instant,
    LazyWatch,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    Update,
    Watch,
)
from harness.engine.guard import event_about, fault_of
from harness.model.constants import DEFAULTS
from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.model.objects import KINDS, Unstructured
from harness.model.pod_usage import Scrapes
from harness.model.workloads import HorizontalPodAutoscaler, Lease, PodMetrics

NODE_LEASES = "kube-node-lease"

SCALED_KINDS = tuple(sorted(item.kind for item in KINDS.values() if item.scale and item.type is not Unstructured))
"""Kinds with a scale subresource."""

replaced = msgspec.structs.replace


class HorizontalController(PeriodicController):
    name = "horizontal-pod-autoscaler"
    constants = DEFAULTS
    scrapes = Scrapes()
    watches = ("HorizontalPodAutoscaler", *SCALED_KINDS, "Pod", "PodMetrics")
    lazy_watches = (LazyWatch(watches[1:], {"HorizontalPodAutoscaler": None}),)

    adapter = MetricsAdapter()
    """Serves metrics besides CPU and memory; whoever puts a cluster together says which."""
    handled_failures = 0

    def __init__(self, policy: str | ReplicaPolicy = "utilization") -> None:
        """`policy`: a replica policy, or the name of one. Raises UserError."""
        self._given: ReplicaPolicy = REPLICA_POLICIES.make(policy) if isinstance(policy, str) else policy
        self.contain(DEADLINE_S)
        self._reset()

    def contain(self, deadline_s: float | None) -> None:
        """`deadline_s`: of one call of a policy that is not shipped, on the wall clock."""
        self._policy: ReplicaPolicy | ContainedReplicaPolicy = contain_replica_policy(self._given, deadline_s)

    @property
    def overruns(self) -> int:
        """Calls of the policy that passed their deadline."""
        return self._policy.overruns if isinstance(self._policy, ContainedReplicaPolicy) else 0

    @property
    def period_ns(self) -> int:
        return self.constants.hpa_sync_period_ns

    def _reset(self) -> None:
        super()._reset()
        self._scalers: dict[str, HorizontalPodAutoscaler] = {}
        self._memory: dict[str, Memory] = {}
        self._rescaling: dict[str, Decision] = {}  # whose target is being written
        self._targets: dict[tuple[str, str], Any] = {}
        self._pods = PodIndex()
        self._metrics: dict[str, PodMetrics] = {}
        self._leases: dict[str, Lease] = {}

    def _is_needed(self) -> bool:
        return bool(self._scalers)

    _needs_leases = _is_needed

    def _run_once(self, now: Instant, effects: list[Effect]) -> None:
        for key in sorted(self._scalers):
            if key not in self._rescaling:
                self._sync(now, self._scalers[key], effects)

    # -- what the watches bring ----------------------------------------------------------------------------------------

    def _hear(self, event: Watch) -> None:
        obj, gone = event.obj, event.type == DELETED
        kind = type(obj)
        meta = obj.metadata
        known: dict[Any, Any]
        key: Any = meta.key
        if kind is Pod:
            self._pods.hear(obj, gone=gone)
            return
        if kind is PodMetrics:
            known = self._metrics
        elif kind is Lease:
            if meta.namespace != NODE_LEASES:
                return
            known, key = self._leases, meta.name
        elif kind is HorizontalPodAutoscaler:
            known = self._scalers
            if gone:
                self._memory.pop(key, None)
                self._rescaling.pop(key, None)
                self._pods.unclaim(key)
        else:
            known, key = self._targets, (kind.__name__, key)
        if gone:
            known.pop(key, None)
        else:
            known[key] = obj

    def _relist(self, event: Relist) -> None:
        if event.kind == "Pod":
            self._pods.clear()
        elif event.kind == "PodMetrics":
            self._metrics.clear()
        elif event.kind == "Lease":
            self._leases.clear()
        elif event.kind == "HorizontalPodAutoscaler":
            uids = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
            for key, scaler in list(self._scalers.items()):
                if uids.get(key) != scaler.metadata.uid:
                    self._hear(Watch(DELETED, scaler))
        else:
            self._targets = {key: value for key, value in self._targets.items() if key[0] != event.kind}
        for obj in event.objects:
            self._hear(Watch("ADDED", obj))

    # -- one autoscaler ------------------------------------------------------------------------------------------------

    def _sync(self, now: int, scaler: HorizontalPodAutoscaler, effects: list[Effect]) -> None:
        meta, ref = scaler.metadata, scaler.spec.scale_target_ref
        target = None
        if _is_served(ref.kind, ref.api_version):
            target = self._targets.get((ref.kind, f"{meta.namespace}/{ref.name}"))
        memory = self._memory.setdefault(meta.key, Memory())
        scale = _not_found(ref.kind, ref.name, ref.api_version) if target is None else _scale_of(target)
        if isinstance(self._given, Oracle):
            self._given.adapter = self.adapter
        seen = Seen(self._pods, self._metrics, self._leases, self._targets)
        view = _View(self._pods, ServedMetrics(now, seen, self.adapter, self.scrapes, self.constants.lease_renewal_ns))
        decision = reconcile(now, scaler, scale, memory, view, self._policy, self.constants)
        if isinstance(self._policy, ContainedReplicaPolicy):
            for _, misbehaved in self._policy.faults:
                fault = fault_of(self.name, misbehaved, scaler)
                effects += (fault.observation(), event_about(scaler, fault))
            self._policy.faults.clear()
        if target is not None and decision.rescale is not None:
            resized = replaced(target, spec=replaced(target.spec, replicas=decision.rescale.desired))
            self._rescaling[meta.key] = decision
            effects.append(Update(resized, token=meta.key))
        else:
            _write_status(scaler, decision, effects)

    def _handle_outcome(self, now: int, outcome: Outcome, effects: list[Effect]) -> None:
        """What became of a rescale. Of anything else, the next sync sees what is, and writes again."""
        error = outcome.error
        if error is not None:
            self.handled_failures += 1
        if type(outcome.effect) is not Update:
            return
        key: str = outcome.token
        decision, scaler = self._rescaling.pop(key, None), self._scalers.get(key)
        if decision is None or scaler is None:
            return
        events = decision.events
        if error is None:
            decision = rescaled(now, scaler, self._memory[key], decision)
        else:
            decision = not_rescaled(now, decision, str(error))
        _write_status(scaler, dataclasses.replace(decision, events=(*events, *decision.events)), effects)


def _write_status(scaler: HorizontalPodAutoscaler, decision: Decision, effects: list[Effect]) -> None:
    effects.extend(Record(scaler, *event) for event in decision.events)
    status = replaced(decision.status, observed_generation=scaler.metadata.generation)
    if status != scaler.status:
        effects.append(PatchStatus(replaced(scaler, status=status), scaler))


class _View:
    def __init__(self, pods: PodIndex, metrics: ServedMetrics) -> None:
        self.metrics = metrics
        self.pods = pods.selected
        self.autoscalers_of = pods.claimed_by


def _scale_of(target: Any) -> Scale:
    """Without replicas it is one: what the API server defaults."""
    spec, status, selector = target.spec, target.status, target.spec.selector
    if isinstance(selector, dict):  # of a ReplicationController
        selector = LabelSelector(match_labels=selector)
    return Scale(1 if spec.replicas is None else spec.replicas, status.replicas or 0, selector)


def _is_served(kind: str, api_version: str) -> bool:
    """Whether there is such a kind in the group; the version is not looked at. Source: RESTMapper.RESTMappings."""
    known = KINDS.get(kind)
    return known is not None and api_version.count("/") < 2 and known.group == api_version.rpartition("/")[0]


def _not_found(kind: str, name: str, api_version: str) -> str:
    group = api_version.rpartition("/")[0]
    if api_version.count("/") > 1:
        return f"unexpected GroupVersion string: {api_version}"
    known = KINDS.get(kind)
    if known is None or not _is_served(kind, api_version):
        return f'no matches for kind "{kind}" in group "{group}"'
    plural = f"{known.plural}.{group}" if group else known.plural
    if not known.scale:
        return "the server could not find the requested resource"
    return f'{plural} "{name}" not found'
