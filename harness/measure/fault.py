"""A fault that befell the cluster, and the pods that it hit: what recovery is told in."""

from __future__ import annotations

import msgspec

from harness.measure.pods import NEVER, PodTimes

OUTAGES = ("Restart", "Outage")
"""Faults of the control plane: they hit no pod."""

FOR_EVER = 1 << 62


class Fault(msgspec.Struct, eq=False):
    """`lasts_ns`: until it is undone by itself, FOR_EVER or 0. `injected`: in how many steps. `spared`: targets that
    were down already."""

    at_ns: int
    kind: str
    lasts_ns: int = 0
    injected: int = 1
    targets: list[str] = []
    spared: list[str] = []
    hits: list[Hit] = []
    detected: dict[str, int] = {}  # by node

    @property
    def until_ns(self) -> int:
        return self.at_ns + self.lasts_ns


class Hit(msgspec.Struct, eq=False):
    """A pod that a fault befell. `needed`: whether its owner wants another in its place."""

    life: PodTimes
    fault: Fault
    served: bool  # it was an endpoint
    lost_before: int  # requests lost on the way to it, until then (milli-rps x ns)
    lost_after: int = -1  # until another fault befell it
    unready_ns: int = NEVER
    back_ns: int = NEVER
    left_ns: int = NEVER
    evicted: bool = False
    needed: bool = False
    new: PodTimes | None = None
