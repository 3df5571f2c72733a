"""The nodes and what is placed on them, kept up to date change by change: what the filters read.

Every change is logged, so that whoever caches something by node looks again only at the nodes that changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Unpack

from harness.scheduling.state.change_log import ChangeLog
from harness.scheduling.state.from_node import NodeDetails, NodeSpec
from harness.scheduling.state.gpu_devices import choose_devices
from harness.scheduling.state.host_ports import HostPorts
from harness.scheduling.state.images import NodeImages
from harness.scheduling.state.node_order import NodeOrder
from harness.scheduling.state.node_resources import NodeResources
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.state.placements import Placements
from harness.scheduling.state.pod_counts import PodCounts
from harness.scheduling.state.shared_tables import SharedTables
from harness.scheduling.state.state_columns import StateColumns
from harness.scheduling.state.volume_reservations import VolumeReservations
from harness.scheduling.strategy import PodView

_ROOM = 64  # nodes that fit before the first reallocation


class ClusterState(StateColumns):
    """Node arguments are column indices, amounts are plain ints.

    `log`: nodes of which anything changed. `epoch` grows when arrays are reallocated or positions renumbered: caches
    start afresh. `amounts`, `node_table`, `ports`, `images`, `volumes`, `pod_counts` are read by filters and scores;
    only this class writes them, but for the reservations of volumes.
    """

    def __init__(self, tables: SharedTables, source: ClusterState | None = None) -> None:
        """`source`: the state to start with, as an independent twin; caches start cold. None: no nodes, no pods."""
        self.tables = tables
        self.now_ns: int = 0 if source is None else source.now_ns
        self.log = ChangeLog()
        self.epoch = 0
        self._room = 0
        self._vacant: list[int] = []  # heap of indices whose node has left
        if source is None:
            self.node_table, self.tie_order = NodeTable(), NodeOrder()
            self.amounts, self.placements = NodeResources(len(tables.rows)), Placements()
            self.ports, self.images = HostPorts(), NodeImages()
            self.volumes = VolumeReservations(tables.volumes)
        else:
            self.node_table, self.tie_order = source.node_table.copy(), source.tie_order.copy()
            self.amounts, self.placements = source.amounts.copy(), source.placements.copy()
            self.ports, self.images, self.volumes = source.ports.copy(), source.images.copy(), source.volumes.copy()
            self._vacant = list(source._vacant)
        self.spec_log = self.node_table.log
        # Plain ints by node: see NodeResources.
        self.free_of, self.capacity_of = self.amounts.free_of, self.amounts.capacity_of
        self.devices_of, self.model_of = self.amounts.devices_of, self.amounts.model_of
        self.pod_counts = PodCounts(self.node_table, tables.namespaces, self.placements)
        if source is not None:
            self.pod_counts.copy_affinity_term_counts(source.pod_counts)
        self._grow(_ROOM if source is None else source._room)
        tables.rows.follow(self)
        tables.follow(self)

    def __len__(self) -> int:
        """Nodes that are there."""
        return len(self.node_table.index)

    @property
    def room(self) -> int:
        """Nodes that fit before the next change of `epoch`."""
        return self._room

    # -- nodes --------------------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        capacity: Mapping[str, int],
        gpu_devices: int = 0,
        gpu_model: str = "",
        **details: Unpack[NodeDetails],
    ) -> int:
        """A new node's column index. `capacity`: allocatable, milli-CPU, bytes, units. `details`: see NodeSpec."""
        new = NodeSpec(**details)
        assert name not in self.node_table.index, f"node {name} is there already"
        capacities = self._by_row(capacity)
        node = heapq.heappop(self._vacant) if self._vacant else len(self.node_table)
        if node == self._room:
            self._grow(2 * self._room)
        if node == len(self.node_table):
            self.tie_order.position_of.append(-1)
            self.placements.pods.append([])
            self.amounts.append()
        self.node_table.set_node(node, name, new.labels or {}, tuple(new.taints), new.unschedulable)
        self.images.set_node(node, new.images)
        self.tie_order.add(node, new.rank)
        self._widen(gpu_devices)
        self.amounts.set_node(node, capacities, gpu_devices, gpu_model)
        self._changed_spec(node)
        for pod, devices in self.placements.on_unknown_nodes.take_of_node(name):
            self.assume(pod, node, devices)
        return node

    def update_node(
        self,
        name: str,
        capacity: Mapping[str, int],
        gpu_devices: int = 0,
        gpu_model: str = "",
        **details: Unpack[NodeDetails],
    ) -> int:
        """The node's spec anew; what runs on it stays, and a rank that is not given. KeyError for an unknown node.

        A status update that changes nothing of this (a heartbeat) leaves no trace.
        """
        new = NodeSpec(**details)
        node = self.node_table.index[name]
        amounts, labels = self.amounts, new.labels or {}
        self.images.set_node(node, new.images)
        capacities = self._by_row(capacity)
        same_gpus = gpu_devices == len(self.devices_of[node]) and (not gpu_devices or gpu_model == amounts.model(node))
        if new.rank is not None and self.tie_order.set_rank(node, new.rank):
            self.log.add(node)
        same_amounts = same_gpus and capacities == self.capacity_of[node]
        if same_amounts and self.node_table.is_same(node, labels, new.taints, new.unschedulable):
            return node
        self.node_table.set_node(node, name, labels, tuple(new.taints), new.unschedulable)
        amounts.set_capacity(node, capacities)
        if not same_gpus:
            self._widen(gpu_devices)
            amounts.set_devices(node, gpu_devices, gpu_model)
            idle = self.devices_of[node]
            for pod in self.placements.pods[node]:
                for device in self.devices(pod.key):
                    if device < len(idle):
                        idle[device] -= pod.cls.gpu.milli
        amounts.write(node)
        self._changed_spec(node)
        return node

    def remove_node(self, name: str) -> None:
        """The node leaves; pods that were on it are remembered until they are forgotten or it comes back."""
        node = self.node_table.index[name]
        left = [(pod, self.placements.devices_of.get(pod.key)) for pod in self.placements.pods[node]]
        for pod, _ in left:
            self.forget(pod.key)
        self.node_table.remove(node)
        self.images.set_node(node, ())
        self.amounts.clear_node(node)
        self.tie_order.remove(node)
        self._changed_spec(node)
        heapq.heappush(self._vacant, node)
        for pod, devices in left:
            self.assume_on(pod, name, devices)

    def _changed_spec(self, node: int) -> None:
        self.log.add(node)
        self.spec_log.add(node)

    # -- pods ---------------------------------------------------------------------------------------------------

    def assume(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> None:
        """`pod` runs on `node` from now on. No legality check: what is bound counts, even when it overfills the node.

        `devices` None lets the harness choose.
        """
        footprint = pod.cls.footprint
        self.amounts.allocate(footprint.amounts, node)
        gpu = pod.cls.gpu
        if gpu.count:
            if devices is None:
                idle = self.devices_of[node]
                devices = choose_devices(gpu, idle)
                if devices is None:  # bound by someone else onto too little: show it as overcommitted
                    devices = tuple(sorted(range(len(idle)), key=lambda d: (-idle[d], d))[: gpu.count])
            self.amounts.allocate_devices(devices, gpu.milli, node)
            self.placements.devices_of[pod.key] = devices
        self.placements.add(pod, node)
        if footprint.ports:
            self.ports.add(footprint.ports, node)
        if footprint.claims:
            self.volumes.add_user(footprint.claims, pod.key)
        if footprint.non_requested:
            self.amounts.add_non_requested(footprint.non_requested, node, 1)
        if pod.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.add(pod, node)
        self.log.add(node)

    def assume_on(self, pod: PodView, name: str, devices: tuple[int, ...] | None = None) -> None:
        """The same by node name; a node that is not known yet gets the pod when it comes."""
        node = self.node_table.index.get(name)
        if node is not None:
            self.assume(pod, node, devices)
            return
        self.placements.on_unknown_nodes.add(name, pod, devices)

    def forget(self, key: str) -> int | None:
        """The pod runs no longer; the node that it was on, None when it was on none that is known."""
        node = self.placements.node_of.get(key)
        if node is None:
            self.placements.on_unknown_nodes.remove(key)
            return None
        pod = self.placements.remove(key, node)
        footprint = pod.cls.footprint
        self.amounts.release(footprint.amounts, node)
        if pod.cls.gpu.count:
            self.amounts.release_devices(self.placements.devices_of.pop(key), pod.cls.gpu.milli, node)
        if footprint.ports:
            self.ports.remove(footprint.ports, node)
        if footprint.claims:
            self.volumes.remove_user(footprint.claims, key)
            self.volumes.release(key)
        if footprint.non_requested:
            self.amounts.add_non_requested(footprint.non_requested, node, -1)
        if pod.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.remove(pod, node)
        self.log.add(node)
        return node

    def rewind(self, node: int, pods: Sequence[PodView], version: int) -> None:
        """After a trial on `node` that put everything back: its pods in the order they had, the log silent."""
        self.placements.pods[node][:] = pods
        self.log.rewind(version)

    def update_pod(self, pod: PodView) -> None:
        """A placed pod's labels changed, or it is being deleted: `pod` as it is now, on the node and devices it has.

        Nothing happens to a pod that is not placed, or of which nothing changed that others look at.
        """
        self.update_labels(pod.key, pod.labels, pod.terminating, pod.affinity_term_ids)

    def update_labels(
        self, key: str, labels: Mapping[str, str], terminating: bool, affinity_term_ids: tuple[int, ...] | None = None
    ) -> None:
        """`update_pod`, by what may have changed; `affinity_term_ids` None: as before."""
        node = self.placements.node_of.get(key)
        if node is None:
            return
        old = self.placements.get(key, node)
        terms = old.affinity_term_ids if affinity_term_ids is None else affinity_term_ids
        if old.terminating == terminating and old.labels == labels and old.affinity_term_ids == terms:
            return
        new = replace(old, labels=labels, terminating=terminating, affinity_term_ids=terms)
        if old.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.remove(old, node)
        self.placements.replace(new, node)
        if new.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.add(new, node)
        self.log.add(node)

    def where(self, key: str) -> int | None:
        """Node of a placed pod."""
        return self.placements.node_of.get(key)

    # -- what the tables tell -----------------------------------------------------------------------------------

    def namespaces_changed(self) -> None:
        """Terms with a namespaceSelector speak of others than before."""
        self.pod_counts.reset()

    def volumes_changed(self, obj: object, gone: bool) -> None:
        """One entry lets the log say that something changed; no column did."""
        if len(self.node_table):
            self.log.add(0)

    def fit_rows(self) -> None:
        rows = len(self.tables.rows)
        if rows > self.amounts.rows:
            self.amounts.fit_rows(rows)
            self.epoch += 1

    def _by_row(self, capacity: Mapping[str, int]) -> list[int]:
        by_row = {self.tables.rows.row(resource): amount for resource, amount in capacity.items()}
        return [by_row.get(row, 0) for row in range(self.amounts.rows)]

    def _widen(self, devices: int) -> None:
        if devices > self.amounts.width:
            self.amounts.widen(devices)
            self.epoch += 1

    def _grow(self, room: int) -> None:
        self.amounts.grow(room)
        self.tie_order.grow(room)
        self.node_table.grow(room)
        self._room = room
        self.epoch += 1
