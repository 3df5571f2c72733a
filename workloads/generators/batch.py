"""Plain synthetic batches: arrivals, durations and requests each from a distribution and a random stream of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

import numpy as np

from workloads.generators import exact
from workloads.generators.streams import Streams
from workloads.table import FOREVER, Int64, Provenance, Workload


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals: exponential gaps."""

    mean_gap_ns: int


@dataclass(frozen=True, slots=True)
class Every:
    """One arrival each `gap_ns`; 0 for all at once."""

    gap_ns: int


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Half of the durations are below `median_ns`; `sigma_milli` thousandths is the spread of their logarithm."""

    median_ns: int
    sigma_milli: int


@dataclass(frozen=True, slots=True)
class Fixed:
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Forever:
    """Until deleted."""


Arrivals: TypeAlias = Poisson | Every
Durations: TypeAlias = LogNormal | Fixed | Forever


@dataclass(frozen=True, slots=True)
class Shape:
    """What a pod asks for; drawn in proportion to `weight`."""

    cpu_milli: int
    memory_bytes: int
    gpu_count: int = 0
    gpu_milli: int = 0
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """`gang`: pods a group, all of one shape and one arrival; 1 for no groups."""

    pods: int
    arrivals: Arrivals
    durations: Durations
    shapes: tuple[Shape, ...]
    name: str = "batch"
    start_ns: int = 0
    gang: int = 1


def generate(batch: Batch, stream: Streams) -> Workload:
    """The pods of a batch. Streams: `<name>/arrivals`, `<name>/durations`, `<name>/shapes`."""
    assert batch.gang >= 1, "a gang has at least one pod"
    assert batch.shapes, "a batch needs a shape"
    groups = -(-batch.pods // batch.gang)
    arrival = batch.start_ns + _arrivals(batch.arrivals, groups, stream(f"{batch.name}/arrivals"))
    bounds = np.cumsum(np.array([shape.weight for shape in batch.shapes], dtype=np.int64))
    drawn = stream(f"{batch.name}/shapes").integers(0, bounds[-1], groups)
    kind = np.searchsorted(bounds, drawn, side="right")
    group = np.repeat(np.arange(groups), batch.gang)[: batch.pods]

    def column(attribute: str) -> Int64:
        values = np.array([getattr(shape, attribute) for shape in batch.shapes], dtype=np.int64)
        return values[kind][group]

    return Workload.of(
        [f"{batch.name}-{row:06d}" for row in range(batch.pods)],
        arrival_ns=arrival[group],
        duration_ns=_durations(batch.durations, batch.pods, stream(f"{batch.name}/durations")),
        cpu_milli=column("cpu_milli"),
        memory_bytes=column("memory_bytes"),
        gpu_count=column("gpu_count"),
        gpu_milli=column("gpu_milli"),
        priority=column("priority"),
        group=[f"{batch.name}-{at:06d}" for at in group.tolist()] if batch.gang > 1 else None,
        app=[batch.name] * batch.pods,
        provenance=Provenance(f"generated: {batch}"),
    )


def _arrivals(arrivals: Arrivals, count: int, rng: np.random.Generator) -> Int64:
    match arrivals:
        case Poisson(mean):
            gaps = np.floor(rng.standard_exponential(count) * float(mean)).astype(np.int64)
            return np.asarray(np.cumsum(gaps), dtype=np.int64)
        case Every(gap):
            return np.arange(count, dtype=np.int64) * gap
        case _:
            assert_never(arrivals)


def _durations(durations: Durations, count: int, rng: np.random.Generator) -> Int64:
    match durations:
        case LogNormal(median, sigma):
            factor = exact.exp(rng.standard_normal(count) * (sigma / 1000.0))
            # Whole microseconds, at least one: a last bit of the factor does not show.
            return np.maximum(np.floor(factor * (median / 1000.0)).astype(np.int64), 1) * 1000
        case Fixed(duration):
            return np.full(count, duration, dtype=np.int64)
        case Forever():
            return np.full(count, FOREVER, dtype=np.int64)
        case _:
            assert_never(durations)
