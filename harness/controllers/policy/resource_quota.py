"""The quota controller: how much of each ResourceQuota is used, so that what leaves a namespace makes room again.

Source: pkg/controller/resourcequota/resource_quota_controller.go (1.32). Admission adds what comes; this counts what is
there, when a quota is new or changed, when something counted goes or ends, and every five minutes.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.apiserver.admission.quota import Usage, concerns, total
from harness.apiserver.kinds import counted_kinds, kind_of_quota, usage_of
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Instant, Subscribe, Update
from harness.model.core import Pod
from harness.model.objects import kind_of
from harness.model.policy import ResourceQuota, ResourceQuotaStatus

_NOTHING: Usage = {}


class ResourceQuotaController(Reconciler):
    """Keys are 'namespace/name' of ResourceQuotas. Kinds are watched from when some quota counts them."""

    def __init__(self, name: str = "resourcequota-controller") -> None:
        counted = dict.fromkeys(counted_kinds(), self._counted_changed)
        super().__init__(name, {**counted, "ResourceQuota": self._quota_changed})
        self.watches = ("ResourceQuota",)
        self._in_namespace = {kind: self.informer.index(kind, _namespace) for kind in counted_kinds()}
        self._watched: set[str] = set()
        # By key of quota: what each object was counted as, by kind and key; and the sums, thousandths by resource. What
        # an object uses changes with time (a pod's grace ends), so what is taken away is what was added.
        self._counted: dict[str, dict[tuple[str, str], Usage]] = {}
        self._used: dict[str, Usage] = {}
        self._counted_at: dict[str, Instant] = {}  # when all of it was counted
        self._quotas: dict[str, dict[str, ResourceQuota]] = {}  # by namespace, then by key

    def forget_all(self) -> None:
        super().forget_all()
        self._watched.clear()
        self._counted.clear()
        self._used.clear()
        self._counted_at.clear()
        self._quotas.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _quota_changed(self, old: ResourceQuota | None, new: ResourceQuota | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            held = self._quotas[meta.namespace]
            del held[meta.key], self._used[meta.key], self._counted[meta.key], self._counted_at[meta.key]
            if not held:
                del self._quotas[meta.namespace]
            return
        meta = new.metadata
        self._quotas.setdefault(meta.namespace, {})[meta.key] = new
        if old is not None and old.spec == new.spec:
            return  # what it has used is written by admission and by this controller alone
        kinds = sorted({kind_of_quota(resource) for resource in new.spec.hard})
        more = tuple(kind for kind in kinds if kind not in self._watched)
        if more:
            self._watched.update(more)
            self._effects.append(Subscribe(more))
        self._recount(new, self.now)
        self.queue.add(meta.key)

    def _recount(self, quota: ResourceQuota, now: Instant) -> None:
        meta = quota.metadata
        self._used[meta.key] = {}
        self._counted[meta.key] = {}
        self._counted_at[meta.key] = now
        for kind in sorted({kind_of_quota(resource) for resource in quota.spec.hard}):
            for obj in self._in_namespace[kind][meta.namespace].values():
                self._count(quota, kind, obj, obj, now)

    def _count(self, quota: ResourceQuota, kind: str, obj: Any, new: Any, now: Instant) -> None:
        """`new`: `obj` as it is now, None when it is gone."""
        key = quota.metadata.key
        used, counted, at = self._used[key], self._counted[key], (kind, obj.metadata.key)
        for name, milli in counted.pop(at, _NOTHING).items():
            used[name] -= milli
        if new is not None and concerns(quota, new):
            usage = counted[at] = usage_of(new, now)
            for name, milli in usage.items():
                used[name] = used.get(name, 0) + milli

    def _counted_changed(self, old: Any, new: Any) -> None:
        found = new if new is not None else old
        quotas = self._quotas.get(found.metadata.namespace)
        if quotas is None:
            return
        kind = kind_of(found)
        if isinstance(old, Pod) and isinstance(new, Pod) and _same(old, new):
            return
        for key, quota in quotas.items():
            if all(kind_of_quota(resource) != kind for resource in quota.spec.hard):
                continue
            self._count(quota, kind, found, new, self.now)
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        quota: ResourceQuota | None = self.informer.get("ResourceQuota", key)
        if quota is None:
            return
        if now - self._counted_at[key] >= self.constants.resource_quota_sync_period_ns:
            self._recount(quota, now)
        hard = quota.spec.hard
        status = ResourceQuotaStatus(hard=hard, used=total(hard, (self._used[key],)), extra=quota.status.extra)
        if status != quota.status:
            # With the resourceVersion read: what admission charged in the meantime is not overwritten.
            self.write(key, Update(replace(quota, status=status), "status", key))
        self.queue.add_at(key, self._counted_at[key] + self.constants.resource_quota_sync_period_ns)


def _same(old: Pod, new: Pod) -> bool:
    """Whether a quota sees no difference."""
    return old.spec is new.spec and old.status.phase == new.status.phase


def _namespace(obj: Any) -> tuple[str, ...]:
    return (obj.metadata.namespace,)
