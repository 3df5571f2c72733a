"""Score plugins of others, adapted: they see the read-only view, and their answers are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.sandbox.read_only_view import ReadOnlyView
from harness.scheduling.scores.node_groups import kind_of
from harness.scheduling.scores.plugin import ColumnCache, Feature, Rows, RowsPlugin
from harness.scheduling.strategy import MAX_NODE_SCORE, DependsOn, Int64, PodView, ScorePlugin


def check_plugin(plugin: Any, asked: str) -> ScorePlugin:
    """What makes an object a ScorePlugin. `asked`: how it was named. Raises UserError."""
    wrong = ""
    if not callable(getattr(plugin, "score", None)):
        wrong = "it has no score(pod, cluster, nodes)"
    elif not isinstance(getattr(plugin, "name", None), str) or not plugin.name:
        wrong = "it has no name"
    elif not isinstance(getattr(plugin, "depends_on", None), DependsOn):
        wrong = "depends_on is no DependsOn"
    elif plugin.depends_on is DependsOn.NODE and hasattr(plugin, "normalize"):
        wrong = "a score that depends on the node alone cannot be normalised over nodes"
    if wrong:
        expected = "harness.scheduling.strategy.ScorePlugin"
        raise UserError(f"{asked} is no Score plugin: {wrong}", found=repr(plugin), expected=expected)
    checked: ScorePlugin = plugin
    return checked


class _Viewed:
    """The view of the last snapshot."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._view: ReadOnlyView | None = None

    def of(self, snapshot: Snapshot) -> ReadOnlyView:
        if self._view is None or self._snapshot is not snapshot:
            self._snapshot, self._view = snapshot, ReadOnlyView(snapshot)
        return self._view


class OutsideNode:
    """Another's plugin that depends on the node alone."""

    def __init__(self, plugin: ScorePlugin) -> None:
        self.name: str = plugin.name
        self._plugin = plugin
        self._score_node: Callable[[PodView, ReadOnlyView, int], Any] | None = getattr(plugin, "score_node", None)
        self.scores_single_nodes = callable(self._score_node)
        self._viewed = _Viewed()

    def score(self, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Int64:
        found = self._plugin.score(pod, self._viewed.of(snapshot), nodes)
        return np.zeros(len(nodes), dtype=np.int64) if found is None else _bounded(self.name, found, len(nodes))

    def score_node(self, pod: PodView, snapshot: Snapshot, node: int) -> int:
        assert self._score_node is not None, f"{self.name} scores no single nodes"
        found = self._score_node(pod, self._viewed.of(snapshot), node)
        if not isinstance(found, int | np.integer) or not 0 <= found <= MAX_NODE_SCORE:
            raise ValueError(f"{self.name}: a score is an integer of 0..{MAX_NODE_SCORE}, not {found!r}")
        return int(found)


class OutsideRows(RowsPlugin):
    """Another's plugin that is normalised over the nodes, or looks at more than the node."""

    def __init__(self, plugin: ScorePlugin) -> None:
        self.name = plugin.name  # type: ignore[misc]  # of the object, where ours have one of the class
        self.depends_on = plugin.depends_on  # type: ignore[misc]
        self._plugin = plugin
        self._viewed = _Viewed()
        self._columns = ColumnCache()

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> Rows | None:
        static = self.depends_on is DependsOn.NODE_SPEC
        view = self._viewed.of(snapshot)
        if not static:
            return _OutsideRowsOf(self.name, self._plugin, lambda nodes: self._plugin.score(pod, view, nodes))
        # Infeasible nodes are scored as well, once, so that the column serves whatever becomes feasible.
        everywhere = np.flatnonzero(snapshot.alive)
        key = (kind_of(pod), snapshot.spec_log.version)

        def compute() -> Int64:
            found = self._plugin.score(pod, view, everywhere)
            if found is None:
                return np.zeros(0, dtype=np.int64)
            raw = np.zeros(len(snapshot.node_table), dtype=np.int64)
            raw[everywhere] = _integers(self.name, found, len(everywhere))
            return raw

        column = self._columns.get(snapshot, key, compute)
        if not len(column):
            return None
        return _OutsideRowsOf(self.name, self._plugin, column.__getitem__, groupable=True)


@dataclass(frozen=True, slots=True)
class _OutsideRowsOf:
    name: str
    plugin: ScorePlugin
    at: Callable[[Int64], Any]  # what others answer
    groupable: bool = False

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Feature(("outside", self.name), self.at),)

    def score(self, values: Sequence[Int64], nodes_in_row: Int64) -> Int64 | None:
        raw: Any = values[0]
        if raw is None:
            return None
        normalize = getattr(self.plugin, "normalize", None)
        if normalize is not None:
            raw = normalize(_integers(self.name, raw, len(nodes_in_row)))
        return _bounded(self.name, raw, len(nodes_in_row))


def _integers(name: str, scores: Any, count: int) -> Int64:
    found = np.asarray(scores)
    if found.shape != (count,):
        raise ValueError(f"{name}: the scores have shape {found.shape}, expected ({count},)")
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"{name}: scores are integers, not {found.dtype}")
    return found.astype(np.int64)


def _bounded(name: str, scores: Any, count: int) -> Int64:
    found = _integers(name, scores, count)
    if count and not (int(found.min()) >= 0 and int(found.max()) <= MAX_NODE_SCORE):
        # Source: kube-scheduler 1.32 framework/runtime RunScorePlugins: such a score is an error.
        raise ValueError(f"{name}: scores {int(found.min())}..{int(found.max())} are outside 0..{MAX_NODE_SCORE}")
    return found
