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
from harness.engine.component import MINUTE, Instant, Subscribe, Update
from harness.model.core import Pod
from harness.model.objects import kind_of
from harness.model.policy import ResourceQuota, ResourceQuotaStatus

RESYNC_NS = 5 * MINUTE
"""Source: --resource-quota-sync-period."""


class ResourceQuotaController(Reconciler):
    """Keys are 'namespace/name' of ResourceQuotas. Kinds are watched from when some quota counts them."""

    def __init__(self, name: str = "resourcequota-controller") -> None:
        counted = dict.fromkeys(counted_kinds(), self._counted_changed)
        super().__init__(name, {**counted, "ResourceQuota": self._quota_changed})
        self.watches = ("ResourceQuota",)
        self._in_namespace = {kind: self.informer.index(kind, _namespace) for kind in counted_kinds()}
        self._watched: set[str] = set()
        self._used: dict[str, dict[str, int]] = {}  # by key of quota: thousandths by resource
        self._quotas: dict[str, dict[str, ResourceQuota]] = {}  # by namespace, then by key

    def forget_all(self) -> None:
        super().forget_all()
        self._watched.clear()
        self._used.clear()
        self._quotas.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _quota_changed(self, old: ResourceQuota | None, new: ResourceQuota | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            held = self._quotas[meta.namespace]
            del held[meta.key], self._used[meta.key]
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
        used = self._used[meta.key] = {}
        for kind in kinds:
            for obj in self._in_namespace[kind][meta.namespace].values():
                _count(used, new, obj, self.now, 1)
        self.queue.add(meta.key)

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
            used = self._used[key]
            if old is not None:
                _count(used, quota, old, self.now, -1)
            if new is not None:
                _count(used, quota, new, self.now, 1)
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        quota: ResourceQuota | None = self.informer.get("ResourceQuota", key)
        if quota is None:
            return
        hard = quota.spec.hard
        status = ResourceQuotaStatus(hard=hard, used=total(hard, (self._used[key],)), extra=quota.status.extra)
        if status != quota.status:
            # With the resourceVersion read: what admission charged in the meantime is not overwritten.
            self.write(key, Update(replace(quota, status=status), "status", key))
        self.queue.add_at(key, now + RESYNC_NS)


def _count(used: dict[str, int], quota: ResourceQuota, obj: Any, now: Instant, sign: int) -> None:
    if concerns(quota, obj):
        usage: Usage = usage_of(obj, now)
        for name, milli in usage.items():
            used[name] = used.get(name, 0) + sign * milli


def _same(old: Pod, new: Pod) -> bool:
    """Whether a quota sees no difference."""
    return old.spec is new.spec and old.status.phase == new.status.phase


def _namespace(obj: Any) -> tuple[str, ...]:
    return (obj.metadata.namespace,)
