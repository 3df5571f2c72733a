"""What a node says of itself: name, labels, taints, zone, in lists and in columns of codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.model.core import Taint
from harness.scheduling.state.change_log import ChangeLog
from harness.scheduling.state.columns import grown
from harness.scheduling.strategy import Bool, Int64

Codes = npt.NDArray[np.int32]

ZONE_LABEL = "topology.kubernetes.io/zone"

_NO_LABELS: Mapping[str, str] = {}


@dataclass(slots=True)
class LabelColumn:
    """One label key over all nodes: `codes` int32 [nodes], indices into `values`, -1 where the label is absent."""

    codes: Codes
    values: dict[str, int] = field(default_factory=dict)
    _members: list[list[int]] | None = None

    def set(self, node: int, value: str | None) -> None:
        code = -1 if value is None else self.values.setdefault(value, len(self.values))
        if self._members is not None:
            old = int(self.codes[node])
            if old == code:
                return
            self._members.extend([] for _ in range(len(self.values) - len(self._members)))
            if old >= 0:
                self._members[old].remove(node)
            if code >= 0:
                self._members[code].append(node)
        self.codes[node] = code

    def members(self) -> list[list[int]]:
        """Nodes by code, in no order; kept up to date from the first call on."""
        if self._members is None:
            self._members = [[] for _ in self.values]
            for node, code in enumerate(self.codes.tolist()):
                if code >= 0:
                    self._members[code].append(node)
        return self._members


class NodeTable:
    """Rows are node indices; arrays have room for more nodes than there are. Only the cluster state writes here.

    `log`: nodes whose own spec changed (labels, taints, capacity, coming and going).
    """

    def __init__(self) -> None:
        self.log = ChangeLog()
        self.index: dict[str, int] = {}
        self.names: list[str] = []
        self.labels: list[Mapping[str, str]] = []
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.taint_code: Codes = np.zeros(0, dtype=np.int32)
        self.unschedulable: Bool = np.zeros(0, dtype=np.bool_)
        self.alive: Bool = np.zeros(0, dtype=np.bool_)
        self.zone: Int64 = np.zeros(0, dtype=np.int64)
        self.zones: list[str] = []
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._columns: dict[str, LabelColumn] = {}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def room(self) -> int:
        """Nodes that fit before the arrays grow."""
        return len(self.alive)

    def copy(self) -> NodeTable:
        """An independent twin with a log of its own; label columns are built again when they are asked for."""
        twin = NodeTable()
        twin.index, twin._taint_ids = dict(self.index), dict(self._taint_ids)
        twin.names, twin.labels = list(self.names), list(self.labels)
        twin.taint_sets, twin.zones = list(self.taint_sets), list(self.zones)
        twin.taint_code, twin.unschedulable = self.taint_code.copy(), self.unschedulable.copy()
        twin.alive, twin.zone = self.alive.copy(), self.zone.copy()
        return twin

    def grow(self, room: int) -> None:
        self.taint_code = grown(self.taint_code, (room,))
        self.unschedulable = grown(self.unschedulable, (room,))
        self.alive = grown(self.alive, (room,))
        self.zone = grown(self.zone, (room,), -1)
        for column in self._columns.values():
            column.codes = grown(column.codes, (room,), -1)

    def set_node(
        self, node: int, name: str, labels: Mapping[str, str], taints: tuple[Taint, ...], unschedulable: bool
    ) -> None:
        """Write one row; `node` is at most len(self)."""
        if node == len(self.names):
            self.names.append(name)
            self.labels.append(labels)
        else:
            self.names[node] = name
            self.labels[node] = labels
        self.index[name] = node
        plain = _plain(taints)
        code = self._taint_ids.get(plain)
        if code is None:
            code = self._taint_ids[plain] = len(self.taint_sets)
            self.taint_sets.append(plain)
        self.taint_code[node] = code
        self.unschedulable[node] = unschedulable
        self.alive[node] = True
        zone = labels.get(ZONE_LABEL)
        self.zone[node] = -1 if zone is None else self._zone(zone)
        for key, column in self._columns.items():
            column.set(node, labels.get(key))

    def is_same(self, node: int, labels: Mapping[str, str], taints: Sequence[Taint], unschedulable: bool) -> bool:
        """Whether `set_node` with these would change nothing."""
        mine = self.labels[node]
        return (
            (mine is labels or mine == labels)
            and self.unschedulable[node] == unschedulable
            and self.taints(node) == _plain(taints)
        )

    def remove(self, node: int) -> None:
        del self.index[self.names[node]]
        self.names[node] = ""
        self.labels[node] = _NO_LABELS
        self.taint_code[node] = 0
        self.unschedulable[node] = False
        self.alive[node] = False
        self.zone[node] = -1
        for column in self._columns.values():
            column.set(node, None)

    def taints(self, node: int) -> tuple[Taint, ...]:
        return self.taint_sets[int(self.taint_code[node])]

    def label_column(self, key: str) -> LabelColumn:
        """Built when a constraint first asks for the key, kept up to date from then on."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = LabelColumn(np.full(len(self.alive), -1, dtype=np.int32))
            for node, labels in enumerate(self.labels):
                column.set(node, labels.get(key))
        return column

    def _zone(self, name: str) -> int:
        if name not in self.zones:
            self.zones.append(name)
        return self.zones.index(name)


def _plain(taints: Sequence[Taint]) -> tuple[Taint, ...]:
    """A taint's age does not matter to a verdict, and would make every list of taints its own."""
    return tuple(Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in taints)
