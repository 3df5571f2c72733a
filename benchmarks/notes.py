"""The size of a benchmark, and the figures that it writes beside its timing."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

FULL = os.environ.get("PODYARD_BENCH") == "full"
"""Whether to run in the sizes of published figures, or quickly."""


def note(benchmark: Any, **figures: Callable[[float], float]) -> None:
    """Figures that follow from the median round, in seconds. There is none with --benchmark-disable."""
    if benchmark.stats is not None:
        seconds = float(benchmark.stats.stats.median)
        benchmark.extra_info.update({name: figure(seconds) for name, figure in figures.items()})


def fresh_peak() -> None:
    """Garbage of the setup goes, and on Linux `peak_mib` counts from here on."""
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Most memory that this process held since `fresh_peak`; elsewhere than on Linux, ever."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts KiB, macOS bytes
    return float(most) / (1 << (20 if sys.platform == "darwin" else 10))
