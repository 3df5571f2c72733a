"""Whose a pod is: the user, the queue and the class that jobs and shares are told by."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from harness.model.core import PodSpec
from harness.model.meta import ObjectMeta
from harness.model.times import parse_duration

DIMENSIONS = {"user": "users", "queue": "queues", "class": "classes"}
"""By which jobs are told apart, and the family of measures of each."""

USER = "podyard.dev/user"
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of a workload that says which LocalQueue it was submitted to. Source: kubernetes-sigs/kueue, v1beta1."""

DEADLINE = "podyard.dev/deadline"
"""Annotation of a Job or pod: within so long of its arrival it is to be complete."""

NOBODY = "<none>"
"""The value of what has none, as kubectl prints it."""

LABEL, ANNOTATION, NAMESPACE, PRIORITY_CLASS = "label:", "annotation:", "namespace", "priorityClass"
EXPECTED = "namespace, priorityClass, label:<key> or annotation:<key>"

Account = tuple[str, ...]
"""One value a dimension, '' for none."""
Reader = Callable[[ObjectMeta, PodSpec], str]


class Accounting(msgspec.Struct, frozen=True):
    """Where the value of each dimension stands (`EXPECTED`), and within what time jobs that say nothing are to be
    complete: `deadline_ns` of their arrival, or `deadline_times` what they take alone; 0: no time."""

    user: str = LABEL + USER
    queue: str = LABEL + QUEUE
    priority_class: str = PRIORITY_CLASS
    deadline_ns: int = 0
    deadline_times: float = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.user, self.queue, self.priority_class)

    def deadline(self, alone_ns: int) -> int:
        """Of a job that says nothing, ns after its arrival; 0: it has none."""
        return self.deadline_ns or max(0, round(self.deadline_times * alone_ns))


def reader(source: str) -> Reader:
    """Raises ValueError for what is no such source."""
    if source == NAMESPACE:
        return lambda meta, spec: meta.namespace or "default"
    if source == PRIORITY_CLASS:
        return lambda meta, spec: spec.priority_class_name
    for prefix, words in ((LABEL, "labels"), (ANNOTATION, "annotations")):
        key = source.removeprefix(prefix)
        if key and key != source:
            return lambda meta, spec: str(getattr(meta, words).get(key, ""))
    raise ValueError(source)


def deadline_ns(text: str) -> int | None:
    """Of the annotation; None for what is no duration above 0."""
    try:
        return parse_duration(text) or None
    except ValueError:
        return None


def parse_deadline(text: str) -> tuple[int, float]:
    """(ns after the arrival, times what a job takes alone) of '10m' or '2x'; one of them is 0. Raises ValueError."""
    if text.endswith("x"):
        times = float(text[:-1])
        if not 0 < times < math.inf:
            raise ValueError(text)
        return 0, times
    found = parse_duration(text)
    if found <= 0:
        raise ValueError(text)
    return found, 0.0
