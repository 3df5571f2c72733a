"""Placement quality: what was allocated, fragmented and stranded, how long pods waited, and the gap to the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.measure.demand import AllocationBound, Demand
from harness.measure.fragmentation import FragmentationMeter
from harness.measure.occupancy import Occupancy
from harness.measure.pods import NEVER, PodLives, PodTimes, Wait, seconds, waits_of
from harness.model.fragmentation import Fragmentation, GpuPod, TypicalPods


class Placement:
    """`typical`: the pods that fragmentation is measured by, None where nobody asks for GPUs. `demand`: the workload,
    told before its first pod arrives; None without a bound, and then the window begins with the first pod."""

    def __init__(
        self,
        lives: PodLives,
        typical: TypicalPods | None = None,
        models: tuple[str, ...] = (),
        width: int = 0,
        demand: Demand | None = None,
    ) -> None:
        meter = FragmentationMeter(Fragmentation(typical, models, width)) if typical is not None else None
        first = None if demand is None or demand.first_ns < 0 else demand.first_ns
        self.lives = lives
        self.occupancy = Occupancy(meter, first)
        self.demand = demand
        self.folds = (self.occupancy,)
        self.bound_seconds = 0.0
        self.beaten = ""

    def metrics(self, until_ns: int, *, bound: bool = True, clock: Callable[[], float] | None = None) -> dict[str, Any]:
        """Over the window from the first arrival to `until_ns`. Ratios 0..1, times in seconds. `clock` (seconds) fills
        in `bound_seconds`."""
        occupancy = self.occupancy
        lives = list(self.lives.all.values())
        never = [life for life in lives if life.bound_ns == NEVER]
        since = min(occupancy.since_ns or 0, until_ns)
        out: dict[str, Any] = {
            "window": {"fromSeconds": since / 1e9, "toSeconds": until_ns / 1e9},
            "pods": len(lives),
            "podsBound": len(lives) - len(never),
            "podsNeverBound": len(never),
            "podsFailed": sum(life.phase == "Failed" for life in lives),
            **({"podsEvicted": evicted} if (evicted := sum(life.evicted_ns != NEVER for life in lives)) else {}),
            "allocation": occupancy.mean_ratios(until_ns),
            "heldBeyond": occupancy.held_beyond(until_ns),
            "allocationAtEnd": occupancy.ratios(),
            "nodesUsed": occupancy.mean_busy_nodes(until_ns),
            "nodesUsedPeak": occupancy.peak_busy_nodes,
            "strandedAtEnd": occupancy.stranded(),
            **waits(lives, until_ns),
        }
        fragmentation = occupancy.mean_fragmentation(until_ns)
        if fragmentation:
            out["fragmentation"] = fragmentation
        if bound and self.demand is not None and until_ns > since:
            begun = clock() if clock else 0.0
            most = self.demand.most(until_ns)
            out["bound"] = against(most, occupancy.counted(until_ns)[most.resource] / (until_ns - since))
            if clock:
                self.bound_seconds = clock() - begun
            reached = out["bound"].get("allocated", 0.0)
            if not most.why_none and reached > most.most / 1000 * (1 + 1e-9):
                self.beaten = (
                    f"{most.name}: {reached} was allocated on average, and no schedule reaches over {most.most / 1000}"
                )
        return out


def waits(lives: list[PodTimes], until_ns: int) -> dict[str, Any]:
    """From created to bound and to running; what never came there counts to the end of the run."""
    out = {}
    for name, end in (("pendingSeconds", "bound_ns"), ("startSeconds", "running_ns")):
        rows = (
            Wait(
                life.owner or life.key,
                life.created_ns,
                getattr(life, end),
                life.gone_ns if life.ended_ns == NEVER else life.ended_ns,
                life.evicted_ns,
            )
            for life in lives
        )
        out[name] = seconds(*waits_of(rows, until_ns))
    return out


def against(most: AllocationBound, reached: float) -> dict[str, Any]:
    """What a run reached on average (GPU milli or milli-CPU) beside the most that there is; `share`: of all capacity,
    left out where a pool's nodes come and go."""
    if most.why_none:
        return {"resource": most.name, "saysNothing": most.why_none}
    out = {
        "resource": most.name,
        "allocated": reached / 1000,
        "most": most.most / 1000,
        "gap": (most.most - reached) / most.most if most.most else 0.0,
    }
    return out | ({"share": most.most / most.capacity} if most.fixed else {})


def typical_of(pods: list[tuple[int, int, int, str]]) -> TypicalPods | None:
    """From (milli-CPU, milli of each device, devices, accepted models) of a workload; None where none asks for GPUs."""
    if not any(count for _, _, count, _ in pods):
        return None
    return TypicalPods.of(
        GpuPod(cpu, milli, count, models) if count else GpuPod(cpu, 0, 0) for cpu, milli, count, models in pods
    )
