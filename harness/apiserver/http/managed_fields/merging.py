"""Applying: what somebody wants laid over what is there, and what nobody wants any more taken away."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from harness.apiserver.http.managed_fields.sets import (
    Path,
    below,
    form_of,
    key_step,
    keyed,
    value_step,
)
from harness.apiserver.http.managed_fields.structure import MergeType, Structure


def merged(live: Any, wanted: Any, structure: Structure) -> Any:
    """`live` with everything that `wanted` says. Source: typed/merge.go."""
    if live is None:
        return wanted
    form = form_of(structure, wanted)
    if form is not form_of(structure, live):
        return wanted
    match form:
        case MergeType.MAP:
            out = dict(live)
            for name, item in wanted.items():
                out[name] = merged(live.get(name), item, below(structure, name))
            return out
        case MergeType.KEYED:
            there = keyed(structure, live) or {}
            asked = {key: merged(there.get(key), item, structure.item) for key, item in _by_key(structure, wanted)}
            return _in_order([(key, item) for key, item in there.items()], asked)
        case MergeType.SET:
            values = {value_step(item): item for item in live}
            return _in_order(list(values.items()), {value_step(item): item for item in wanted})
        case _:
            return wanted


def _by_key(structure: Structure, items: list[Any]) -> list[tuple[tuple[Any, ...], Any]]:
    return list((keyed(structure, items) or {}).items())


def _in_order(live: list[tuple[Any, Any]], asked: dict[Any, Any]) -> list[Any]:
    """What is asked for in its order; what only the server has behind what it stood behind."""
    waiting = list(asked.items())
    out: list[Any] = []
    for key, item in live:
        if key not in asked:
            out.append(item)
            continue
        if any(name == key for name, _ in waiting):
            # Everything asked for up to this one comes first.
            while waiting:
                name, value = waiting.pop(0)
                out.append(value)
                if name == key:
                    break
    return out + [value for _, value in waiting]


def without(value: Any, structure: Structure, lost: Set[Path], owned: Set[Path]) -> Any:
    """`value` without the fields in `lost`, unless somebody owns something at or below them; None when nothing is left.

    `owned`: every path that has an owner, and every path on the way to one.
    """
    return _without(value, structure, lost, owned, ())


_GONE = object()


def _without(value: Any, structure: Structure, lost: Set[Path], owned: Set[Path], path: Path) -> Any:
    if path in lost and path not in owned:
        return _GONE
    match form_of(structure, value):
        case MergeType.MAP:
            kept: Any = {}
            for name, item in value.items():
                found = _without(item, below(structure, name), lost, owned, (*path, f"f:{name}"))
                if found is not _GONE:
                    kept[name] = found
        case MergeType.KEYED:
            kept = []
            for key, item in (keyed(structure, value) or {}).items():
                found = _without(item, structure.item, lost, owned, (*path, key_step(structure, key)))
                if found is not _GONE:
                    kept.append(found)
        case MergeType.SET:
            kept = [item for item in value if (at := (*path, value_step(item))) not in lost or at in owned]
        case _:
            return value
    # A map or list that this has emptied was there for what was in it.
    return _GONE if not kept and value and path and path not in owned else kept
