"""Checks that no eviction through the API violates a PodDisruptionBudget: by its status, and by a recount of its pods.

Source: kubernetes.io/docs, "Disruptions", "API-initiated Eviction"; pkg/registry/core/pod/storage/eviction.go,
pkg/controller/disruption/disruption.go (1.32). The rules are implemented a second time here, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from harness.engine.component import MINUTE, SECOND, Instant
from harness.model.core import Pod
from harness.model.meta import is_ready
from harness.model.objects import PodDisruptionBudget

STALE_NS = 15 * MINUTE
"""How long a status may lag behind the pods: as long as its controller, or what it watches, is away."""

SCALED = ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")


class Budgets:
    """`say`: takes a check and what broke it. `server`: an ApiServer, told of in `written` and, before it writes, in
    `evicted`."""

    def __init__(self, server: Any, say: Callable[[str, str], None]) -> None:
        self._server, self._say = server, say
        self._none_left_since: dict[str, Instant] = {}
        self._owed: dict[str, tuple[str, int]] = {}  # by key of a budget: the pod that was evicted, what is left then

    def written(self, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "PodDisruptionBudget":
            self._paid(obj)
            self._recount(obj, gone=change == "DELETED")
        elif (kind == "Pod" and _matters(obj, old, change)) or (kind in SCALED and _scale_changed(obj, old)):
            for budget in self._server.listed("PodDisruptionBudget", obj.metadata.namespace):
                self._recount(budget)

    def evicted(self, pod: Pod) -> None:
        """Of a pod as it is before anything is written."""
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed", "Pending"):
            return
        budgets = [
            item for item in self._server.listed("PodDisruptionBudget", pod.metadata.namespace) if _is_of(item, pod)
        ]
        subject = f"Pod {pod.metadata.key} is evicted, though"
        if len(budgets) > 1:
            self._say("eviction", f"{subject} {len(budgets)} budgets are about it")
        for budget in budgets[:1]:
            self._judge(pod, budget, subject)

    # -- within --------------------------------------------------------------------------------------------------------

    def _judge(self, pod: Pod, budget: PodDisruptionBudget, subject: str) -> None:
        key, status, ready = budget.metadata.key, budget.status, is_ready(pod.status.conditions)
        desired, current = status.desired_healthy or 0, status.current_healthy or 0
        if not ready and (
            budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" or (desired > 0 and current >= desired)
        ):
            return
        if (status.observed_generation or 0) < (budget.metadata.generation or 0):
            self._say("eviction", f"{subject} nobody has looked at budget {key} as it is now")
        if (status.disruptions_allowed or 0) <= 0:
            self._say("eviction", f"{subject} budget {key} allows none: {current} are healthy, {desired} must be")
        since = self._none_left_since.get(key)
        if ready and since is not None and self._server.now - since > STALE_NS:
            for_s = (self._server.now - since) // SECOND
            self._say("eviction", f"{subject} by a recount budget {key} has allowed none for {for_s} s")
        self._owed[key] = (pod.metadata.name, (status.disruptions_allowed or 0) - 1)

    def _paid(self, budget: PodDisruptionBudget) -> None:
        owed = self._owed.pop(budget.metadata.key, None)
        if owed is None:
            return
        name, left = owed
        status = budget.status
        if name not in status.disrupted_pods or (status.disruptions_allowed or 0) != left:
            what = f"allows {status.disruptions_allowed or 0}, {left} are left after pod {name}"
            self._say("eviction", f"PodDisruptionBudget {budget.metadata.key} {what}")

    def _recount(self, budget: PodDisruptionBudget, *, gone: bool = False) -> None:
        key = budget.metadata.key
        if not gone and self._allowed(budget) <= 0:
            self._none_left_since.setdefault(key, self._server.now)
        else:
            self._none_left_since.pop(key, None)

    def _allowed(self, budget: PodDisruptionBudget) -> int:
        pods = [pod for pod in self._server.listed("Pod", budget.metadata.namespace) if _is_of(budget, pod)]
        healthy = sum(is_ready(pod.status.conditions) and pod.metadata.deletion_timestamp is None for pod in pods)
        least, most = budget.spec.min_available, budget.spec.max_unavailable
        if most is None and not isinstance(least, str):
            return healthy - (least or 0)
        scales = dict(self._scales(pods))
        expected = sum(scales.values())
        if expected <= 0 or any(scale < 0 for scale in scales.values()):
            return 0
        return healthy - (expected - _share(most, expected) if most is not None else _share(least, expected))

    def _scales(self, pods: list[Pod]) -> Iterator[tuple[str, int]]:
        """(uid of a controller, what it is asked for; -1 where nobody can say) of each pod that has one."""
        for pod in pods:
            owner = pod.metadata.controller()
            if owner is None:
                continue
            found = self._by_uid(owner.kind, owner.name, owner.uid, pod.metadata.namespace)
            above = None if found is None else found.metadata.controller()
            if above is not None and above.kind == "Deployment":
                found = self._by_uid("Deployment", above.name, above.uid, pod.metadata.namespace) or found
            yield (owner.uid, -1) if found is None else (found.metadata.uid, found.spec.replicas or 0)

    def _by_uid(self, kind: str, name: str, uid: str, namespace: str) -> Any:
        found = self._server.objects(kind).get(f"{namespace}/{name}") if kind in SCALED else None
        return found if found is not None and found.metadata.uid == uid else None


def _share(bound: int | str | None, expected: int) -> int:
    """A number, or a percentage rounded up."""
    if not isinstance(bound, str):
        return bound or 0
    share = Fraction(int(bound.rstrip("%")) * expected, 100)
    return -(-share.numerator // share.denominator)


def _is_of(budget: PodDisruptionBudget, pod: Pod) -> bool:
    return budget.spec.selector is not None and budget.spec.selector.matches(pod.metadata.labels)


def _matters(pod: Pod, old: Pod | None, change: str) -> bool:
    return (
        old is None
        or change == "DELETED"
        or is_ready(pod.status.conditions) != is_ready(old.status.conditions)
        or pod.metadata.deletion_timestamp != old.metadata.deletion_timestamp
        or pod.metadata.labels != old.metadata.labels
        or pod.metadata.owner_references != old.metadata.owner_references
    )


def _scale_changed(obj: Any, old: Any) -> bool:
    return old is None or obj.spec.replicas != old.spec.replicas
