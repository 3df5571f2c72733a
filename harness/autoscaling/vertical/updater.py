"""The updater: once a minute it evicts pods whose requests are off what is recommended; admission sets those of new
ones.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/updater/logic/updater.go (1.8). One eviction at a time: what
became of it counts for the next.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.autoscaling.periodic import PeriodicController
from harness.autoscaling.vertical.eviction_limits import EvictionLimits
from harness.autoscaling.vertical.settings import UpdaterSettings, parse_settings
from harness.autoscaling.vertical.update_priority import pods_to_update
from harness.autoscaling.vertical.watched import WATCHES, Watched
from harness.engine.component import (
    DELETED,
    SECOND,
    Effect,
    EvictPod,
    Instant,
    LazyWatch,
    Outcome,
    Record,
    Relist,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import Pod
from harness.model.policy import LimitRange
from harness.model.vertical import AUTO, RECREATE, VerticalPodAutoscaler

EVICTED_BY_VPA, EVICTED_POD = "EvictedByVPA", "EvictedPod"
"""Reasons. Source: pods_eviction_restriction.go Evict."""

_NEXT = "next"


class VerticalUpdater(PeriodicController):
    """Evicts pods for VerticalPodAutoscalers. Parameters: the updater's flags."""

    name = "vpa-updater"
    watches = (*WATCHES, "LimitRange")
    lazy_watches = (LazyWatch(watches[1:], {"VerticalPodAutoscaler": None}),)
    handled_failures = 0

    def __init__(self, **flags: Any) -> None:
        """Raises UserError."""
        self.settings = parse_settings(UpdaterSettings, self.name, flags)
        self._reset()

    @property
    def period_ns(self) -> int:
        return self.settings.interval_ns

    def _reset(self) -> None:
        super()._reset()
        self._seen = Watched()
        self._ranges: dict[str, LimitRange] = {}
        self._waiting: deque[tuple[VerticalPodAutoscaler, Pod, EvictionLimits]] = deque()
        self._evicting: tuple[VerticalPodAutoscaler, Pod, EvictionLimits] | None = None
        self._tokens, self._tokens_at_ns = float(self.settings.eviction_rate_burst), 0
        self._resumes_at = -1

    def _is_needed(self) -> bool:
        return bool(self._seen.vpas)

    def _relist(self, event: Relist) -> None:
        if not self._seen.relist(event):
            self._ranges.clear()
            for obj in event.objects:
                self._hear(Watch("ADDED", obj))

    def _handle_timer(self, now: Instant, timer: Timer, effects: list[Effect]) -> None:
        if timer.token == (_NEXT, self._resumes_at):
            self._resumes_at = -1
            self._evict_next(now, effects)

    def _hear(self, event: Watch) -> None:
        if self._seen.hear(event) or type(event.obj) is not LimitRange:
            return
        key = event.obj.metadata.key
        self._ranges.pop(key, None)
        if event.type != DELETED:
            self._ranges[key] = event.obj

    def _run_once(self, now: int, effects: list[Effect]) -> None:
        """Source: updater.go RunOnce. A look that the rate limit still holds up goes on; this one is left out."""
        if self._evicting is not None or self._waiting:
            return
        vpas = [vpa for _, vpa in sorted(self._seen.vpas.items()) if vpa.update_mode in (RECREATE, AUTO)]
        for vpa, pods in self._seen.controlled(vpas):
            limits = EvictionLimits(vpa, pods, self.settings, self._seen.find)
            namespace = f"{vpa.metadata.namespace}/"
            ranges = [self._ranges[key] for key in sorted(self._ranges) if key.startswith(namespace)]
            evictable = [pod for pod in pods if limits.may_evict(pod)]
            for pod in pods_to_update(now, vpa, evictable, self.settings, ranges):
                self._waiting.append((vpa, pod, limits))
        self._evict_next(now, effects)

    def _evict_next(self, now: int, effects: list[Effect]) -> None:
        while self._waiting:
            _, pod, limits = self._waiting[0]
            if not limits.may_evict(pod):
                self._waiting.popleft()
                continue
            wait_ns = self._wait_ns(now)
            if wait_ns:
                self._resumes_at = now + wait_ns
                effects.append(WakeAt(self._resumes_at, (_NEXT, self._resumes_at)))
                return
            self._tokens -= 1
            self._evicting = self._waiting.popleft()
            meta = pod.metadata
            effects.append(EvictPod(meta.namespace, meta.name, meta.uid, token=meta.uid))
            return

    def _wait_ns(self, now: int) -> int:
        """Until the rate limit lets one more go. Source: golang.org/x/time/rate, as getRateLimiter makes it."""
        rate = self.settings.eviction_rate_limit
        if rate <= 0:
            self._tokens = 1.0
            return 0
        earned = (now - self._tokens_at_ns) * rate / SECOND
        self._tokens = min(float(self.settings.eviction_rate_burst), self._tokens + earned)
        self._tokens_at_ns = now
        return 0 if self._tokens >= 1 else max(1, round((1 - self._tokens) / rate * SECOND))

    def _handle_outcome(self, now: int, outcome: Outcome, effects: list[Effect]) -> None:
        if outcome.error is not None:
            self.handled_failures += 1  # a budget refuses: the next look tries again
        if type(outcome.effect) is not EvictPod or self._evicting is None:
            return
        vpa, pod, limits = self._evicting
        self._evicting = None
        if outcome.error is None:
            limits.note_eviction(pod)
            words = "Pod was evicted by VPA Updater to apply resource recommendation."
            effects.append(Record(pod, "Normal", EVICTED_BY_VPA, words))
            words = f"VPA Updater evicted Pod {pod.metadata.name} to apply resource recommendation."
            effects.append(Record(vpa, "Normal", EVICTED_POD, words))
        self._evict_next(now, effects)
