"""What a bound is computed from: identical nodes and identical pods counted once, in plain integer columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

Int64: TypeAlias = npt.NDArray[np.int64]
Bool: TypeAlias = npt.NDArray[np.bool_]
Objective: TypeAlias = Literal["gpu", "pods"]
"""Allocated GPU milli, or the number of pods placed; any other value per pod comes in as an array."""


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Nodes in columns, as `ClusterView` shows them.

    `capacity`: int64 [resources, nodes]. `gpu_capacity`: milli of each device, int64 [nodes, devices], 0 where the
    node has no such device; all devices of one node are of one size. `gpu_model`: one name a node, "" without GPUs.
    """

    capacity: Int64
    gpu_capacity: Int64
    gpu_model: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Pods:
    """Pods in columns.

    `requests`: int64 [resources, pods], rows as in `Nodes.capacity`. `gpu_count`, `gpu_milli` (of each device): int64
    [pods]. `models`: accepted GPU models per pod, empty for any. `value`: int64 [pods], at least 0, None for allocated
    GPU milli. `feasible`: bool [pods, nodes] for what selectors and taints allow, None where they forbid nothing.
    """

    requests: Int64
    gpu_count: Int64
    gpu_milli: Int64
    models: Sequence[Sequence[str]]
    value: Int64 | None = None
    feasible: Bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A packing problem over N node classes, P pod classes and R resources. All arrays are int64 but `feasible`.

    `node_count` [N], `capacity` [N, R], `devices` [N] (GPUs of one node), `device_milli` [N] (size of one GPU);
    `pod_count` [P], `request` [P, R], `gpu_count` [P], `gpu_milli` [P] (of each device), `value` [P] (of one pod);
    `feasible` bool [P, N] holds models, selectors and taints. A placement is worth the values of the pods that it
    places less the `node_cost` [N] of each node that it uses, and must place `least` [P] of each pod class; both are 0
    unless asked for. `node_class`, `pod_class` say for each original node and pod which class it became; they are
    empty where an instance was built by hand.
    """

    node_count: Int64
    capacity: Int64
    devices: Int64
    device_milli: Int64
    pod_count: Int64
    request: Int64
    gpu_count: Int64
    gpu_milli: Int64
    value: Int64
    feasible: Bool
    node_cost: Int64
    least: Int64
    node_class: Int64
    pod_class: Int64

    def __post_init__(self) -> None:
        nodes, pods = len(self.node_count), len(self.pod_count)
        resources = self.capacity.shape[1]
        shapes = (
            ("capacity", self.capacity, (nodes, resources)),
            ("devices", self.devices, (nodes,)),
            ("device_milli", self.device_milli, (nodes,)),
            ("request", self.request, (pods, resources)),
            ("gpu_count", self.gpu_count, (pods,)),
            ("gpu_milli", self.gpu_milli, (pods,)),
            ("value", self.value, (pods,)),
            ("feasible", self.feasible, (pods, nodes)),
            ("node_cost", self.node_cost, (nodes,)),
            ("least", self.least, (pods,)),
        )
        for name, array, expected in shapes:
            if array.shape != expected:
                raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
        for name, array, _ in (*shapes, ("pod_count", self.pod_count, ()), ("node_count", self.node_count, ())):
            if array.size and int(array.min()) < 0:
                raise ValueError(f"{name} holds {int(array.min())}, expected no negative number")
        if (self.least > self.pod_count).any():
            raise ValueError("more pods must be placed than there are")

    @property
    def gpu_total(self) -> Int64:
        """GPU milli of one pod over all its devices, int64 [P]."""
        return self.gpu_count * self.gpu_milli

    def valued(self, value: Objective | Int64) -> Instance:
        """The same instance under another objective."""
        if isinstance(value, np.ndarray):
            return replace(self, value=value.astype(np.int64))
        match value:
            case "gpu":
                return replace(self, value=self.gpu_total)
            case "pods":
                return replace(self, value=np.ones(len(self.pod_count), np.int64))
            case _:
                assert_never(value)

    def placing(self, least: Int64) -> Instance:
        """The same instance for those schedulers only that place at least so many pods of each class, int64 [P]."""
        return replace(self, least=least.astype(np.int64))

    def costing(self, node_cost: Int64) -> Instance:
        """The same instance where each node that is used costs so much, int64 [N]."""
        return replace(self, node_cost=node_cost.astype(np.int64))

    def with_counts(self, *, pods: Int64 | None = None, nodes: Int64 | None = None) -> Instance:
        """The same classes with other numbers of them; which original pod or node was which is then forgotten."""
        nothing = np.zeros(0, np.int64)
        return replace(
            self,
            pod_count=self.pod_count if pods is None else pods.astype(np.int64),
            node_count=self.node_count if nodes is None else nodes.astype(np.int64),
            least=self.least if pods is None else np.minimum(self.least, pods),
            pod_class=self.pod_class if pods is None else nothing,
            node_class=self.node_class if nodes is None else nothing,
        )

    def arrived(self, pods: Int64) -> Int64:
        """Pods of each class after each arrival, int64 [arrivals, P]; `pods` are original indices in order."""
        steps = np.zeros((len(pods), len(self.pod_count)), np.int64)
        steps[np.arange(len(pods)), self.pod_class[pods]] = 1
        return np.cumsum(steps, axis=0)


def aggregate(nodes: Nodes, pods: Pods) -> Instance:
    """Identical nodes and pods become classes, ordered by their contents, so that the order of arrival is nothing.

    Errors: ValueError for shapes that disagree, negative numbers, or a node whose devices differ in size.
    """
    devices, device_milli = _devices(nodes.gpu_capacity)
    models = sorted(set(nodes.gpu_model))
    model = np.array([models.index(name) for name in nodes.gpu_model], np.int64)
    n_pods, n_nodes = pods.requests.shape[1], nodes.capacity.shape[1]

    accepted = sorted({tuple(sorted(set(names))) for names in pods.models})
    accepts = np.array([[not names or name in names for name in models] for names in accepted], bool)
    accepts = accepts.reshape(len(accepted), len(models))
    place = {names: index for index, names in enumerate(accepted)}
    wanted = np.array([place[tuple(sorted(set(names)))] for names in pods.models], np.int64)

    value = pods.gpu_count * pods.gpu_milli if pods.value is None else pods.value
    if pods.feasible is None:
        # Selectors forbid nothing: one row class for all pods, one column class for all nodes.
        mask_of_pod, mask_of_node = np.zeros(n_pods, np.int64), np.zeros(n_nodes, np.int64)
        masks = np.ones((1, 1), bool)
    else:
        rows, mask_of_pod = np.unique(pods.feasible, axis=0, return_inverse=True)
        columns, mask_of_node = np.unique(rows, axis=1, return_inverse=True)
        masks, mask_of_pod, mask_of_node = columns, mask_of_pod.reshape(-1), mask_of_node.reshape(-1)

    node_rows = np.column_stack([devices, device_milli, model, mask_of_node, nodes.capacity.T]).astype(np.int64)
    pod_rows = np.column_stack([pods.gpu_count, pods.gpu_milli, wanted, mask_of_pod, value, pods.requests.T])
    # Pods that ask for no GPU may name models all the same; only GPU pods are held to them.
    pod_rows[pods.gpu_count == 0, 1] = 0
    node_rows, node_class, node_count = np.unique(node_rows, axis=0, return_inverse=True, return_counts=True)
    pod_rows, pod_class, pod_count = np.unique(
        pod_rows.astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    feasible = masks[np.ix_(pod_rows[:, 3], node_rows[:, 3])]
    on_model = accepts[np.ix_(pod_rows[:, 2], node_rows[:, 2])] if len(models) else feasible
    feasible = feasible & ((pod_rows[:, :1] == 0) | on_model)
    return Instance(
        node_count=node_count.astype(np.int64),
        capacity=node_rows[:, 4:],
        devices=node_rows[:, 0],
        device_milli=node_rows[:, 1],
        pod_count=pod_count.astype(np.int64),
        request=pod_rows[:, 5:],
        gpu_count=pod_rows[:, 0],
        gpu_milli=pod_rows[:, 1],
        value=pod_rows[:, 4],
        feasible=feasible,
        node_cost=np.zeros(len(node_count), np.int64),
        least=np.zeros(len(pod_count), np.int64),
        node_class=node_class.reshape(-1).astype(np.int64),
        pod_class=pod_class.reshape(-1).astype(np.int64),
    )


def _devices(gpu_capacity: Int64) -> tuple[Int64, Int64]:
    """Number of devices and milli of each per node, int64 [nodes] both."""
    present = gpu_capacity > 0
    count = present.sum(axis=1).astype(np.int64)
    largest = gpu_capacity.max(axis=1, initial=0).astype(np.int64)
    uneven = np.flatnonzero((present & (gpu_capacity != largest[:, None])).any(axis=1))
    if uneven.size:
        raise ValueError(f"node {int(uneven[0])} has GPUs of different sizes: {gpu_capacity[uneven[0]].tolist()}")
    return count, largest


def fits_alone(instance: Instance) -> Bool:
    """Whether one pod of the class fits on an empty node of the class, bool [P, N]."""
    room = (instance.request[:, None, :] <= instance.capacity[None, :, :]).all(axis=2)
    gpu = (instance.gpu_count[:, None] <= instance.devices[None, :]) & (
        (instance.gpu_count[:, None] == 0) | (instance.gpu_milli[:, None] <= instance.device_milli[None, :])
    )
    return np.asarray(instance.feasible & room & gpu)
