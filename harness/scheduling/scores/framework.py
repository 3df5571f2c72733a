"""The Score plugins of one profile at work: totals of nodes, the best node, and what each plugin says.

Plugins that depend on the node alone are kept in a ScoreTable; nodes are grouped by what the others depend on
(node_groups.py) where many pods alike come. Source: kube-scheduler 1.32 schedule_one.go prioritizeNodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.ranking.score_table import ScoreTable
from harness.scheduling.scores.node_groups import GroupCache, Grouping, WeightedRows
from harness.scheduling.scores.outside import OutsideNode, OutsideRows
from harness.scheduling.scores.plugin import NodePlugin, RowsPlugin
from harness.scheduling.strategy import ClusterView, DependsOn, Float64, Int64, PodView, ScorePlugin

WeightedPlugin: TypeAlias = "tuple[NodePlugin | RowsPlugin | ScorePlugin, int]"
"""(plugin, weight)."""

_MAX_WEIGHT = 1 << 20  # sum of weights from which totals are no longer ordered in one integer with the node's position


class ScoreFramework:
    """`plugins`: with their weights, in the order in which `explain` names them."""

    def __init__(self, plugins: Sequence[WeightedPlugin], grouping: Grouping = Grouping()) -> None:  # noqa: B008
        self._all: list[tuple[NodePlugin | OutsideNode | RowsPlugin, int]] = [
            (_adapted(plugin), weight) for plugin, weight in plugins
        ]
        self._node_plugins = [(plugin, weight) for plugin, weight in self._all if not isinstance(plugin, RowsPlugin)]
        self._rows_plugins = [(plugin, weight) for plugin, weight in self._all if isinstance(plugin, RowsPlugin)]
        self._skips = [plugin.skips for plugin, _ in self._rows_plugins]
        self._total_weight = sum(weight for _, weight in self._all)
        self.groups = GroupCache(self._grouped_rows, grouping)
        self._table: ScoreTable | None = None

    @property
    def scores_nothing(self) -> bool:
        """No plugin is enabled: the first node that fits is taken."""
        return not self._all

    def best(self, pod: PodView, snapshot: Snapshot) -> int | None:
        """The feasible node of the highest total, lowest rank on ties; -1 where there is none.

        None where the nodes are to be looked at one by one (`totals`).
        """
        table = self.table_of(snapshot)
        for skips in self._skips:
            if not skips(pod, snapshot):
                break
        else:
            return table.best(pod)
        snapshot.pod_counts.trim()
        return self.groups.best(snapshot, pod, table)

    def totals(self, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Float64:
        """Weighted scores of feasible nodes, added, float64 [len(nodes)]; what all nodes have in common is left out."""
        total = self.table_of(snapshot).values(pod, nodes)
        snapshot.pod_counts.trim()
        for plugin, weight in self._rows_plugins:
            found = _score(plugin, pod, snapshot, nodes)
            if found is not None:
                total = total + weight * found
        return total

    def explain(self, pod: PodView, snapshot: Snapshot) -> Mapping[str, Float64]:
        """Each plugin's weighted score over all feasible nodes, float64 [nodes], NaN elsewhere."""
        nodes = np.flatnonzero(snapshot.feasible(pod))
        out: dict[str, Float64] = {}
        for plugin, weight in self._all:
            column = np.full(len(snapshot.names), np.nan)
            if len(nodes):
                if isinstance(plugin, RowsPlugin):
                    found = _score(plugin, pod, snapshot, nodes)
                    column[nodes] = weight * (plugin.when_equal if found is None else found)
                else:
                    column[nodes] = weight * plugin.score(pod, snapshot, nodes)
            out[plugin.name] = column
        return out

    def table_of(self, snapshot: Snapshot) -> ScoreTable:
        """The scores of the plugins that depend on the node alone."""
        if self._table is None or self._table.snapshot is not snapshot:
            self._table = ScoreTable(_NodeScores.of(self._node_plugins, snapshot), snapshot)
        return self._table

    def _grouped_rows(self, pod: PodView, snapshot: Snapshot) -> list[WeightedRows] | None:
        if self._total_weight >= _MAX_WEIGHT:
            return None
        out: list[WeightedRows] = []
        for plugin, weight in self._rows_plugins:
            rows = plugin.rows(pod, snapshot, grouped=True)
            if rows is None:
                continue
            if not rows.groupable:
                return None
            out.append((weight, rows))
        return out


def _score(plugin: RowsPlugin, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Int64 | None:
    """Normalised over `nodes`, int64 [len(nodes)]; None where all score the same."""
    rows = plugin.rows(pod, snapshot, grouped=False)
    if rows is None:
        return None
    return rows.score([feature.at(nodes) for feature in rows.features], np.ones(len(nodes), dtype=np.int64))


def _adapted(plugin: NodePlugin | RowsPlugin | ScorePlugin) -> NodePlugin | OutsideNode | RowsPlugin:
    if isinstance(plugin, NodePlugin | RowsPlugin):
        return plugin
    return OutsideNode(plugin) if plugin.depends_on is DependsOn.NODE else OutsideRows(plugin)


_WeightedNodePlugin: TypeAlias = tuple[NodePlugin | OutsideNode, int]


class _NodeScores:
    """The plugins that depend on the node alone, weighted and added, as an IncrementalScore of one snapshot."""

    def __init__(self, plugins: Sequence[_WeightedNodePlugin], snapshot: Snapshot) -> None:
        self._plugins = tuple(plugins)
        self._snapshot = snapshot

    @staticmethod
    def of(plugins: Sequence[_WeightedNodePlugin], snapshot: Snapshot) -> _NodeScores:
        """One that scores single nodes without numpy, where all of the plugins do."""
        each = all(isinstance(plugin, NodePlugin) or plugin.scores_single_nodes for plugin, _ in plugins)
        return _SingleNodeScores(plugins, snapshot) if each else _NodeScores(plugins, snapshot)

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        out: Int64 = np.zeros(len(nodes), dtype=np.int64)
        for plugin, weight in self._plugins:
            out += weight * plugin.score(pod, self._snapshot, nodes)
        return out.astype(np.float64)


class _SingleNodeScores(_NodeScores):
    def __init__(self, plugins: Sequence[_WeightedNodePlugin], snapshot: Snapshot) -> None:
        super().__init__(plugins, snapshot)
        self._single = tuple((plugin.score_node, weight) for plugin, weight in plugins)

    def score_node(self, pod: PodView, cluster: ClusterView, node: int) -> float:
        total, snapshot = 0, self._snapshot
        for score_node, weight in self._single:
            total += weight * score_node(pod, snapshot, node)
        return float(total)
