"""ResourceQuota: an object is let in when the quotas of its namespace have room, and they are charged for it.

Source: apiserver pkg/admission/plugin/resourcequota/admission.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from harness.apiserver.admission import quota
from harness.apiserver.admission.by_namespace import ByNamespace
from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.watch_cache import WatchCache
from harness.engine.component import ADDED
from harness.model.meta import ApiObject
from harness.model.policy import ResourceQuota as Quota


class UsageOf(Protocol):
    """What an object uses of its namespace's quotas at `now`; nothing, where quotas do not count it."""

    def __call__(self, obj: ApiObject, now: int) -> quota.Usage: ...


class ResourceQuota(Plugin):
    observes = frozenset({"ResourceQuota"})

    def __init__(self, cache: WatchCache, usage_of: UsageOf) -> None:
        super().__init__(cache)
        self._usage_of = usage_of
        self._quotas: ByNamespace[Quota] = ByNamespace()

    def validate(self, request: AdmissionRequest) -> Sequence[Quota]:
        """The quotas with what they have used, `obj` included. Raises ApiError Forbidden."""
        quotas = self._quotas.values(request.namespace)
        if not quotas:
            return ()
        return quota.admitted(quotas, request.obj, request.kind.plural, partial(self._usage_of, now=request.now))

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        self._quotas.put(change, obj, obj)
        self.idle = not self._quotas.held

    def rebuild(self) -> None:
        self._quotas.clear()
        for found in self.cache.objects("ResourceQuota").values():
            self._quotas.put(ADDED, found, found)
        self.idle = not self._quotas.held
