"""A pod's queue, request by request: what the closed forms are held against."""

from __future__ import annotations

import heapq
import math
from collections import deque

import numpy as np

from harness.measure.queue_model import QueueModel
from harness.measure.service_time import Float64, ServiceTime


def draw(dist: ServiceTime, count: int, rng: np.random.Generator) -> Float64:
    """Service times of mean 1."""
    match dist.kind:
        case "exponential":
            return rng.exponential(1.0, count)
        case "deterministic":
            return np.ones(count)
        case "gamma":
            return rng.gamma(dist.cv**-2, dist.cv**2, count)
        case "lognormal":
            sigma = math.sqrt(math.log1p(dist.cv**2))
            return rng.lognormal(-(sigma**2) / 2, sigma, count)
        case _:
            samples = np.asarray(dist.samples)
            return rng.choice(samples / samples.mean(), count)


def serve(queue: QueueModel, arrivals: list[float], services: list[float], warm: int = 0) -> tuple[list[float], int]:
    """(latencies of those let in, how many were not), first come first served; the first `warm` do not count."""
    free = [0.0] * queue.concurrency  # a heap: when each server is free again
    line: deque[float] = deque()  # starts of those that wait, rising
    latencies, blocked = [], 0
    for index, (at, takes) in enumerate(zip(arrivals, services, strict=True)):
        while line and line[0] <= at:
            line.popleft()
        if len(line) >= queue.queue_limit:
            blocked += index >= warm
            continue
        start = max(at, free[0])
        heapq.heapreplace(free, start + takes)
        if start > at:
            line.append(start)
        if index >= warm:
            latencies.append(start + takes - at)
    return latencies, blocked


def simulate(queue: QueueModel, rate: float, requests: int, seed: int) -> tuple[Float64, float]:
    """(latencies of those let in, share blocked): each request by itself. The first tenth is left out."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, requests)).tolist()
    services = (draw(queue.service_time, requests, rng) * queue.service_s).tolist()
    warm = requests // 10
    latencies, blocked = serve(queue, arrivals, services, warm)
    return np.array(latencies), blocked / (requests - warm)


def noise(batches: list[float]) -> float:
    """Two standard errors of a mean of batches."""
    return 2 * float(np.std(batches, ddof=1)) / math.sqrt(len(batches))
