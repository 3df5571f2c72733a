"""What the recommender knows of containers: CPU samples of all alike, and of each its memory peak an interval.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender/model container.go, aggregate_container_state.go,
aggregations_config.go (1.8). CPU in milli, memory in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.autoscaling.vertical.histogram import DecayingHistogram, ExponentialBuckets
from harness.autoscaling.vertical.settings import RecommenderSettings
from harness.model.vertical import VerticalPodAutoscalerCheckpointStatus
from harness.model.wire import Time

MOST_AMOUNT = 10**14
"""Source: model/types.go MaxResourceAmount."""

MIN_SAMPLE_WEIGHT = 0.1
"""Of a CPU sample. Source: aggregations_config.go minSampleWeight."""

EPSILON = 0.001 * MIN_SAMPLE_WEIGHT
"""The least weight of a bucket that is not empty. Source: aggregations_config.go epsilon."""

CPU_BUCKETS = ExponentialBuckets(most=1000.0, first=0.01, ratio=1.05, epsilon=EPSILON)
MEMORY_BUCKETS = ExponentialBuckets(most=1e12, first=1e7, ratio=1.05, epsilon=EPSILON)
"""In cores and bytes: each bucket is 5 % wider than the one before. Source: cpuHistogramOptions,
memoryHistogramOptions."""

CHECKPOINT_VERSION = "v3"
"""Source: aggregate_container_state.go SupportedCheckpointVersion."""

YEAR_1_TO_1970_NS = 62_135_596_800 * 10**9
"""From Go's zero time, of which half-lives are counted, to that of Unix."""


def amount(value: float) -> int:
    """A whole amount from 0 to MOST_AMOUNT. Source: resourceAmountFromFloat."""
    return MOST_AMOUNT if value > MOST_AMOUNT else int(max(0.0, value))


@dataclass(slots=True)
class UsageHistory:
    """Of the containers of one name under one VPA. Sample times and counts are those of CPU."""

    cpu: DecayingHistogram
    memory: DecayingHistogram
    created_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    samples: int = 0

    def add_cpu(self, milli: int, at_ns: int) -> None:
        self.cpu.add(milli / 1000, MIN_SAMPLE_WEIGHT, at_ns)
        self.last_ns = at_ns if self.last_ns is None else max(self.last_ns, at_ns)
        self.first_ns = at_ns if self.first_ns is None else min(self.first_ns, at_ns)
        self.samples += 1

    def is_expired(self, now: int, window_ns: int) -> bool:
        since = self.last_ns if self.samples and self.last_ns is not None else self.created_ns
        return now - since >= window_ns

    def confidence(self, interval_ns: int) -> float:
        """Days (intervals) of history, counted by time and by samples, one a minute. Source: getConfidence."""
        if self.first_ns is None or self.last_ns is None:
            return 0.0
        minutes = interval_ns / (60 * 10**9)
        return min((self.last_ns - self.first_ns) / interval_ns, self.samples / minutes)

    def checkpoint(self, now: int) -> VerticalPodAutoscalerCheckpointStatus:
        return VerticalPodAutoscalerCheckpointStatus(
            last_update_time=Time(now),
            version=CHECKPOINT_VERSION,
            cpu_histogram=self.cpu.checkpoint(),
            memory_histogram=self.memory.checkpoint(),
            first_sample_start=None if self.first_ns is None else Time(self.first_ns),
            last_sample_start=None if self.last_ns is None else Time(self.last_ns),
            total_samples_count=self.samples,
        )

    def load(self, status: VerticalPodAutoscalerCheckpointStatus) -> None:
        """Raises ValueError for a checkpoint of another version or scheme."""
        if status.version != CHECKPOINT_VERSION:
            raise ValueError(f"unsupported checkpoint version {status.version}")
        self.memory.load(status.memory_histogram)
        self.cpu.load(status.cpu_histogram)
        self.samples = status.total_samples_count
        self.first_ns, self.last_ns = status.first_sample_start, status.last_sample_start


def new_history(settings: RecommenderSettings, now: int = 0, epoch_unix_ns: int = 0) -> UsageHistory:
    epoch_ns = YEAR_1_TO_1970_NS + epoch_unix_ns
    return UsageHistory(
        DecayingHistogram(CPU_BUCKETS, settings.cpu_half_life_ns, epoch_ns),
        DecayingHistogram(MEMORY_BUCKETS, settings.memory_half_life_ns, epoch_ns),
        created_ns=now,
    )


@dataclass(slots=True)
class ContainerUsage:
    """Of one container of one pod: what of it is in `history`. `window_end_ns`: of the interval whose peak counts."""

    history: UsageHistory
    settings: RecommenderSettings
    last_cpu_ns: int = -1
    last_memory_ns: int | None = None
    window_end_ns: int | None = None
    memory_peak: int = 0
    oom_peak: int = 0
    restarts: int = field(default=-1)

    @property
    def peak(self) -> int:
        return max(self.memory_peak, self.oom_peak)

    def add_cpu(self, milli: int, at_ns: int) -> bool:
        """False for what is old, or no usage."""
        if milli < 0 or at_ns <= self.last_cpu_ns:
            return False
        self.history.add_cpu(milli, at_ns)
        self.last_cpu_ns = at_ns
        return True

    def add_memory(self, used: int, at_ns: int, *, is_oom: bool = False) -> bool:
        """One peak an interval: a higher one takes the place of the one before. False for what is old, or no usage.

        Source: container.go addMemorySample.
        """
        if used < 0 or (not is_oom and self.last_memory_ns is not None and at_ns < self.last_memory_ns):
            return False
        self.last_memory_ns = at_ns
        if self.window_end_ns is None:
            self.window_end_ns = at_ns
        if at_ns < self.window_end_ns:
            if not self.peak or used <= self.peak:
                return True
            self.history.memory.subtract(float(self.peak), 1.0, self.window_end_ns)
        else:
            interval = self.settings.memory_aggregation_interval_ns
            self.window_end_ns += (at_ns - self.window_end_ns) // interval * interval + interval
            self.memory_peak = self.oom_peak = 0
        self.history.memory.add(float(used), 1.0, self.window_end_ns)
        if is_oom:
            self.oom_peak = used
        else:
            self.memory_peak = used
        return True

    def record_oom(self, requested: int, at_ns: int) -> bool:
        """Killed for its memory: it needs more than it asked for and was seen to use. False for what is too old.

        Source: container.go RecordOOM.
        """
        interval = self.settings.memory_aggregation_interval_ns
        if self.last_memory_ns is not None and at_ns < self.last_memory_ns - interval:
            return False
        used = max(requested, self.memory_peak)
        needed = max(
            used + amount(self.settings.oom_min_bump_up_bytes), amount(used * self.settings.oom_bump_up_ratio)
        )  # fmt: skip
        return self.add_memory(needed, at_ns, is_oom=True)

    def without_current_peak(self, memory: DecayingHistogram, now: int) -> None:
        """Take the peak of an interval that is not over out of a copy. Source: subtractCurrentContainerMemoryPeak."""
        if self.window_end_ns is not None and now < self.window_end_ns and self.peak:
            memory.subtract(float(self.peak), 1.0, self.window_end_ns)
