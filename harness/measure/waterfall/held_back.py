"""What a horizontal autoscaler saw at a sync, and why it did not ask for what a later one did.

Usage is recomputed from the requests that pods were sent: on average over the window between the two samples that a
scrape has of a pod (harness/model/pod_usage.py). Pods without two samples, or not ready, count as idle when there is
too much usage. Source: pkg/controller/podautoscaler/replica_calculator.go (1.34).
"""

from __future__ import annotations

from typing import NamedTuple

from harness.measure.waterfall.pod_way import QUEUE, READINESS
from harness.measure.waterfall.story import NEVER, PodStory, Rescale
from harness.measure.waterfall.timers import RESOLUTION, SCRAPE, Timers

HELD_BACK = "limits of scaling up (behavior)"
NO_METRICS = "metrics of pods on a silent node"
TOLERANCE = "horizontal-pod-autoscaler-tolerance"
CPU_INITIALIZATION = "horizontal-pod-autoscaler-cpu-initialization-period"
STALE_NS = 15 * 10**9
"""The period of the rates of scaling up. Source: v2/defaults.go scaleUpRules."""


class Served(NamedTuple):
    """A service whose replicas are scaled on CPU: what one pod asks for and uses without requests, in milli-CPU, what a
    request costs in micro-CPU-seconds, and the target in percent of what is asked for."""

    service: str
    request_milli: int
    idle_milli: int
    cost_micro: int
    target_percent: int

    def too_much(self, rate_milli_rps: int, replicas: int, tolerance: float) -> bool:
        """Whether the load uses more than target and tolerance of so many pods."""
        used_micro = replicas * self.idle_milli * 1000 + rate_milli_rps * self.cost_micro / 1000
        return used_micro * 100 > replicas * self.request_milli * 1000 * self.target_percent * (1 + tolerance)

    def above(self, used_milli: float, pods: int, tolerance: float) -> bool:
        """The same of usage as it was measured, in whole percent. Source: metrics/utilization.go (1.34)."""
        if not pods:
            return False
        return used_milli * 100 // (pods * self.request_milli) / self.target_percent > 1 + tolerance

    def used_milli(self, pod: PodStory, begin_ns: int, end_ns: int) -> float:
        """On average over a time; at an instant where it has no length."""
        return self.idle_milli + pod.mean_rate(begin_ns, end_ns) * self.cost_micro / 10**6


def why_not(
    tick_ns: int, pods: list[PodStory], earlier: list[Rescale], timers: Timers, served: Served
) -> tuple[str, str]:
    """(what it saw, the timer of that)."""
    constants = timers.constants
    scraped = timers.last_tick(SCRAPE, tick_ns - 1)
    seen = now = 0.0
    counted = idle = 0
    starting = False
    unbound = unready = 0
    for pod in pods:
        if pod.created_ns > tick_ns or 0 <= pod.going_ns <= tick_ns:
            continue
        unbound += not 0 <= pod.bound_ns <= tick_ns
        since, running = pod.ready_at(tick_ns), pod.running_ns()
        points = None if not 0 <= running <= tick_ns else timers.scrapes.window(running, scraped)
        young = pod.bound_ns + constants.hpa_cpu_initialization_period_ns > tick_ns
        if since == NEVER or points is None or (young and points[1] < since + points[1] - points[0]):
            idle += 1
            unready += since == NEVER
            starting |= young
            continue
        seen += served.used_milli(pod, *points)
        now += served.used_milli(pod, tick_ns, tick_ns)
        counted += 1
    if not counted and unbound:
        return "its pods have no node", QUEUE
    if not counted and unready:
        return "its pods are not ready", READINESS
    if not counted and idle:
        return "its pods have no metrics", RESOLUTION
    tolerance = constants.hpa_tolerance
    if not served.above(seen, counted, tolerance):
        if served.above(now, counted, tolerance):
            return "averaged with before", RESOLUTION
        return "within tolerance", TOLERANCE
    if not served.above(seen, counted + idle, tolerance):
        return ("new pods seem idle", CPU_INITIALIZATION) if starting else ("lost pods seem idle", NO_METRICS)
    if any(tick_ns - STALE_NS < item.written_ns <= tick_ns + STALE_NS // 15 for item in earlier):
        return "it had just scaled", HELD_BACK
    return "held back", HELD_BACK
