"""Derives harness/model/schema/fields.txt from the official Python client, made from Kubernetes' OpenAPI.

python -m tests.loading.derive_fields > harness/model/schema/fields.txt
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version

from harness.model.objects import KINDS

SPECIAL = {"Event": "CoreV1Event"}
"""Kinds whose models are not named <version><kind>."""

MORE = (
    "apps/v1 StatefulSet", "apps/v1 ControllerRevision", "batch/v1 CronJob", "v1 ReplicationController",
    "v1 Endpoints", "v1 PodTemplate", "v1 Binding",
    "autoscaling/v1 HorizontalPodAutoscaler", "autoscaling/v1 Scale",
    "policy/v1 Eviction", "networking.k8s.io/v1 IngressClass",
    "node.k8s.io/v1 RuntimeClass", "storage.k8s.io/v1 CSIDriver",
    "storage.k8s.io/v1 CSINode", "storage.k8s.io/v1 CSIStorageCapacity", "storage.k8s.io/v1 VolumeAttachment",
    "resource.k8s.io/v1 DeviceClass", "resource.k8s.io/v1 ResourceClaim", "resource.k8s.io/v1 ResourceClaimTemplate",
    "resource.k8s.io/v1 ResourceSlice",
)  # fmt: skip
"""Everyday kinds besides those that are known here."""

PODGROUP = """\
PodGroup: apiVersion s, kind s, metadata V1ObjectMeta, spec PodGroupSpec, status PodGroupStatus
PodGroupSpec: minMember i, minResources %q, scheduleTimeoutSeconds i
PodGroupStatus: failed i, occupiedBy s, phase s, running i, scheduleStartTime t, scheduled i, succeeded i
"""
"""Source: kubernetes-sigs/scheduler-plugins apis/scheduling/v1alpha1/types.go (08079b7; `scheduled` of older ones)."""

KARPENTER = """\
Budget: duration s, nodes s, reasons *s, schedule s
ClaimResources: requests %q
Disruption: budgets *Budget, consolidateAfter s, consolidationPolicy s
MinValuesRequirement: key s, minValues i, operator s, values *s
NodeClaim: apiVersion s, kind s, metadata V1ObjectMeta, spec NodeClaimSpec, status NodeClaimStatus
NodeClaimSpec: expireAfter s, nodeClassRef NodeClassReference, requirements *MinValuesRequirement, resources ClaimResources, startupTaints *V1Taint, taints *V1Taint, terminationGracePeriod s
NodeClaimStatus: allocatable %q, capacity %q, conditions *V1Condition, imageID s, lastPodEventTime t, nodeName s, providerID s
NodeClaimTemplate: metadata NodeClaimTemplateMeta, spec NodeClaimTemplateSpec
NodeClaimTemplateMeta: annotations %s, labels %s
NodeClaimTemplateSpec: expireAfter s, nodeClassRef NodeClassReference, requirements *MinValuesRequirement, startupTaints *V1Taint, taints *V1Taint, terminationGracePeriod s
NodeClassReference: group s, kind s, name s
NodePool: apiVersion s, kind s, metadata V1ObjectMeta, spec NodePoolSpec, status NodePoolStatus
NodePoolSpec: disruption Disruption, limits %q, replicas i, template NodeClaimTemplate, weight i
NodePoolStatus: conditions *V1Condition, nodeClassObservedGeneration i, nodes i, resources %q
"""  # noqa: E501
"""Source: kubernetes-sigs/karpenter pkg/apis/crds/karpenter.sh_{nodepools,nodeclaims}.yaml (1.14)."""

VERTICAL = """\
ContainerResourcePolicy: containerName s, controlledResources *s, controlledValues s, maxAllowed %q, memoryAggregationIntervalCount i, memoryAggregationIntervalSeconds i, minAllowed %q, mode s, oomBumpUpRatio q, oomMinBumpUp q, startupBoost StartupBoost
EvictionRequirement: changeRequirement s, resources *s
HistogramCheckpoint: bucketWeights o, referenceTimestamp t, totalWeight f
PodResourcePolicy: containerPolicies *ContainerResourcePolicy
PodUpdatePolicy: evictAfterOOMSeconds i, evictionRequirements *EvictionRequirement, minReplicas i, updateMode s
RecommendedContainerResources: containerName s, lowerBound %q, target %q, uncappedTarget %q, upperBound %q
RecommendedPodResources: containerRecommendations *RecommendedContainerResources
RecommenderSelector: name s
StartupBoost: cpu StartupBoostCPU
StartupBoostCPU: durationSeconds i, factor i, quantity q, type s
VerticalPodAutoscaler: apiVersion s, kind s, metadata V1ObjectMeta, spec VerticalPodAutoscalerSpec, status VerticalPodAutoscalerStatus
VerticalPodAutoscalerCheckpoint: apiVersion s, kind s, metadata V1ObjectMeta, spec VerticalPodAutoscalerCheckpointSpec, status VerticalPodAutoscalerCheckpointStatus
VerticalPodAutoscalerCheckpointSpec: containerName s, vpaObjectName s
VerticalPodAutoscalerCheckpointStatus: cpuHistogram HistogramCheckpoint, firstSampleStart t, lastSampleStart t, lastUpdateTime t, memoryHistogram HistogramCheckpoint, totalSamplesCount i, version s
VerticalPodAutoscalerSpec: recommenders *RecommenderSelector, resourcePolicy PodResourcePolicy, startupBoost StartupBoost, targetRef V2CrossVersionObjectReference, updatePolicy PodUpdatePolicy
VerticalPodAutoscalerStatus: conditions *V1Condition, observedGeneration i, recommendation RecommendedPodResources
"""  # noqa: E501
"""Source: kubernetes/autoscaler vertical-pod-autoscaler/deploy/vpa-v1-crd-gen.yaml (1.8)."""

QUANTITIES = (
    "limits", "requests", "capacity", "allocatable", "hard", "used", "overhead", "default", "defaultRequest", "max",
    "min", "maxLimitRequestRatio", "divisor", "sizeLimit", "averageValue", "value", "tolerance", "allocatedResources",
    "usage", "maximumVolumeSize", "step", "validValues",
)  # fmt: skip
"""Names of the fields that hold resource.Quantity, which the client's models have as str."""

AMOUNTS = {"V2MetricTarget", "V2MetricValueStatus", "V2HPAScalingRules", "V1DeviceCapacity", "V1Counter"}
"""Models whose `value` or `tolerance` is a quantity; elsewhere they are texts or numbers."""


def models() -> dict[str, str]:
    """(apiVersion, kind) as text -> model."""
    out = {}
    client = importlib.import_module("kubernetes.client")
    for key in (*(f"{known.api_version} {kind}" for kind, known in KINDS.items()), *MORE):
        version, _, kind = key.rpartition(" ")
        name = SPECIAL.get(kind) or f"{version.rpartition('/')[2].capitalize()}{kind}"
        if hasattr(client, name):
            out[key] = name
    return out


def fields(model: str) -> Iterator[tuple[str, str]]:
    kind = getattr(importlib.import_module("kubernetes.client"), model)
    for attribute, text in kind.openapi_types.items():
        yield kind.attribute_map[attribute], word(model, kind.attribute_map[attribute], text)


def word(model: str, name: str, text: str) -> str:
    text = text.replace("Dict[str, ", "%").replace("List[", "*").rstrip("]")
    bare = text.lstrip("%*")
    if (
        bare == "str"
        and name in QUANTITIES
        and (not text.startswith("*") or name == "validValues")
        and (text != "str" or name not in ("value", "tolerance") or model in AMOUNTS)
    ):
        return text.replace("str", "q")
    short = {"str": "s", "int": "i", "bool": "b", "float": "f", "bytes": "s", "object": "o", "datetime": "t"}
    return text.replace(bare, short.get(bare, bare))


def table() -> str:
    roots = models()
    rows: dict[str, str] = {}
    todo = sorted(set(roots.values()))
    while todo:
        model = todo.pop()
        if model in rows:
            continue
        found = list(fields(model))
        rows[model] = ", ".join(f"{name} {text}" for name, text in found)
        todo += [bare for _, text in found if re.match(r"[A-Z]", bare := text.lstrip("%*"))]
    head = f"""\
# Fields of Kubernetes' kinds: what a manifest may say, whether it is modelled here or not.
# Source: Kubernetes' OpenAPI (release-1.37), as the official Python client {version("kubernetes")} has it,
# scheduler-plugins' PodGroup, Karpenter's NodePool and NodeClaim, the vertical pod autoscaler's kinds; made by
# tests/loading/derive_fields.py.
# No field of a GA kind is ever taken away.
# "@ VERSION KIND MODEL" are the kinds; then a model a line: FIELD TYPE, ..
# Types: s string, b bool, i integer, f number, t time, q quantity, o anything; * list of, % map from string to.
"""
    roots["scheduling.x-k8s.io/v1alpha1 PodGroup"] = "PodGroup"
    roots |= {"karpenter.sh/v1 NodePool": "NodePool", "karpenter.sh/v1 NodeClaim": "NodeClaim"}
    vertical = ("VerticalPodAutoscaler", "VerticalPodAutoscalerCheckpoint")
    roots |= {f"autoscaling.k8s.io/v1 {kind}": kind for kind in vertical}
    kinds = "".join(f"@ {key} {model}\n" for key, model in sorted(roots.items()))
    models_of_client = "".join(f"{model}: {row}\n" for model, row in sorted(rows.items()))
    return head + kinds + models_of_client + PODGROUP + KARPENTER + VERTICAL


if __name__ == "__main__":
    sys.stdout.write(table())
