"""A selector that does not parse: in place of its plugin's filters stands one that no node passes.

Source: kube-scheduler 1.32 plugins/interpodaffinity PreFilter ("parsing pod"), plugins/podtopologyspread
calPreFilterState ("get constraints from pod"). The API server lets none pass; a cluster file may hold one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.model.meta import LabelSelector
from harness.scheduling.filters.filter import Scope
from harness.scheduling.matching.pod_selectors import MALFORMED, requirements
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool


@dataclass(frozen=True, slots=True)
class MalformedSelector:
    """The pod is held against no node at all."""

    plugin: str
    reason: str

    scope = Scope.NODE
    resolvable = False
    node_names = None

    def pre_filter(self, state: ClusterState) -> str:
        return self.reason

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.zeros(len(state.node_table), dtype=np.bool_)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return False

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (self.reason,)


def find_malformed(
    plugin: str, context: str, selectors: Iterable[LabelSelector | None]
) -> tuple[MalformedSelector, ...]:
    """The filter of a plugin of whose selectors one does not parse; () where all do. `context`: the plugin's words."""
    if any(selector is not None and requirements(selector) == MALFORMED for selector in selectors):
        return (MalformedSelector(plugin, f"{context}: a label selector does not parse"),)
    return ()
