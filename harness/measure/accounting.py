"""Who owns a pod: its user, its queue and its priority class, by which jobs and shares are grouped."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from harness.model.core import PodSpec
from harness.model.meta import ObjectMeta
from harness.model.times import parse_duration

DIMENSIONS = {"user": "users", "queue": "queues", "class": "classes"}
"""Dimensions by which jobs are grouped, and the family of measures of each."""

USER = "podyard.dev/user"
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of a workload that says which LocalQueue it was submitted to. Source: kubernetes-sigs/kueue, v1beta1."""

DEADLINE = "podyard.dev/deadline"
"""Annotation of a Job or pod: how long after its arrival it has to be complete."""

NOBODY = "<none>"
"""The value of a job or pod that has none, as kubectl prints it."""

LABEL, ANNOTATION, NAMESPACE, PRIORITY_CLASS = "label:", "annotation:", "namespace", "priorityClass"
EXPECTED = "namespace, priorityClass, label:<key> or annotation:<key>"

Account = tuple[str, ...]
"""One value a dimension, '' for none."""
Reader = Callable[[ObjectMeta, PodSpec], str]


class Accounting(msgspec.Struct, frozen=True):
    """Where the value of each dimension is read from (`EXPECTED`), and the deadline of jobs that name none:
    `deadline_ns` after their arrival, or `deadline_times` the time that they take alone; 0: no deadline."""

    user: str = LABEL + USER
    queue: str = LABEL + QUEUE
    priority_class: str = PRIORITY_CLASS
    deadline_ns: int = 0
    deadline_times: float = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.user, self.queue, self.priority_class)

    def deadline(self, alone_ns: int) -> int:
        """The deadline of a job that names none, ns after its arrival; 0: it has none."""
        return self.deadline_ns or max(0, round(self.deadline_times * alone_ns))


def reader(source: str) -> Reader:
    """Raises ValueError for anything but `EXPECTED`."""
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
    """The value of the annotation in ns; None if it is not a duration above 0."""
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
