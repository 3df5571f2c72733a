"""What kube-scheduler tells Prometheus, under its names and with its buckets: counted as things happen, told as text.

Source: kube-scheduler 1.32 pkg/scheduler/metrics/metrics.go; the text format: prometheus.io/docs, "Exposition formats".
Instants are the cluster's clock's, modelled or real; only the time of the algorithm itself is measured, and nothing
here ever enters the journal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.feasibility.fit_error import rejecting_plugins
from harness.scheduling.feasibility.snapshot import Snapshot


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Upper bounds of buckets. Source: prometheus.ExponentialBuckets."""
    return tuple(start * factor**power for power in range(count))


ATTEMPT_S = exponential(0.001, 2, 15)
SLI_S = exponential(0.01, 2, 20)
POINT_S = exponential(0.0001, 2, 12)
ATTEMPTS = exponential(1, 2, 5)
VICTIMS = exponential(1, 2, 7)


class Histogram:
    """Observations by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    @property
    def count(self) -> int:
        return sum(self.counts)


Labels = tuple[tuple[str, str], ...]


class SchedulerMetrics:
    """Of one scheduler; `profile` is its schedulerName."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.attempts: Counter[str] = Counter()  # by result
        self.attempt_s: dict[str, Histogram] = {}
        self.algorithm_s = Histogram(ATTEMPT_S)
        self.point_s: dict[tuple[str, str], Histogram] = {}  # by extension point and status
        self.sli_s: dict[str, Histogram] = {}  # by attempts, as text
        self.pod_attempts = Histogram(ATTEMPTS)
        self.preemption_attempts = 0
        self.victims = Histogram(VICTIMS)

    # -- as things happen ----------------------------------------------------------------------------------------------

    def cycle(self, scheduled: int, others: int, charged_s: float, measured_s: float | None) -> None:
        """A cycle that placed so many pods, and others not: the time charged for each, and measured for all."""
        for result, pods in (("scheduled", scheduled), ("unschedulable", others)):
            if pods:
                self.attempts[result] += pods
                held = self.attempt_s.get(result)
                if held is None:
                    held = self.attempt_s[result] = Histogram(ATTEMPT_S)
                held.observe(charged_s, pods)
        pods = scheduled + others
        if measured_s is not None and pods:
            self.algorithm_s.observe(measured_s / pods, pods)
            # Filters and scores are one pass here; kube-scheduler measures them apart.
            self.point("Score", "Success", measured_s / pods, pods)

    def scheduled(self, waited_ns: int, attempts: int) -> None:
        """A pod was decided, so long after it came into the queue."""
        self.pod_attempts.observe(attempts)
        label = str(attempts) if attempts < 16 else "16+"  # kube-scheduler's getAttemptsLabel
        held = self.sli_s.get(label)
        if held is None:
            held = self.sli_s[label] = Histogram(SLI_S)
        held.observe(waited_ns / 1e9)

    def errors(self) -> None:
        """An attempt that ended in an error, such as a binding that was refused."""
        self.attempts["error"] += 1

    def point(self, name: str, status: str, seconds: float, times: int = 1) -> None:
        """An extension point of the framework ran: PostFilter, Bind, .. with Success, Unschedulable or Error."""
        held = self.point_s.get((name, status))
        if held is None:
            held = self.point_s[name, status] = Histogram(POINT_S)
        held.observe(seconds, times)

    def preempted(self, victims: int) -> None:
        self.preemption_attempts += 1
        if victims:
            self.victims.observe(victims)

    # -- as text -------------------------------------------------------------------------------------------------------

    def text(self, queue: SchedulingQueue, snapshot: Snapshot, gated: int = 0) -> str:
        """All of it in Prometheus' text format, with what waits now."""
        out = Page()
        profile = ("profile", self.profile)
        out.counter(
            "scheduler_schedule_attempts_total",
            "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, "
            "while 'error' means an internal scheduler problem.",
            {(profile, ("result", result)): count for result, count in sorted(self.attempts.items())},
        )
        out.histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds on the cluster's clock",
            {(profile, ("result", result)): held for result, held in sorted(self.attempt_s.items())},
        )
        out.histogram(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Scheduling algorithm latency in seconds, measured",
            {(): self.algorithm_s},
        )
        out.histogram(
            "scheduler_framework_extension_point_duration_seconds",
            "Latency for running all plugins of a specific extension point",
            {
                (("extension_point", name), profile, ("status", status)): held
                for (name, status), held in sorted(self.point_s.items())
            },
        )
        out.histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue",
            {(("attempts", label),): held for label, held in sorted(self.sli_s.items())},
        )
        out.histogram(
            "scheduler_pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod.",
            {(): self.pod_attempts},
        )
        out.counter(
            "scheduler_queue_incoming_pods_total",
            "Number of pods added to scheduling queues by event and queue type.",
            {(("event", event), ("queue", part)): n for (event, part), n in sorted(queue.incoming.items())},
        )
        out.gauge(
            "scheduler_pending_pods",
            "Number of pending pods, by the queue type.",
            {(("queue", part),): count for part, count in sorted({**queue.counts(), "gated": gated}.items())},
        )
        out.gauge(
            "scheduler_unschedulable_pods",
            "The number of unschedulable pods broken down by plugin name.",
            {(("plugin", plugin), profile): n for plugin, n in sorted(unschedulable(queue, snapshot).items())},
        )
        out.counter(
            "scheduler_preemption_attempts_total",
            "Total preemption attempts in the cluster till now",
            {(): self.preemption_attempts},
        )
        out.histogram("scheduler_preemption_victims", "Number of selected preemption victims", {(): self.victims})
        out.gauge(
            "scheduler_scheduler_cache_size",
            "Number of nodes and pods in the scheduler cache.",
            {(("type", "nodes"),): len(snapshot), (("type", "pods"),): snapshot.placed_count},
        )
        return str(out)


def unschedulable(queue: SchedulingQueue, snapshot: Snapshot) -> Counter[str]:
    """Unschedulable pods by each plugin that rejects some node for them; found when asked."""
    out: Counter[str] = Counter()
    for cls, pods in queue.unschedulable().items():
        for plugin in rejecting_plugins(snapshot, queue.waiting(cls).cls):
            out[plugin] += pods
    return out


class Page:
    """Prometheus' text format, version 0.0.4."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join([*self._lines, ""])

    def counter(self, name: str, about: str, values: Mapping[Labels, float]) -> None:
        self._plain(name, about, "counter", values)

    def gauge(self, name: str, about: str, values: Mapping[Labels, float]) -> None:
        self._plain(name, about, "gauge", values)

    def histogram(self, name: str, about: str, values: Mapping[Labels, Histogram]) -> None:
        self._head(name, about, "histogram")
        for labels, held in values.items():
            below = 0
            for bound, count in zip((*held.bounds, float("inf")), held.counts, strict=True):
                below += count
                self._line(f"{name}_bucket", (*labels, ("le", _number(bound))), below)
            self._line(f"{name}_sum", labels, held.total)
            self._line(f"{name}_count", labels, below)

    def _plain(self, name: str, about: str, kind: str, values: Mapping[Labels, float]) -> None:
        self._head(name, about, kind)
        for labels, value in values.items():
            self._line(name, labels, value)

    def _head(self, name: str, about: str, kind: str) -> None:
        self._lines += [f"# HELP {name} {_escaped(about, quotes=False)}", f"# TYPE {name} {kind}"]

    def _line(self, name: str, labels: Iterable[tuple[str, str]], value: float) -> None:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        self._lines.append(f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
