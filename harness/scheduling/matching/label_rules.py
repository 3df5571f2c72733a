"""What a requirement on labels must look like; where one does not, what it stands in matches nothing.

Source: apimachinery pkg/labels NewRequirement (v1.32), util/validation IsQualifiedName and IsValidLabelValue. The API
server asks the same of what is created; a cluster file need not have come through one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LONGEST, _LONGEST_PREFIX = 63, 253


@lru_cache(maxsize=16_384)
def qualified(key: str) -> bool:
    """A label key, or an extended resource's name: a name, a DNS subdomain and a slash before it if there are any."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > _LONGEST_PREFIX or not _SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


def label_value(value: str) -> bool:
    return not value or (len(value) <= _LONGEST and _NAME.fullmatch(value) is not None)


def integer(text: str) -> int | None:
    """As strconv.ParseInt(text, 10, 64) reads it; None where that is an error."""
    if len(text) > _LONGEST or not _INTEGER.fullmatch(text):
        return None
    found = int(text)
    return found if -(1 << 63) <= found < 1 << 63 else None


def well_formed(key: str, operator: str, values: Sequence[str]) -> bool:
    match operator:
        case "In" | "NotIn":
            fits = bool(values)
        case "Exists" | "DoesNotExist":
            fits = not values
        case "Gt" | "Lt":
            fits = len(values) == 1 and integer(values[0]) is not None
        case _:
            return False
    return fits and qualified(key) and all(map(label_value, values))
