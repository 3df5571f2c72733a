"""Charts as inline SVG: step curves and bars of stages, drawn for a page that has a style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from harness.report.series import Steps

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 28
COLOURS = 8
"""Classes c0..c7 of the style sheet."""


def chart(curves: Sequence[Steps], label: str) -> str:
    """Step curves over seconds; `curves` by their names, in the order of the legend."""
    most_x = max((float(curve.x[-1]) for curve in curves), default=1.0) or 1.0
    most_y = max((float(curve.y.max()) for curve in curves), default=1.0) or 1.0
    steps_y = ticks(most_y)
    top = max(steps_y[-1], most_y)
    unit, name = time_unit(most_x)

    def at_x(value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / most_x

    def at_y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for value in steps_y:
        y = at_y(value)
        out.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end">{number(value)}</text>')
    for value in ticks(most_x / unit):
        if value * unit > most_x:
            break
        x = at_x(value * unit)
        anchor = "end" if x > WIDTH - 40 else "mid"
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" class="{anchor}">{number(value)} {name}</text>')
    for index, curve in enumerate(curves):
        points = [f"M{at_x(float(curve.x[0])):.1f} {at_y(float(curve.y[0])):.1f}"]
        for x, y in zip(curve.x[1:].tolist(), curve.y[1:].tolist(), strict=True):
            points.append(f"H{at_x(x):.1f}V{at_y(y):.1f}")
        title = f"<title>{escape(curve.name)}</title>"
        out.append(f'<path class="line c{index % COLOURS}" d="{"".join(points)}">{title}</path>')
    out.append("</svg>")
    return "".join(out)


def legend(names: Sequence[str]) -> str:
    keys = (f'<span class="key c{index % COLOURS}">{escape(name)}</span>' for index, name in enumerate(names))
    return f'<p class="legend">{"".join(keys)}</p>'


def stages(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """Bars of stages that follow each other: (name, ((stage, seconds at which it ended), ..))."""
    most = max((end for _, ends in rows for _, end in ends), default=1.0) or 1.0
    left, bar = min(max(220, 16 + round(6.4 * max((len(name) for name, _ in rows), default=0))), WIDTH // 2), 20
    height = len(rows) * (bar + 8) + 26
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="stages">']

    def at_x(value: float) -> float:
        return left + (WIDTH - left - 60) * value / most

    for row, (name, ends) in enumerate(rows):
        y = row * (bar + 8) + 4
        out.append(f'<text x="{left - 8}" y="{y + 14}" class="end">{escape(name)}</text>')
        before = 0.0
        for index, (stage, end) in enumerate(ends):
            start, stop = at_x(min(before, end)), at_x(end)
            title = f"<title>{escape(stage)}: {end:.1f} s after the fault, {max(end - before, 0):.1f} s itself</title>"
            shape = f'x="{start:.1f}" y="{y}" width="{max(stop - start, 0.5):.1f}" height="{bar}"'
            out.append(f'<rect class="bar c{index % COLOURS}" {shape}>{title}</rect>')
            before = max(before, end)
        out.append(f'<text x="{at_x(before) + 6:.1f}" y="{y + 14}">{before:.1f} s</text>')
    out.append("</svg>")
    return "".join(out)


def waterfall(hops: Sequence[tuple[str, str, float, float, str]], total: float) -> str:
    """A bar a hop where it lies in time, to scale: (name, how long in words, start, end, what it waits for), in s."""
    left, right, bar = 150, 90, 16
    height = len(hops) * (bar + 4) + 4
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="waterfall">']
    colours = {timer: index % COLOURS for index, timer in enumerate(dict.fromkeys(hop[4] for hop in hops))}
    for row, (name, words, start, end, timer) in enumerate(hops):
        y = row * (bar + 4) + 2
        x, stop = (left + (WIDTH - left - right) * at / (total or 1.0) for at in (start, end))
        out.append(f'<text x="{left - 8}" y="{y + 12}" class="end">{escape(name)}</text>')
        title = f"<title>{escape(name)}: {escape(words)}, {escape(timer or 'no known timer')}</title>"
        shape = f'x="{x:.1f}" y="{y}" width="{max(stop - x, 0.7):.1f}" height="{bar}"'
        out.append(f'<rect class="bar c{colours[timer]}" {shape}>{title}</rect>')
        out.append(f'<text x="{stop + 6:.1f}" y="{y + 12}">{escape(words)}</text>')
    out.append("</svg>")
    return "".join(out)


def ticks(most: float) -> list[float]:
    """Round values from 0 to about `most`, four to seven of them."""
    if most <= 0 or not math.isfinite(most):
        return [0.0, 1.0]
    raw = most / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * index for index in range(math.ceil(most / step - 1e-9) + 1)]


def time_unit(seconds: float) -> tuple[float, str]:
    for unit, name in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return unit, name
    return 1.0, "s"


def number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"
