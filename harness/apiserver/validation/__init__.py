"""What is wrong with an object, each with its field path; nothing wrong gives an empty tuple.

Source: pkg/apis/*/validation and apimachinery pkg/util/validation. Pods of one template share their spec and labels;
what is shared is looked at once.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.validation.cluster import CLUSTER
from harness.apiserver.validation.names import (
    is_subdomain,
    label_problems,
    meta_problems,
    owner_problems,
    part_problems,
)
from harness.apiserver.validation.pods import pod_spec_problems, pod_update_problems
from harness.apiserver.validation.storage import STORAGE
from harness.apiserver.validation.workloads import WORKLOADS
from harness.model.core import Pod, PodSpec
from harness.model.objects import Kind
from harness.model.status import Cause

_REMEMBERED = 4096
_OTHERS = {**CLUSTER, **STORAGE, **WORKLOADS}
_FINE: tuple[Cause, ...] = ()


def problems(kind: Kind, obj: Any, old: Any, name: str) -> tuple[Cause, ...]:
    """`old`: what it was, None for a new object; `name`: a generated one included."""
    if type(obj) is Pod:
        return _pod(kind, obj, old, name)
    found = meta_problems(kind, obj.metadata, name) if old is None else part_problems(obj.metadata)
    check = _OTHERS.get(kind.kind)
    if check is not None:
        found += check(obj, old)
    return tuple(found)


_sound_specs: dict[int, PodSpec] = {}
_sound_labels: dict[int, dict[str, str]] = {}


def _pod(kind: Kind, pod: Pod, old: Pod | None, name: str) -> tuple[Cause, ...]:
    """The path of every pod: nothing is looked at twice that is the same object."""
    meta, spec = pod.metadata, pod.spec
    labels = meta.labels
    quick = (
        (not labels or _sound_labels.get(id(labels)) is labels or _labels_sound(labels))
        and not meta.annotations
        and not meta.finalizers
        and (old is not None or (name != "" and is_subdomain(name)))
    )
    found: list[Cause] = []
    if not quick:
        found = meta_problems(kind, meta, name) if old is None else part_problems(meta)
    elif meta.owner_references:
        found = owner_problems(meta.owner_references, "metadata.ownerReferences")
    if old is None:
        if _sound_specs.get(id(spec)) is not spec:
            wrong = pod_spec_problems(spec, "spec")
            found += wrong
            if not wrong:
                if len(_sound_specs) >= _REMEMBERED:
                    _sound_specs.clear()
                _sound_specs[id(spec)] = spec
    elif spec is not old.spec:
        # What it already was is not held against an update.
        found += pod_update_problems(spec, old.spec) or pod_spec_problems(spec, "spec")
    return tuple(found) if found else _FINE


def _labels_sound(labels: dict[str, str]) -> bool:
    if label_problems(labels, ""):
        return False
    if len(_sound_labels) >= _REMEMBERED:
        _sound_labels.clear()
    _sound_labels[id(labels)] = labels
    return True
