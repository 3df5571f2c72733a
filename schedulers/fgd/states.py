"""Node states: nodes with equal free CPU, idle devices (in any order) and model are one state, scored once."""

from __future__ import annotations

import numpy as np

from harness.scheduling.scoring import ChangedNodes
from harness.scheduling.strategy import CPU, ClusterView, Int64


class States:
    """The table of states seen, and the state of each node, followed by the cluster's change log."""

    def __init__(self) -> None:
        self.width = 0  # devices of the widest node
        self.cpu: Int64 = np.zeros(0, dtype=np.int64)
        self.model: Int64 = np.zeros(0, dtype=np.int64)
        self.devices: Int64 = np.zeros((0, 0), dtype=np.int64)  # idle milli, ascending
        self._of_node: Int64 = np.zeros(0, dtype=np.int64)
        self._index: dict[bytes, int] = {}
        self._changed = ChangedNodes()

    def __len__(self) -> int:
        return len(self._index)

    def sync(self, cluster: ClusterView) -> Int64:
        """State of each node, int64 [nodes]. Live: changes with the next call."""
        changed = self._changed.since_last(cluster)
        if changed is not None and not len(changed):
            return self._of_node
        width, nodes = cluster.gpu_free.shape[1], len(cluster.names)
        if changed is None or width != self.width:
            self._start(width)
            changed = np.arange(nodes)
        if nodes > len(self._of_node):
            self._of_node = np.concatenate([self._of_node, np.zeros(nodes - len(self._of_node), dtype=np.int64)])
        idle = np.sort(cluster.gpu_free[changed], axis=1)
        rows = np.concatenate([cluster.free[CPU][changed][:, None], cluster.gpu_model[changed][:, None], idle], axis=1)
        for node, row in zip(changed.tolist(), rows, strict=True):
            key = row.tobytes()
            state = self._index.get(key)
            self._of_node[node] = self._add(key, row) if state is None else state
        return self._of_node

    def _start(self, width: int) -> None:
        if width != self.width:
            self._index.clear()
            self.devices = np.zeros((len(self.cpu), width), dtype=np.int64)
            self.width = width

    def _add(self, key: bytes, row: Int64) -> int:
        state = self._index[key] = len(self._index)
        if state == len(self.cpu):
            more = max(64, state)
            self.cpu = np.concatenate([self.cpu, np.zeros(more, dtype=np.int64)])
            self.model = np.concatenate([self.model, np.zeros(more, dtype=np.int64)])
            self.devices = np.concatenate([self.devices, np.zeros((more, self.width), dtype=np.int64)])
        self.cpu[state], self.model[state] = row[0], row[1]
        self.devices[state] = row[2:]
        return state
