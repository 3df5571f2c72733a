"""Waterfalls as a picture for the terminal: one row per hop, with a bar that shows its time to scale."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.waterfall.hops import Waterfall
from harness.measure.waterfall.timers import is_constant

WIDTH = 80
"""Width of a picture in columns."""
_NAME, _TIME = 22, 10
BAR, EDGE = "█", "▏"


def span(ns: int) -> str:
    """Exact to the millisecond below a minute, else to the tenth of a second; what is shorter in its own unit."""
    if ns >= 60 * 10**9:
        return f"{ns / 1e9:.1f} s"
    if ns >= 10**9:
        return f"{ns / 1e9:.3f} s"
    return f"{ns / 1e6:.3g} ms" if ns >= 10**6 or not ns else f"{ns} ns"


def picture(fall: Waterfall, width: int = WIDTH) -> str:
    """Lines of at most `width` columns."""
    out = [headline(fall)]
    if fall.subject:
        others = f", after {len(fall.others)} other{'s' if len(fall.others) > 1 else ''}" if fall.others else ""
        out.append(f"  the last pod: {fall.subject}{others}")
    room = width - _NAME - _TIME - 4
    total = fall.total_ns or 1
    for hop in fall.hops:
        first = (hop.start_ns - fall.start_ns) * room // total
        last = -(-(hop.end_ns - fall.start_ns) * room // total)
        bar = BAR * (last - first) if hop.ns * room >= total // 2 else EDGE
        out.append(f"  {_cut(hop.name, _NAME):<{_NAME}}{span(hop.ns):>{_TIME}}  {' ' * min(first, room - 1)}{bar}")
    if fall.hops:
        out += ["", *_timers(fall, width)]
    noted = dict.fromkeys(f"{hop.name}: {hop.note}" for hop in fall.hops if hop.note)
    out += [_cut(f"  note: {text}", width) for text in (*noted, *fall.notes)]
    return "\n".join(out)


def headline(fall: Waterfall) -> str:
    what = "fault" if fall.kind == "recovery" else "scale-up"
    least = "at least " if fall.unended else ""
    end = f", not yet {fall.unended}" if fall.unended else ""
    total = f": {least}{span(fall.total_ns)}{end}" if fall.hops else ""
    return f"{what} {fall.number}: {fall.title}, at {fall.start_ns / 1e9:.3f} s{total}"


def _timers(fall: Waterfall, width: int) -> list[str]:
    """The timers by their share of the time, the dominant one first, and always the dominant constant."""
    total = fall.total_ns or 1
    out = []
    for index, (timer, ns) in enumerate(fall.timers.items()):
        constant = timer == fall.dominant_constant[0]
        if ns * 200 >= total or not index or constant:
            mark = "dominant timer" if not index else "of constants" if constant else ""
            kind = "" if is_constant(timer) else ", no constant"
            out.append(_cut(f"  {mark:<16}{100 * ns / total:5.1f} %  {span(ns):>10}  {timer}{kind}", width))
    return out


def table(falls: Sequence[Waterfall]) -> list[tuple[str, str, str, str, str]]:
    """One row per waterfall: subject, instant, total, dominant timer, and its share."""
    out = []
    for fall in falls:
        timer, ns = fall.dominant
        what = "fault" if fall.kind == "recovery" else "scale-up"
        least = ">" if fall.unended else ""
        total = f"{least}{fall.total_ns / 1e9:.1f}" if fall.hops else "-"
        share = f"{100 * ns / fall.total_ns:.0f} %" if fall.total_ns else "-"
        out.append((f"{what} {fall.number}: {fall.title}", f"{fall.start_ns / 1e9:.1f}", total, timer or "-", share))
    return out


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 2] + ".."
