"""Every constraint, in kube-scheduler's filter order: a file each, and one line here.

A constraint is a function Pod -> Term | None and the Term that it returns (term.py says what a term is). To add one:
write the file, put the function in its place below, take its name out of unmodelled.py. A term that looks at other
nodes says Moves.CLUSTER; its mask is then taken anew after every change, so it keeps its own index of what it counts.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.model.core import Pod
from harness.scheduling.constraints.node_affinity import node_affinity
from harness.scheduling.constraints.node_name import node_name
from harness.scheduling.constraints.node_unschedulable import node_unschedulable
from harness.scheduling.constraints.taint_toleration import taint_toleration
from harness.scheduling.constraints.term import Moves, Term
from harness.scheduling.constraints.unmodelled import unmodelled

BEFORE_FIT: tuple[Callable[[Pod], Term | None], ...] = (
    node_unschedulable,
    node_name,
    taint_toleration,
    node_affinity,
)
"""Source of the order: kube-scheduler 1.32 apis/config/v1/default_plugins.go. A pod that does not use a constraint
gets None for it. NodeResourcesFit and the devices follow for every pod (classes.py)."""

AFTER_FIT: tuple[Callable[[Pod], Term | None], ...] = ()
"""Volumes, PodTopologySpread, InterPodAffinity belong here."""


__all__ = ["AFTER_FIT", "BEFORE_FIT", "Moves", "Term", "unmodelled"]
