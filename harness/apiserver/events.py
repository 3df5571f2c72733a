"""Kubernetes Events: repeated ones count up, old ones go.

Source: client-go tools/record (EventAggregator: same object, type, reason and message are one event that counts);
kube-apiserver --event-ttl 1h.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.apiserver.server import ApiServer
from harness.engine.component import HOUR, Record
from harness.model.core import Event, EventSource, ObjectReference
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, kind_of
from harness.model.status import ApiError
from harness.model.wire import Time

TTL_NS = HOUR


class Recorder:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._known: dict[tuple[str, str, str, str, str], str] = {}  # what it says: name of the event
        self._ages: deque[tuple[int, str, str, tuple[str, str, str, str, str]]] = deque()
        self._made = 0

    def forget(self) -> None:
        """After a restart: aggregation starts anew; events that are there stay until they are too old."""
        self._known.clear()

    def record(self, effect: Record, source: EventSource) -> Any:
        server = self._server
        now = server.now
        self._expire(now)
        about = effect.about
        kind = kind_of(about)
        meta = about.metadata
        namespace = meta.namespace or "default"
        key = (kind, meta.uid or meta.key, effect.type, effect.reason, effect.message)
        known = self._known.get(key)
        if known is not None:
            event = server.objects("Event").get(f"{namespace}/{known}")
            if event is not None:
                return server.count_event(event, Time(now))
        self._made += 1
        name = f"{meta.name}.{now:016x}{self._made & 0xFFFF:04x}"
        try:
            made = server.create(
                Event(
                    metadata=ObjectMeta(name=name, namespace=namespace),
                    involved_object=ObjectReference(
                        kind=KINDS[kind].wire,
                        namespace=meta.namespace,
                        name=meta.name,
                        uid=meta.uid,
                        api_version=KINDS[kind].api_version,
                        resource_version=meta.resource_version,
                    ),
                    reason=effect.reason,
                    message=effect.message,
                    type=effect.type,
                    count=1,
                    first_timestamp=Time(now),
                    last_timestamp=Time(now),
                    source=source,
                    reporting_component=source.component,
                    reporting_instance=source.host,
                )
            )
        except ApiError:
            return None  # its namespace is going: events are best effort, here as there
        self._known[key] = name
        self._ages.append((now + TTL_NS, namespace, name, key))
        return made

    def _expire(self, now: int) -> None:
        ages = self._ages
        while ages and ages[0][0] <= now:
            _, namespace, name, key = ages.popleft()
            if self._known.get(key) == name:
                del self._known[key]
            if f"{namespace}/{name}" in self._server.objects("Event"):
                self._server.delete("Event", namespace, name)
