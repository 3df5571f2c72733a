"""What migrations bring: the same arrivals filled in under one budget after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.scheduling.offline import Snapshot, fill
from harness.scheduling.strategy import CPU, MEMORY, PodView
from schedulers.binpack.strategy import BinPack

BUDGETS = (0.0, 0.0025, 0.005, 0.01)


@dataclass(frozen=True, slots=True)
class Point:
    """One budget, and what was allocated under it in the end."""

    budget: float  # most migrations, as a part of the pods bound
    migrations: int
    placed: int
    gpu_milli: int
    cpu_milli: int
    memory_bytes: int


def gain_by_budget(
    snapshot: Snapshot,
    pods: Sequence[PodView],
    *,
    seed: int = 0,
    window: int = 64,
    budgets: Sequence[float] = BUDGETS,
    make: Callable[[float], BinPack] = lambda budget: BinPack(migrations=budget, move_bare_pods=True),
) -> tuple[Point, ...]:
    """One run for each budget, each on its own copy of `snapshot`, which stays as it is.

    `make`: the strategy for one budget. Raises ValueError when it decides something that is not legal.
    """
    found = []
    for budget in budgets:
        out = fill(make(budget), snapshot.copy(), pods, seed, window)
        if out.violations:
            pod, reason = out.violations[0]
            raise ValueError(f"{len(out.violations)} decisions were not legal, the first on {pod}: {reason}")
        placed = [pod for pod, node in zip(pods, out.node, strict=True) if node >= 0]
        found.append(
            Point(
                budget=budget,
                migrations=out.evictions,
                placed=len(placed),
                gpu_milli=sum(pod.gpu.total_milli for pod in placed),
                cpu_milli=sum(pod.cls.amounts[CPU] for pod in placed),
                memory_bytes=sum(pod.cls.amounts[MEMORY] for pod in placed),
            )
        )
    return tuple(found)
