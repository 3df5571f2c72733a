"""Pods into pod classes: what the scheduler needs to know of a spec, interned, so that equal specs share one object."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np

from harness.model.core import Container, Node, Pod, PodSpec
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_INDEX, GPU_MILLI, GPU_MODEL, WHOLE_GPU, parse_devices
from harness.model.meta import ObjectMeta
from harness.model.pod_amounts import pod_amounts, resource_amounts, thousandths
from harness.scheduling.filters import BEFORE_FIT, ExistingAntiAffinity, Filter, Scope, after_fit, unmodelled
from harness.scheduling.filters.gpu_devices import GpuDevices, GpuModel
from harness.scheduling.filters.malformed import malformed
from harness.scheduling.filters.node_affinity import CONFLICT
from harness.scheduling.filters.node_ports import HostPort, NodePorts
from harness.scheduling.filters.node_resources_fit import NodeResourcesFit
from harness.scheduling.filters.volumes import VolumeBinding, claims_of, owned_by
from harness.scheduling.matching.affinity_terms import AffinityTerms, label_key
from harness.scheduling.matching.owner_selectors import CONTROLLERS, OwnerSelectors
from harness.scheduling.matching.pod_selectors import Labels, Namespaces
from harness.scheduling.pods.preferences import AllPreferences, Preferences
from harness.scheduling.state.columns import frozen
from harness.scheduling.state.resource_names import counted
from harness.scheduling.state.volume_catalog import VolumeCatalog
from harness.scheduling.strategy import CPU, MEMORY, NO_GPU, PODS, GpuRequest, PodClass, PodView

GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
"""Pod label that names its PodGroup (kubernetes-sigs/scheduler-plugins, coscheduling)."""

RANK = "podyard.dev/rank"
"""Node annotation: the node's place in the order that breaks ties, lowest first; without it, order of arrival."""

_CACHE_SIZE = 4096  # pod templates whose class is found by the identity of their parts


@dataclass(frozen=True, slots=True)
class ClassKey:
    """What a class follows from, apart from the pods that run."""

    amounts: tuple[tuple[int, int], ...]
    gpu: GpuRequest
    priority: int
    before: tuple[Filter, ...]
    after: tuple[Filter, ...]
    refusal: str
    # (milli-CPU, bytes) beyond the requests that kube-scheduler's scores assume for containers without any; () for none
    non_requested: tuple[int, ...]


class PodConstraints:
    """The harness's own part of a PodClass (`PodClass.constraints`): the terms, split by what can turn them."""

    __slots__ = (
        "amounts",
        "claims",
        "cluster",
        "key",
        "node",
        "node_names",
        "node_usage",
        "non_requested",
        "ports",
        "refusal",
        "repelled",
        "terms",
    )

    def __init__(
        self, amounts: tuple[tuple[int, int], ...], terms: tuple[Filter, ...], key: ClassKey, repelled: tuple[int, ...]
    ) -> None:
        self.amounts = amounts  # (row, amount) of what is requested, plain ints
        self.key = key
        self.non_requested = key.non_requested
        self.repelled = repelled  # numbers of the terms of running pods that keep the pod away
        self.ports: tuple[HostPort, ...] = next((term.ports for term in terms if isinstance(term, NodePorts)), ())
        self.claims = next((term.claims for term in terms if isinstance(term, VolumeBinding)), ())  # 'namespace/name'
        refusal = key.refusal
        self.terms = terms  # in kube-scheduler's filter order
        self.node = tuple(term for term in terms if term.scope is Scope.NODE)
        self.node_usage = tuple(term for term in terms if term.scope is Scope.NODE_USAGE)
        self.cluster = tuple(term for term in terms if term.scope is Scope.CLUSTER)
        self.node_names: tuple[str, ...] | None = None  # names of the only nodes that come into question
        for named in (term.node_names for term in terms):
            if named is not None:
                self.node_names = (
                    named if self.node_names is None else tuple(name for name in self.node_names if name in named)
                )
        # Why the pod is held against no node at all: a constraint that is not modelled, or terms at odds.
        self.refusal = CONFLICT if not refusal and self.node_names == () else refusal


class HasRows(Protocol):
    def fit_rows(self) -> None: ...

    def namespaces_changed(self) -> None: ...

    def volumes_changed(self, obj: object, gone: bool) -> None: ...


class PodClasses:
    """The table of classes of one scheduler, and the rows of its resources."""

    def __init__(self) -> None:
        self.resources: list[str] = ["cpu", "memory", "pods"]
        self._rows: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "pods": PODS}
        # A class lives as long as its pods: DaemonSets make one for each node.
        self._classes: weakref.WeakValueDictionary[Any, PodClass] = weakref.WeakValueDictionary()
        self._made = 0
        self.namespaces = Namespaces()
        self.affinity_terms = AffinityTerms(self.namespaces)
        self.owner_selectors = OwnerSelectors()
        self.volumes = VolumeCatalog()
        self._preferences = AllPreferences()
        self._remembered: dict[tuple[Any, ...], _Read] = {}
        self._derived: dict[tuple[int, tuple[int, ...]], PodClass] = {}
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
                object.__setattr__(cls, "requests", frozen(np.append(cls.requests, 0)))
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
        before: tuple[Filter, ...] = (),
        after: tuple[Filter, ...] = (),
        refusal: str = "",
        non_requested: tuple[int, ...] = (),
    ) -> PodClass:
        """The class of pods with these `requests` (milli-CPU, bytes, units; one pod is added) and constraint terms.

        `before` and `after`: terms in filter order around NodeResourcesFit and the devices.
        """
        amounts = {self.row(name): amount for name, amount in requests.items() if amount}
        amounts[PODS] = 1
        return self._intern(
            ClassKey(tuple(sorted(amounts.items())), gpu, priority, before, after, refusal, non_requested), ()
        )

    def _intern(self, key: ClassKey, repelled: tuple[int, ...]) -> PodClass:
        both = (key, repelled)
        cls = self._classes.get(both)
        if cls is None:
            cls = self._classes[both] = self._make(key, repelled)
        return cls

    def _make(self, key: ClassKey, repelled: tuple[int, ...]) -> PodClass:
        column = np.zeros(len(self.resources), dtype=np.int64)
        for row, amount in key.amounts:
            column[row] = amount
        wanted = tuple((row, amount) for row, amount in key.amounts if amount > 0)
        terms: list[Filter] = [*key.before, NodeResourcesFit(wanted)]
        gpu = key.gpu
        if gpu.count:
            terms += [GpuModel(gpu.models), GpuDevices(gpu.count, gpu.milli)]
        terms += key.after
        if repelled:
            terms.append(ExistingAntiAffinity(repelled))
        self._made += 1  # never used again, so what caches by id cannot mistake one class for another
        return PodClass(
            self._made, frozen(column), gpu, key.priority, PodConstraints(wanted, tuple(terms), key, repelled)
        )

    # -- pods that others keep away ----------------------------------------------------------------------------------

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        """The labels of a namespace, None when it is gone: what namespaceSelector looks at."""
        if self.namespaces.put(name, labels):
            for follower in list(self._followers):
                follower.namespaces_changed()

    def learn_volumes(self, obj: object, *, gone: bool = False) -> bool:
        """A volume, claim or storage class as it is now; False when `obj` is none."""
        if not self.volumes.learn(obj, gone=gone):
            return False
        for follower in list(self._followers):
            follower.volumes_changed(obj, gone)
        return True

    def class_now(self, pod: PodView) -> PodClass:
        """The class of a view made earlier: anti-affinity heard of since may have split its class."""
        if not self.affinity_terms.repelling:
            return pod.cls
        return self._repelled(pod.cls, pod.namespace, pod.labels)

    def current(self, pod: PodView) -> PodView:
        """The same view with its class as it is now."""
        cls = self.class_now(pod)
        return pod if cls is pod.cls else replace(pod, cls=cls)

    def _repelled(self, cls: PodClass, namespace: str, labels: Labels) -> PodClass:
        numbers = self.affinity_terms.against(namespace, labels)[0]
        constraints: PodConstraints = cls.constraints
        if numbers == constraints.repelled:
            return cls
        key = (cls.id, numbers)
        found = self._derived.get(key)
        if found is None:
            if len(self._derived) >= _CACHE_SIZE:
                self._derived.clear()
            found = self._derived[key] = self._intern(constraints.key, numbers)
        return found

    def of(self, pod: Pod) -> PodClass:
        """The class of a model pod."""
        cls = self._find(pod)[0]
        if not self.affinity_terms.repelling:
            return cls
        return self._repelled(cls, pod.metadata.namespace, pod.metadata.labels)

    def _find(self, pod: Pod) -> _Read:
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
        affinity = spec.affinity
        told_apart: Any = None  # by the terms that look at the pod's own namespace and labels
        if spec.topology_spread_constraints or (affinity and (affinity.pod_affinity or affinity.pod_anti_affinity)):
            told_apart = label_key(pod.metadata.namespace, pod.metadata.labels)
        if spec.extra is not None and "volumes" in spec.extra and claims_of(pod):
            told_apart = (told_apart, pod.metadata.namespace, owned_by(pod))
        key = (
            *map(id, parts),
            spec.priority,
            spec.node_name,
            spec.scheduler_name,
            told_apart,
            *map(annotations.get, _GPU_WORDS),
        )
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= _CACHE_SIZE:
                self._remembered.clear()
            # Holding the parts keeps their identities from being used again.
            found = (self._read(pod), self.affinity_terms.of(pod), self._preferences.of(pod), parts)
            self._remembered[key] = found
        return found

    def _read(self, pod: Pod) -> PodClass:
        amounts, whole_gpus = requests_of(pod.spec)
        missing = unmodelled(pod)
        refusal = f"{', '.join(missing)} not modelled, so the pod is not placed" if missing else malformed(pod)
        try:
            gpu = gpu_request(pod, whole_gpus)
        except ValueError as error:
            gpu, refusal = NO_GPU, str(error)
        return self.intern(
            amounts,
            gpu,
            priority=pod.spec.priority or 0,
            before=tuple(term for make in BEFORE_FIT if (term := make(pod)) is not None),
            after=after_fit(pod),
            refusal=refusal,
            non_requested=_non_requested(pod.spec, amounts),
        )

    def view(self, pod: Pod, *, group_min: int = 0, lifetime_ns: int | None = None) -> PodView:
        """A model pod as strategies see it; its group is what GROUP_LABEL names."""
        meta = pod.metadata
        group = meta.labels.get(GROUP_LABEL)
        cls, affinity_term_ids, preferences, _ = self._find(pod)
        if self.affinity_terms.repelling:
            cls = self._repelled(cls, meta.namespace, meta.labels)
        return PodView(
            meta.key,
            cls,
            MappingProxyType(meta.labels),  # the API object's own: nobody writes there
            meta.creation_timestamp or 0,
            f"{meta.namespace}/{group}" if group else None,
            group_min if group else 0,
            lifetime_ns,
            affinity_term_ids,
            preferences,
            meta.deletion_timestamp is not None,
            _owner(meta),
        )


_Read: TypeAlias = tuple[PodClass, tuple[int, ...], Preferences, tuple[object, ...]]
"""What a spec was found to be: class (others' anti-affinity aside), terms carried, preferences, the parts read."""

_GPU_WORDS = (GPU_COUNT, GPU_MILLI, GPU_MODEL)


def _owner(meta: ObjectMeta) -> tuple[str, str] | None:
    if not meta.owner_references:
        return None
    owner = meta.controller()
    if owner is None:
        return None
    known = CONTROLLERS.get(owner.kind)
    # A kind of somebody else's that has the name of one of Kubernetes' own is not that one.
    return (owner.kind if known in (None, owner.api_version) else f"{owner.kind}.{owner.api_version}"), owner.name


ASSUMED: Mapping[str, int] = {"cpu": 100, "memory": 200 << 20}
"""Milli-CPU and bytes that kube-scheduler's scores assume for a container that requests none.
Source: kube-scheduler 1.32 util/pod_resources.go DefaultMilliCPURequest, DefaultMemoryRequest."""


def _non_requested(spec: PodSpec, amounts: Mapping[str, int]) -> tuple[int, ...]:
    assumed, _ = requests_of(spec, ASSUMED)
    out = tuple(assumed.get(name, 0) - amounts.get(name, 0) for name in ASSUMED)
    return out if any(out) else ()


def requests_of(spec: PodSpec, assumed: Mapping[str, int] | None = None) -> tuple[dict[str, int], int]:
    """What a pod holds on a node by resource (milli-CPU, bytes, units), and its whole GPUs.

    `assumed`: amounts of a container that requests none of that resource.
    """

    def asked(container: Container) -> dict[str, int]:
        mine = thousandths(container.resources.requests)
        return mine if not assumed else {**{name: amount * _WHOLE[name] for name, amount in assumed.items()}, **mine}

    total = {
        name: amount if name == "cpu" else -(-amount // 1000)
        for name, amount in pod_amounts(spec, asked).items()
        if counted(name)
    }
    return total, total.pop(WHOLE_GPU, 0)


_WHOLE = {"cpu": 1, "memory": 1000}  # thousandths of what ASSUMED counts in


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
    capacity = resource_amounts(node.status.allocatable)
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
        "images": tuple((image.names, image.size_bytes or 0) for image in node.status.images),
    }
