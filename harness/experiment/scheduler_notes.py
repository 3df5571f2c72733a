"""What the scheduler saw, noted while a run goes on: every change of its snapshot, every batch, every pod's spec.

Enough to bring back the snapshot as it was at any decision, without playing the run again. Kept beside the journal and
outside of its digest: `scheduling.parquet` and `specs.parquet` of a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol, cast

import msgspec
import numpy as np

from harness.model.core import PodSpec
from harness.model.meta import ObjectMeta
from harness.model.objects import to_wire
from harness.model.wire import encode
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.strategy import ClusterView, Decision, PodBatch, PodView, Strategy

_CACHE_SIZE = 4096

ADD, UPDATE, REMOVE, ASSUME, FORGET, BATCH, RESTART, VOLUME, NO_VOLUME = range(9)
"""Kinds of rows: nodes coming, changing and going, pods coming and going, a batch handed over, everything forgotten; a
volume, claim or storage class as it is now, and one that is gone."""


class Notes:
    """Rows in order: (kind, instant, node, pod, detail); `detail`: a node's columns, devices, or a batch's pods.
    A batch has the strategy's state in place of the node."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, str, str, str]] = []
        self.pods: list[tuple[str, str, int, str, str]] = []  # key, uid, created, metadata, spec (JSON)
        self._texts: dict[tuple[int, ...], tuple[Any, str]] = {}  # by identity: pods of one template share theirs

    # -- a fold over writes --------------------------------------------------------------------------------------------

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind != "Pod" or (obj.spec.node_name and change != "ADDED"):
            return
        if change == "DELETED":
            return
        if change == "MODIFIED":
            was, now = old.metadata, obj.metadata
            if was.labels is now.labels and was.annotations is now.annotations and old.spec is obj.spec:
                return
        meta = obj.metadata
        held = (meta.labels, meta.annotations, meta.owner_references)
        self.pods.append((meta.key, meta.uid, at_ns, self._text(held, obj.metadata), self._text((obj.spec,), obj.spec)))

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _text(self, held: tuple[Any, ...], value: ObjectMeta | PodSpec) -> str:
        """The JSON of a spec, or of what scheduling looks at in metadata; told once for what holds the same parts."""
        key = tuple(map(id, held))
        known = self._texts.get(key)
        if known is not None:
            return known[1]
        told = encode(value)
        if isinstance(value, ObjectMeta):
            told = {name: told[name] for name in ("labels", "annotations", "ownerReferences") if name in told}
        text = json.dumps(told, sort_keys=True)
        if len(self._texts) > _CACHE_SIZE:
            self._texts.clear()
        self._texts[key] = (held, text)  # holding the parts keeps their identities from being used again
        return text

    # -- tables --------------------------------------------------------------------------------------------------------

    def scheduling(self) -> Any:
        """A polars frame, one row a note."""
        import polars as pl

        schema = {"kind": pl.Int8, "at_ns": pl.Int64, "node": pl.String, "pod": pl.String, "detail": pl.String}
        return pl.DataFrame(self.rows, schema=schema, orient="row")

    def specs(self) -> Any:
        """A polars frame, one row a pod as it was first seen, and one more each time it changed before it was bound."""
        import polars as pl

        schema = {"pod": pl.String, "uid": pl.String, "at_ns": pl.Int64, "meta": pl.String, "spec": pl.String}
        return pl.DataFrame(self.pods, schema=schema, orient="row")


class NotedSnapshot(Snapshot):
    """A snapshot that notes what happens to it."""

    def __init__(self, notes: Notes, classes: PodClasses | None = None) -> None:
        super().__init__(classes)
        self._notes = notes
        self._quiet = False  # within a change that is noted as a whole

    def fresh(self, classes: PodClasses | None = None) -> Snapshot:
        self._note(RESTART, "")
        return NotedSnapshot(self._notes, self.classes.fresh() if classes is None else classes)

    def copy(self) -> Snapshot:
        """What is tried out on a copy is nobody's business."""
        twin = super().copy()
        assert type(twin) is Snapshot
        return twin

    def add_node(self, name: str, *args: Any, **columns: Any) -> int:
        self._note(ADD, name, detail=_columns(args, columns))
        return super().add_node(name, *args, **columns)

    def update_node(self, name: str, *args: Any, **columns: Any) -> int:
        before = self.version, self.spec_log.version
        node = super().update_node(name, *args, **columns)
        if (self.version, self.spec_log.version) != before:
            self._note(UPDATE, name, detail=_columns(args, columns))
        return node

    def remove_node(self, name: str) -> None:
        self._note(REMOVE, name)
        self._quiet = True
        try:
            super().remove_node(name)
        finally:
            self._quiet = False

    def assume(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> None:
        super().assume(pod, node, devices)
        if not self._quiet:
            chosen = ",".join(map(str, self.devices(pod.key)))
            self._notes.rows.append((ASSUME, self.now_ns, self.node_table.names[node], pod.key, chosen))

    def forget(self, key: str) -> int | None:
        node = super().forget(key)
        if node is not None and not self._quiet:
            self._notes.rows.append((FORGET, self.now_ns, self.node_table.names[node], key, ""))
        return node

    def volumes_changed(self, obj: Any, gone: bool) -> None:
        super().volumes_changed(obj, gone)
        self._note(NO_VOLUME if gone else VOLUME, "", json.dumps(to_wire(obj), sort_keys=True))

    def _note(self, kind: int, node: str, detail: str = "") -> None:
        self._notes.rows.append((kind, self.now_ns, node, "", detail))


class Resumable(Strategy, Protocol):
    """A strategy that says what earlier calls left behind in it, and can be put back to that."""

    def state(self) -> str: ...

    def restore(self, state: str) -> None: ...


def resumable(strategy: Strategy) -> Resumable | None:
    """`strategy`, where it is one."""
    return cast(Resumable, strategy) if hasattr(strategy, "restore") else None


class Resumed:
    """A strategy that is put back to a noted state whenever it is asked; in everything else it is the one it wraps."""

    def __init__(self, strategy: Resumable, state: str) -> None:
        self._strategy = strategy
        self._state = state

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        self._strategy.restore(self._state)
        decided: Iterable[Decision] = self._strategy.place(pods, cluster, rng)
        return decided

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)


class Noted:
    """A strategy whose batches are noted; in everything else it is the one it wraps."""

    def __init__(self, strategy: Strategy, notes: Notes) -> None:
        self._strategy = strategy
        self._notes = notes

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        batch = [(pod.key, pod.group_min, pod.lifetime_ns) for pod in pods]
        state = getattr(self._strategy, "state", None)
        left = "" if state is None else str(state())
        self._notes.rows.append((BATCH, cluster.now_ns, left, "", msgspec.json.encode(batch).decode()))
        decided: Iterable[Decision] = self._strategy.place(pods, cluster, rng)
        return decided

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)


_COLUMNS = ("capacity", "gpu_devices", "gpu_model", "labels", "taints", "unschedulable", "rank", "images")
"""Of Snapshot.add_node and update_node, in order."""


def _columns(args: tuple[Any, ...], columns: dict[str, Any]) -> str:
    given = {**dict(zip(_COLUMNS, args, strict=False)), **columns}
    given.pop("name", None)
    return msgspec.json.encode({**given, "labels": dict(given.get("labels") or {})}).decode()
