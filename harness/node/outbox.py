"""What a kubelet could not say, because the network or the API server was away: the latest of what concerns an object.

Source: the kubelet's status manager keeps one status a pod and sends that; client-go's event broadcaster queues 1000.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from harness.engine.component import Create, Delete, Effect, PatchStatus, Record, Update
from harness.model.objects import kind_of
from harness.node.settings import RETRY_FIRST_NS

MOST_RECORDS = 1000
"""Events kept while the API server cannot be reached. Source: client-go tools/record maxQueuedEvents."""

Key: TypeAlias = tuple[str, ...]


class Outbox:
    """`lease_lost`: a renewal could not be said. It is not kept: what counts is the instant at which it is said."""

    __slots__ = ("_longest_wait_ns", "_records", "_retried_ns", "_unsent", "_wait_ns", "lease_lost", "retry_ns")

    def __init__(self, longest_wait_ns: int) -> None:
        self._longest_wait_ns = longest_wait_ns
        self.lease_lost = False
        self.retry_ns = -1  # when it is said again, if that is settled
        self._retried_ns = self._wait_ns = 0
        self._unsent: dict[Key, Effect] = {}  # in the order in which it was last said
        self._records: list[Record] = []

    def put(self, effect: Effect) -> None:
        if type(effect) is Record:
            if len(self._records) < MOST_RECORDS:
                self._records.append(effect)
            return
        key = _key(effect)
        assert key is not None, effect
        self._unsent.pop(key, None)
        self._unsent[key] = effect

    def holds_new(self, obj: Any) -> bool:
        """Whether the creation of `obj` is still to be said."""
        return type(self._unsent.get(("object", kind_of(obj), obj.metadata.key))) is Create

    def superseded_by(self, effects: Iterable[Effect]) -> None:
        """Newer words about the same leave now."""
        if self._unsent:
            for effect in effects:
                key = _key(effect)
                if key is not None:
                    self._unsent.pop(key, None)

    def take(self) -> list[Effect]:
        """Everything, to be sent now."""
        unsent: list[Effect] = [*self._records, *self._unsent.values()]
        self._unsent.clear()
        self._records.clear()
        return unsent

    def retry(self, now: int) -> int:
        """The server was away: when to try again; twice as long as it took last time, if that was just now."""
        if now - self._retried_ns > 2 * self._wait_ns:
            self._wait_ns = 0
        self._wait_ns = min(max(RETRY_FIRST_NS, 2 * self._wait_ns), self._longest_wait_ns)
        self.retry_ns = self._retried_ns = now + self._wait_ns
        return self.retry_ns


def _key(effect: Effect) -> Key | None:
    if isinstance(effect, PatchStatus):
        return ("status", kind_of(effect.obj), effect.obj.metadata.key, effect.obj.metadata.uid)
    if isinstance(effect, (Create, Update)):
        return ("object", kind_of(effect.obj), effect.obj.metadata.key)
    if isinstance(effect, Delete):
        return ("delete", effect.kind, effect.namespace, effect.name, effect.uid)
    return None
