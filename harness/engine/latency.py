"""How long a hop takes: constant, lognormal or drawn from measurements; integers of nanoseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from harness.engine.component import MS, SECOND


@dataclass(frozen=True, slots=True)
class Constant:
    ns: int

    @property
    def least_ns(self) -> int:
        return self.ns

    @property
    def most_ns(self) -> int:
        return self.ns

    def draw(self, rng: Random) -> int:
        return self.ns


@dataclass(frozen=True, slots=True)
class LogNormal:
    """`median_ns`, and `p99_ns` from which the spread follows; never below `least_ns`, nor above `most_ns` (0: no end).

    Its tail is long: with a median of 100 ms and a p99 of 8 s, one of some million draws takes an hour.
    """

    median_ns: int
    p99_ns: int
    least_ns: int = 1
    most_ns: int = 0

    def draw(self, rng: Random) -> int:
        sigma = math.log(self.p99_ns / self.median_ns) / 2.3263478740408408  # the normal distribution's 99th percentile
        drawn = round(self.median_ns * math.exp(sigma * rng.gauss(0.0, 1.0)))
        if self.most_ns and drawn > self.most_ns:
            return self.most_ns
        return max(self.least_ns, drawn)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of `samples_ns`, each as likely."""

    samples_ns: tuple[int, ...]

    @property
    def least_ns(self) -> int:
        return min(self.samples_ns)

    @property
    def most_ns(self) -> int:
        return max(self.samples_ns)

    def draw(self, rng: Random) -> int:
        return self.samples_ns[rng.randrange(len(self.samples_ns))]


Latency: TypeAlias = Constant | LogNormal | Empirical


@dataclass(frozen=True, slots=True)
class Latencies:
    """Every hop of a pod's way. Defaults: of the order that kube-scheduler's and the kubelet's SLO reports show
    (API call p50 some ms, watch delivery some ms, container start below a second); all of them are scenario fields.

    `api_call` and `watch` between nodes and control plane bound the window that nodes may run ahead: their least
    must be positive.
    """

    api_call: Latency = Constant(5 * MS)
    watch: Latency = Constant(5 * MS)
    network: Latency = Constant(5 * MS)  # node to node
    scheduling: Latency = Constant(1 * MS)  # a decision of a strategy that does not say how long it takes
    container_start: Latency = Constant(500 * MS)
    image_pull_base: Latency = Constant(500 * MS)  # of one image, besides its bytes
    image_pull_bytes_per_s: int = 100 * 10**6
    volume_attach: Latency = Constant(0)  # a volume to a node, by its CSI driver
    volume_detach: Latency = Constant(0)
    image_bytes: int = 150 * 10**6  # of an image that nobody gave a size
    node_provisioning: Latency = field(default_factory=lambda: Constant(45 * SECOND))

    @property
    def window_ns(self) -> int:
        """The lookahead: the least time that a message between control plane and node, or node and node, takes."""
        return min(self.api_call.least_ns, self.watch.least_ns, self.network.least_ns)
