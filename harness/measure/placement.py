"""Placement quality: what was allocated, fragmented and stranded, how long pods waited, and the gap to the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.measure.demand import Demand
from harness.measure.fragmentation import FragmentationMeter
from harness.measure.occupancy import CPU, GPU, Occupancy
from harness.measure.pods import NEVER, PodLives, seconds, spans
from harness.model.fragmentation import Fragmentation, GpuPod, TypicalPods


class Placement:
    """`typical`: the pods that fragmentation is measured by, None where nobody asks for GPUs."""

    def __init__(
        self, lives: PodLives, typical: TypicalPods | None = None, models: tuple[str, ...] = (), width: int = 0
    ) -> None:
        meter = FragmentationMeter(Fragmentation(typical, models, width)) if typical is not None else None
        self.lives = lives
        self.occupancy = Occupancy(meter)
        self.demand = Demand(self.occupancy)
        self.folds = (self.occupancy, self.demand)
        self.bound_seconds = 0.0
        self.beaten = ""

    def metrics(self, until_ns: int, *, bound: bool = True, clock: Callable[[], float] | None = None) -> dict[str, Any]:
        """Ratios 0..1, times in seconds. `clock` (seconds) fills in `bound_seconds`."""
        occupancy = self.occupancy
        lives = list(self.lives.all.values())
        never = [life for life in lives if life.bound_ns == NEVER]
        out: dict[str, Any] = {
            "pods": len(lives),
            "podsBound": len(lives) - len(never),
            "podsNeverBound": len(never),
            "podsFailed": sum(life.phase == "Failed" for life in lives),
            "allocation": occupancy.mean_ratios(until_ns),
            "allocationAtEnd": occupancy.ratios(),
            "nodesUsed": occupancy.mean_busy_nodes(until_ns),
            "nodesUsedPeak": occupancy.peak_busy_nodes,
            "strandedAtEnd": occupancy.stranded(),
            "pendingSeconds": seconds(spans(lives, "created_ns", "bound_ns")),
            "startSeconds": seconds(spans(lives, "created_ns", "running_ns")),
        }
        fragmentation = occupancy.mean_fragmentation(until_ns)
        if fragmentation:
            out["fragmentation"] = fragmentation
        if bound:
            out["bound"] = self._bound(until_ns, clock)
        return out

    def _bound(self, until_ns: int, clock: Callable[[], float] | None) -> dict[str, Any]:
        """Time averages from the first pod on: allocated, the proven most of it, and what lies between."""
        begun = clock() if clock else 0.0
        instance = self.demand.instance()
        if instance is None or until_ns <= min(self.demand.begin_ns):
            return {}
        curve = self.demand.curve(instance)
        gpu = bool(instance.gpu_count.any()) and bool(instance.value.any()) and instance.devices.any()
        resource = GPU if gpu else CPU
        since = min(self.demand.begin_ns)
        most = curve.mean(until_ns)
        reached = self.occupancy.mean_allocated(resource, since, until_ns)
        if clock:
            self.bound_seconds = clock() - begun
        if reached > most * (1 + 1e-9):
            self.beaten = (
                f"{NAMES_OF[resource]}: {reached} was allocated on average, and no schedule reaches over {most}"
            )
        return {
            "resource": NAMES_OF[resource],
            "allocated": reached / 1000,
            "most": most / 1000,
            "gap": (most - reached) / most if most else 0.0,
        }


NAMES_OF = {CPU: "cpu", GPU: "gpu"}


def typical_of(pods: list[tuple[int, int, int, str]]) -> TypicalPods | None:
    """From (milli-CPU, milli of each device, devices, accepted models) of a workload; None where none asks for GPUs."""
    if not any(count for _, _, count, _ in pods):
        return None
    return TypicalPods.of(
        GpuPod(cpu, milli, count, models) if count else GpuPod(cpu, 0, 0) for cpu, milli, count, models in pods
    )
