"""Every constraint, in kube-scheduler's filter order: a file each, and one line here.

A constraint is a function from a Pod to the Terms that it puts on it (term.py says what a term is). To add one: write
the file, put the function in its place below, take its name out of unmodelled.py. A term that looks at other nodes says
Moves.CLUSTER; it offers `live`, a mask that the counts in relations.py keep up to date, or else is taken anew after
every change.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.model.core import Pod
from harness.scheduling.filters.filter import Filter, Scope
from harness.scheduling.filters.inter_pod_affinity import ExistingAntiAffinity, inter_pod_affinity
from harness.scheduling.filters.node_affinity import node_affinity
from harness.scheduling.filters.node_name import node_name
from harness.scheduling.filters.node_ports import node_ports
from harness.scheduling.filters.node_unschedulable import node_unschedulable
from harness.scheduling.filters.pod_topology_spread import topology_spread
from harness.scheduling.filters.taint_toleration import taint_toleration
from harness.scheduling.filters.unmodelled import unmodelled
from harness.scheduling.filters.volumes import volumes

BEFORE_FIT: tuple[Callable[[Pod], Filter | None], ...] = (
    node_unschedulable,
    node_name,
    taint_toleration,
    node_affinity,
    node_ports,
)
"""Source of the order: kube-scheduler 1.32 apis/config/v1/default_plugins.go. A pod that does not use a constraint
gets None for it. NodeResourcesFit and the devices follow for every pod (classes.py)."""


def after_fit(pod: Pod) -> tuple[Filter, ...]:
    """What comes after NodeResourcesFit. ExistingAntiAffinity follows (classes.py)."""
    return (*volumes(pod), *topology_spread(pod), *inter_pod_affinity(pod))


__all__ = ["BEFORE_FIT", "ExistingAntiAffinity", "Filter", "Scope", "after_fit", "unmodelled"]
