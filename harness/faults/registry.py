"""Faults by name: the entry points of group `podyard.faults`, or `package.module:object`."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from harness.faults.fault import GROUP
from harness.model.plugins import PluginGroup


def _problem(target: Any) -> str:
    if not (inspect.isclass(target) and issubclass(target, msgspec.Struct)):
        return "a msgspec struct, its fields what the scenario says"
    missing = [name for name in ("effects", "lasts_ns") if not callable(getattr(target, name, None))]
    return f"a struct with effects(targets, rng) and lasts_ns(); {' and '.join(missing)} missing" if missing else ""


FAULTS = PluginGroup(GROUP, "fault", _problem)
