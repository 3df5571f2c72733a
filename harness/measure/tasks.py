"""What a task is: a pod, or a Job of one pod at a time, that says how long it runs; everything else is open-ended."""

from __future__ import annotations

import msgspec

from harness.model.core import Pod, PodSpec
from harness.model.times import parse_duration
from harness.model.workloads import Job, JobSpec

DURATION = "podyard.dev/duration"
"""Annotation of a pod: its containers end by themselves so long after they started (the kubelet's)."""
EXIT_CODE = "podyard.dev/exit-code"

ENDLESS = -1
"""Of something that holds what it has until somebody deletes it."""


def limit_ns(annotations: dict[str, str], spec: PodSpec) -> int:
    """How long the containers of one pod run in all, ENDLESS for as long as it is there."""
    text = annotations.get(DURATION)
    if text is None:
        return ENDLESS
    policy = spec.restart_policy or "Always"
    once = policy == "Never" or (policy == "OnFailure" and annotations.get(EXIT_CODE, "0") == "0")
    if not once:
        return ENDLESS
    try:
        return parse_duration(text)
    except ValueError:
        return ENDLESS


def one_at_a_time(job: JobSpec) -> bool:
    """Whether a Job is one task. Source: batch/v1, completions and parallelism default to 1."""
    return job.completions in (None, 1) and job.parallelism in (None, 1)


class Holding(msgspec.Struct):
    """What a task has held so far: `union_ns` the time in which a pod of it held something, `pods_ns` the sum over its
    pods, which is more where a dead node still holds one while the next one runs."""

    amounts: tuple[int, int, int, int]
    limit_ns: int
    live: int = 0
    since_ns: int = 0  # a pod of it holds something without a break
    entered_ns: int = 0  # summed over live pods
    union_ns: int = 0
    pods_ns: int = 0

    def enter(self, at_ns: int) -> None:
        if not self.live:
            self.since_ns = at_ns
        self.live += 1
        self.entered_ns += at_ns

    def leave(self, at_ns: int, entered_ns: int) -> None:
        self.live -= 1
        self.entered_ns -= entered_ns
        self.pods_ns += at_ns - entered_ns
        if not self.live:
            self.union_ns += at_ns - self.since_ns

    def beyond_ns(self, until_ns: int) -> int:
        """How much of what its pods held by `until_ns` does not count: what is beyond the task's own time, once."""
        union = self.union_ns + (until_ns - self.since_ns if self.live else 0)
        pods = self.pods_ns + self.live * until_ns - self.entered_ns
        return pods - min(union, self.limit_ns)


class Tasks:
    """The tasks of a run, told by the objects that the server wrote."""

    def __init__(self) -> None:
        self._parallel: set[str] = set()  # uids of Jobs of several pods

    def see_job(self, job: Job) -> None:
        if not one_at_a_time(job.spec):
            self._parallel.add(job.metadata.uid)

    def task_of(self, pod: Pod) -> tuple[str, int]:
        """(uid of the task, how long it runs); the limit is ENDLESS where it is none."""
        meta = pod.metadata
        if not meta.annotations:
            return meta.uid, ENDLESS
        limit = limit_ns(meta.annotations, pod.spec)
        if limit < 0 or not meta.owner_references:
            return meta.uid, limit
        owner = meta.owner_references[0]
        if owner.kind != "Job" or owner.uid in self._parallel:
            return meta.uid, ENDLESS
        return owner.uid, limit
