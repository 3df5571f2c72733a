"""Tables of expected waste: what GPU will stay idle when pods of the mix keep coming, by what is free today.

Pods that fit are taken to come in proportion to their frequency, one after the other until none fits any more; what is
left then is the waste. It follows by recursion from smaller amounts to larger ones:

    waste(gpu, other) = sum of frequency x waste(gpu - pod, other - pod) over the pods that fit / sum of frequency,

and all of `gpu` where none fits. `other` is CPU or memory. That is what chance leaves; a scheduler that has more pods
to choose from than there is room leaves less. The picky tables are the same recursion with each frequency divided by
(1 + pickiness x waste after the pod / 4)^4, so that pods which fit well are taken more often.

Only +, x and / of single numbers are used, in a fixed order, and the result is rounded to whole micro-GPUs, so that
every machine has the same table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.strategy import Float64, Int64
from schedulers.ranked.mix import RequestMix

MICRO = 1_000_000
"""Amounts of features are whole micro-GPUs."""

CPU_STEP_MILLI, CPU_STEPS = 500, 256
MEMORY_STEP_BYTES, MEMORY_STEPS = 2 << 30, 512
"""Grids up to 128 cores and 1 TiB; what is beyond counts as that much."""

DEVICE_STEP_MILLI = 10
POOL_STEP_MILLI = 50

DEVICE_PICKINESS, POOL_PICKINESS = 20.0, 5.0
"""Per GPU of waste. A few values were tried; the results differ little."""


@dataclass(frozen=True, slots=True, eq=False)
class Waste:
    """Micro-GPUs, int64. `device` [idle milli of one device, CPU], as if it had the node's CPU for itself;
    `cpu` and `memory` [idle milli of the node, CPU or memory], as if its devices were one.
    """

    device: Int64
    cpu: Int64
    memory: Int64
    picky_device: Int64
    picky_cpu: Int64
    picky_memory: Int64

    @classmethod
    def of(cls, mix: RequestMix, width: int) -> Waste:
        """For nodes with at most `width` devices."""
        cpu = [-(-r.cpu_milli // CPU_STEP_MILLI) for r, _ in mix.wanted]
        memory = [-(-r.memory_bytes // MEMORY_STEP_BYTES) for r, _ in mix.wanted]
        each = [-(-r.gpu.gpu_milli // DEVICE_STEP_MILLI) for r, _ in mix.wanted]
        total = [-(-r.gpu_milli // POOL_STEP_MILLI) for r, _ in mix.wanted]
        counts = [n for _, n in mix.wanted]
        by_size = [n * milli for n, milli in zip(counts, each, strict=True)]
        pool = width * DEVICE_MILLI
        return cls(
            table(DEVICE_MILLI, DEVICE_STEP_MILLI, each, cpu, CPU_STEPS, counts),
            table(pool, POOL_STEP_MILLI, total, cpu, CPU_STEPS, counts),
            table(pool, POOL_STEP_MILLI, total, memory, MEMORY_STEPS, counts),
            table(DEVICE_MILLI, DEVICE_STEP_MILLI, each, cpu, CPU_STEPS, by_size, DEVICE_PICKINESS),
            table(pool, POOL_STEP_MILLI, total, cpu, CPU_STEPS, counts, POOL_PICKINESS),
            table(pool, POOL_STEP_MILLI, total, memory, MEMORY_STEPS, counts, POOL_PICKINESS),
        )


def table(
    most_milli: int,
    step_milli: int,
    gpu: Sequence[int],
    other: Sequence[int],
    steps: int,
    counts: Sequence[int],
    pickiness: float = 0.0,
) -> Int64:
    """int64 [most_milli / step_milli + 1, steps + 1]; pods of the same amounts are taken together."""
    together: dict[tuple[int, int], int] = {}
    for key, n in zip(zip(gpu, other, strict=True), counts, strict=True):
        if key[1] <= steps:
            together[key] = together.get(key, 0) + n
    pods = sorted(together.items())
    rows = most_milli // step_milli + 1
    waste: Float64 = np.zeros((rows, steps + 1))
    for row in range(rows):
        total, weight = np.zeros(steps + 1), np.zeros(steps + 1)
        for (milli, amount), n in pods:
            if milli > row:
                break
            after = waste[row - milli, : steps + 1 - amount]
            likely = 1.0 + after * (pickiness / 4)
            share = n / (likely * likely * likely * likely)
            total[amount:] += share * after
            weight[amount:] += share
        nothing_fits = weight == 0
        waste[row] = np.where(
            nothing_fits, row * step_milli / DEVICE_MILLI, total / np.where(nothing_fits, 1.0, weight)
        )
    return np.rint(waste * MICRO).astype(np.int64)
