"""What autoscalers decided, refused and left alone, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.explain.autoscaling import Autoscaling, Stay

MOST_ROWS = 40
"""Of a table; -o json has them all."""
_MOST_NAMES = 3


def print_autoscaling(found: Autoscaling) -> None:
    rows = [
        (clock(item.at_ns), item.by, item.about, item.what, _because(item.why, item.pods)) for item in found.decisions
    ]
    if rows:
        _table("What autoscalers decided", ("at", "by", "about", "what", "why"), rows)
    refused = [
        (
            f"{clock(item.from_ns)}-{clock(item.until_ns)}",
            item.by,
            names(list(item.about)),
            f"{item.reason}: {item.message}",
        )
        for item in found.refusals
    ]
    if refused:
        _table("What was refused", ("from-until", "by", "about", "why"), refused)
    for title, kind, of in (
        ("Nodes of pools that stayed", "Node", "pool"),
        ("What held horizontal autoscalers back", "HorizontalPodAutoscaler", "condition"),
    ):
        stayed = _grouped(item for item in found.stays or () if item.kind == kind)
        if stayed:
            _table(title, ("from-until", "about", of, "why"), stayed)
    if found.stays is None:
        print("why nodes stayed is not in this record: nothing was noted, or another version wrote it")


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from harness.report.tables import print_table

    print_table(title, columns, rows[:MOST_ROWS], words=columns)
    if len(rows) > MOST_ROWS:
        print(f"and {len(rows) - MOST_ROWS} more: -o json")


def _grouped(stays: Iterable[Stay]) -> list[tuple[str, ...]]:
    """Nodes of one pool that stayed for the same reason at the same time are a row."""
    alike: dict[tuple[int, int, str, str], list[str]] = {}
    for item in stays:
        alike.setdefault((item.from_ns, item.until_ns, item.group, item.reason), []).append(item.name)
    return [
        (f"{clock(since)}-{'end' if until < 0 else clock(until)}", names(about), group, reason)
        for (since, until, group, reason), about in sorted(alike.items())
    ]


def _because(why: str, pods: list[str]) -> str:
    return f"{why}: {names(pods)}" if pods else why


def clock(ns: int) -> str:
    """Hours, minutes, seconds."""
    minutes, seconds = divmod(ns // 10**9, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def names(pods: list[str]) -> str:
    more = len(pods) - _MOST_NAMES
    return ", ".join(pods[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
