"""The bound at every instant while pods come and go: a few certificates, each of which is linear in what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.measure.bound.certificate import Certificate, Certifier
from harness.measure.bound.generation import Effort, generate
from harness.measure.bound.instance import Instance, Int64
from harness.measure.bound.pattern import Pattern

POINTS = 12
"""At how many instants prices are sought at most."""

NEAR = 1e-4
"""Enough instants when the curve exceeds what the tightest ones suggest by no more than this share of its top."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Pods or nodes coming (+1) and going (-1), in order of time; all int64 [changes].

    `at_ns`: instants, not falling. `kind`: the class. `by`: how many.
    """

    at_ns: Int64
    kind: Int64
    by: Int64

    def after(self, index: int, classes: int) -> Int64:
        """How many of each class there are after change `index`, int64 [classes]; before the first for -1."""
        counts = np.zeros(classes, np.int64)
        np.add.at(counts, self.kind[: index + 1], self.by[: index + 1])
        return counts

    def most(self, classes: int) -> Int64:
        """The most there ever are of each class, int64 [classes]."""
        order = np.argsort(self.kind, kind="stable")
        kind, running = self.kind[order], np.cumsum(self.by[order])
        first = np.searchsorted(kind, kind, side="left")
        running = running - np.concatenate([[0], running])[first]
        most = np.zeros(classes, np.int64)
        np.maximum.at(most, kind, running)
        return most


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """`value[i]`: the most that any scheduler can have allocated from `at_ns[i]` on, until the next; int64 both."""

    at_ns: Int64
    value: Int64

    def mean(self, until_ns: int) -> float:
        """The time average from the first instant to `until_ns`. Error: ValueError unless that is later."""
        if until_ns <= self.at_ns[0]:
            raise ValueError(f"nothing lasts from {int(self.at_ns[0])} ns to {until_ns} ns")
        inside = self.at_ns < until_ns
        lasts = np.diff(np.append(self.at_ns[inside], until_ns)).tolist()
        total = sum(value * length for value, length in zip(self.value[inside].tolist(), lasts, strict=True))
        return float(Fraction(total, until_ns - int(self.at_ns[0])))


def arrivals(instance: Instance) -> Changes:
    """One pod after the other in the order in which `aggregate` was given them, none leaving: instants 0, 1, 2, ..."""
    n = len(instance.pod_class)
    return Changes(np.arange(n, dtype=np.int64), instance.pod_class, np.ones(n, np.int64))


def lifetimes(instance: Instance, begin_ns: Int64, end_ns: Int64) -> Changes:
    """Each pod of `aggregate`'s may hold something from its begin until its end only; int64 [pods], -1 for no end.

    That bounds schedulers in a world where the end is an instant (a user deletes the pod then, run or not). Where pods
    run for a duration from whenever they start, one that waits may hold something later: give the latest such instant,
    or -1.
    """
    leaves = np.flatnonzero(end_ns >= 0)
    if (end_ns[leaves] < begin_ns[leaves]).any():
        raise ValueError("a pod ends before it begins")
    at = np.concatenate([begin_ns, end_ns[leaves]])
    kind = np.concatenate([instance.pod_class, instance.pod_class[leaves]])
    by = np.concatenate([np.ones(len(begin_ns), np.int64), -np.ones(len(leaves), np.int64)])
    # At one instant pods come before they go, so that no count is ever negative.
    order = np.lexsort((-by, at))
    return Changes(at[order], kind[order], by[order])


def bound_curve(
    instance: Instance,
    pods: Changes,
    nodes: Changes | None = None,
    effort: Effort | None = None,
    points: int = POINTS,
) -> Curve:
    """What any scheduler can have allocated at most at every instant. `instance` holds all that is ever there.

    `pods` and `nodes` start from nothing; None for nodes that are all there from begin to end. Between the instants at
    which prices are sought the best of all certificates is taken, so more `points` make the curve lower, never wrong.
    What the instance says must be placed is not regarded. Error: ValueError where more come than the instance holds.
    """
    effort = Effort() if effort is None else effort
    instance = instance.placing(np.zeros_like(instance.least))
    at_ns, pod_index, node_index = _instants(pods, nodes)
    there = np.concatenate([[0], np.cumsum(instance.value[pods.kind] * pods.by)])[pod_index + 1]
    value = _along(_everything(instance), instance, pods, nodes, pod_index, node_index)
    known: Sequence[tuple[int, Pattern]] = ()
    tight_at, tight = np.zeros(1), np.zeros(1)
    instant = int(np.argmax(there)) if len(there) else 0
    for _ in range(points if len(there) else 0):
        hosts = None if nodes is None else nodes.after(int(node_index[instant]), len(instance.node_count))
        here = instance.with_counts(pods=pods.after(int(pod_index[instant]), len(instance.pod_count)), nodes=hosts)
        generated = generate(Certifier(here, instance.pod_count), effort, known)
        known = generated.patterns
        for certificate in (generated.classes, generated.best):
            value = np.minimum(value, _along(certificate, instance, pods, nodes, pod_index, node_index))
        # The bound is nearly concave in what is there: it lies little above the chord between two tight instants, so
        # the next prices are sought where the curve is farthest above it.
        order = np.argsort(np.append(tight_at, there[instant]), kind="stable")
        tight_at = np.append(tight_at, there[instant])[order]
        tight = np.append(tight, value[instant])[order]
        above = value - np.interp(there, tight_at, tight)
        instant = int(np.argmax(above))
        if above[instant] <= NEAR * value.max():
            break
    return Curve(at_ns, value)


def _instants(pods: Changes, nodes: Changes | None) -> tuple[Int64, Int64, Int64]:
    """Each instant once, and the last change of pods and of nodes up to it (-1 for none)."""
    at_ns = np.unique(pods.at_ns if nodes is None else np.concatenate([pods.at_ns, nodes.at_ns]))
    last_node = np.full(len(at_ns), -1, np.int64)
    if nodes is not None:
        last_node = np.searchsorted(nodes.at_ns, at_ns, side="right") - 1
    return at_ns, np.searchsorted(pods.at_ns, at_ns, side="right") - 1, last_node


def _everything(instance: Instance) -> Certificate:
    """Every pod that is there is placed: the bound while there is little."""
    fits = Certifier(instance).fits.any(axis=1)
    return Certificate(
        1,
        np.where(fits, instance.value, 0),
        np.zeros(len(instance.node_count), np.int64),
        instance.pod_count,
        1,
    )


def _along(
    certificate: Certificate,
    instance: Instance,
    pods: Changes,
    nodes: Changes | None,
    pod_index: Int64,
    node_index: Int64,
) -> Int64:
    """The certificate's bound at each instant, int64 [instants]."""
    hosts = instance.node_count if nodes is None else nodes.most(len(instance.node_count))
    exact = certificate.exact(pods.most(len(instance.pod_count)), hosts)
    total = _running(certificate.pod_price, pods, exact)[pod_index + 1]
    if nodes is None:
        total = total + (certificate.node_price.astype(exact) * instance.node_count).sum()
    else:
        total = total + _running(certificate.node_price, nodes, exact)[node_index + 1]
    return certificate.whole(total)


def _running(price: Int64, changes: Changes, exact: np.dtype[Any]) -> npt.NDArray[Any]:
    """What all that is there costs, before the first change and after each."""
    steps = price[changes.kind].astype(exact) * changes.by.astype(exact)
    return np.concatenate([np.zeros(1, exact), np.cumsum(steps)])
