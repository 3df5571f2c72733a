"""Around somebody else's replica policy: what it does wrong is a metric that says nothing, and a fault that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import index
from types import MappingProxyType
from typing import Any

import msgspec

from harness.autoscaling.metrics_client import MetricError, MetricsClient, Samples
from harness.autoscaling.policy import Proposal, ReplicaPolicy, ScaleTarget
from harness.autoscaling.sandbox.calls import DEADLINE_S, Calls, Copies, illegal, is_shipped, mutation
from harness.engine.guard import Misbehaved
from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.model.workloads import CrossVersionObjectReference, MetricSpec
from harness.scheduling.sandbox.guard import stable_text
from harness.scheduling.state.read_only import ReadOnly

MOST_REPLICAS = 2**31 - 1
"""Source: spec.replicas of a Scale is an int32 (autoscaling/v1)."""


class ContainedReplicaPolicy:
    """`faults`: (key of the autoscaler, what was done wrong), until somebody takes them."""

    def __init__(self, policy: ReplicaPolicy, deadline_s: float | None = DEADLINE_S) -> None:
        self.faults: list[tuple[str, Misbehaved]] = []
        self._policy = policy
        self._calls = Calls(deadline_s)
        self._copies = Copies()

    @property
    def overruns(self) -> int:
        return self._calls.overruns

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        """Raises MetricError, also where the policy did wrong."""
        if self._calls.given_up:
            raise MetricError("the replica policy is asked no more: its calls do not end")
        try:
            return self._ask(target, metric)
        except Misbehaved as fault:
            self.faults.append((target.key, fault))
            raise MetricError(f"the replica policy failed: {fault}") from fault

    def _ask(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        propose, copies = self._policy.propose, self._copies
        shown = replace(target, pods=tuple(map(copies.of, target.pods)), metrics=_ReadOnlyMetrics(target.metrics))
        try:
            answer = self._calls.ask(propose, shown, copies.of(metric), passes=(MetricError,))
        finally:
            changed = copies.changed((*target.pods, metric))
        if changed is not None:
            raise mutation(changed, propose)
        if type(answer) is not Proposal:
            raise illegal(f"a Proposal is the answer, not {stable_text(answer)}", propose)
        try:
            replicas = index(answer.replicas)
        except TypeError:
            replicas = -1
        if isinstance(answer.replicas, bool) or not 0 <= replicas <= MOST_REPLICAS:
            raise illegal(
                f"replicas are a whole number from 0 to {MOST_REPLICAS}, not {stable_text(answer.replicas)}", propose
            )
        if not isinstance(answer.metric, str):
            raise illegal(f"the metric of a Proposal has a name, not {stable_text(answer.metric)}", propose)
        return Proposal(replicas, answer.metric, _plain(answer.current, propose))


def contain_replica_policy(
    policy: ReplicaPolicy, deadline_s: float | None = DEADLINE_S
) -> ReplicaPolicy | ContainedReplicaPolicy:
    """The shipped ones are trusted."""
    return policy if is_shipped(policy) else ContainedReplicaPolicy(policy, deadline_s)


def _plain(current: Any, method: Any) -> dict[str, Any]:
    """A copy of what status.currentMetrics will show."""
    try:
        copy = msgspec.json.decode(msgspec.json.encode(current))
    except Exception as error:  # somebody else's objects
        raise illegal(f"current of a Proposal is no JSON: {stable_text(error, str)}", method) from None
    if not isinstance(copy, dict):
        raise illegal(f"current of a Proposal is an entry of status.currentMetrics, not {stable_text(current)}", method)
    return copy


class _ReadOnlyMetrics:
    """A MetricsClient that can only be asked."""

    __slots__ = ("__client",)
    __client: MetricsClient

    def __init__(self, client: MetricsClient) -> None:
        object.__setattr__(self, "_ReadOnlyMetrics__client", client)

    def __setattr__(self, name: str, value: object) -> None:
        raise ReadOnly(f"metrics are read-only: {name}")

    def resource(self, name: str, pods: Sequence[Pod], container: str) -> Samples:
        return MappingProxyType(dict(self.__client.resource(name, pods, container)))

    def pods(self, name: str, pods: Sequence[Pod], selector: LabelSelector | None) -> Samples:
        return MappingProxyType(dict(self.__client.pods(name, pods, selector)))

    def object(
        self, name: str, namespace: str, described: CrossVersionObjectReference, selector: LabelSelector | None
    ) -> int:
        return self.__client.object(name, namespace, described, selector)

    def external(self, name: str, namespace: str, selector: LabelSelector | None) -> list[int]:
        return list(self.__client.external(name, namespace, selector))
