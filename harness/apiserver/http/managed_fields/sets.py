"""Sets of fields: from JSON, between two versions of it, and in the form of FieldsV1.

A path is a tuple of steps in FieldsV1's own spelling: `f:spec`, `k:{"name":"web"}`, `v:"x"`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.apiserver.http.managed_fields.structure import ANY, MergeType, Structure
from harness.model.wire import Json, JsonValue

Path = tuple[str, ...]

_SELF = "."

_compact = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode


def key_step(structure: Structure, key: tuple[Any, ...]) -> str:
    return "k:" + _compact(dict(zip(structure.keys, key, strict=True)))


def value_step(value: JsonValue) -> str:
    return "v:" + _compact(value)


def keyed(structure: Structure, items: list[Any]) -> dict[tuple[Any, ...], Any] | None:
    """Items of a list by their keys; None where some lack theirs or share it, so that the list is one field."""
    out: dict[tuple[Any, ...], Any] = {}
    for item in items:
        key = structure.key_of(item)
        if key is None or key in out:
            return None
        out[key] = item
    return out


def form_of(structure: Structure, value: Any) -> MergeType:
    """The form that a value has, which its schema may not fit."""
    match structure.form:
        case MergeType.MAP | MergeType.ANY:
            return MergeType.MAP if isinstance(value, dict) else MergeType.WHOLE
        case MergeType.KEYED if isinstance(value, list) and keyed(structure, value) is not None:
            return MergeType.KEYED
        case MergeType.SET if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
            return MergeType.SET
        case _:
            return MergeType.WHOLE


def below(structure: Structure, name: str) -> Structure:
    return ANY if structure.form is MergeType.ANY else structure.field(name)


def fields_of(value: Any, structure: Structure, path: Path = ()) -> set[Path]:
    """The fields that applying `value` makes one's own. Source: typed/tofieldset.go."""
    out: set[Path] = set()
    _collect(value, structure, path, out)
    return out


def _collect(value: Any, structure: Structure, path: Path, out: set[Path]) -> None:
    match form_of(structure, value):
        case MergeType.MAP:
            for name, item in value.items():
                at = (*path, f"f:{name}")
                _collect(item, below(structure, name), at, out)
                if item is None or item == {} or not structure.has_field(name):
                    out.add(at)
        case MergeType.KEYED:
            for key, item in (keyed(structure, value) or {}).items():
                at = (*path, key_step(structure, key))
                out.add(at)
                _collect(item, structure.item, at, out)
        case MergeType.SET:
            out.update((*path, value_step(item)) for item in value)
        case _:
            out.add(path)


@dataclass
class Difference:
    """Between an object and a later version of it. Source: typed/compare.go."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    @property
    def written(self) -> set[Path]:
        return self.added | self.modified


def difference(old: Any, new: Any, structure: Structure) -> Difference:
    out = Difference()
    _compare(old, new, structure, (), out)
    return out


def _compare(old: Any, new: Any, structure: Structure, path: Path, out: Difference) -> None:
    if old is new or old == new:
        return
    form = form_of(structure, new)
    if form is not form_of(structure, old):
        form = MergeType.WHOLE
    match form:
        case MergeType.MAP:
            for name in old.keys() | new.keys():
                at = (*path, f"f:{name}")
                was, now = old.get(name), new.get(name)
                _compare_member(was, now, below(structure, name), at, out)
        case MergeType.KEYED:
            before, after = keyed(structure, old) or {}, keyed(structure, new) or {}
            for key in before.keys() | after.keys():
                at = (*path, key_step(structure, key))
                _compare_member(before.get(key), after.get(key), structure.item, at, out)
        case MergeType.SET:
            before_values, after_values = set(map(value_step, old)), set(map(value_step, new))
            out.added.update((*path, step) for step in after_values - before_values)
            out.removed.update((*path, step) for step in before_values - after_values)
        case _:
            out.modified.add(path)


def _compare_member(was: Any, now: Any, structure: Structure, path: Path, out: Difference) -> None:
    if was is None and now is None:
        return
    if was is None:
        _collect_whole(now, structure, path, out.added)
    elif now is None:
        _collect_whole(was, structure, path, out.removed)
    else:
        _compare(was, now, structure, path, out)


def _collect_whole(value: Any, structure: Structure, path: Path, out: set[Path]) -> None:
    """What came or went with all below it: maps and lists as members of their own, too."""
    out.add(path)
    match form_of(structure, value):
        case MergeType.MAP:
            for name, item in value.items():
                _collect_whole(item, below(structure, name), (*path, f"f:{name}"), out)
        case MergeType.KEYED:
            for key, item in (keyed(structure, value) or {}).items():
                _collect_whole(item, structure.item, (*path, key_step(structure, key)), out)
        case MergeType.SET:
            out.update((*path, value_step(item)) for item in value)
        case _:
            pass


# -- FieldsV1 ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def to_fields_v1(paths: frozenset[Path]) -> Json:
    """A member that has others below it is written as "." within them. Source: fieldpath/serialize.go.

    Objects of one shape share the answer: many are written alike, and it is never changed.
    """
    root: Json = {}
    members: list[Json] = []
    for path in sorted(paths):
        at = root
        for step in path:
            below_step = at.get(step)
            if below_step is None:
                below_step = at[step] = {}
            at = below_step
        members.append(at)
    for at in members:
        if at:
            at[_SELF] = {}
    return root


def of_fields_v1(data: JsonValue) -> set[Path]:
    """Raises ValueError for what is none."""
    out: set[Path] = set()
    _read(data, (), out)
    return out


def _read(data: JsonValue, path: Path, out: set[Path]) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"fieldsV1: expected an object, found {data!r}")
    for step, item in data.items():
        if step == _SELF:
            if path:
                out.add(path)
            continue
        if step[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f"fieldsV1: {step!r} is no path element")
        if step[:2] in ("k:", "v:"):
            step = step[:2] + _compact(json.loads(step[2:]))
        at = (*path, step)
        if item == {}:
            out.add(at)
        else:
            _read(item, at, out)


def path_text(path: Path) -> str:
    """As in a conflict's cause: .spec.containers[name="web"].image. Source: fieldpath/element.go String."""
    out = ""
    for step in path:
        kind, _, rest = step.partition(":")
        match kind:
            case "f":
                out += f".{rest}"
            case "k":
                pairs = json.loads(rest)
                out += "[" + ",".join(f"{name}={_compact(value)}" for name, value in sorted(pairs.items())) + "]"
            case "v":
                out += f"[={rest}]"
            case _:
                out += f"[{rest}]"
    return out
