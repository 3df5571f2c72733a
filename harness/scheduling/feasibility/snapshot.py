"""The cluster in columns, kept up to date change by change: what the scheduler and its strategies look at.

Each number lives twice: in numpy columns (for whole-cluster work) and in plain lists by node (for the work on one
node, where a numpy call costs more than the arithmetic). Every change is logged, so that whoever caches something
by node looks again only at the nodes that changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.model.core import Taint
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.feasibility.fit_error import Diagnosis, diagnose, reasons
from harness.scheduling.feasibility.nominations import Nominations
from harness.scheduling.feasibility.verdict_cache import VerdictCache
from harness.scheduling.filters.node_ports import HostPorts
from harness.scheduling.pods.pod_classes import PodClasses, PodConstraints
from harness.scheduling.state.change_log import ChangeLog
from harness.scheduling.state.columns import frozen, grown
from harness.scheduling.state.gpu_devices import choose_devices
from harness.scheduling.state.images import Image, NodeImages
from harness.scheduling.state.node_order import NodeOrder
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.state.pod_counts import HasNodeMask, PodCounts
from harness.scheduling.state.pods_on_unknown_nodes import PodsOnUnknownNodes
from harness.scheduling.state.volume_reservations import VolumeReservations
from harness.scheduling.strategy import Bool, Int64, PodClass, PodView

_ROOM = 64  # nodes that fit before the first reallocation


class Snapshot:
    """A ClusterView that the harness writes. Node arguments are column indices, amounts are plain ints."""

    def __init__(self, classes: PodClasses | None = None) -> None:
        self.classes = PodClasses() if classes is None else classes
        self.node_table = NodeTable()
        self.now_ns = 0
        self.log = ChangeLog()  # nodes whose columns changed
        self.spec_log = ChangeLog()  # nodes whose own spec changed (labels, taints, capacity, coming and going)
        self.epoch = 0  # grows when arrays are reallocated or positions renumbered: caches start afresh
        # Plain ints by node, the twin of the columns: [resource], [resource], [device], model index.
        self.free_of: list[list[int]] = []
        self.capacity_of: list[list[int]] = []
        self.devices_of: list[list[int]] = []
        self.model_of: list[int] = []
        self._order = NodeOrder()
        self._room = 0
        self._width = 0  # devices of the widest node
        self._rows = len(self.classes.resources)
        self._models: dict[str, int] = {}
        self._vacant: list[int] = []  # heap of indices whose node has left
        self._pods: list[list[PodView]] = []
        self._where: dict[str, int] = {}
        self._devices: dict[str, tuple[int, ...]] = {}  # of placed pods with GPUs
        self._pods_on_unknown_nodes = PodsOnUnknownNodes()
        self._groups: dict[str, int] = {}  # placed pods by group
        self._free: Int64 = np.zeros((0, 0), dtype=np.int64)  # [resource, node]
        self._capacity: Int64 = np.zeros((0, 0), dtype=np.int64)
        self._gpu_capacity: Int64 = np.zeros((0, 0), dtype=np.int64)  # [node, device]
        self._gpu_free: Int64 = np.zeros((0, 0), dtype=np.int64)
        self._gpu_model: Int64 = np.zeros(0, dtype=np.int64)
        self.ports = HostPorts()
        self.images = NodeImages()
        self.volumes = VolumeReservations(self.classes.volumes)
        self.pod_counts = PodCounts(self)
        # Milli-CPU and bytes, [2, node], that scores assume beyond the requests; the same by node where there are any.
        self._non_requested: Int64 = np.zeros((2, 0), dtype=np.int64)
        self.non_requested_of: dict[int, tuple[int, int]] = {}
        self._grow(_ROOM)
        self.verdicts = VerdictCache(self)
        self.nominations = Nominations(self)
        self.classes.follow(self)

    def fresh(self, classes: PodClasses | None = None) -> Snapshot:
        """An empty one, as after a restart."""
        return Snapshot(classes)

    def copy(self) -> Snapshot:
        """An independent twin, for trying out what would happen; pod classes are shared, caches start cold."""
        twin = Snapshot(self.classes)
        twin.node_table = self.node_table.copy()
        twin.now_ns = self.now_ns
        for name in ("free_of", "capacity_of", "devices_of", "_pods"):
            setattr(twin, name, [list(row) for row in getattr(self, name)])
        for name in ("model_of", "_vacant"):
            setattr(twin, name, list(getattr(self, name)))
        for name in ("_models", "_where", "_devices", "_groups"):
            setattr(twin, name, dict(getattr(self, name)))
        for name in ("_free", "_capacity", "_gpu_capacity", "_gpu_free", "_gpu_model", "_non_requested"):
            setattr(twin, name, getattr(self, name).copy())
        twin._order, twin._pods_on_unknown_nodes = self._order.copy(), self._pods_on_unknown_nodes.copy()
        twin._width = self._width
        twin.ports, twin.images, twin.non_requested_of = (
            self.ports.copy(),
            self.images.copy(),
            dict(self.non_requested_of),
        )
        twin.volumes = self.volumes.copy()
        twin.pod_counts.carry_on(self.pod_counts)
        twin.nominations = self.nominations.copy(twin)
        twin._grow(self._room)
        return twin

    # -- what strategies see ------------------------------------------------------------------------------------

    @property
    def resources(self) -> tuple[str, ...]:
        return tuple(self.classes.resources)

    @property
    def capacity(self) -> Int64:
        return self._capacity_view

    @property
    def free(self) -> Int64:
        return self._free_view

    @property
    def gpu_capacity(self) -> Int64:
        return self._gpu_capacity_view

    @property
    def gpu_free(self) -> Int64:
        return self._gpu_free_view

    @property
    def gpu_model(self) -> Int64:
        return self._gpu_model_view

    @property
    def gpu_models(self) -> tuple[str, ...]:
        return tuple(self._models)

    @property
    def names(self) -> Sequence[str]:
        return self.node_table.names

    @property
    def rank(self) -> Int64:
        return frozen(self._order.rank[: len(self.node_table)])

    @property
    def alive(self) -> Bool:
        return frozen(self.node_table.alive[: len(self.node_table)])

    @property
    def zone(self) -> Int64:
        return frozen(self.node_table.zone[: len(self.node_table)])

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(self.node_table.zones)

    def label(self, node: int, key: str) -> str | None:
        return self.node_table.labels[node].get(key)

    def pods_on(self, node: int) -> Sequence[PodView]:
        return tuple(self._pods[node])

    def feasible(self, pod: PodView) -> Bool:
        return self.verdicts.column(self.classes.class_now(pod))

    @property
    def version(self) -> int:
        return self.log.version

    def changed_since(self, version: int) -> Int64 | None:
        changed = self.log.since(version)
        return None if changed is None else np.array(sorted(set(changed)), dtype=np.int64)

    # -- why not ------------------------------------------------------------------------------------------------

    def diagnose(self, pod: PodView) -> Diagnosis:
        """Nodes by reason; its text is FitError's: '0/5 nodes are available: 3 Insufficient cpu, ..'."""
        return diagnose(self, self.classes.class_now(pod))

    def reasons(self, cls: PodClass, node: int) -> tuple[str, ...]:
        """Why a class does not fit on one node; empty when it does."""
        return reasons(self, cls, node)

    # -- nodes --------------------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        capacity: Mapping[str, int],
        gpu_devices: int = 0,
        gpu_model: str = "",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Taint] = (),
        unschedulable: bool = False,
        rank: int | None = None,
        images: Iterable[Image] = (),
    ) -> int:
        """A new node's column index. `capacity`: allocatable, milli-CPU, bytes, units. `rank` defaults to arrival."""
        assert name not in self.node_table.index, f"node {name} is there already"
        amounts = self._amounts(capacity)
        node = heapq.heappop(self._vacant) if self._vacant else len(self.node_table)
        if node == self._room:
            self._grow(2 * self._room)
        if node == len(self.node_table):
            self.free_of.append([])
            self.capacity_of.append([])
            self.devices_of.append([])
            self.model_of.append(-1)
            self._order.position_of.append(-1)
            self._pods.append([])
        self.node_table.put(node, name, labels or {}, tuple(taints), unschedulable)
        self.images.put(node, images)
        self._slice_views()
        self._order.put(node, rank)
        self.capacity_of[node], self.free_of[node] = amounts, list(amounts)
        self._put_devices(node, gpu_devices, gpu_model)
        self._write(node)
        self.spec_log.add(node)
        for pod, devices in self._pods_on_unknown_nodes.of_node(name):
            self.assume(pod, node, devices)
        return node

    def update_node(
        self,
        name: str,
        capacity: Mapping[str, int],
        gpu_devices: int = 0,
        gpu_model: str = "",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Taint] = (),
        unschedulable: bool = False,
        rank: int | None = None,
        images: Iterable[Image] = (),
    ) -> int:
        """The node's spec anew; what runs on it stays, and a rank that is not given. KeyError for an unknown node.

        A status update that changes nothing of this (a heartbeat) leaves no trace.
        """
        node = self.node_table.index[name]
        self.images.put(node, images)
        new, old = self._amounts(capacity), self.capacity_of[node]
        same_gpus = gpu_devices == len(self.devices_of[node]) and (not gpu_devices or gpu_model == self._model(node))
        if rank is not None and self._order.move(node, rank):
            self.log.add(node)
        if new == old and same_gpus and self.node_table.same(node, labels or {}, taints, unschedulable):
            return node
        self.node_table.put(node, name, labels or {}, tuple(taints), unschedulable)
        self.free_of[node] = [free + now - was for free, now, was in zip(self.free_of[node], new, old, strict=True)]
        self.capacity_of[node] = new
        if not same_gpus:
            self._put_devices(node, gpu_devices, gpu_model)
            idle = self.devices_of[node]
            for pod in self._pods[node]:
                for device in self._devices.get(pod.key, ()):
                    if device < len(idle):
                        idle[device] -= pod.cls.gpu.milli
        self._write(node)
        self.spec_log.add(node)
        return node

    def remove_node(self, name: str) -> None:
        """The node leaves; pods that were on it are remembered until they are forgotten or it comes back."""
        node = self.node_table.index[name]
        left = [(pod, self._devices.get(pod.key)) for pod in self._pods[node]]
        for pod, _ in left:
            self.forget(pod.key)
        self.node_table.remove(node)
        self.images.put(node, ())
        self.capacity_of[node] = [0] * self._rows
        self.free_of[node] = [0] * self._rows
        self.devices_of[node] = []
        self.model_of[node] = -1
        self._order.leave(node)
        self._write(node)
        self.spec_log.add(node)
        heapq.heappush(self._vacant, node)
        for pod, devices in left:
            self.assume_on(pod, name, devices)

    # -- pods ---------------------------------------------------------------------------------------------------

    def assume(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> None:
        """`pod` runs on `node` from now on. No legality check: what is bound counts, even when it overfills the node.

        `devices` None lets the harness choose.
        """
        constraints: PodConstraints = pod.cls.constraints
        free = self.free_of[node]
        columns = self._free_rows
        for row, amount in constraints.amounts:
            left = free[row] = free[row] - amount
            columns[row][node] = left
        key = pod.key
        gpu = pod.cls.gpu
        if gpu.count:
            idle = self.devices_of[node]
            if devices is None:
                devices = choose_devices(gpu, idle)
                if devices is None:  # bound by someone else onto too little: show it as overcommitted
                    devices = tuple(sorted(range(len(idle)), key=lambda d: (-idle[d], d))[: gpu.count])
            for device in devices:
                left = idle[device] = idle[device] - gpu.milli
                self._gpu_free[node, device] = left
            self._devices[key] = devices
        self._where[key] = node
        self._pods[node].append(pod)
        if pod.group is not None:
            self._groups[pod.group] = self._groups.get(pod.group, 0) + 1
        if constraints.ports:
            self.ports.put(constraints.ports, node, 1)
        if constraints.claims:
            self.volumes.put(constraints.claims, key)
        if constraints.non_requested:
            self._assume_non_requested(constraints.non_requested, node, 1)
        if pod.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.put(pod, node)
        self.log.add(node)

    def assume_on(self, pod: PodView, name: str, devices: tuple[int, ...] | None = None) -> None:
        """The same by node name; a node that is not known yet gets the pod when it comes."""
        node = self.node_table.index.get(name)
        if node is not None:
            self.assume(pod, node, devices)
            return
        self._pods_on_unknown_nodes.put(name, pod, devices)

    def forget(self, key: str) -> int | None:
        """The pod runs no longer; the node that it was on, None when it was on none that is known."""
        node = self._where.pop(key, None)
        if node is None:
            self._pods_on_unknown_nodes.forget(key)
            return None
        pods = self._pods[node]
        at = next(i for i, pod in enumerate(pods) if pod.key == key)
        pod = pods.pop(at)
        constraints: PodConstraints = pod.cls.constraints
        free = self.free_of[node]
        for row, amount in constraints.amounts:
            left = free[row] = free[row] + amount
            self._free_rows[row][node] = left
        if pod.cls.gpu.count:
            idle = self.devices_of[node]
            for device in self._devices.pop(key):
                if device < len(idle):
                    left = idle[device] = idle[device] + pod.cls.gpu.milli
                    self._gpu_free[node, device] = left
        if pod.group is not None:
            left = self._groups[pod.group] - 1
            if left:
                self._groups[pod.group] = left
            else:
                del self._groups[pod.group]
        if constraints.ports:
            self.ports.put(constraints.ports, node, -1)
        if constraints.claims:
            self.volumes.take(constraints.claims, key)
            self.volumes.release(key)
        if constraints.non_requested:
            self._assume_non_requested(constraints.non_requested, node, -1)
        if pod.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.take(pod, node)
        self.log.add(node)
        return node

    def rewind(self, node: int, pods: Sequence[PodView], version: int) -> None:
        """After a trial on `node` that put everything back: its pods in the order they had, the log silent."""
        self._pods[node][:] = pods
        self.log.rewind(version)

    def update_pod(self, pod: PodView) -> None:
        """A placed pod's labels changed, or it is being deleted: `pod` as it is now, on the node and devices it has.

        Nothing happens to a pod that is not placed, or of which nothing changed that others look at.
        """
        self.update_labels(pod.key, pod.labels, pod.terminating, pod.affinity_term_ids)

    def update_labels(
        self, key: str, labels: Mapping[str, str], terminating: bool, affinity_term_ids: tuple[int, ...] | None = None
    ) -> None:
        """The same, of what may have changed alone; `carries` None: as before."""
        node = self._where.get(key)
        if node is None:
            return
        pods = self._pods[node]
        at = next(i for i, other in enumerate(pods) if other.key == key)
        old = pods[at]
        affinity_term_ids = old.affinity_term_ids if affinity_term_ids is None else affinity_term_ids
        if old.terminating == terminating and old.labels == labels and old.affinity_term_ids == affinity_term_ids:
            return
        new = replace(old, labels=labels, terminating=terminating, affinity_term_ids=affinity_term_ids)
        if old.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.take(old, node)
        pods[at] = new
        if new.affinity_term_ids or self.pod_counts.active:
            self.pod_counts.put(new, node)
        self.log.add(node)

    def _assume_non_requested(self, non_requested: tuple[int, ...], node: int, sign: int) -> None:
        cpu, memory = self.non_requested_of.get(node, (0, 0))
        cpu, memory = cpu + sign * non_requested[0], memory + sign * non_requested[1]
        if cpu or memory:
            self.non_requested_of[node] = (cpu, memory)
        else:
            self.non_requested_of.pop(node, None)
        self._non_requested[:, node] = cpu, memory

    @property
    def non_requested(self) -> Int64:
        """What scores assume beyond the requests of the pods that run, int64 [2, nodes]: milli-CPU, bytes."""
        return self._non_requested[:, : len(self.node_table)]

    def placed(self) -> Sequence[Sequence[PodView]]:
        """Pods by node."""
        return self._pods

    def live_mask(self, term: HasNodeMask) -> Bool:
        """Where a term of Moves.CLUSTER holds now, bool [nodes]; valid until the next change."""
        mask = self.pod_counts.mask(term)
        mask.refresh()
        return mask.mask[: len(self.node_table)]

    def namespaces_changed(self) -> None:
        """The table of classes calls this: terms with a namespaceSelector speak of others than before."""
        self.pod_counts.reset()

    def volumes_changed(self, obj: object, gone: bool) -> None:
        """The table of classes calls this. One entry lets the log say that something changed; no column did."""
        if len(self.node_table):
            self.log.add(0)

    def where(self, key: str) -> int | None:
        """Node of a placed pod."""
        return self._where.get(key)

    def placed_keys(self) -> tuple[str, ...]:
        return tuple(self._where)

    def pods_on_unknown_nodes(self) -> tuple[tuple[str, PodView, tuple[int, ...] | None], ...]:
        """Pods on nodes that are not known (yet): node name, pod, devices."""
        return self._pods_on_unknown_nodes.all()

    def devices(self, key: str) -> tuple[int, ...]:
        """GPU devices of a placed pod."""
        return self._devices.get(key, ())

    def placed_in_group(self, group: str) -> int:
        return self._groups.get(group, 0)

    @property
    def placed_count(self) -> int:
        """Pods on nodes that are known, and on others."""
        return len(self._where) + len(self._pods_on_unknown_nodes)

    def __len__(self) -> int:
        """Nodes that are there."""
        return len(self.node_table.index)

    # -- order --------------------------------------------------------------------------------------------------

    def order(self) -> Sequence[int]:
        """Nodes in tie-break order (-1 for a hole); positions in it stay while `epoch` stays."""
        if self._order.sort(self.alive):
            self.epoch += 1
        return self._order.node_at

    def order_column(self) -> Int64:
        """`order` as a column, int64 [positions]."""
        self.order()
        return self._order.column()

    @property
    def position_of(self) -> Sequence[int]:
        """Positions in `order` by node, -1 where the node has left."""
        return self._order.position_of

    @property
    def positions(self) -> Int64:
        """The same as a column, int64 [room]."""
        return self._order.positions

    @property
    def room(self) -> int:
        """Positions and nodes that fit before the next change of `epoch`."""
        return self._room

    # -- columns ------------------------------------------------------------------------------------------------

    def _amounts(self, capacity: Mapping[str, int]) -> list[int]:
        by_row = {self.classes.row(resource): amount for resource, amount in capacity.items()}
        return [by_row.get(row, 0) for row in range(self._rows)]

    def _model(self, node: int) -> str:
        model = self.model_of[node]
        return "" if model < 0 else self.gpu_models[model]

    def _put_devices(self, node: int, devices: int, model: str) -> None:
        if devices > self._width:
            self._width = devices
            self._grow(self._room)
        self.devices_of[node] = [DEVICE_MILLI] * devices
        self.model_of[node] = self._models.setdefault(model, len(self._models)) if devices else -1
        self._gpu_capacity[node] = 0
        self._gpu_capacity[node, :devices] = DEVICE_MILLI

    def _write(self, node: int) -> None:
        """Lists into columns."""
        self._free[:, node] = self.free_of[node]
        self._capacity[:, node] = self.capacity_of[node]
        devices = self.devices_of[node]
        if not devices:
            self._gpu_capacity[node] = 0
        self._gpu_free[node] = 0
        self._gpu_free[node, : len(devices)] = devices
        self._gpu_model[node] = self.model_of[node]
        self.log.add(node)

    def fit_rows(self) -> None:
        """A row for each resource that was heard of since; the table of classes calls this."""
        missing = len(self.classes.resources) - self._rows
        if missing:
            for amounts in (*self.free_of, *self.capacity_of):
                amounts.extend([0] * missing)
            self._rows += missing
            self._grow(self._room)

    def _grow(self, room: int) -> None:
        self._free = grown(self._free, (self._rows, room))
        self._capacity = grown(self._capacity, (self._rows, room))
        self._gpu_capacity = grown(self._gpu_capacity, (room, self._width))
        self._gpu_free = grown(self._gpu_free, (room, self._width))
        self._gpu_model = grown(self._gpu_model, (room,), -1)
        self._non_requested = grown(self._non_requested, (2, room))
        self._order.grow(room)
        self._free_rows = list(self._free)
        self.node_table.grow(room)
        self._room = room
        self.epoch += 1
        self._slice_views()

    def _slice_views(self) -> None:
        n = len(self.node_table)
        self._free_view = frozen(self._free[:, :n])
        self._capacity_view = frozen(self._capacity[:, :n])
        self._gpu_free_view = frozen(self._gpu_free[:n])
        self._gpu_capacity_view = frozen(self._gpu_capacity[:n])
        self._gpu_model_view = frozen(self._gpu_model[:n])
