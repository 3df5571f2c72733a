"""Pods into pod classes: what the scheduler needs to know of a spec, interned, so that equal specs share one object."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from harness.model.core import Container, Node, Pod, PodSpec, ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_INDEX, GPU_MILLI, GPU_MODEL, WHOLE_GPU, parse_devices
from harness.scheduling.constraints import AFTER_FIT, BEFORE_FIT, Moves, Term, unmodelled
from harness.scheduling.constraints.gpu_devices import GpuDevices, GpuModel
from harness.scheduling.constraints.node_affinity import CONFLICT
from harness.scheduling.constraints.node_resources_fit import NodeResourcesFit
from harness.scheduling.strategy import CPU, MEMORY, NO_GPU, PODS, GpuRequest, Int64, PodClass, PodView

GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
"""Pod label that names its PodGroup (kubernetes-sigs/scheduler-plugins, coscheduling)."""

RANK = "podyard.dev/rank"
"""Node annotation: the node's place in the order that breaks ties, lowest first; without it, order of arrival."""

_REMEMBER = 4096  # pod templates whose class is found by the identity of their parts


class Needs:
    """The harness's own part of a PodClass (`PodClass.constraints`): the terms, split by what can turn them."""

    __slots__ = ("amounts", "cluster", "load", "node", "only", "refusal", "terms")

    def __init__(self, amounts: tuple[tuple[int, int], ...], terms: tuple[Term, ...], refusal: str) -> None:
        self.amounts = amounts  # (row, amount) of what is requested, plain ints
        self.terms = terms  # in kube-scheduler's filter order
        self.node = tuple(term for term in terms if term.moves is Moves.NODE)
        self.load = tuple(term for term in terms if term.moves is Moves.LOAD)
        self.cluster = tuple(term for term in terms if term.moves is Moves.CLUSTER)
        self.only: tuple[str, ...] | None = None  # names of the only nodes that come into question
        for named in (term.only for term in terms):
            if named is not None:
                self.only = named if self.only is None else tuple(name for name in self.only if name in named)
        # Why the pod is held against no node at all: a constraint that is not modelled, or terms at odds.
        self.refusal = CONFLICT if not refusal and self.only == () else refusal


class HasRows(Protocol):
    def fit_rows(self) -> None: ...


class PodClasses:
    """The table of classes of one scheduler, and the rows of its resources."""

    def __init__(self) -> None:
        self.resources: list[str] = ["cpu", "memory", "pods"]
        self._rows: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "pods": PODS}
        # A class lives as long as its pods: DaemonSets make one for each node.
        self._classes: weakref.WeakValueDictionary[Any, PodClass] = weakref.WeakValueDictionary()
        self._made = 0
        self._remembered: dict[tuple[Any, ...], tuple[PodClass, tuple[object, ...]]] = {}
        self._followers: weakref.WeakSet[HasRows] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._classes)

    def follow(self, follower: HasRows) -> None:
        """`follower` is told of every new row (and not kept alive for it)."""
        self._followers.add(follower)

    def row(self, resource: str) -> int:
        """Row of a resource in every column; a new resource gets a new row, and every class a zero for it."""
        row = self._rows.get(resource)
        if row is None:
            row = self._rows[resource] = len(self.resources)
            self.resources.append(resource)
            for cls in list(self._classes.values()):
                # The one thing that may grow: its meaning (nothing asked of an unknown resource) stays.
                object.__setattr__(cls, "requests", _read_only(np.append(cls.requests, 0)))
                object.__setattr__(cls, "amounts", (*cls.amounts, 0))
            for follower in list(self._followers):
                follower.fit_rows()
        return row

    def intern(
        self,
        requests: Mapping[str, int],
        gpu: GpuRequest = NO_GPU,
        *,
        priority: int = 0,
        before: tuple[Term, ...] = (),
        after: tuple[Term, ...] = (),
        refusal: str = "",
    ) -> PodClass:
        """The class of pods with these `requests` (milli-CPU, bytes, units; one pod is added) and constraint terms.

        `before` and `after`: terms in filter order around NodeResourcesFit and the devices.
        """
        amounts = {self.row(name): amount for name, amount in requests.items() if amount}
        amounts[PODS] = 1
        key = (tuple(sorted(amounts.items())), gpu, priority, before, after, refusal)
        cls = self._classes.get(key)
        if cls is None:
            cls = self._classes[key] = self._make(amounts, gpu, priority, before, after, refusal)
        return cls

    def _make(
        self,
        amounts: dict[int, int],
        gpu: GpuRequest,
        priority: int,
        before: tuple[Term, ...],
        after: tuple[Term, ...],
        refusal: str,
    ) -> PodClass:
        column = np.zeros(len(self.resources), dtype=np.int64)
        for row, amount in amounts.items():
            column[row] = amount
        wanted = tuple((row, amount) for row, amount in sorted(amounts.items()) if amount > 0)
        terms: list[Term] = [*before, NodeResourcesFit(wanted)]
        if gpu.count:
            terms += [GpuModel(gpu.models), GpuDevices(gpu.count, gpu.milli)]
        needs = Needs(wanted, (*terms, *after), refusal)
        self._made += 1  # never used again, so what caches by id cannot mistake one class for another
        return PodClass(self._made, _read_only(column), gpu, priority, needs)

    def of(self, pod: Pod) -> PodClass:
        """The class of a model pod."""
        spec = pod.spec
        annotations = pod.metadata.annotations
        # Pods of one template share the parts of their spec: found by identity, without reading them again.
        parts: tuple[object, ...] = (
            spec.containers,
            spec.init_containers,
            spec.node_selector,
            spec.affinity,
            spec.tolerations,
            spec.topology_spread_constraints,
            spec.overhead,
            spec.extra,
        )
        key = (*map(id, parts), spec.priority, spec.node_name, *map(annotations.get, _GPU_WORDS))
        found = self._remembered.get(key)
        if found is not None:
            return found[0]
        cls = self._read(pod)
        if len(self._remembered) >= _REMEMBER:
            self._remembered.clear()
        self._remembered[key] = (cls, parts)  # holding the parts keeps their identities from being used again
        return cls

    def _read(self, pod: Pod) -> PodClass:
        amounts, whole_gpus = requests_of(pod.spec)
        missing = unmodelled(pod)
        refusal = f"{', '.join(missing)} not modelled, so the pod is not placed" if missing else ""
        try:
            gpu = gpu_request(pod, whole_gpus)
        except ValueError as error:
            gpu, refusal = NO_GPU, str(error)
        return self.intern(
            amounts,
            gpu,
            priority=pod.spec.priority or 0,
            before=tuple(term for make in BEFORE_FIT if (term := make(pod)) is not None),
            after=tuple(term for make in AFTER_FIT if (term := make(pod)) is not None),
            refusal=refusal,
        )

    def view(self, pod: Pod, *, group_min: int = 0, lifetime_ns: int | None = None) -> PodView:
        """A model pod as strategies see it; its group is what GROUP_LABEL names."""
        meta = pod.metadata
        group = meta.labels.get(GROUP_LABEL)
        return PodView(
            meta.key,
            self.of(pod),
            meta.labels,
            meta.creation_timestamp or 0,
            f"{meta.namespace}/{group}" if group else None,
            group_min if group else 0,
            lifetime_ns,
        )


_GPU_WORDS = (GPU_COUNT, GPU_MILLI, GPU_MODEL)


def _read_only(column: Int64) -> Int64:
    column.flags.writeable = False
    return column


def requests_of(spec: PodSpec) -> tuple[dict[str, int], int]:
    """What a pod holds on a node by resource (milli-CPU, bytes, units), and its whole GPUs.

    Source: k8s.io/component-helpers/resource PodRequests (v1.32): containers and sidecars add up, an init container
    runs beside the sidecars started before it, the larger of both counts; the overhead comes on top.
    """
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _requests(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        mine = _requests(container)
        if container.restart_policy == "Always":
            _add(total, mine)
            _add(sidecars, mine)
            mine = dict(sidecars)
        else:
            _add(mine, sidecars)
        for name, amount in mine.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    _add(total, _amounts(spec.overhead))
    return total, total.pop(WHOLE_GPU, 0)


def _requests(container: Container) -> dict[str, int]:
    return _amounts(container.resources.requests)


def _amounts(resources: ResourceList) -> dict[str, int]:
    return {name: q.milli if name == "cpu" else q.value for name, q in resources.items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def gpu_request(pod: Pod, whole: int) -> GpuRequest:
    """From the annotations of open-gpu-share, else from `whole` devices. Raises ValueError when one is no integer."""
    annotations = pod.metadata.annotations
    milli = _int(annotations, GPU_MILLI, 0)
    count = _int(annotations, GPU_COUNT, 1 if milli else 0)
    models = tuple(filter(None, annotations.get(GPU_MODEL, "").split("|")))  # as written, a repeated one included
    if count:
        return GpuRequest(count, milli or DEVICE_MILLI, models)
    return GpuRequest(whole, DEVICE_MILLI, models) if whole else NO_GPU


def _int(annotations: Mapping[str, str], key: str, default: int) -> int:
    text = annotations.get(key)
    if not text:
        return default
    if not text.isdecimal():
        raise ValueError(f"annotation {key}: {text!r} is not a whole number")
    return int(text)


def bound_devices(pod: Pod) -> tuple[int, ...] | None:
    """The devices that a bound pod holds, from its GPU_INDEX annotation; None when it says nothing."""
    text = pod.metadata.annotations.get(GPU_INDEX)
    return parse_devices(text) if text else None


def node_columns(node: Node) -> dict[str, Any]:
    """The arguments of Snapshot.add_node and update_node for a model node; a RANK that is no whole number is none."""
    capacity = _amounts(node.status.allocatable)
    rank = node.metadata.annotations.get(RANK, "")
    whole = capacity.pop(WHOLE_GPU, 0)
    devices = capacity.pop(GPU_COUNT, whole)
    capacity.pop(GPU_MILLI, None)  # says the same as the count of devices
    return {
        "name": node.metadata.name,
        "capacity": capacity,
        "gpu_devices": devices,
        "gpu_model": node.metadata.labels.get(GPU_MODEL, ""),
        "labels": node.metadata.labels,
        "taints": node.spec.taints,
        "unschedulable": bool(node.spec.unschedulable),
        "rank": int(rank) if rank.isdecimal() else None,
    }
