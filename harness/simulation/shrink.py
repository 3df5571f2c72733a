"""Shrinks a failing scenario: leaves out parts and lowers numbers as long as the same check still finds something."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

SIMPLE: dict[str, Any] = {"schedulers": ["greedy"], "events": False}
"""Values of the spec that say least. Of training jobs the strategy is FIRST_COME."""

FIRST_COME = ["fifo"]

KEPT = ("apiVersion", "kind", "metadata", "containers", "name", "image", "selector", "matchLabels", "labels", "app")
"""Keys without which an object is none, or another."""

ATTEMPTS = 300
"""Scenarios tried at most; a run takes some tenths of a second."""


def shrink(
    data: dict[str, Any], fails: Callable[[dict[str, Any]], bool], attempts: int = ATTEMPTS
) -> tuple[dict[str, Any], int]:
    """(the smallest that was found, scenarios tried). `fails`: whether a scenario still shows what `data` shows."""
    tried = 0
    smaller = True
    while smaller:
        smaller = False
        begin = 0  # what comes before has been tried on this scenario, or on a larger one
        while True:
            for candidate in islice(candidates(data), begin, None):
                if tried >= attempts:
                    return data, tried
                tried += 1
                if fails(candidate):
                    data, smaller = candidate, True
                    break
                begin += 1
            else:
                break
    return data, tried


def candidates(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each a step smaller, the largest steps first: halves of lists, items, whole fields, then numbers."""
    spec = data["spec"]
    training = any("training" in source for source in spec["workload"])
    for name, value in {**SIMPLE, **({"schedulers": FIRST_COME} if training else {})}.items():
        if spec.get(name, value) != value:
            yield _with(data, ("spec", name), value)
    lists = [path for path in _paths(data, list) if path[-1] not in ("schedulers", "containers", "ports")]
    for path in sorted(lists, key=len):
        items = _at(data, path)
        least = 1 if path in (("spec", "nodes"), ("spec", "workload")) or path[-1] == "objects" else 0
        if len(items) > 2:
            half = len(items) // 2
            yield _with(data, path, items[:half])
            yield _with(data, path, items[half:])
        for index in range(len(items)):
            if len(items) > least:
                yield _with(data, path, items[:index] + items[index + 1 :])
    for path in sorted(_paths(data, dict), key=len):
        for key in _at(data, path):
            if (key not in KEPT and len(path) > 0) and not _needed(path, key):
                yield _without(data, (*path, key))
    for path in _paths(data, int):
        value = _at(data, path)
        if path[-1] not in ("seed",) and value > 1:
            for less in dict.fromkeys((1, value // 2, value - 1)):
                if less < value:
                    yield _with(data, path, less)


def _needed(path: Path, key: str) -> bool:
    """Fields of the scenario itself that cannot be left out, and the fault's own entry."""
    if path == ("spec",):
        return key in ("nodes", "workload", "schedulers", "duration", "seed", "bound", "faults")
    if path[:2] == ("spec", "faults") and len(path) == 3:
        return True
    if path[:2] == ("spec", "nodes") or path[:2] == ("spec", "pools"):
        return key in ("group", "name", "count", "cpu", "max")
    return key in _ASKED


_ASKED = (
    *("service", "openbLike", "objects", "spec", "template", "rps", "constant", "load", "pods"),
    *("training", "jobs", "speeds", "id", "model", "batchSize", "steps"),
)


def _paths(data: Any, kind: type, path: Path = ()) -> Iterator[Path]:
    if type(data) is kind:
        yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _paths(value, kind, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _paths(value, kind, (*path, index))


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _with(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    twin = copy.deepcopy(data)
    _at(twin, path[:-1])[path[-1]] = value
    return twin


def _without(data: dict[str, Any], path: Path) -> dict[str, Any]:
    twin = copy.deepcopy(data)
    del _at(twin, path[:-1])[path[-1]]
    return twin
