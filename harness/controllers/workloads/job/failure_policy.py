"""What a Job's podFailurePolicy makes of a pod that has failed.

Source: pkg/controller/job/pod_failure_policy.go (1.32).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.core import ContainerStatus, Pod
from harness.model.workloads import (
    Job,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
)

FAIL_JOB, FAIL_INDEX, IGNORE, COUNT = "FailJob", "FailIndex", "Ignore", "Count"
"""Source: batch/v1 PodFailurePolicyAction."""


@dataclass(frozen=True, slots=True)
class Matched:
    """`action`: of the first rule that applies, '' where none does. `counts`: against the limits. `why`: of FailJob."""

    action: str = ""
    counts: bool = True
    why: str = ""


_UNMATCHED = Matched()


def only_failed_are_replaced(job: Job) -> bool:
    """A pod that is being deleted counts as failed when it has failed, not before. Source: onlyReplaceFailedPods."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def has_failed(job: Job, pod: Pod) -> bool:
    """Source: isPodFailed."""
    phase = pod.status.phase
    if phase == "Failed":
        return True
    return phase != "Succeeded" and pod.metadata.deletion_timestamp is not None and not only_failed_are_replaced(job)


def matched_rule(policy: PodFailurePolicy | None, pod: Pod) -> Matched:
    if policy is None:
        return _UNMATCHED
    for number, rule in enumerate(policy.rules):
        found = _applies(rule, pod)
        if not found:
            continue
        if rule.action == FAIL_JOB:
            return Matched(FAIL_JOB, True, f"{found} matching {FAIL_JOB} rule at index {number}")
        return Matched(rule.action, rule.action != IGNORE)
    return _UNMATCHED


def _applies(rule: PodFailurePolicyRule, pod: Pod) -> str:
    """What of the pod the rule asks for; '' where it has nothing of it."""
    if rule.on_exit_codes is not None:
        found = _exited(pod, rule.on_exit_codes)
        if found is None or found.state.terminated is None:
            return ""
        code = found.state.terminated.exit_code
        return f"Container {found.name} for pod {pod.metadata.key} failed with exit code {code}"
    for condition in pod.status.conditions:
        for pattern in rule.on_pod_conditions:
            if (condition.type, condition.status) == (pattern.type, pattern.status or "True"):
                return f"Pod {pod.metadata.key} has condition {condition.type}"
    return ""


def _exited(pod: Pod, wanted: PodFailurePolicyOnExitCodesRequirement) -> ContainerStatus | None:
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated
        if ended is None or ended.exit_code == 0:
            continue
        mine = wanted.container_name in (None, status.name)
        if mine and (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            return status
    return None
