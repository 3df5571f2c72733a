"""By which fields of a pod its class is found, and that nothing else is read to make the class.

The key is derived from the type PodSpec: every field that it has now or will have counts, but for those that are named
here as irrelevant. Whatever makes a class (filters, requests, preferences, affinity terms) is handed `visible_pod`, in
which all that the key leaves out is absent. So a field that is forgotten here cannot make two different pods share a
class: it is either in the key, or nobody can see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT
from msgspec.structs import fields, replace

from harness.model.core import Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.scheduling.filters.volume_claims import has_claims, has_ephemeral
from harness.scheduling.matching.affinity_terms import label_key
from harness.scheduling.pods.requests import GPU_ANNOTATIONS

IRRELEVANT_FIELDS: dict[str, str] = {
    "scheduling_gates": "a pod that has any is not queued",
    "priority_class_name": "admission has resolved it into the priority",
    "preemption_policy": "preemption reads it from the pod itself",
    "restart_policy": "the kubelet's; that of an init container is among its containers",
    "termination_grace_period_seconds": "the kubelet's",
    "active_deadline_seconds": "the kubelet's",
    "service_account_name": "who the pod is to the API server",
}
"""Fields of PodSpec that matter neither to where a pod may go nor to what it takes or prefers, with the reason."""

_NO_GPU_ANNOTATIONS = (None,) * len(GPU_ANNOTATIONS)

_SCALARS = (str, int, bool, float, NoneType)


@dataclass(frozen=True, slots=True)
class KeyFields:
    """Of one type of spec. `values`: fields that are compared as values; `parts`: by identity, as pods of one template
    share them and they are dear to compare."""

    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    parts: Callable[[Any], tuple[Any, ...]]


@cache
def key_fields(spec: type[PodSpec]) -> KeyFields:
    hints = get_type_hints(spec)
    names = tuple(field.name for field in fields(spec) if field.name not in IRRELEVANT_FIELDS)
    scalars = [name for name in names if _is_scalar(hints[name])]
    return KeyFields(names, _getter(scalars), _getter([name for name in names if name not in scalars]))


def spec_key(pod: Pod, key_fields: KeyFields, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Equal for pods of one class, as long as their `parts` live: hold them with the key."""
    spec, meta = pod.spec, pod.metadata
    own: Any = None
    if _reads_labels(spec):
        own = label_key(meta.namespace, meta.labels)
    if spec.extra is not None and has_claims(spec):  # named in its namespace; an ephemeral one after the pod itself
        own = (own, meta.namespace, (meta.name, meta.uid) if has_ephemeral(spec) else None)
    annotations = meta.annotations
    gpu = tuple(map(annotations.get, GPU_ANNOTATIONS)) if annotations else _NO_GPU_ANNOTATIONS
    return *map(id, parts), *key_fields.values(spec), own, gpu


def visible_pod(pod: Pod) -> Pod:
    """The pod without all that `spec_key` does not tell apart."""
    spec, meta = pod.spec, pod.metadata
    labels, claims = _reads_labels(spec), has_claims(spec)
    ephemeral = claims and has_ephemeral(spec)
    return Pod(
        metadata=ObjectMeta(
            namespace=meta.namespace if labels or claims else "",
            labels=meta.labels if labels else {},
            name=meta.name if ephemeral else "",
            uid=meta.uid if ephemeral else "",
            annotations={key: meta.annotations[key] for key in GPU_ANNOTATIONS if key in meta.annotations},
        ),
        spec=replace(spec, **_irrelevant_defaults(type(spec))),
    )


def metadata_key(pod: Pod) -> tuple[Any, ...]:
    """What else tells pods apart where Filter plugins of others, which may look at all of this, are asked."""
    meta = pod.metadata
    return meta.namespace, frozenset(meta.labels.items()), frozenset(meta.annotations.items())


def with_metadata(seen: Pod, pod: Pod) -> Pod:
    """`visible_pod` with what `metadata_key` tells apart besides."""
    meta = pod.metadata
    shown = ObjectMeta(namespace=meta.namespace, labels=meta.labels, annotations=meta.annotations)
    return Pod(metadata=shown, spec=seen.spec)


def _reads_labels(spec: PodSpec) -> bool:
    """Its constraints look at the pod's own namespace and labels."""
    affinity = spec.affinity
    if affinity is not None and (affinity.pod_affinity is not None or affinity.pod_anti_affinity is not None):
        return True
    return len(spec.topology_spread_constraints) > 0


@cache
def _irrelevant_defaults(spec: type[PodSpec]) -> dict[str, Any]:
    return {
        field.name: field.default_factory() if field.default is NODEFAULT else field.default
        for field in fields(spec)
        if field.name in IRRELEVANT_FIELDS
    }


def _is_scalar(hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return all(map(_is_scalar, get_args(hint)))
    return hint in _SCALARS


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) < 2:  # attrgetter answers with no tuple then
        return lambda spec: tuple(getattr(spec, name) for name in names)
    return attrgetter(*names)
