"""The managers of an object, and what a write of one of them does to all of their fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.apiserver.http.managed_fields.merging import merged, without
from harness.apiserver.http.managed_fields.sets import (
    Path,
    difference,
    fields_of,
    of_fields_v1,
    path_text,
    to_fields_v1,
)
from harness.apiserver.http.managed_fields.structure import Structure
from harness.model.status import ApiError, Cause
from harness.model.wire import Json

APPLY, UPDATE = "Apply", "Update"

BEFORE_FIRST_APPLY = "before-first-apply"
"""Owns what an object had that nobody is known to manage. Source: managedfields/skipnonapplied.go."""

MOST_UPDATERS = 10
"""Managers that update, at most; beyond, the oldest are one. Source: managedfields/internal/fieldmanager.go
DefaultMaxUpdateManagers."""

ANCIENT = "ancient-changes"
"""The name of that one. Source: managedfields/internal/capmanagers.go."""

_STRIPPED: frozenset[Path] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
            "name", "namespace", "resourceVersion", "selfLink", "uid",
        )
    }
)  # fmt: skip
"""Fields that nobody manages. Source: managedfields/stripmeta.go."""


_HEAD = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class Manager:
    """`fields`: those that it manages. `time`: of the last change of them, RFC 3339."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: frozenset[Path] = frozenset()

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.name, self.operation, self.api_version, self.subresource

    @property
    def described(self) -> str:
        """Source: managedfields/internal/conflict.go printManager."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == UPDATE:
            text += f" using {self.api_version}"
            if self.time:
                text += f" at {self.time}"
        return text


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one manager. `structure`: of the kind in the version it is written in; `ignored`: the part of the
    object that this door does not write (spec or status)."""

    manager: Manager
    structure: Structure
    ignored: str = ""

    def counted(self, paths: Iterable[Path]) -> frozenset[Path]:
        ignored = f"f:{self.ignored}"
        return frozenset(
            path for path in paths if path not in _STRIPPED and path and not (self.ignored and path[0] == ignored)
        )


_read: dict[int, tuple[Any, list[Manager]]] = {}
_READ_MOST = 4096
"""Objects whose managers are remembered, by the identity of their managedFields."""


def read(entries: Any) -> list[Manager]:
    """Of metadata.managedFields. Entries that cannot be read count as not there, as in Kubernetes."""
    known = _read.get(id(entries))
    if known is not None and known[0] is entries:
        return known[1]
    found = _parsed(entries)
    if len(_read) >= _READ_MOST:
        _read.clear()
    _read[id(entries)] = (entries, found)
    return found


def _parsed(entries: Any) -> list[Manager]:
    out: list[Manager] = []
    for entry in entries if isinstance(entries, list) else ():
        try:
            fields = frozenset(of_fields_v1(entry.get("fieldsV1") or {}))
        except (ValueError, AttributeError):
            return []
        out.append(
            Manager(
                str(entry.get("manager") or ""),
                str(entry.get("operation") or UPDATE),
                str(entry.get("apiVersion") or ""),
                str(entry.get("subresource") or ""),
                str(entry.get("time") or ""),
                fields,
            )
        )
    return out


def written(managers: Iterable[Manager]) -> list[Json]:
    """As metadata.managedFields: Apply first, then by time. Source: managedfields/internal/managers.go."""
    ordered = sorted(managers, key=lambda item: (item.operation != APPLY, item.time, item.name, item.subresource))
    out = []
    for item in ordered:
        entry: Json = {"manager": item.name, "operation": item.operation, "apiVersion": item.api_version}
        if item.time:
            entry["time"] = item.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(item.fields)}
        if item.subresource:
            entry["subresource"] = item.subresource
        out.append(entry)
    return out


_of_alike: dict[tuple[int, str, bytes], tuple[Structure, frozenset[Path]]] = {}
_ALIKE_MOST, _ALIKE_LARGEST = 1024, 16 * 1024
"""New objects whose fields are remembered; bytes of what is looked at in one."""


def _of_new(write: Write, new: Json) -> frozenset[Path]:
    """The fields of an object that is new. Many are alike in all but what nobody manages: name, uid, times."""
    looked_at = {name: item for name, item in new.items() if name not in _HEAD and name != write.ignored}
    meta = {name: item for name, item in new["metadata"].items() if ("f:metadata", f"f:{name}") not in _STRIPPED}
    key = (id(write.structure), write.ignored, msgspec.json.encode([meta, looked_at]))
    known = _of_alike.get(key)
    if known is None:
        fields = write.counted(difference({}, {"metadata": meta, **looked_at}, write.structure).written)
        if len(key[2]) > _ALIKE_LARGEST:
            return fields
        if len(_of_alike) >= _ALIKE_MOST:
            _of_alike.clear()
        # The structure is held, so that its id is not used again meanwhile.
        known = _of_alike[key] = (write.structure, fields)
    return known[1]


def updated(managers: list[Manager], write: Write, old: Any, new: Any) -> list[Manager]:
    """After a write that is no apply: what it changed is its own. Source: merge/update.go Updater.Update."""
    if not old:
        mine, removed = _of_new(write, new), frozenset[Path]()
    else:
        change = difference(old, new, write.structure)
        mine, removed = write.counted(change.written), write.counted(change.removed)
    if not mine and not removed:
        return managers
    return _capped(_changed(managers, write.manager, mine, mine, removed, add=True))


def _changed(
    managers: list[Manager],
    writer: Manager,
    fields: frozenset[Path],
    taken: frozenset[Path],
    removed: frozenset[Path],
    *,
    add: bool,
) -> list[Manager]:
    """`fields` become the writer's (besides what it has with `add`), `taken` nobody else's, `removed` nobody's."""
    out: list[Manager] = []
    found = False
    for item in managers:
        if item.identity == writer.identity:
            found = True
            held = (item.fields - removed) | fields if add else fields
            if held:
                out.append(item if held == item.fields else replace(item, fields=held, time=writer.time))
        else:
            held = item.fields - taken - removed
            if held == item.fields:
                out.append(item)
            elif held:
                out.append(replace(item, fields=held))
    if not found and fields:
        out.append(replace(writer, fields=fields))
    return out


def _capped(managers: list[Manager]) -> list[Manager]:
    updaters = sorted((item for item in managers if item.operation == UPDATE), key=lambda item: item.time)
    if len(updaters) <= MOST_UPDATERS:
        return managers
    oldest = updaters[: len(updaters) - MOST_UPDATERS + 1]
    joined = replace(
        oldest[-1], name=ANCIENT, subresource="", fields=frozenset().union(*(item.fields for item in oldest))
    )
    return [item for item in managers if item not in oldest] + [joined]


def applied(
    managers: list[Manager], write: Write, live: Json, wanted: Json, *, force: bool
) -> tuple[Json, list[Manager]]:
    """`live` with what is wanted of it, and the managers then. Raises ApiError Conflict.

    Source: merge/update.go Updater.Apply: fields that the manager applied before and does not any more are removed,
    unless others manage them.
    """
    fields = write.counted(fields_of(wanted, write.structure))
    last: frozenset[Path] = frozenset()
    for item in managers:
        if item.identity == write.manager.identity:
            last = item.fields
    new = merged(live, wanted, write.structure)
    lost = last - fields
    if lost:
        others = [item.fields for item in managers if item.identity != write.manager.identity]
        owned = {path[:length] for paths in (fields, *others) for path in paths for length in range(1, len(path) + 1)}
        new = without(new, write.structure, lost, owned)
    change = difference(live, new, write.structure)
    changed = write.counted(change.written)
    conflicts = [
        (item, common)
        for item in managers
        if item.identity != write.manager.identity and (common := sorted(item.fields & changed & fields))
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    return new, _changed(managers, write.manager, fields, changed, write.counted(change.removed), add=False)


def _conflict(conflicts: list[tuple[Manager, list[Path]]]) -> ApiError:
    """Source: managedfields/internal/conflict.go; apierrors.NewApplyConflict."""
    causes = tuple(
        Cause(path_text(path), "FieldManagerConflict", f"conflict with {manager.described}")
        for manager, paths in conflicts
        for path in paths
    )
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        parts = [
            f"conflicts with {manager.described}:\n" + "\n".join(f"- {path_text(path)}" for path in paths)
            for manager, paths in conflicts
        ]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(parts)
    return ApiError(409, "Conflict", text, causes=causes)
