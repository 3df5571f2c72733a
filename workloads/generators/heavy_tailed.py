"""Rigid jobs with heavy-tailed run times: Poisson arrivals, sizes that are powers of two, bounded Pareto run times.

Source: Crovella, Harchol-Balter and Murta, Task assignment in a distributed system: improving performance by
unbalancing load, SIGMETRICS 1998: the bounded Pareto distribution B(k, p, alpha), density alpha k^alpha x^(-alpha-1)
/ (1-(k/p)^alpha), with alpha = 1.1 as measured for the life of UNIX processes (Harchol-Balter and Downey, 1996). The
longest 1 % of the jobs are a large part of the work.

Own choices: k = 60 s; log2 of sizes is even from a single processor to half of the machine, and independent of run
times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from workloads.generators.rigid import RigidJob

ALPHA = 1.1
SHORTEST_S = 60


@dataclass(frozen=True, slots=True)
class HeavyTailedLog:
    """`load`: percent of the processors that what runs asks for on average. Times in seconds."""

    jobs: int
    processors: int = 128
    load: int = 80
    seed: int = 1
    longest_s: int = 36 * 3600
    users: int = 20


def draw(log: HeavyTailedLog) -> Iterator[RigidJob]:
    """Jobs in order of arrival."""
    rng = Random(f"heavy-tailed/{log.seed}")
    widest = max(log.processors.bit_length() - 2, 0)  # log2 of half of the machine
    sizes = [1 << rng.randint(0, widest) for _ in range(log.jobs)]
    times = [_run_s(rng, log.longest_s) for _ in sizes]
    work = sum(size * run for size, run in zip(sizes, times, strict=True)) / max(log.jobs, 1)
    gap_s = work * 100 / (log.processors * log.load)
    now = 0.0
    for size, run in zip(sizes, times, strict=True):
        now += rng.expovariate(1.0) * gap_s
        yield RigidJob(round(now), run, size, rng.randrange(log.users) + 1)


def _run_s(rng: Random, longest_s: int) -> int:
    """By inversion: F(x) = (1 - (k/x)^alpha) / (1 - (k/p)^alpha)."""
    if longest_s <= SHORTEST_S:
        return longest_s
    cut = 1 - (SHORTEST_S / longest_s) ** ALPHA
    run_s: float = SHORTEST_S / (1 - rng.random() * cut) ** (1 / ALPHA)
    return min(round(run_s), longest_s)
