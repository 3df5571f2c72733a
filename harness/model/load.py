"""What everybody who reads a load asks of it; `workloads.generators.load` makes the curves."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class LoadCurve(Protocol):
    """Requests per second, or another amount, over time; integers in thousandths of its unit."""

    def rate_milli_rps(self, t_ns: int) -> int:
        """Thousandths of a request per second at `t_ns` since the run began; never negative, rounded down."""

    def next_change_ns(self, t_ns: int) -> int | None:
        """The first instant after `t_ns` at which the slope or the value changes; None when it never does again."""
