"""Pods into pod classes: what the scheduler needs to know of a spec, interned, so that equal specs share one object."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from msgspec.structs import replace as model_replace

from harness.model.core import Pod
from harness.model.gpu import DEVICE_MILLI
from harness.model.meta import ObjectMeta
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.filters.filter import Filter
from harness.scheduling.filters.gpu_devices import GpuDevices, GpuModel
from harness.scheduling.filters.inter_pod_affinity import ExistingAntiAffinity
from harness.scheduling.filters.node_name import make_filters as make_node_name
from harness.scheduling.filters.node_ports import NodePorts
from harness.scheduling.filters.node_resources_fit import NodeResourcesFit
from harness.scheduling.filters.order import filters_of, in_order
from harness.scheduling.filters.outside import OutsideFilters
from harness.scheduling.filters.pod_constraints import PodConstraints, constraints_of
from harness.scheduling.filters.unmodelled import unmodelled
from harness.scheduling.filters.volume_binding import VolumeBinding
from harness.scheduling.matching.owner_selectors import CONTROLLERS
from harness.scheduling.matching.pod_selectors import Labels
from harness.scheduling.pods.preferences import AllPreferences, Preferences
from harness.scheduling.pods.requests import gpu_request, non_requested, requests_of
from harness.scheduling.pods.spec_key import key_fields, metadata_key, spec_key, visible_pod, with_metadata
from harness.scheduling.state.columns import frozen
from harness.scheduling.state.shared_tables import SharedTables
from harness.scheduling.strategy import NO_GPU, PODS, Footprint, GpuRequest, PodClass, PodView

GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
"""Pod label that names its PodGroup (kubernetes-sigs/scheduler-plugins, coscheduling)."""

_CACHE_SIZE = 4096  # pod templates whose class is found by the identity of their parts


@dataclass(frozen=True, slots=True)
class ClassKey:
    """What a class follows from, by value. `repelling`: ids of the affinity terms of running pods that keep it away."""

    amounts: tuple[tuple[int, int], ...]
    gpu: GpuRequest
    priority: int
    filters: tuple[Filter, ...]
    refusal: str
    non_requested: tuple[int, ...]  # see Footprint
    repelling: tuple[int, ...] = ()


class PodClasses:
    """The table of classes of one scheduler, made with `tables`; with tables of its own where there are none.

    `filters`: the Filter plugins of others that its pods are held to.
    """

    def __init__(self, tables: SharedTables | None = None, filters: Iterable[FilterPlugin] = ()) -> None:
        """Raises UserError for two Filter plugins of one name."""
        self.tables = SharedTables() if tables is None else tables
        self._outside = OutsideFilters(filters)
        self._asks_outside = bool(self._outside.plugins)
        # A class lives as long as its pods: DaemonSets make one for each node.
        self._classes: weakref.WeakValueDictionary[ClassKey, PodClass] = weakref.WeakValueDictionary()
        self._keys: weakref.WeakKeyDictionary[PodClass, ClassKey] = weakref.WeakKeyDictionary()
        self._made = 0
        self._preferences = AllPreferences()
        self._cache: dict[tuple[Any, ...], _Read] = {}
        self._repelled: dict[tuple[int, tuple[int, ...]], PodClass] = {}
        self.tables.rows.follow(self)

    def __len__(self) -> int:
        return len(self._classes)

    def fresh(self) -> PodClasses:
        """A table without classes, with tables of its own and the same Filter plugins."""
        return PodClasses(filters=self._outside.plugins)

    @property
    def filter_plugins(self) -> tuple[FilterPlugin, ...]:
        """Those of others."""
        return self._outside.plugins

    def fit_rows(self) -> None:
        """Resources were heard of: no class asks for any of them, and so each gets a zero for it."""
        for cls in list(self._classes.values()):
            missing = len(self.tables.rows) - len(cls.amounts)
            # The one thing that may grow: its meaning (nothing asked of an unknown resource) stays.
            object.__setattr__(cls, "requests", frozen(np.append(cls.requests, [0] * missing)))
            object.__setattr__(cls, "amounts", (*cls.amounts, *[0] * missing))

    def intern(
        self,
        requests: Mapping[str, int],
        gpu: GpuRequest = NO_GPU,
        *,
        priority: int = 0,
        filters: Iterable[Filter] = (),
        refusal: str = "",
        non_requested: tuple[int, ...] = (),
    ) -> PodClass:
        """The class of pods with these `requests` (milli-CPU, bytes, units; one pod is added) and `filters`.

        The filters of NodeResourcesFit and GpuDevices are added. `refusal`: see PodConstraints.
        """
        amounts = {self.tables.rows.row(name): amount for name, amount in requests.items() if amount}
        amounts[PODS] = 1
        rows = tuple(sorted(amounts.items()))
        return self._intern(ClassKey(rows, gpu, priority, tuple(filters), refusal, non_requested))

    def _intern(self, key: ClassKey) -> PodClass:
        cls = self._classes.get(key)
        if cls is None:
            cls = self._classes[key] = self._make(key)
            self._keys[cls] = key
        return cls

    def _make(self, key: ClassKey) -> PodClass:
        column = np.zeros(len(self.tables.rows), dtype=np.int64)
        for row, amount in key.amounts:
            column[row] = amount
        wanted = tuple((row, amount) for row, amount in key.amounts if amount > 0)
        gpu = key.gpu
        devices = GpuDevices(gpu.count, gpu.milli) if gpu.count else None
        whole = devices if gpu.milli == DEVICE_MILLI else None  # nvidia.com/gpu, a resource like any other
        filters: list[Filter] = [*key.filters, NodeResourcesFit(wanted, whole)]
        if devices is not None:
            if gpu.models or whole is None:
                filters.append(GpuModel(gpu.models))
            filters.append(devices)
        if key.repelling:
            filters.append(ExistingAntiAffinity(key.repelling))
        footprint = Footprint(
            wanted,
            next((item.ports for item in filters if isinstance(item, NodePorts)), ()),
            tuple(dict.fromkeys(key for item in filters if isinstance(item, VolumeBinding) for key in item.claims)),
            key.non_requested,
        )
        self._made += 1  # never used again, so what caches by id cannot mistake one class for another
        constraints = PodConstraints(in_order(filters), key.refusal, key.repelling)
        return PodClass(self._made, frozen(column), gpu, key.priority, footprint, constraints)

    # -- pods that others keep away ----------------------------------------------------------------------------------

    def class_now(self, pod: PodView) -> PodClass:
        """The class of a view made earlier: anti-affinity heard of since may have split its class."""
        if not self.tables.affinity_terms.repelling:
            return pod.cls
        return self._with_repelling(pod.cls, pod.namespace, pod.labels)

    def current(self, pod: PodView) -> PodView:
        """The same view with its class as it is now."""
        cls = self.class_now(pod)
        return pod if cls is pod.cls else replace(pod, cls=cls)

    def _with_repelling(self, cls: PodClass, namespace: str, labels: Labels) -> PodClass:
        repelling = self.tables.affinity_terms.matching(namespace, labels)[0]
        constraints = constraints_of(cls)
        if repelling == constraints.repelling:
            return cls
        key = (cls.id, repelling)
        found = self._repelled.get(key)
        if found is None:
            if len(self._repelled) >= _CACHE_SIZE:
                self._repelled.clear()
            found = self._repelled[key] = self._intern(replace(self._keys[cls], repelling=repelling))
        return found

    # -- from the API's pods -----------------------------------------------------------------------------------------

    def class_of(self, pod: Pod) -> PodClass:
        """The class of a model pod."""
        cls = self._find(pod)[0]
        if not self.tables.affinity_terms.repelling:
            return cls
        return self._with_repelling(cls, pod.metadata.namespace, pod.metadata.labels)

    def _find(self, pod: Pod) -> _Read:
        spec = pod.spec
        # Pods of one template share the parts of their spec: found by identity, without reading them again.
        fields = key_fields(type(spec))
        parts = fields.parts(spec)
        key = spec_key(pod, fields, parts)
        if self._asks_outside:
            key = (*key, *metadata_key(pod))
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            if spec.node_name and not self._asks_outside:
                found = self._find_named(pod)
            else:
                seen = visible_pod(pod)
                # Holding the parts keeps their identities from being used again.
                outside = self._outside.of_pod(with_metadata(seen, pod)) if self._asks_outside else ()
                cls = self._read(seen, outside)
                found = (cls, self.tables.affinity_terms.ids_of(seen), self._preferences.intern(seen), parts)
            self._cache[key] = found
        return found

    def _find_named(self, pod: Pod) -> _Read:
        """Of a pod that names its node: NodeName alone looks at that, so the rest is read once for all nodes."""
        found = self._find(model_replace(pod, spec=model_replace(pod.spec, node_name="")))
        key = self._keys[found[0]]
        filters = in_order((*make_node_name(pod), *key.filters))
        return self._intern(replace(key, filters=filters)), *found[1:]

    def _read(self, pod: Pod, outside: tuple[Filter, ...]) -> PodClass:
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
            filters=(*filters_of(pod), *outside),
            refusal=refusal,
            non_requested=non_requested(pod.spec, amounts),
        )

    def view(self, pod: Pod, *, group_min: int = 0, lifetime_ns: int | None = None) -> PodView:
        """A model pod as strategies see it; its group is what GROUP_LABEL names."""
        meta = pod.metadata
        group = meta.labels.get(GROUP_LABEL)
        cls, affinity_term_ids, preferences, _ = self._find(pod)
        if self.tables.affinity_terms.repelling:
            cls = self._with_repelling(cls, meta.namespace, meta.labels)
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
"""What a spec was found to be: class (others' anti-affinity aside), its affinity terms, preferences, the parts read."""


def _owner(meta: ObjectMeta) -> tuple[str, str] | None:
    if not meta.owner_references:
        return None
    owner = meta.controller()
    if owner is None:
        return None
    known = CONTROLLERS.get(owner.kind)
    # A kind of somebody else's that has the name of one of Kubernetes' own is not that one.
    return (owner.kind if known in (None, owner.api_version) else f"{owner.kind}.{owner.api_version}"), owner.name
