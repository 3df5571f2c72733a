"""How a field selector reads a field: by attributes of a typed object, or from what no type models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.model.meta import ApiObject

Getter = Callable[[Any], str]


def attribute(*names: str) -> Getter:
    """The value at a path of attributes as text; empty where there is none."""

    def read(obj: ApiObject) -> str:
        for name in names:
            obj = getattr(obj, name, None)
            if obj is None:
                return ""
        return str(obj).lower() if isinstance(obj, bool) else str(obj)

    return read


def untyped(*names: str) -> Getter:
    """The same of what no type models."""

    def read(obj: ApiObject) -> str:
        found: Any = obj.extra or {}
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return "" if found is None else str(found)

    return read
