"""Allocation and fragmentation after every arrival, by how much has arrived: the measure of the fill protocol.

Source: Weng et al., USENIX ATC 2023, pkg/simulator/analysis.go and scripts/analysis.py: arrived is what was asked for,
failed pods included; a cell is the mean over all arrivals at which arrived, in percent of the GPUs, rounds to it.
"""

from __future__ import annotations

from typing import Any

from harness.measure.occupancy import GPU, Occupancy
from harness.model.core import Pod


class Filling:
    """Feed it after the Occupancy fold. An arrival is settled when the next one comes, or at the end.

    An arrival is a pod or a Job. The pods of a Job do not count as arrivals, as each lost one is recreated.
    """

    def __init__(self, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._arrived = 0
        self._open = False
        self._cells: dict[int, list[tuple[float, float]]] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if change != "ADDED":
            return
        if kind == "Job":
            obj = Pod(metadata=obj.spec.template.metadata, spec=obj.spec.template.spec)
        elif kind != "Pod" or any(owner.kind == "Job" for owner in obj.metadata.owner_references):
            return
        self._settle()
        self._arrived += self._occupancy.requests.of(obj)[0][2]
        self._open = True

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _settle(self) -> None:
        occupancy = self._occupancy
        total = occupancy.total[GPU]
        if not self._open or not total:
            return
        self._open = False
        allocated = round(100 * occupancy.allocated[GPU] / total, 2)
        fragmented = 100 * occupancy.meter.ratio if occupancy.meter is not None else 0.0
        self._cells.setdefault(round(100 * self._arrived / total), []).append((allocated, fragmented))

    def metrics(self) -> dict[str, Any]:
        """By arrived load in percent of the GPUs: GPU allocated, and the share of idle GPU that is fragmented, in
        percent."""
        self._settle()
        return {
            str(at): {
                "allocated": sum(a for a, _ in seen) / len(seen),
                "fragmented": sum(f for _, f in seen) / len(seen),
            }
            for at, seen in sorted(self._cells.items())
        }
