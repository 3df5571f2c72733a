"""The measures of vertical pod autoscalers by name."""

from __future__ import annotations

from harness.measure.catalogue import Better, Measure

_ROWS: tuple[tuple[str, str, str, Better, str, int], ...] = (
    ("recommendedSeconds", "first recommendation after", "s", "less", "from the autoscaler's creation", 0),
    ("evictions", "evictions", "", "less", "pods that the updater evicted to resize them", 0),
    ("podsUpdated", "pods with recommended requests", "", "neither", "admitted with requests of the recommendation", 0),
    ("cpuRequested", "CPU requested, mean", "cores", "less", "by its pods together, over time", 2),
    ("memoryRequested", "memory requested, mean", "GiB", "less", "by its pods together, over time", 2),
    ("cpuAtEnd", "CPU requested at the end", "% of the first", "neither", "of a pod, against the first one", 1),
    ("memoryAtEnd", "memory requested at the end", "% of the first", "neither", "of a pod, against the first one", 1),
    ("outsideBounds", "requests outside the bounds", "% of pod time", "less", "of the recommendation", 1),
)  # fmt: skip


def vertical_measures() -> list[Measure]:
    return [
        Measure(f"vertical.*.{key}", name, unit, better, definition, tables=("vertical",), digits=digits)
        for key, name, unit, better, definition, digits in _ROWS
    ]
