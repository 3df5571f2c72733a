"""When the next scan comes: at fixed intervals, or as soon as there is something to do (--frequent-loops-enabled).

Source: cluster-autoscaler main.go run, loop/trigger.go (1.37). Frequent loops are the default there from 1.35 on; here
they are not, as up to 1.34.
"""

from __future__ import annotations

from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.engine.component import MS, SECOND, next_tick
from harness.model.core import Pod
from harness.model.meta import condition

RUN_NS = 100 * MS
"""A scan takes no virtual time; so far apart two of them are at least."""
RECENT_NS = 10 * SECOND
"""A pod that has been unschedulable for longer triggers none. Source: maxPodChangeAge."""


class LoopTrigger:
    def __init__(self, settings: ClusterAutoscalerSettings) -> None:
        self._frequent = settings.frequent_loops_enabled
        self._interval_ns = settings.scan_interval_ns
        self._last_ns = self._previous_ns = self._productive_ns = -1
        self._woken = False

    def observe(self, now: int, pod: Pod) -> None:
        """An unschedulable pod triggers a scan, also when it has only changed. Source: UnschedulablePodObserver."""
        scheduled = condition(pod.status.conditions, "PodScheduled")
        if scheduled is None or (scheduled.last_transition_time or 0) + RECENT_NS >= now:
            self._woken = True

    def due(self, now: int, phase_ns: int) -> int:
        """The instant of the next scan. Source: LoopTrigger.Wait."""
        if not self._frequent:
            return next_tick(now, self._interval_ns, phase_ns)
        if self._woken or (self._last_ns >= 0 and self._productive_ns >= self._previous_ns):
            return max(now, self._last_ns + RUN_NS if self._last_ns >= 0 else now)
        phase_ns = phase_ns if self._last_ns < 0 else self._last_ns % self._interval_ns
        return next_tick(now, self._interval_ns, phase_ns)

    def ran(self, now: int, *, productive: bool) -> None:
        """A scan is over. `productive`: nodes were ordered or began to go; it is followed by two at once."""
        self._previous_ns, self._last_ns = self._last_ns, now
        self._woken = False
        if productive:
            self._productive_ns = now
