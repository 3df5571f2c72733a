"""The disruption controller: how many pods of each PodDisruptionBudget may be disturbed now.

Source: pkg/controller/disruption/disruption.go; kubernetes.io/docs "Specifying a Disruption Budget".
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.int_or_percent import scaled
from harness.controllers.runtime.pods import ready_since
from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.runtime.selectors import Group, Groups, Selectors
from harness.engine.component import MINUTE, Instant, LazyWatch, Update
from harness.model.core import Pod
from harness.model.meta import Condition, OwnerReference, condition
from harness.model.wire import Time
from harness.model.workloads import Deployment, PodDisruptionBudget, PodDisruptionBudgetStatus, ReplicaSet

DELETION_TIMEOUT_NS = 2 * MINUTE
"""How long an evicted pod is believed to go, when nothing more is heard of it. Source: disruption.DeletionTimeout."""

ALLOWED = "DisruptionAllowed"
"""Condition type. Source: policy/v1."""


class _Census:
    """Of the pods of one group of labels."""

    __slots__ = ("healthy", "owners")

    def __init__(self) -> None:
        self.healthy = 0
        self.owners: dict[str, tuple[OwnerReference, int]] = {}  # controllers by uid, and how many pods they have here


class _Unknown(Exception):
    """Nobody can say how many pods there should be."""


class DisruptionController(Reconciler):
    """Keys are 'namespace/name' of PodDisruptionBudgets."""

    def __init__(self, name: str = "disruption-controller") -> None:
        super().__init__(
            name,
            {
                "PodDisruptionBudget": self._budget_changed,
                "Deployment": self._owner_changed,
                "ReplicaSet": self._owner_changed,
                "StatefulSet": self._owner_changed,
                "ReplicationController": self._owner_changed,
                "Pod": self._pod_changed,
            },
        )
        self.lazy_watches = (
            LazyWatch(
                ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "Pod"),
                {"PodDisruptionBudget": None},
            ),
        )
        self._replica_sets = self.informer.index("ReplicaSet", _uid)
        self._deployments = self.informer.index("Deployment", _uid)
        self._others = [self.informer.index(kind, _uid) for kind in ("StatefulSet", "ReplicationController")]
        self._pods = Groups()
        self._census: dict[Group, _Census] = {}
        self._selectors = Selectors()
        self._troubled: dict[str, None] = {}  # budgets that wait for an owner to be heard of

    def forget_all(self) -> None:
        super().forget_all()
        self._pods.clear()
        self._census.clear()
        self._selectors.clear()
        self._troubled.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _budget_changed(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        if new is None:
            assert old is not None
            self._selectors.put(old.metadata.key, old.metadata.namespace, None)
            self._troubled.pop(old.metadata.key, None)
            return
        meta = new.metadata
        self._selectors.put(meta.key, meta.namespace, new.spec.selector)
        self.queue.add(meta.key)

    def _owner_changed(self, old: Any, new: Any) -> None:
        if old is None:
            for key in self._troubled:
                self.queue.add(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and old.metadata.labels == new.metadata.labels:
            group = self._pods.add(new.metadata.key, new.metadata.namespace, new.metadata.labels, new)
            if self._recount(group, old, new):
                self._enqueue_budgets(group)
            return
        if old is not None:
            meta = old.metadata
            left = self._pods.remove(meta.key, meta.namespace, meta.labels)
            if left is not None:
                self._recount(left, old, None)
                if not left.members:
                    del self._census[left]
                self._enqueue_budgets(left)
        if new is not None:
            meta = new.metadata
            group = self._pods.add(meta.key, meta.namespace, meta.labels, new)
            self._recount(group, None, new)
            self._enqueue_budgets(group)

    def _recount(self, group: Group, old: Pod | None, new: Pod | None) -> bool:
        """Whether anything changed that a budget looks at."""
        census = self._census.get(group)
        if census is None:
            census = self._census[group] = _Census()
        healthier = (new is not None and _healthy(new)) - (old is not None and _healthy(old))
        census.healthy += healthier
        was = None if old is None else old.metadata.controller()
        now = None if new is None else new.metadata.controller()
        if was != now:
            for owner, more in ((was, -1), (now, 1)):
                if owner is not None:
                    count = census.owners.get(owner.uid, (owner, 0))[1] + more
                    if count:
                        census.owners[owner.uid] = (owner, count)
                    else:
                        del census.owners[owner.uid]
        going = old is not None and new is not None and _going(old) != _going(new)
        return bool(healthier) or was != now or going

    def _enqueue_budgets(self, group: Group) -> None:
        for key in self._selectors.of(group):
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        budget: PodDisruptionBudget | None = self.informer.get("PodDisruptionBudget", key)
        if budget is None:
            return
        meta, old = budget.metadata, budget.status
        selector = budget.spec.selector
        groups = [] if selector is None else list(self._pods.selected(meta.namespace, selector))
        try:
            expected, desired = self._wanted(budget, groups)
        except _Unknown as error:
            if key not in self._troubled:
                self._troubled[key] = None
                message = f"Failed to calculate the number of expected pods: {error}"
                self.record(budget, "Warning", "CalculateExpectedPodCountFailed", message)
            failed = _condition(now, budget, "False", "SyncFailed", str(error))
            self._write(key, budget, replace(old, disruptions_allowed=0, conditions=failed))
            return
        self._troubled.pop(key, None)
        disrupted = self._disrupted(now, budget)
        healthy = sum(self._census[group].healthy for group in groups)
        for name in disrupted:
            pod = self.informer.get("Pod", f"{meta.namespace}/{name}")
            healthy -= pod is not None and _healthy(pod) and self._pods_of(pod) in groups
        allowed = max(healthy - desired, 0) if expected > 0 else 0
        if disrupted:
            self.queue.add_at(key, min(disrupted.values()) + DELETION_TIMEOUT_NS + 1)
        enough = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
        status = PodDisruptionBudgetStatus(
            disruptions_allowed=allowed,
            current_healthy=healthy,
            desired_healthy=desired,
            expected_pods=expected,
            observed_generation=meta.generation,
            disrupted_pods=disrupted,
            conditions=_condition(now, budget, *enough, ""),
            extra=old.extra,
        )
        self._write(key, budget, status)

    def _write(self, key: str, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> None:
        # With the resourceVersion read, so that an eviction in the meantime is not overwritten but read again.
        if status != budget.status:
            self.write(key, Update(replace(budget, status=status), "status", key))

    def _pods_of(self, pod: Pod) -> Group | None:
        return self._pods.get(pod.metadata.namespace, pod.metadata.labels)

    def _wanted(self, budget: PodDisruptionBudget, groups: list[Group]) -> tuple[int, int]:
        """(pods that there should be, pods that should be healthy). Source: getExpectedPodCount."""
        spec = budget.spec
        if spec.max_unavailable is not None:
            expected = self._scale(groups)
            return expected, max(expected - scaled(spec.max_unavailable, expected, up=True), 0)
        if isinstance(spec.min_available, str):
            expected = self._scale(groups)
            return expected, scaled(spec.min_available, expected, up=True)
        return sum(len(group.members) for group in groups), spec.min_available or 0

    def _scale(self, groups: list[Group]) -> int:
        """What the controllers of these pods are asked for, each counted once; pods of nobody don't count.

        Raises _Unknown for a pod of a controller that has no scale here. Source: getExpectedScale.
        """
        scales: dict[str, int] = {}
        for group in groups:
            for owner, _ in self._census[group].owners.values():
                uid, scale = self._scale_of(owner)
                scales[uid] = scale
        return sum(scales.values())

    def _scale_of(self, owner: OwnerReference) -> tuple[str, int]:
        if owner.kind == "ReplicaSet":
            for replica_set in self._replica_sets[owner.uid].values():
                found: ReplicaSet | Deployment = replica_set
                above = replica_set.metadata.controller()
                if above is not None and above.kind == "Deployment":
                    found = next(iter(self._deployments[above.uid].values()), replica_set)
                return found.metadata.uid, found.spec.replicas or 0
        for index in self._others:
            for found_other in index[owner.uid].values():
                return owner.uid, found_other.spec.replicas or 0
        raise _Unknown(f'found no controllers with a scale for pods of {owner.kind} "{owner.name}"')

    def _disrupted(self, now: Instant, budget: PodDisruptionBudget) -> dict[str, Time]:
        """Evicted, and neither going yet nor given up. Source: buildDisruptedPodMap."""
        out: dict[str, Time] = {}
        for name, since in budget.status.disrupted_pods.items():
            pod: Pod | None = self.informer.get("Pod", f"{budget.metadata.namespace}/{name}")
            if pod is None or _going(pod):
                continue
            if since + DELETION_TIMEOUT_NS < now:
                message = f"Pod was expected by PDB {budget.metadata.key} to be deleted but it wasn't"
                self.record(pod, "Warning", "NotDeleted", message)
                continue
            out[name] = since
        return out


def _healthy(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and ready_since(pod) is not None


def _going(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def _uid(obj: Any) -> tuple[str, ...]:
    return (obj.metadata.uid,)


def _condition(
    now: Instant, budget: PodDisruptionBudget, status: str, reason: str, message: str
) -> tuple[Condition, ...]:
    """DisruptionAllowed in place of the one before. Source: pdb.UpdateDisruptionAllowedCondition."""
    old = condition(budget.status.conditions, ALLOWED)
    same = old is not None and old.status == status
    new = Condition(
        type=ALLOWED,
        status=status,
        reason=reason,
        message=message,
        observed_generation=budget.metadata.generation,
        last_transition_time=old.last_transition_time if old is not None and same else Time(now),
    )
    return (*(item for item in budget.status.conditions if item.type != ALLOWED), new)
