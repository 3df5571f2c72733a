"""JSON that every program reads: what is no finite number is null, as in JavaScript. Python would write NaN."""

from __future__ import annotations

import json
import math
from typing import Any


def strict_json(data: Any, *, indent: int | None = None) -> str:
    try:
        return json.dumps(data, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(data), indent=indent, allow_nan=False)


def _finite(data: Any) -> Any:
    match data:
        case dict():
            return {key: _finite(value) for key, value in data.items()}
        case list() | tuple():
            return [_finite(item) for item in data]
        case float() if not math.isfinite(data):
            return None
        case _:
            return data
