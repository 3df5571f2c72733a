"""Owners that a dump speaks of and does not hold: ReplicaSets and DaemonSets are made up from their pods.

Without them an evicted pod would be gone for good, and a pod whose owner is not there is garbage. Nobody can say
whether the owner of another kind was there: what it owned loses the reference, and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.workloads.deployment.revisions import TEMPLATE_HASH
from harness.model.core import Node, Pod, PodTemplateSpec
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.workloads import DaemonSet, DaemonSetSpec, Deployment, ReplicaSet, ReplicaSetSpec

EVERYTHING = "kubectl get nodes,pods,deployments,replicasets,daemonsets,statefulsets,jobs,pdb,hpa,services -A -o yaml"
"""Dumps what a run goes on from."""

_OF_REVISIONS = ("controller-revision-hash", "pod-template-generation")
"""Labels that a DaemonSet's controller writes on its pods: in no selector and no template."""


def with_owners(objects: Sequence[Any], nodes: Iterable[Node], notices: list[str]) -> list[Any]:
    """The owners that are made up, then the objects; `notices` gets a line about each that was missing."""
    made_up = _made_up(objects)
    if made_up:
        notices.append(
            f"{len(made_up)} owners of pods are not in the dump and are made up from their pods: {EVERYTHING}"
        )
    return _without_missing([*made_up, *objects], nodes, notices)


def _made_up(objects: Iterable[Any]) -> list[Any]:
    there = {obj.metadata.uid for obj in objects}
    wanted: dict[str, tuple[OwnerReference, list[Pod]]] = {}
    for obj in objects:
        if isinstance(obj, Pod):
            for owner in obj.metadata.owner_references:
                if owner.controller and owner.uid not in there and owner.kind in ("ReplicaSet", "DaemonSet"):
                    wanted.setdefault(owner.uid, (owner, []))[1].append(obj)
    out = [_owner(owner, pods) for owner, pods in wanted.values()]
    newest = {uid: max(pod.metadata.creation_timestamp or 0 for pod in pods) for uid, (_, pods) in wanted.items()}
    replaced: dict[str, ReplicaSet] = {}
    for deployment in (obj for obj in objects if isinstance(obj, Deployment)):
        own = [item for item in out if isinstance(item, ReplicaSet) and _is_of(deployment, item)]
        if own:
            latest = max(own, key=lambda item: newest[item.metadata.uid])
            replaced |= {item.metadata.uid: _owned(deployment, item, item is latest) for item in own}
    return [replaced.get(item.metadata.uid, item) for item in out]


def _owner(owner: OwnerReference, pods: Sequence[Pod]) -> DaemonSet | ReplicaSet:
    first = pods[0]
    shared = set.intersection(*(set(pod.metadata.labels.items()) for pod in pods))
    labels = {name: value for name, value in sorted(shared) if name not in _OF_REVISIONS}
    meta = ObjectMeta(name=owner.name, namespace=first.metadata.namespace, uid=owner.uid, labels=labels, generation=1)
    spec = replace(first.spec, node_name="")
    if owner.kind == "DaemonSet":
        spec = replace(spec, affinity=None)  # the controller pins each pod to its node
    about = ObjectMeta(labels=labels, annotations=first.metadata.annotations)
    template = PodTemplateSpec(metadata=about, spec=spec)
    selector = LabelSelector(match_labels=labels)
    if owner.kind == "DaemonSet":
        return DaemonSet(metadata=meta, spec=DaemonSetSpec(selector=selector, template=template))
    many = len(pods)
    return ReplicaSet(metadata=meta, spec=ReplicaSetSpec(replicas=many, selector=selector, template=template))


def _is_of(deployment: Deployment, item: ReplicaSet) -> bool:
    """As the Deployment's controller names its ReplicaSets: by the hash that their pods carry, too."""
    mine, labels = deployment.metadata, item.metadata.labels
    if item.metadata.namespace != mine.namespace or not deployment.spec.selector.matches(labels):
        return False
    return item.metadata.name == f"{mine.name}-{labels.get(TEMPLATE_HASH)}"


def _owned(deployment: Deployment, item: ReplicaSet, is_newest: bool) -> ReplicaSet:
    """The one with the newest pods has the Deployment's template, or else a rollout would replace them."""
    meta = replace(item.metadata, owner_references=(owner_reference(deployment, "apps/v1", "Deployment"),))
    if not is_newest:
        return replace(item, metadata=meta)
    spec = deployment.spec
    by_hash = {TEMPLATE_HASH: item.metadata.labels[TEMPLATE_HASH]}
    about = spec.template.metadata
    template = replace(spec.template, metadata=replace(about, labels={**about.labels, **by_hash}))
    selector = replace(spec.selector, match_labels={**spec.selector.match_labels, **by_hash})
    return replace(item, metadata=meta, spec=replace(item.spec, selector=selector, template=template))


def _without_missing(objects: Sequence[Any], nodes: Iterable[Node], notices: list[str]) -> list[Any]:
    there = {obj.metadata.uid for obj in (*nodes, *objects)}
    missing: dict[str, str] = {}
    out = []
    for obj in objects:
        owners = obj.metadata.owner_references
        kept = tuple(owner for owner in owners if owner.uid in there)
        if len(kept) < len(owners):
            missing |= {owner.uid: f"{owner.kind} {owner.name}" for owner in owners if owner.uid not in there}
            obj = replace(obj, metadata=replace(obj.metadata, owner_references=kept))
        out.append(obj)
    if missing:
        named = ", ".join(sorted(missing.values())[:3]) + (", .." if len(missing) > 3 else "")
        notices.append(
            f"{len(missing)} owners are not in the dump ({named}): what they own stays, and nobody replaces it once it "
            f"is gone; {EVERYTHING}"
        )
    return out
