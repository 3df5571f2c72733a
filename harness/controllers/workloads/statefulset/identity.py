"""Who a pod of a StatefulSet is: its ordinal, its name, its labels, and the claims that stay when it goes.

Source: pkg/controller/statefulset/stateful_set_utils.go (master).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.model.core import Pod, PodSpec, PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.storage import PersistentVolumeClaim, PersistentVolumeClaimStatus
from harness.model.workloads import StatefulSet

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
"""Pod labels. Source: apps/v1 StatefulSetPodNameLabel, PodIndexLabel."""

REVISION = "controller-revision-hash"
"""Pod label: the name of its ControllerRevision. Source: apps/v1 StatefulSetRevisionLabel."""

_NAME = re.compile(r"(.*)-([0-9]+)", re.DOTALL)


def ordinal_of(stateful_set: StatefulSet, pod: Pod) -> int | None:
    """None where it is no member by its name."""
    found = _NAME.fullmatch(pod.metadata.name)
    return int(found[2]) if found is not None and found[1] == stateful_set.metadata.name else None


def start_of(stateful_set: StatefulSet) -> int:
    ordinals = stateful_set.spec.ordinals
    return 0 if ordinals is None else ordinals.start or 0


def pod_name(stateful_set: StatefulSet, ordinal: int) -> str:
    return f"{stateful_set.metadata.name}-{ordinal}"


def pod_for(stateful_set: StatefulSet, template: PodTemplateSpec, ordinal: int, revision: str) -> Pod:
    """Source: newStatefulSetPod, initIdentity, updateStorage."""
    meta, given = stateful_set.metadata, template.metadata
    name = pod_name(stateful_set, ordinal)
    return Pod(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            name=name,
            labels={**given.labels, **identity_labels(name, ordinal), REVISION: revision},
            annotations=given.annotations,
            owner_references=(owner_reference(stateful_set, "apps/v1", "StatefulSet"),),
            finalizers=given.finalizers,
        ),
        spec=_spec(stateful_set, template.spec, ordinal),
    )


def identity_labels(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(ordinal)}


def unlabelled(stateful_set: StatefulSet, pods: Iterable[Pod]) -> list[Pod]:
    """Those that lack labels of their identity, as one that was adopted, with them."""
    out = []
    for pod in pods:
        meta = pod.metadata
        labels = identity_labels(meta.name, ordinal_of(stateful_set, pod) or 0)
        if meta.deletion_timestamp is None and not labels.items() <= meta.labels.items():
            out.append(replace(pod, metadata=replace(meta, labels={**meta.labels, **labels})))
    return out


def _spec(stateful_set: StatefulSet, spec: PodSpec, ordinal: int) -> PodSpec:
    claims = stateful_set.spec.volume_claim_templates
    extra: dict[str, Any] = {**(spec.extra or {}), "hostname": pod_name(stateful_set, ordinal)}
    if stateful_set.spec.service_name:
        extra["subdomain"] = stateful_set.spec.service_name
    if claims:
        own = {claim.metadata.name: claim_name(stateful_set, claim, ordinal) for claim in claims}
        others = [volume for volume in extra.get("volumes") or [] if volume.get("name") not in own]
        extra["volumes"] = [
            *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in own.items()),
            *others,
        ]
    return replace(spec, extra=extra)


def claim_name(stateful_set: StatefulSet, template: PersistentVolumeClaim, ordinal: int) -> str:
    return f"{template.metadata.name}-{pod_name(stateful_set, ordinal)}"


def claims_for(stateful_set: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
    """Source: getPersistentVolumeClaims: they carry the labels that the set selects by."""
    selected = stateful_set.spec.selector.match_labels
    return [
        replace(
            template,
            metadata=replace(
                template.metadata,
                name=claim_name(stateful_set, template, ordinal),
                namespace=stateful_set.metadata.namespace,
                labels={**template.metadata.labels, **selected},
            ),
            status=PersistentVolumeClaimStatus(),
        )
        for template in stateful_set.spec.volume_claim_templates
    ]
