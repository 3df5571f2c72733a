"""The pods of one Job, sorted as they change, and how long to wait after failures."""

from __future__ import annotations

from collections.abc import Iterable

from harness.controllers.runtime.pods import ready_since
from harness.engine.component import SECOND, Instant
from harness.model.constants import Constants
from harness.model.core import Pod

FINALIZER = "batch.kubernetes.io/job-tracking"
"""A pod that has it has not been counted yet. Source: batch/v1 JobTrackingFinalizer."""

ENDED = ("Succeeded", "Failed")


class JobPods:
    """By key, in order of arrival. `active`: neither ended nor going; `going`: told to go, not ended yet;
    `uncounted`: ended or going, and with the finalizer."""

    __slots__ = ("active", "going", "ready", "uncounted")

    def __init__(self) -> None:
        self.active: dict[str, Pod] = {}
        self.ready: dict[str, None] = {}
        self.going: dict[str, None] = {}
        self.uncounted: dict[str, Pod] = {}

    def put(self, key: str, pod: Pod) -> None:
        going = pod.metadata.deletion_timestamp is not None
        ended = pod.status.phase in ENDED
        if going or ended:
            self.active.pop(key, None)
            self.ready.pop(key, None)
            if ended:
                self.going.pop(key, None)
            else:
                self.going[key] = None
            if FINALIZER in pod.metadata.finalizers:
                self.uncounted[key] = pod
            else:
                self.uncounted.pop(key, None)
            return
        self.active[key] = pod
        if ready_since(pod) is None:
            self.ready.pop(key, None)
        else:
            self.ready[key] = None

    def remove(self, key: str) -> None:
        self.active.pop(key, None)
        self.ready.pop(key, None)
        self.going.pop(key, None)
        self.uncounted.pop(key, None)

    @property
    def empty(self) -> bool:
        return not (self.active or self.going or self.uncounted)


class Backoff:
    """Failures since the last success, each pod seen once. Source: pkg/controller/job/backoff_utils.go."""

    __slots__ = ("_failures", "_last", "_seen")

    def __init__(self) -> None:
        self._failures = 0
        self._last = 0
        self._seen: set[str] = set()

    def see(self, ended: Iterable[Pod]) -> None:
        """Those that have succeeded or failed and are not counted yet."""
        fresh = [pod for pod in ended if pod.metadata.uid not in self._seen]
        if not fresh:
            return
        for at, succeeded, uid in sorted(
            (finished_at(pod), pod.status.phase == "Succeeded", pod.metadata.uid) for pod in fresh
        ):
            self._seen.add(uid)
            if succeeded:
                self._failures = 0
            else:
                self._failures += 1
                self._last = max(self._last, at)

    def forget(self, uid: str) -> None:
        """It was counted, and will not be shown again."""
        self._seen.discard(uid)

    def until(self, constants: Constants) -> Instant:
        """No new pod before."""
        return backoff_until(self._failures, self._last, constants)


def backoff_until(failures: int, last: Instant, constants: Constants) -> Instant:
    """Source: getRemainingTimeForFailuresCount."""
    if not failures:
        return 0
    first_ns, most_ns = constants.job_pod_failure_backoff_ns, constants.max_job_pod_failure_backoff_ns
    return last + min(first_ns << min(failures - 1, 40), most_ns)


def finished_at(pod: Pod) -> Instant:
    """Source: backoff_utils.go getFinishedTime."""
    times = []
    for status in pod.status.container_statuses:
        ended = status.state.terminated
        if ended is None or ended.finished_at is None:
            break
        times.append(ended.finished_at)
    else:
        if times:
            return max(times)
    for item in pod.status.conditions:
        if item.type == "Ready" and item.status == "False" and item.last_transition_time is not None:
            return item.last_transition_time
    meta = pod.metadata
    if meta.deletion_timestamp is not None:
        return meta.deletion_timestamp - (meta.deletion_grace_period_seconds or 0) * SECOND
    return meta.creation_timestamp or 0


def restarts(pods: Iterable[Pod]) -> int:
    """Of all containers of pods that are not over: with restartPolicy OnFailure these are the failures."""
    return sum(
        status.restart_count or 0
        for pod in pods
        if pod.status.phase in ("Pending", "Running")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
