"""The ordered record of everything that happened, and its digest.

Each write to the API server is an entry with the essential fields of its kind; each observation is one with its data.
Entries are encoded in chunks, so that a run of millions keeps bytes, not objects; the digest runs over the chunks'
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from harness.model.core import Event, Node, Pod
from harness.model.cron_jobs import CronJob
from harness.model.meta import is_ready
from harness.model.objects import Kind
from harness.model.workloads import (
    Deployment,
    EndpointSlice,
    HorizontalPodAutoscaler,
    Job,
    PodDisruptionBudget,
    PodMetrics,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)

CHUNK = 4096
"""Entries encoded at a time."""


class JournalEntry(msgspec.Struct, array_like=True, frozen=True):
    """`kind` and `change` of a write, with the object's key; of an observation 'observed', its topic and source."""

    at_ns: int
    revision: int  # 0 for an observation
    kind: str
    change: str
    key: str
    data: tuple[Any, ...]


class Fold(Protocol):
    """A measure that grows with the journal. Objects are what the server wrote; keep nothing mutable of them.

    A fold with an attribute `kinds` gets only writes of those kinds; others get all.
    """

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None: ...

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None: ...


class Journal:
    """`clock` gives the instant of a write. `written` listens to the ApiServer, `observed` to its Dispatcher."""

    def __init__(self, clock: Callable[[], int], folds: tuple[Fold, ...] = (), *, keep: bool = True) -> None:
        self._clock = clock
        self._folds = folds
        self._interested: dict[str, tuple[Fold, ...]] = {}  # by kind
        self._keep = keep
        self._open: list[Any] = []
        self._chunks: list[bytes] = []
        self._hash = blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()
        self.entries = 0

    def written(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        name = kind.kind
        if name == "Lease":
            return  # renewals on time are not simulated one by one, so no measure may depend on them
        now = self._clock()
        essence = _ESSENCE.get(name)
        self._open.append((now, revision, name, change, obj.metadata.key, () if essence is None else essence(obj)))
        self.entries += 1
        if len(self._open) >= CHUNK:
            self._close_chunk()
        interested = self._interested.get(name)
        if interested is None:
            interested = tuple(fold for fold in self._folds if name in getattr(fold, "kinds", (name,)))
            self._interested[name] = interested
        for fold in interested:
            fold.write(now, name, change, obj, old)

    def observed(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        self._open.append((at_ns, 0, "observed", topic, source, data))
        self.entries += 1
        if len(self._open) >= CHUNK:
            self._close_chunk()
        for fold in self._folds:
            fold.observe(at_ns, source, topic, data)

    def _close_chunk(self) -> None:
        if self._open:
            data = self._encoder.encode(self._open)
            self._hash.update(data)
            if self._keep:
                self._chunks.append(data)
            self._open = []

    def digest(self) -> str:
        """Hex, of everything so far; the journal goes on afterwards."""
        ahead = self._hash.copy()
        ahead.update(self._encoder.encode(self._open))
        return ahead.hexdigest()

    def __iter__(self) -> Iterator[JournalEntry]:
        """Every entry again; none when they were not kept."""
        decoder = msgspec.msgpack.Decoder(list[JournalEntry])
        for chunk in self._chunks:
            yield from decoder.decode(chunk)
        if self._keep:
            yield from decoder.decode(self._encoder.encode(self._open))


def _pod(pod: Pod) -> tuple[Any, ...]:
    meta, status = pod.metadata, pod.status
    restarts = 0
    for container in status.container_statuses:
        restarts += container.restart_count or 0
    owner = meta.owner_references[0].uid if meta.owner_references else ""
    going = -1 if meta.deletion_timestamp is None else meta.deletion_timestamp
    return (
        meta.uid,
        pod.spec.node_name,
        status.phase,
        status.reason,
        is_ready(status.conditions),
        restarts,
        going,
        owner,
    )


def node_ready(node: Node) -> str:
    """True, False, Unknown; empty before the kubelet has said anything."""
    for condition in node.status.conditions:
        if condition.type == "Ready":
            return condition.status
    return ""


def _node(node: Node) -> tuple[Any, ...]:
    taints = [f"{taint.key}:{taint.effect}" for taint in node.spec.taints]
    return (node.metadata.uid, node_ready(node), bool(node.spec.unschedulable), taints)


def _replicas(obj: ReplicaSet | Deployment | StatefulSet | ReplicationController) -> tuple[Any, ...]:
    status = obj.status
    return (obj.metadata.uid, obj.spec.replicas, status.replicas or 0, status.ready_replicas or 0)


def _job(job: Job) -> tuple[Any, ...]:
    status = job.status
    return (job.metadata.uid, status.active or 0, status.succeeded or 0, status.failed or 0)


def _cron_job(cron_job: CronJob) -> tuple[Any, ...]:
    status = cron_job.status
    return (cron_job.metadata.uid, len(status.active), -1 if (at := status.last_schedule_time) is None else at)


def _slice(obj: EndpointSlice) -> tuple[Any, ...]:
    ready = [e.target_ref.uid for e in obj.endpoints if e.conditions.ready and e.target_ref is not None]
    return (len(obj.endpoints), ready)


def _autoscaler(obj: HorizontalPodAutoscaler) -> tuple[Any, ...]:
    return (obj.status.current_replicas or 0, obj.status.desired_replicas or 0)


def _budget(obj: PodDisruptionBudget) -> tuple[Any, ...]:
    return (obj.status.disruptions_allowed or 0, obj.status.current_healthy or 0)


def _metrics(obj: PodMetrics) -> tuple[Any, ...]:
    return (sum(cpu.milli for container in obj.containers if (cpu := container.usage.get("cpu")) is not None),)


def _event(event: Event) -> tuple[Any, ...]:
    about = event.involved_object
    return (event.type, event.reason, about.kind, about.name, event.message, event.count or 1)


_ESSENCE: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "Pod": _pod,
    "Node": _node,
    "ReplicaSet": _replicas,
    "Deployment": _replicas,
    "StatefulSet": _replicas,
    "ReplicationController": _replicas,
    "Job": _job,
    "CronJob": _cron_job,
    "EndpointSlice": _slice,
    "HorizontalPodAutoscaler": _autoscaler,
    "PodDisruptionBudget": _budget,
    "PodMetrics": _metrics,
    "Event": _event,
}
