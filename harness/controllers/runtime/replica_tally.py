"""The pods of one ReplicaSet, counted as they change: replicas, ready, available, and by labels.

Each change costs the same whether the set has one pod or ten thousand.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from harness.controllers.runtime.pods import is_active, ready_since
from harness.controllers.runtime.selectors import LabelKey, LabelKeys
from harness.engine.component import Instant
from harness.model.core import Pod


class ReplicaTally:
    """Pods by key, active ones only, in order of arrival."""

    __slots__ = ("_aged", "_min_ready_ns", "_young", "active", "by_labels", "ready")

    def __init__(self) -> None:
        self.active: dict[str, Pod] = {}
        self.ready: dict[str, Instant] = {}  # since when
        self.by_labels: dict[LabelKey, int] = {}
        self._min_ready_ns = 0
        self._young: list[tuple[Instant, str]] = []  # heap of (ready since, key) of what is not available yet
        self._aged: set[str] = set()  # available; only counted, so that its order does not matter

    def put(self, key: str, pod: Pod, keys: LabelKeys) -> bool:
        """A pod as it is now; whether any count changed."""
        if not is_active(pod):
            return self.remove(key, keys)
        active = self.active
        old = active.get(key)
        active[key] = pod
        changed = False
        labels = pod.metadata.labels
        if old is None or old.metadata.labels is not labels:
            if old is not None:
                self._uncount(keys.of(old.metadata.labels))
            label_key = keys.of(labels)
            self.by_labels[label_key] = self.by_labels.get(label_key, 0) + 1
            changed = True
        if old is not None and old.status is pod.status:
            return changed
        since = ready_since(pod)
        was = self.ready.get(key)
        if since != was:
            changed = True
            if since is None:
                del self.ready[key]
            else:
                self.ready[key] = since
            if self._min_ready_ns:
                self._aged.discard(key)
                if since is not None:
                    heappush(self._young, (since, key))
        return changed

    def remove(self, key: str, keys: LabelKeys) -> bool:
        old = self.active.pop(key, None)
        if old is None:
            return False
        self._uncount(keys.of(old.metadata.labels))
        self.ready.pop(key, None)
        self._aged.discard(key)
        return True

    def available(self, min_ready_ns: int, now: Instant) -> int:
        """How many have been ready for so long."""
        if not min_ready_ns:
            self._min_ready_ns = 0
            return len(self.ready)
        young, aged, ready = self._young, self._aged, self.ready
        if min_ready_ns != self._min_ready_ns:
            self._min_ready_ns = min_ready_ns
            young[:] = [(since, key) for key, since in ready.items()]
            heapify(young)
            aged.clear()
        while young and young[0][0] + min_ready_ns <= now:
            since, key = heappop(young)
            if ready.get(key) == since:
                aged.add(key)
        return len(aged)

    def next_available_at(self) -> Instant | None:
        """When `available` may grow by itself."""
        young, ready = self._young, self.ready
        if not self._min_ready_ns:
            return None
        while young and ready.get(young[0][1]) != young[0][0]:
            heappop(young)
        return young[0][0] + self._min_ready_ns if young else None

    def _uncount(self, label_key: LabelKey) -> None:
        left = self.by_labels[label_key] - 1
        if left:
            self.by_labels[label_key] = left
        else:
            del self.by_labels[label_key]
