"""What is wrong with a VerticalPodAutoscaler, and what of one is not modelled: refused by its name.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/admission-controller/resource/vpa/validation.go (1.8), and
the enumerations of its CRD. Its alpha gates (InPlace, PerVPAConfig, CPUStartupBoost) are off, as by default.
"""

from __future__ import annotations

from harness.apiserver.validation.causes import forbidden, required, unsupported, wrong
from harness.model.status import Cause
from harness.model.vertical import (
    AUTO,
    CONTROLLED,
    IN_PLACE,
    IN_PLACE_OR_RECREATE,
    INITIAL,
    OFF,
    RECREATE,
    REQUESTS_AND_LIMITS,
    REQUESTS_ONLY,
    SCALING_AUTO,
    SCALING_OFF,
    TARGET_HIGHER,
    TARGET_LOWER,
    WELL_KNOWN,
    ContainerResourcePolicy,
    PodUpdatePolicy,
    VerticalPodAutoscaler,
)

DEFAULT_RECOMMENDER = "default"
"""Source: input.DefaultRecommenderName."""

_MODES = (OFF, INITIAL, RECREATE, AUTO)
_OF_PER_VPA_CONFIG = {
    "oomBumpUpRatio": "oom_bump_up_ratio",
    "oomMinBumpUp": "oom_min_bump_up",
    "memoryAggregationIntervalSeconds": "memory_aggregation_interval_seconds",
    "memoryAggregationIntervalCount": "memory_aggregation_interval_count",
}


def vertical_problems(new: VerticalPodAutoscaler, old: VerticalPodAutoscaler | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.target_ref is None:
        found.append(required("spec.targetRef"))
    elif not spec.target_ref.name:
        found.append(required("spec.targetRef.name"))
    elif spec.target_ref.kind not in WELL_KNOWN:
        found.append(unsupported("spec.targetRef.kind", spec.target_ref.kind, WELL_KNOWN))
    if spec.update_policy is not None:
        _update_policy(found, spec.update_policy)
    for index, policy in enumerate(spec.resource_policy.container_policies if spec.resource_policy else ()):
        _container_policy(found, policy, f"spec.resourcePolicy.containerPolicies[{index}]")
    if spec.startup_boost is not None:
        found.append(forbidden("spec.startupBoost", "not supported when feature flag CPUStartupBoost is disabled"))
    if len(spec.recommenders) > 1:
        found.append(Cause("spec.recommenders", "FieldValueTooMany", f"Too many: {len(spec.recommenders)}: must have at most 1 item"))  # fmt: skip  # noqa: E501
    for index, item in enumerate(spec.recommenders):
        if item.name != DEFAULT_RECOMMENDER:
            found.append(unsupported(f"spec.recommenders[{index}].name", item.name, (DEFAULT_RECOMMENDER,)))
    return found


def _update_policy(found: list[Cause], policy: PodUpdatePolicy) -> None:
    at, mode = "spec.updatePolicy", policy.update_mode
    if mode is None:
        found.append(required(f"{at}.updateMode", "updateMode is required if UpdatePolicy is used"))
    elif mode in (IN_PLACE, IN_PLACE_OR_RECREATE):
        found.append(forbidden(f"{at}.updateMode", f"{mode} is not modelled: pods are not resized in place"))
    elif mode not in _MODES:
        found.append(unsupported(f"{at}.updateMode", mode, _MODES))
    if policy.min_replicas is not None and policy.min_replicas <= 0:
        found.append(wrong(f"{at}.minReplicas", policy.min_replicas, "minReplicas has to be positive"))
    if policy.evict_after_oom_seconds is not None:
        why = "not supported when feature flag PerVPAConfig is disabled"
        found.append(forbidden(f"{at}.evictAfterOOMSeconds", why))
    for index, item in enumerate(policy.eviction_requirements):
        where = f"{at}.evictionRequirements[{index}]"
        known = (TARGET_HIGHER, TARGET_LOWER)
        if item.change_requirement not in known:
            found.append(unsupported(f"{where}.changeRequirement", item.change_requirement, known))
        if not item.resources:
            found.append(required(f"{where}.resources"))
        found += [unsupported(f"{where}.resources", name, CONTROLLED) for name in item.resources if name not in CONTROLLED]  # fmt: skip  # noqa: E501


def _container_policy(found: list[Cause], policy: ContainerResourcePolicy, at: str) -> None:
    """Source: validateVPASpecResourcePolicy."""
    if not policy.container_name:
        found.append(required(f"{at}.containerName"))
    if policy.mode is not None and policy.mode not in (SCALING_AUTO, SCALING_OFF):
        found.append(unsupported(f"{at}.mode", policy.mode, (SCALING_AUTO, SCALING_OFF)))
    for name, least in policy.min_allowed.items():
        most = policy.max_allowed.get(name)
        if most is not None and most.milli < least.milli:
            why = f'max resource for {name} is lower than min of "{least}"'
            found.append(wrong(f"{at}.maxAllowed[{name}]", str(most), why))
    for field, amounts in (("minAllowed", policy.min_allowed), ("maxAllowed", policy.max_allowed)):
        memory = amounts.get("memory")
        if memory is not None and memory.milli % 1000:
            found.append(wrong(f"{at}.{field}[memory]", str(memory), "must be a whole number of bytes"))
    values = policy.controlled_values
    if values is not None and values not in (REQUESTS_AND_LIMITS, REQUESTS_ONLY):
        found.append(unsupported(f"{at}.controlledValues", values, (REQUESTS_AND_LIMITS, REQUESTS_ONLY)))
    if policy.mode == SCALING_OFF and values == REQUESTS_AND_LIMITS:
        why = "controlledValues shouldn't be specified if container scaling mode is off"
        found.append(forbidden(f"{at}.controlledValues", why))
    for index, name in enumerate(policy.controlled_resources or ()):
        if name not in CONTROLLED:
            found.append(unsupported(f"{at}.controlledResources[{index}]", name, CONTROLLED))
    for field, attribute in _OF_PER_VPA_CONFIG.items():
        if getattr(policy, attribute) is not None:
            found.append(forbidden(f"{at}.{field}", "not supported when feature flag PerVPAConfig is disabled"))
    if policy.startup_boost is not None:
        found.append(forbidden(f"{at}.startupBoost", "not supported when feature flag CPUStartupBoost is disabled"))
