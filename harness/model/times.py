"""Durations as text, in Kubernetes' way of writing them (Go's time.Duration), exact in nanoseconds."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)

PATTERN = r"^(0|([0-9]{1,18}(\.[0-9]{1,18})?(ns|us|µs|ms|s|m|h))+)$"
"""What `parse_duration` reads, as a pattern of a JSON Schema."""

SCHEMA = {"pattern": PATTERN, "x-unit": "duration"}
"""For `msgspec.Meta(extra_json_schema=SCHEMA)` of a field that is a duration."""


def duration_text(duration_ns: int) -> str:
    """In seconds, as short as exact: '123.5s'."""
    whole, rest = divmod(duration_ns, 10**9)
    return f"{whole}s" if not rest else f"{whole}.{rest:09d}".rstrip("0") + "s"


@lru_cache(maxsize=4096)
def parse_duration(text: str) -> int:
    """ns of '1h30m', '123.5s', '250ms' or '0'. Raises ValueError on anything else, and beyond int64."""
    if text == "0":
        return 0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration (expected e.g. 90s, 1h30m, 250ms)")
    total = sum(Decimal(number) * _UNITS_NS[unit] for number, unit in _PART.findall(text))
    if total >= 1 << 63:
        raise ValueError(f"{text!r} is too long a duration")
    return int(total)
