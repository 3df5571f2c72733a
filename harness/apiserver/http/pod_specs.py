"""Specs of pods that clients create, by their JSON: pods of one template share one spec, as those of controllers do.

Whatever looks at a spec does so once for all that share it: its check, defaults, admission, validation, the scheduler.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.apiserver.http.resources import Resource
from harness.model.core import PodSpec

MOST, LARGEST = 1024, 16 * 1024
"""Specs that are kept; bytes of one that is."""

_kept: dict[bytes, PodSpec] = {}


def found(resource: Resource, data: Any) -> PodSpec | None:
    """The sound spec that the JSON of a pod has; None for one that is new, or no pod's."""
    key = _key(resource, data)
    return None if key is None else _kept.get(key)


def keep(resource: Resource, data: Any, pod: Any) -> None:
    """`pod`: what `data` turned out to be, all of whose spec is known and of the right types."""
    key = _key(resource, data)
    if key is not None and len(key) <= LARGEST:
        if len(_kept) >= MOST:
            _kept.clear()
        _kept[key] = pod.spec


def _key(resource: Resource, data: Any) -> bytes | None:
    if resource.kind.kind != "Pod" or not isinstance(data, dict) or not isinstance(data.get("spec"), dict):
        return None
    try:
        return msgspec.json.encode(data["spec"])
    except (TypeError, ValueError, RecursionError):  # what YAML can say and JSON cannot
        return None
