"""A log in Standard Workload Format with the job sizes and run times of Lublin and Feitelson's model.

Source: Lublin and Feitelson, The workload on parallel supercomputers: modeling the characteristics of rigid jobs, JPDC
63(11), 2003, and the authors' m_lublin99.c: two-stage uniform log2 of sizes, serial jobs and powers of two apart;
hyper-gamma log of run times whose mixing probability falls with the size. Parameters are those of all jobs.

Own choices: arrivals are Poisson, at a rate that gives the load asked for (the model's daily cycle is left out); run
times are cut off at `longest_s` (m_lublin99.c draws anew what is beyond its TOO_MUCH_TIME) and rounded (there cut to
whole seconds); a user asks for the run time times a factor of 1 to `overestimate`, drawn evenly.

python -m workloads.generators.lublin --jobs 1000 --processors 128 --load 80 --seed 1 > log.swf
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from workloads.generators.rigid import RigidJob

SERIAL, POWER_OF_TWO = 0.244, 0.576
"""Share of all jobs that are serial, and that are parallel with a power of two of processors for certain (m_lublin99.c,
parameters of typeless data)."""

U_LOW, U_MEDIUM_BELOW_HIGH, U_PROB = 0.8, 2.5, 0.86
"""log2 of parallel sizes: from 0.8 to log2(processors) - 2.5 with probability 0.86, from there to log2(processors)."""

A1, B1, A2, B2, PA, PB = 4.2, 0.94, 312.0, 0.03, -0.0054, 0.78
"""Shapes and scales of the two gammas of ln(run time), and the line of their mixing probability over the size."""


@dataclass(frozen=True, slots=True)
class LublinLog:
    """`load`: percent of the processors that what runs asks for on average. Times in seconds."""

    jobs: int
    processors: int = 128
    load: int = 80
    seed: int = 1
    longest_s: int = 36 * 3600
    overestimate: float = 1.0
    users: int = 20


def draw(log: LublinLog) -> Iterator[tuple[RigidJob, int]]:
    """Jobs in order of arrival, and for how many seconds their user asks."""
    rng = Random(f"lublin/{log.seed}")
    sizes = [_size(rng, log.processors) for _ in range(log.jobs)]
    times = [min(_run_s(rng, size), log.longest_s) for size in sizes]
    work = sum(size * run for size, run in zip(sizes, times, strict=True)) / max(log.jobs, 1)
    gap_s = work * 100 / (log.processors * log.load)
    now = 0.0
    for size, run in zip(sizes, times, strict=True):
        now += rng.expovariate(1.0) * gap_s
        asked = round(run * rng.uniform(1.0, log.overestimate))
        yield RigidJob(round(now), run, size, rng.randrange(log.users) + 1), asked


def lines(log: LublinLog) -> Iterator[str]:
    """The log, line by line: a header, then 18 fields a job."""
    yield "; Version: 2.2"
    yield f"; Note: drawn after Lublin and Feitelson 2003, seed {log.seed}, load {log.load} %"
    yield f"; MaxProcs: {log.processors}"
    yield f"; MaxJobs: {log.jobs}"
    for at, (job, asked) in enumerate(draw(log), start=1):
        size, user = job.processors, job.user
        yield f"{at} {job.submit_s} -1 {job.run_s} {size} -1 -1 {size} {asked} -1 1 {user} 1 -1 1 1 -1 -1"


def _size(rng: Random, processors: int) -> int:
    high = math.log2(processors)
    kind = rng.random()
    if kind <= SERIAL:
        return 1
    medium = max(high - U_MEDIUM_BELOW_HIGH, U_LOW)
    log2 = rng.uniform(U_LOW, medium) if rng.random() <= U_PROB else rng.uniform(medium, high)
    if kind <= SERIAL + POWER_OF_TWO:
        log2 = round(log2)
    return max(1, min(round(2**log2), processors))


def _run_s(rng: Random, size: int) -> int:
    p = min(max(PA * size + PB, 0.0), 1.0)
    log = rng.gammavariate(A1, B1) if rng.random() <= p else rng.gammavariate(A2, B2)
    return max(1, round(math.exp(min(log, 20.0))))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A log in Standard Workload Format, to standard output.")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--processors", type=int, default=128)
    parser.add_argument("--load", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overestimate", type=float, default=1.0)
    asked = parser.parse_args(arguments)
    if asked.jobs < 0 or asked.processors < 2 or not 1 <= asked.load <= 1000 or not asked.overestimate >= 1:
        parser.error("expected --jobs from 0, --processors from 2, --load from 1 to 1000, --overestimate from 1")
    log = LublinLog(asked.jobs, asked.processors, asked.load, asked.seed, overestimate=asked.overestimate)
    sys.stdout.writelines(f"{line}\n" for line in lines(log))


if __name__ == "__main__":
    main()
