"""Distributions in buckets whose samples lose half their weight with each half-life.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender/util histogram.go, histogram_options.go,
decaying_histogram.go (1.8).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from harness.model.vertical import HistogramCheckpoint
from harness.model.wire import Time

MAX_CHECKPOINT_WEIGHT = 10_000
"""Source: histogram.go MaxCheckpointWeight."""

MAX_DECAY_EXPONENT = 100
"""Half-lives after which weights are written anew, so that they stay finite. Source: decaying_histogram.go."""


class Buckets(Protocol):
    """`count`: of buckets; `epsilon`: the least weight of one that is not empty."""

    @property
    def count(self) -> int: ...

    @property
    def epsilon(self) -> float: ...

    def index(self, value: float) -> int: ...

    def start(self, bucket: int) -> float: ...


@dataclass(frozen=True, slots=True)
class LinearBuckets:
    """Of `size` each, from 0 on; the last starts at `most` or above."""

    most: float
    size: float
    epsilon: float

    @property
    def count(self) -> int:
        return math.ceil(self.most / self.size) + 1

    def index(self, value: float) -> int:
        return min(max(int(value / self.size), 0), self.count - 1)

    def start(self, bucket: int) -> float:
        return bucket * self.size


@dataclass(frozen=True, slots=True)
class ExponentialBuckets:
    """The first covers [0, `first`); each is `ratio` times as wide as the one before; the last starts at `most` or
    above."""

    most: float
    first: float
    ratio: float
    epsilon: float

    @property
    def count(self) -> int:
        return math.ceil(math.log(self.most * (self.ratio - 1) / self.first + 1) / math.log(self.ratio)) + 1

    def index(self, value: float) -> int:
        if value < self.first:
            return 0
        found = int(math.log(value * (self.ratio - 1) / self.first + 1) / math.log(self.ratio))
        return min(found, self.count - 1)

    def start(self, bucket: int) -> float:
        return self.first * (_power(self.ratio, bucket) - 1) / (self.ratio - 1) if bucket else 0.0


@cache
def _power(base: float, exponent: int) -> float:
    """By squaring, as Go's math.Pow and equal to it to the last bit. The C library rounds better: bounds of buckets
    that are whole numbers of bytes come out one less there."""
    out, squared, shift, left = 1.0, *math.frexp(base), exponent
    scale = 0
    while left:
        if left & 1:
            out, scale = out * squared, scale + shift
        squared, shift = squared * squared, shift * 2
        if squared < 0.5:
            squared, shift = squared * 2, shift - 1
        left >>= 1
    return math.ldexp(out, scale)


@dataclass(slots=True)
class DecayingHistogram:
    """A sample weighs 2^((its time - `reference_ns`) / `half_life_ns`) of what it is added with.

    `half_life_ns` 0: nothing decays. `epoch_ns`: what instant 0 is since the first of January of the year 1, as the
    reference is a whole number of half-lives since then.
    """

    buckets: Buckets
    half_life_ns: int = 0
    epoch_ns: int = 0
    reference_ns: int | None = None
    weights: dict[int, float] = field(default_factory=dict)
    total: float = 0.0

    @property
    def is_empty(self) -> bool:
        return not any(weight >= self.buckets.epsilon for weight in self.weights.values())

    def percentile(self, share: float) -> float:
        """The end of the bucket in which so much of the weight is passed; 0.0 where there is none.

        The last bucket has no end: its start.
        """
        used = [bucket for bucket, weight in self.weights.items() if weight >= self.buckets.epsilon]
        if not used:
            return 0.0
        bucket, last = min(used), max(used)
        threshold, passed = share * self.total, 0.0
        while bucket < last:
            passed += self.weights.get(bucket, 0.0)
            if passed >= threshold:
                break
            bucket += 1
        return self.buckets.start(min(bucket + 1, self.buckets.count - 1))

    def add(self, value: float, weight: float, at_ns: int) -> None:
        assert weight >= 0
        weight *= self._factor(at_ns)
        bucket = self.buckets.index(value)
        self.weights[bucket] = self.weights.get(bucket, 0.0) + weight
        self.total += weight

    def subtract(self, value: float, weight: float, at_ns: int) -> None:
        """What was added before."""
        assert weight >= 0
        weight *= self._factor(at_ns)
        bucket = self.buckets.index(value)
        self.total = self._less(self.total, weight)
        left = self._less(self.weights.get(bucket, 0.0), weight)
        if left:
            self.weights[bucket] = left
        else:
            self.weights.pop(bucket, None)

    def merge(self, other: DecayingHistogram) -> None:
        assert (self.buckets, self.half_life_ns) == (other.buckets, other.half_life_ns)
        if other.reference_ns is None and self.half_life_ns:
            return
        if self.half_life_ns:
            assert other.reference_ns is not None
            mine = self.reference_ns
            if mine is None or mine < other.reference_ns:
                self._shift(other.reference_ns)
            elif other.reference_ns < mine:
                other._shift(mine)
        for bucket, weight in other.weights.items():
            self.weights[bucket] = self.weights.get(bucket, 0.0) + weight
        self.total += other.total

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def checkpoint(self) -> HistogramCheckpoint:
        """Weights become whole numbers up to 10,000; what is less than half of one is left out."""
        most = max(self.weights.values(), default=0.0)
        weights = {
            str(bucket): rounded
            for bucket, weight in sorted(self.weights.items())
            if (rounded := math.floor(weight * (MAX_CHECKPOINT_WEIGHT / most) + 0.5))
        }
        at = None if self.reference_ns is None else Time(self.reference_ns)
        return HistogramCheckpoint(reference_timestamp=at, bucket_weights=weights, total_weight=self.total)

    def load(self, checkpoint: HistogramCheckpoint) -> None:
        """Raises ValueError for one that cannot be of these buckets."""
        if checkpoint.total_weight < 0:
            raise ValueError(f"cannot load checkpoint with negative weight {checkpoint.total_weight}")
        weights = {int(bucket): weight for bucket, weight in checkpoint.bucket_weights.items()}
        for bucket in weights:
            if not 0 <= bucket < self.buckets.count:
                raise ValueError(f"checkpoint has bucket {bucket} that is none of {self.buckets.count}")
        whole = sum(weights.values())
        if whole:
            for bucket, weight in weights.items():
                self.weights[bucket] = self.weights.get(bucket, 0.0) + weight * checkpoint.total_weight / whole
            self.total += checkpoint.total_weight
        self.reference_ns = checkpoint.reference_timestamp

    # -- within --------------------------------------------------------------------------------------------------------

    def _less(self, value: float, amount: float) -> float:
        left = value - amount
        return 0.0 if left < self.buckets.epsilon else left

    def _factor(self, at_ns: int) -> float:
        if not self.half_life_ns:
            return 1.0
        if self.reference_ns is None or at_ns > self.reference_ns + self.half_life_ns * MAX_DECAY_EXPONENT:
            self._shift(at_ns)
        assert self.reference_ns is not None
        return float(2.0 ** ((at_ns - self.reference_ns) / self.half_life_ns))

    def _shift(self, to_ns: int) -> None:
        """Weights from now on as seen from the whole number of half-lives that is nearest to `to_ns`."""
        since = to_ns + self.epoch_ns
        to_ns = (since + self.half_life_ns // 2) // self.half_life_ns * self.half_life_ns - self.epoch_ns
        if self.reference_ns is not None:
            factor = math.ldexp(1.0, math.floor((self.reference_ns - to_ns) / self.half_life_ns + 0.5))
            self.weights = {bucket: weight * factor for bucket, weight in self.weights.items()}
            self.total *= factor
        self.reference_ns = to_ns
