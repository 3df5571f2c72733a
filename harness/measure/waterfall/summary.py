"""What the waterfalls of a run come to in numbers: totals, hops over all pods of a fault, the dominant timer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.measure.pods import seconds
from harness.measure.waterfall.hops import Hop, Waterfall


def waterfall_metrics(recoveries: Sequence[Waterfall], scale_ups: Sequence[Waterfall]) -> dict[str, Any]:
    """`recoveries`: one a fault, in order, empty for one that hit nothing. `scaleUps`: all of them together."""
    out: dict[str, Any] = {}
    if recoveries:
        out["recoveries"] = [_of_fault(fall) for fall in recoveries]
    if scale_ups:
        out["scaleUps"] = _of_scale_ups(scale_ups)
    return out


def _of_fault(fall: Waterfall) -> dict[str, Any]:
    if not fall.hops:
        return {}
    total: dict[str, Any] = {"totalSeconds": fall.total_ns / 1e9}
    if fall.unended:
        total["atLeast"] = ["totalSeconds"]
    return {**total, **_dominant([fall]), "hops": _hops(fall.ways)}


def _of_scale_ups(falls: Sequence[Waterfall]) -> dict[str, Any]:
    ended = np.array([fall.total_ns for fall in falls if not fall.unended], dtype=np.int64)
    late = np.array([fall.total_ns for fall in falls if fall.unended], dtype=np.int64)
    ways = [way for fall in falls for way in fall.ways]
    return {"count": len(falls), "totalSeconds": seconds(ended, late), **_dominant(falls), "hops": _hops(ways)}


def _dominant(falls: Iterable[Waterfall]) -> dict[str, Any]:
    """The timer that most of the time went to, and its share of all."""
    by_timer: dict[str, int] = {}
    total = 0
    for fall in falls:
        total += fall.total_ns
        for timer, ns in fall.timers.items():
            by_timer[timer] = by_timer.get(timer, 0) + ns
    if not by_timer or not total:
        return {}
    timer = min(by_timer, key=lambda name: (-by_timer[name], name))
    return {"dominantTimer": timer, "dominantShare": by_timer[timer] / total}


def _hops(ways: Sequence[Sequence[Hop]]) -> dict[str, dict[str, float]]:
    """Seconds of each hop over the pods that took it: median (nearest rank), longest, mean."""
    spans: dict[str, list[int]] = {}
    for way in ways:
        mine: dict[str, int] = {}
        for hop in way:
            if not hop.name.startswith("not yet "):
                mine[hop.name] = mine.get(hop.name, 0) + hop.ns
        for name, ns in mine.items():
            spans.setdefault(key_of(name), []).append(ns)
    out = {}
    for key, values in spans.items():
        found = seconds(np.array(values, dtype=np.int64))
        out[key] = {name: found[name] for name in ("p50", "max", "mean")}
    return out


def key_of(name: str) -> str:
    """A hop's name as a key: `leaseNotRenewed`."""
    first, *rest = "".join(c if c.isalnum() else " " for c in name).split()
    return first[0].lower() + first[1:] + "".join(word[0].upper() + word[1:] for word in rest)
