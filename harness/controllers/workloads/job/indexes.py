"""Completion indexes of Indexed Jobs: which are done, which are next, and the text that says so ('0-3,7').

Source: pkg/controller/job/indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.model.core import Pod
from harness.model.whole_numbers import whole_number

INDEX = "batch.kubernetes.io/job-completion-index"
"""Pod annotation and label. Source: batch/v1 JobCompletionIndexAnnotation."""


def index_of(pod: Pod) -> int | None:
    return whole_number(pod.metadata.annotations.get(INDEX, ""))


def parsed(text: str, completions: int) -> set[int]:
    """Those below `completions`; text that no controller wrote counts for nothing."""
    out: set[int] = set()
    for part in text.split(","):
        left, _, right = part.partition("-")
        first, last = whole_number(left), whole_number(right or left)
        if first is not None and last is not None:
            out.update(range(first, min(last, completions - 1) + 1))
    return out


def text_of(indexes: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def next_indexes(completions: int, done: set[int], active: Iterable[Pod], count: int) -> list[int]:
    """The lowest that are neither done nor being worked on, at most `count`."""
    taken = {index_of(pod) for pod in active}
    out: list[int] = []
    for index in range(completions):
        if len(out) == count:
            break
        if index not in done and index not in taken:
            out.append(index)
    return out
