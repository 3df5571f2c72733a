"""Pods of a dump's DaemonSets and StatefulSets know their template by this cluster's hashes, so that none is made anew.

Kubernetes hashes Go's own text of a template (see `template_hash`), so that the hash in a pod's label means nothing
here: left as it is, every such pod would look outdated, and be rolled at the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.revisions import data_of
from harness.controllers.runtime.template_hash import template_hash
from harness.controllers.workloads.daemonset import HASH
from harness.model.core import Pod
from harness.model.workloads import ControllerRevision, DaemonSet, StatefulSet


def with_known_revisions(objects: Sequence[Any]) -> list[Any]:
    """The same objects, in their order. Pods of an older template than their owner's stay outdated."""
    pods: dict[str, list[Pod]] = {}
    revisions: dict[str, set[str]] = {}
    for obj in objects:
        for owner in obj.metadata.owner_references:
            if owner.controller and isinstance(obj, Pod) and owner.kind in ("DaemonSet", "StatefulSet"):
                pods.setdefault(owner.uid, []).append(obj)
            elif isinstance(obj, ControllerRevision):
                revisions.setdefault(owner.uid, set()).add(obj.metadata.name)
    hashes: dict[str, tuple[str, str]] = {}  # by the uid of the owner: the hash that its pods have, and are to have
    renewed: dict[str, Any] = {}  # by uid
    data: dict[str, Any] = {}  # by the uid of the owner and the name of the revision
    for obj in objects:
        uid = obj.metadata.uid
        if isinstance(obj, DaemonSet) and uid in pods and obj.status.updated_number_scheduled != 0:
            newest = max(pods[uid], key=lambda pod: (pod.metadata.creation_timestamp or 0, pod.metadata.name))
            old = newest.metadata.labels.get(HASH, "")
            hashes[uid] = (old, template_hash(obj.spec.template, 0))
        elif isinstance(obj, StatefulSet) and obj.status.update_revision:
            old = obj.status.update_revision
            if old in revisions.get(uid, ()):
                data[f"{uid}/{old}"] = data_of(obj.spec.template)  # which is what it says, in other words
                continue
            new = f"{obj.metadata.name}-{template_hash(obj.spec.template, obj.status.collision_count or 0)}"
            hashes[uid] = (old, new)
            current = new if obj.status.current_revision == old else obj.status.current_revision
            renewed[uid] = replace(obj, status=replace(obj.status, update_revision=new, current_revision=current))
    return [_renewed(obj, hashes, renewed, data) for obj in objects]


def _renewed(
    obj: Any, hashes: Mapping[str, tuple[str, str]], renewed: Mapping[str, Any], data: Mapping[str, Any]
) -> Any:
    for owner in obj.metadata.owner_references:
        if isinstance(obj, Pod) and owner.uid in hashes:
            old, new = hashes[owner.uid]
            labels = obj.metadata.labels
            if labels.get(HASH, "") == old:
                return replace(obj, metadata=replace(obj.metadata, labels={**labels, HASH: new}))
        elif isinstance(obj, ControllerRevision) and f"{owner.uid}/{obj.metadata.name}" in data:
            return replace(obj, data=data[f"{owner.uid}/{obj.metadata.name}"])
    return renewed.get(obj.metadata.uid, obj)
