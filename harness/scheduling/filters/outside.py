"""Filter plugins of others, as filters: what each asks of nodes for a pod becomes a value, equal for pods alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from harness.model.core import Pod
from harness.model.errors import UserError
from harness.scheduling.filter_plugin import Asked, FilterPlugin
from harness.scheduling.filters.filter import Filter, Scope
from harness.scheduling.filters.order import FILTER_PLUGINS
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.read_only import ReadOnlyNodes
from harness.scheduling.strategy import Bool, DependsOn

_SCOPES = {DependsOn.NODE_SPEC: Scope.NODE, DependsOn.NODE: Scope.NODE_USAGE, DependsOn.CLUSTER: Scope.CLUSTER}


class ShownState:
    """The read-only view of the state that was asked about last."""

    def __init__(self) -> None:
        self._state: ClusterState | None = None
        self._view: ReadOnlyNodes | None = None

    def of(self, state: ClusterState) -> ReadOnlyNodes:
        if self._view is None or self._state is not state:
            self._state, self._view = state, ReadOnlyNodes(state)
        return self._view


@dataclass(frozen=True, slots=True)
class OutsideFilter:
    """What a pod asks of one plugin. Values are of one plugin where they name the same: names are unique."""

    plugin: str
    asked: Asked
    scope: Scope
    of: FilterPlugin = field(compare=False)
    shown: ShownState = field(compare=False)

    node_names = None

    @property
    def resolvable(self) -> bool:
        return self.scope is not Scope.NODE

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        asked_about = np.arange(len(state.node_table), dtype=np.int64)[nodes]
        there = state.node_table.alive[asked_about]
        out = np.zeros(len(asked_about), dtype=np.bool_)
        if there.any():
            out[there] = self.of.holds(self.asked, self.shown.of(state), asked_about[there])
        return out

    def holds(self, state: ClusterState, node: int) -> bool:
        return bool(self.mask(state, slice(node, node + 1))[0])

    def reasons(self, state: ClusterState, node: int) -> Sequence[str]:
        return (self.of.reason(self.asked, self.shown.of(state), node),)


class OutsideFilters:
    """The Filter plugins of others that a cluster has. Raises UserError for two of one name."""

    def __init__(self, plugins: Iterable[FilterPlugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._shown = ShownState()
        known = [plugin.name for plugin in FILTER_PLUGINS]
        for plugin in self.plugins:
            if plugin.name in known:
                raise UserError(
                    f"two Filter plugins are called {plugin.name}",
                    found=", ".join(item.name for item in self.plugins),
                    expected=f"names that differ, and none of {', '.join(item.name for item in FILTER_PLUGINS)}",
                )
            known.append(plugin.name)

    def of_pod(self, pod: Pod) -> tuple[Filter, ...]:
        """What the pod asks of them, in order. Each gets a copy of the pod."""
        out: list[Filter] = []
        for plugin in self.plugins:
            asked = plugin.asks(deepcopy(pod))
            if asked is not None:
                out.append(OutsideFilter(plugin.name, asked, _SCOPES[plugin.depends_on], plugin, self._shown))
        return tuple(out)
