"""VerticalPodAutoscaler and its checkpoint (autoscaling.k8s.io/v1): requests of containers by what they used.

Field names: kubernetes/autoscaler vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go (1.8). Unmodelled
fields ride in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import field

from harness.model.core import ResourceList
from harness.model.meta import Condition, LabelSelector, ObjectMeta, OwnerReference
from harness.model.quantity import Quantity
from harness.model.wire import Time, Wire
from harness.model.workloads import CrossVersionObjectReference

OFF, INITIAL, RECREATE, AUTO = "Off", "Initial", "Recreate", "Auto"
IN_PLACE_OR_RECREATE, IN_PLACE = "InPlaceOrRecreate", "InPlace"
"""Update modes. Auto is Recreate by another name; the two in place are not modelled."""

SCALING_AUTO, SCALING_OFF = "Auto", "Off"
REQUESTS_AND_LIMITS, REQUESTS_ONLY = "RequestsAndLimits", "RequestsOnly"
ALL_CONTAINERS = "*"
"""The name in a policy for containers that have none of their own. Source: DefaultContainerResourcePolicy."""

TARGET_HIGHER, TARGET_LOWER = "TargetHigherThanRequests", "TargetLowerThanRequests"

CONTROLLED = ("cpu", "memory")

RECOMMENDATION_PROVIDED, NO_PODS_MATCHED, CONFIG_UNSUPPORTED = (
    "RecommendationProvided",
    "NoPodsMatched",
    "ConfigUnsupported",
)
"""Conditions."""

UPDATES = "vpaUpdates"
OBSERVED_CONTAINERS = "vpaObservedContainers"
"""Annotations of a pod that the admission controller wrote to. Source: resource_updates.go ResourceUpdatesAnnotation,
utils/annotations/vpa_observed_containers.go VpaObservedContainersLabel."""


class EvictionRequirement(Wire, frozen=True, kw_only=True):
    resources: tuple[str, ...] = ()
    change_requirement: str = ""


class PodUpdatePolicy(Wire, frozen=True, kw_only=True):
    update_mode: str | None = None
    min_replicas: int | None = None
    eviction_requirements: tuple[EvictionRequirement, ...] = ()
    evict_after_oom_seconds: int | None = field(default=None, name="evictAfterOOMSeconds")


class ContainerResourcePolicy(Wire, frozen=True, kw_only=True):
    container_name: str = ""
    mode: str | None = None
    min_allowed: ResourceList = {}
    max_allowed: ResourceList = {}
    controlled_resources: tuple[str, ...] | None = None
    controlled_values: str | None = None
    oom_bump_up_ratio: Quantity | None = None
    oom_min_bump_up: Quantity | None = None
    memory_aggregation_interval_seconds: int | None = None
    memory_aggregation_interval_count: int | None = None
    startup_boost: dict[str, Any] | None = None


class PodResourcePolicy(Wire, frozen=True, kw_only=True):
    container_policies: tuple[ContainerResourcePolicy, ...] = ()


class RecommenderSelector(Wire, frozen=True, kw_only=True):
    name: str


class VerticalPodAutoscalerSpec(Wire, frozen=True, kw_only=True):
    target_ref: CrossVersionObjectReference | None = None
    update_policy: PodUpdatePolicy | None = None
    resource_policy: PodResourcePolicy | None = None
    recommenders: tuple[RecommenderSelector, ...] = ()
    startup_boost: dict[str, Any] | None = None


class RecommendedContainerResources(Wire, frozen=True, kw_only=True):
    container_name: str = ""
    target: ResourceList = {}
    lower_bound: ResourceList = {}
    upper_bound: ResourceList = {}
    uncapped_target: ResourceList = {}


class RecommendedPodResources(Wire, frozen=True, kw_only=True):
    container_recommendations: tuple[RecommendedContainerResources, ...] = ()


class VerticalPodAutoscalerStatus(Wire, frozen=True, kw_only=True):
    recommendation: RecommendedPodResources | None = None
    conditions: tuple[Condition, ...] = ()
    observed_generation: int | None = None


class VerticalPodAutoscaler(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: VerticalPodAutoscalerSpec = VerticalPodAutoscalerSpec()
    status: VerticalPodAutoscalerStatus = VerticalPodAutoscalerStatus()

    @property
    def update_mode(self) -> str:
        """Source: utils/vpa/api.go GetUpdateMode."""
        policy = self.spec.update_policy
        return (policy.update_mode if policy is not None else None) or RECREATE


class HistogramCheckpoint(Wire, frozen=True, kw_only=True):
    """`bucket_weights`: whole numbers up to 10,000 by index of the bucket."""

    reference_timestamp: Time | None = None
    bucket_weights: dict[str, int] = {}
    total_weight: float = 0.0


class VerticalPodAutoscalerCheckpointSpec(Wire, frozen=True, kw_only=True):
    vpa_object_name: str = field(default="", name="vpaObjectName")
    container_name: str = ""


class VerticalPodAutoscalerCheckpointStatus(Wire, frozen=True, kw_only=True):
    last_update_time: Time | None = None
    version: str = ""
    cpu_histogram: HistogramCheckpoint = HistogramCheckpoint()
    memory_histogram: HistogramCheckpoint = HistogramCheckpoint()
    first_sample_start: Time | None = None
    last_sample_start: Time | None = None
    total_samples_count: int = 0


class VerticalPodAutoscalerCheckpoint(Wire, frozen=True, kw_only=True):
    """What a recommender that is started again knows of a container."""

    metadata: ObjectMeta = ObjectMeta()
    spec: VerticalPodAutoscalerCheckpointSpec = VerticalPodAutoscalerCheckpointSpec()
    status: VerticalPodAutoscalerCheckpointStatus = VerticalPodAutoscalerCheckpointStatus()


def container_policy(name: str, policy: PodResourcePolicy | None) -> ContainerResourcePolicy | None:
    """Of the container of this name, else that for all. Source: api.go GetContainerResourcePolicy."""
    found = None
    for item in policy.container_policies if policy is not None else ():
        if item.container_name == name:
            return item
        if item.container_name == ALL_CONTAINERS:
            found = item
    return found


def recommendation_for(
    name: str, recommendation: RecommendedPodResources | None
) -> RecommendedContainerResources | None:
    for item in recommendation.container_recommendations if recommendation is not None else ():
        if item.container_name == name:
            return item
    return None


def observed_containers(annotations: dict[str, str]) -> frozenset[str] | None:
    """Containers that the admission controller saw when the pod was made; None where it did not say.

    Source: vpa_observed_containers.go ParseVpaObservedContainersValue: one that is no name voids all.
    """
    text = annotations.get(OBSERVED_CONTAINERS)
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")] if text else []
    return frozenset(names) if all(name.replace("-", "").isalnum() for name in names) else None


# -- targets -----------------------------------------------------------------------------------------------------------

WELL_KNOWN = (
    "CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet",
)  # fmt: skip
"""Kinds that a targetRef can name. Source: controller_fetcher.go wellKnownControllers; other kinds with a scale
subresource are not modelled as targets."""

Find: TypeAlias = Callable[[str, str, str], Any]
"""(kind, namespace, name) -> the object, None where there is none."""


def controller_of(obj: Any) -> OwnerReference | None:
    refs: tuple[OwnerReference, ...] = obj.metadata.owner_references
    return next((ref for ref in refs if ref.controller), None)


def topmost_controller(obj: Any, find: Find) -> tuple[str, str] | None:
    """(kind, name) of the highest well-known controller above `obj`; None where there is none, or one is gone.

    Source: controller_fetcher.go FindTopMostWellKnownOrScalable.
    """
    namespace = obj.metadata.namespace
    found: tuple[str, str] | None = None
    ref = controller_of(obj)
    while ref is not None and ref.kind in WELL_KNOWN:
        if (ref.kind, ref.name) == found:
            return None
        found = (ref.kind, ref.name)
        owner = find(ref.kind, namespace, ref.name)
        if owner is None:
            return None
        ref = controller_of(owner)
    return found


def target_selector(target: Any) -> LabelSelector | None:
    """Which pods are the target's; None where it does not say. Source: target/fetcher.go getLabelSelector."""
    spec = target.spec
    template = getattr(spec, "job_template", None)
    if template is not None:
        return LabelSelector(match_labels=template.spec.template.metadata.labels)
    selector: LabelSelector | dict[str, str] | None = spec.selector
    if isinstance(selector, dict):  # of a ReplicationController
        return LabelSelector(match_labels=selector)
    return selector


def precedes(one: VerticalPodAutoscaler, other: VerticalPodAutoscaler | None) -> bool:
    """Whether `one` decides about a pod that both match: the older, else the first by name. Source: api.go Stronger."""
    if other is None:
        return True
    mine, theirs = one.metadata, other.metadata
    return (mine.creation_timestamp or 0, mine.name) < (theirs.creation_timestamp or 0, theirs.name)
