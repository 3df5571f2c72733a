"""Completion indexes of Indexed Jobs: which are done or lost, which are next, and the text that says so ('0,1,5-7').

Source: pkg/controller/job/indexed_job_utils.go (1.32).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness.controllers.workloads.job.failure_policy import FAIL_INDEX, matched_rule
from harness.model.core import Pod
from harness.model.whole_numbers import whole_number
from harness.model.workloads import Job

INDEX = "batch.kubernetes.io/job-completion-index"
"""Pod annotation and label. Source: batch/v1 JobCompletionIndexAnnotation."""

FAILURES, IGNORED_FAILURES = (
    "batch.kubernetes.io/job-index-failure-count",
    "batch.kubernetes.io/job-index-ignored-failure-count",
)
"""Pod annotations: how often its index had failed before it. Source: batch/v1 JobIndexFailureCountAnnotation."""


def is_indexed(job: Job) -> bool:
    return job.spec.completion_mode == "Indexed"


def counts_per_index(job: Job) -> bool:
    """Source: hasBackoffLimitPerIndex."""
    return job.spec.backoff_limit_per_index is not None


def index_of(pod: Pod) -> int | None:
    return whole_number(pod.metadata.annotations.get(INDEX, ""))


def valid_index(job: Job, pod: Pod) -> int | None:
    """None where it has none, or one beyond the completions."""
    index = index_of(pod)
    return index if index is not None and index < (job.spec.completions or 0) else None


def failures_of(pod: Pod) -> int:
    """Counted failures of its index before it."""
    return whole_number(pod.metadata.annotations.get(FAILURES, "")) or 0


def all_failures_of(pod: Pod) -> int:
    """Ignored ones, too. Source: getIndexAbsoluteFailureCount."""
    return failures_of(pod) + (whole_number(pod.metadata.annotations.get(IGNORED_FAILURES, "")) or 0)


def failure_annotations(job: Job, replaced: Pod | None) -> dict[str, str]:
    """Of the pod that comes after `replaced`, or of the first. Source: addIndexFailureCountAnnotation."""
    if replaced is None:
        return {FAILURES: "0"}
    counted, ignored = failures_of(replaced), all_failures_of(replaced) - failures_of(replaced)
    if matched_rule(job.spec.pod_failure_policy, replaced).counts:
        counted += 1
    else:
        ignored += 1
    return {FAILURES: str(counted), **({IGNORED_FAILURES: str(ignored)} if ignored else {})}


def fails_index(job: Job, pod: Pod) -> bool:
    """Whether a pod that has failed is the last of its index. Source: isIndexFailed."""
    rule = matched_rule(job.spec.pod_failure_policy, pod)
    if rule.action == FAIL_INDEX:
        return True
    return rule.counts and failures_of(pod) >= (job.spec.backoff_limit_per_index or 0)


def parsed(text: str, completions: int) -> set[int]:
    """Those below `completions`; text that no controller wrote counts for nothing."""
    out: set[int] = set()
    for part in text.split(",") if text else ():
        left, _, right = part.partition("-")
        first, last = whole_number(left), whole_number(right or left)
        if first is not None and last is not None:
            out.update(range(first, min(last, completions - 1) + 1))
    return out


def text_of(indexes: Iterable[int]) -> str:
    """Two that follow each other are listed, three or more are an interval. Source: orderedIntervals.String."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(
        str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}" for first, last in runs
    )


def next_indexes(completions: int, taken: Collection[int], count: int) -> list[int]:
    """The lowest that are not `taken`, at most `count`. Source: firstPendingIndexes."""
    out: list[int] = []
    for index in range(completions):
        if len(out) >= count:
            break
        if index not in taken:
            out.append(index)
    return out


def superfluous(job: Job, active: Collection[Pod]) -> list[Pod]:
    """Pods without an index that the Job has, and all but one of an index: the one that has got furthest stays.

    Source: appendDuplicatedIndexPodsForRemoval.
    """
    by_index: dict[int, list[Pod]] = {}
    out = []
    for pod in active:
        index = valid_index(job, pod)
        if index is None:
            out.append(pod)
        else:
            by_index.setdefault(index, []).append(pod)
    for pods in by_index.values():
        if len(pods) > 1:
            pods.sort(key=_progress)
            out += pods[:-1]
    return out


def _progress(pod: Pod) -> tuple[bool, bool, int, str]:
    """Source: controller.ActivePods, in short: bound, running, older."""
    return (
        bool(pod.spec.node_name),
        pod.status.phase == "Running",
        -(pod.metadata.creation_timestamp or 0),
        pod.metadata.uid,
    )
