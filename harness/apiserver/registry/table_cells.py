"""The pieces that cells are made of: ages, selectors, lists of images, and what a missing value looks like."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.wire import Json, ScaledEpoch, parse_time

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


class Moment(msgspec.Struct, frozen=True):
    """When a table is made: instant `now_ns` of a cluster whose instant 0 is `epoch_unix_ns`."""

    now_ns: int
    epoch_unix_ns: int

    def age(self, timestamp: str | None) -> str:
        """Since an RFC 3339 time."""
        if not timestamp:
            return UNKNOWN
        elapsed_ns = self.now_ns - self.instant(timestamp)
        if isinstance(self.epoch_unix_ns, ScaledEpoch):
            elapsed_ns = round(elapsed_ns / self.epoch_unix_ns.scale)  # as kubectl says it, where it counts itself
        return duration(elapsed_ns // 10**9)

    def instant(self, timestamp: str) -> int:
        return parse_time(timestamp, self.epoch_unix_ns)


def duration(seconds: int) -> str:
    """Two significant parts at most. Source: apimachinery pkg/util/duration HumanDuration."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 60 * 2:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def part(obj: Json, *names: str) -> Any:
    """What is at a path, None when something on the way is missing."""
    found: Any = obj
    for name in names:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def name_of(obj: Json) -> str:
    return str(part(obj, "metadata", "name") or "")


def created(obj: Json) -> str | None:
    found = part(obj, "metadata", "creationTimestamp")
    return None if found is None else str(found)


def labels(found: Json | None) -> str:
    if not found:
        return NONE
    return ",".join(f"{key}={value}" for key, value in sorted(found.items()))


def selector(found: Json | None) -> str:
    """Of a LabelSelector. Source: metav1.FormatLabelSelector."""
    if not found:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((found.get("matchLabels") or {}).items())]
    for item in found.get("matchExpressions") or []:
        key, values = item["key"], ",".join(sorted(item.get("values") or []))
        match item["operator"]:
            case "In" | "NotIn" as operator:
                parts.append(f"{key} {operator.lower()} ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts) or NONE


def containers(obj: Json) -> tuple[str, str]:
    """(names, images) of a template's containers."""
    held = part(obj, "spec", "template", "spec", "containers") or []
    return ",".join(c.get("name", "") for c in held), ",".join(c.get("image", "") for c in held)


def number(obj: Json, *names: str) -> int:
    found = part(obj, *names)
    return found if isinstance(found, int) else 0


TEMPLATE_COLUMNS = ("Containers*", "Images*", "Selector*")


def template_cells(obj: Json) -> list[Any]:
    names, images = containers(obj)
    return [names, images, selector(part(obj, "spec", "selector"))]
