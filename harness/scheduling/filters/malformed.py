"""Selectors that do not parse: a pod that has one is held against no node at all.

Source: kube-scheduler 1.32 plugins/interpodaffinity PreFilter ("parsing pod"), plugins/podtopologyspread
calPreFilterState ("get constraints from pod"). The API server lets none pass; a cluster file may hold one.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.scheduling.matching.pod_selectors import MALFORMED, requirements


def malformed(pod: Pod) -> str:
    """Which selector does not parse, in words; empty when all do."""
    for where, selector in _selectors(pod):
        if selector is not None and requirements(selector) == MALFORMED:
            return f"{where}: a label selector does not parse"
    return ""


def _selectors(pod: Pod) -> Iterator[tuple[str, LabelSelector | None]]:
    for constraint in pod.spec.topology_spread_constraints:
        yield "get constraints from pod", constraint.label_selector
    affinity = pod.spec.affinity
    for group in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ():
        if group is None:
            continue
        preferred = (item.pod_affinity_term for item in group.preferred_during_scheduling_ignored_during_execution)
        for term in (*group.required_during_scheduling_ignored_during_execution, *preferred):
            yield "parsing pod", term.label_selector
            yield "parsing pod", term.namespace_selector
