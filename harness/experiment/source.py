"""Which code a run is of: digests of the sources, so that a record of other code is not taken for one of this."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import harness
from harness.experiment.scenario import LoadedScenario

_PACKAGES = ("harness", "schedulers", "workloads")


def source_of(loaded: LoadedScenario, scheduler: str) -> dict[str, str]:
    """`podyard`: of all its Python files. `strangers`: of the files of what is named as module:object: the strategy,
    autoscalers, filters, controllers and measures; without what these import themselves."""
    spec = loaded.scenario.spec
    named = [scheduler, spec.autoscaler, *spec.scheduling.filters, *spec.controllers, *spec.measures]
    files = sorted({path for text in named if (path := _file(text)) is not None})
    return {"podyard": _podyard(), **({"strangers": _digest(files)} if files else {})}


@cache
def _podyard() -> str:
    root = Path(harness.__file__).parents[1]
    return _digest(sorted(path for name in _PACKAGES for path in (root / name).rglob("*.py")))


def _digest(files: Iterable[Path]) -> str:
    out = hashlib.blake2b(digest_size=8)
    for path in files:
        out.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return out.hexdigest()


def _file(text: str) -> Path | None:
    """Of package.module:object, its module's; None for a name, and for what is not found."""
    module, colon, _ = text.partition("?")[0].partition(":")
    if not colon:
        return None
    if module.endswith(".py"):
        return Path(module) if os.path.isfile(module) else None
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found is not None and found.origin and Path(found.origin).is_file() else None
