"""What is wrong with the spec of a Job, also of one that a CronJob would make.

Source: pkg/apis/batch/validation/validation.go validateJobSpec (1.32).
"""

from __future__ import annotations

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import (
    at_least,
    duplicate,
    pod_count,
    required,
    too_long,
    unsupported,
    wrong,
)
from harness.apiserver.validation.templates import template_problems
from harness.model.core import PodTemplateSpec
from harness.model.status import Cause
from harness.model.whole_numbers import whole_number
from harness.model.workloads import (
    JobSpec,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicyRule,
)

MOST_AT_ONCE = MOST_FAILED_INDEXES = MANY_COMPLETIONS = 100_000
MOST_OF_MANY = 10_000
MOST_RULES, MOST_PATTERNS, MOST_EXIT_CODES = 20, 20, 255
LONGEST_MANAGER, LONGEST_INDEXES = 63, 64 * 1024
"""Source: validation.go maxParallelismForIndexedJob, maxFailedIndexesForIndexedJob, completionsSoftLimit,
parallelismLimitForHighCompletions, maxPodFailurePolicyRules, maxPodFailurePolicyOnPodConditionsPatterns,
maxPodFailurePolicyOnExitCodesValues, maxManagedByLength, maxJobSuccessPolicySucceededIndexesLimit (1.32)."""

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS, _STATUSES = ("In", "NotIn"), ("False", "True", "Unknown")


def job_spec_problems(found: list[Cause], spec: JobSpec, old: JobSpec | None, at: str) -> None:
    for field, value in (
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ):
        at_least(found, f"{at}.{field}", value)
    pod_count(found, f"{at}.parallelism", spec.parallelism)
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None:
        found.append(required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    _manager(found, spec, at)
    if spec.completion_mode == "Indexed":
        _indexed(found, spec, at)
    else:
        if spec.completion_mode not in (None, "NonIndexed"):
            found.append(unsupported(f"{at}.completionMode", spec.completion_mode, ("NonIndexed", "Indexed")))
        for field, wanted in (
            ("backoffLimitPerIndex", spec.backoff_limit_per_index),
            ("maxFailedIndexes", spec.max_failed_indexes),
            ("successPolicy", spec.success_policy),
        ):
            if wanted is not None:
                shown = wanted if isinstance(wanted, int) else "the policy"
                found.append(wrong(f"{at}.{field}", shown, "requires indexed completion mode"))
    if spec.pod_failure_policy is not None:
        _failure_policy(found, spec, at)
    if spec.success_policy is not None and spec.completion_mode == "Indexed" and spec.completions is not None:
        _success_policy(found, spec.success_policy.rules, spec.completions, f"{at}.successPolicy.rules")
    _replacement_policy(found, spec, at)
    if old is None or spec.template is not old.template:
        template_problems(found, spec.template, ("OnFailure", "Never"), f"{at}.template")
    policy = spec.template.spec.restart_policy
    if spec.pod_failure_policy is not None and policy != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        found.append(wrong(f"{at}.template.spec.restartPolicy", policy, why))


def _manager(found: list[Cause], spec: JobSpec, at: str) -> None:
    manager, field = spec.managed_by, f"{at}.managedBy"
    if manager is None:
        return
    prefix, slash, path = manager.partition("/")
    if not manager:
        found.append(required(field))
    elif not slash or not prefix or not path:
        found.append(wrong(field, manager, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    elif why := names.subdomain_problem(prefix):
        found.append(wrong(field, prefix, why))
    if len(manager) > LONGEST_MANAGER:
        found.append(too_long(field, LONGEST_MANAGER))


def _indexed(found: list[Cause], spec: JobSpec, at: str) -> None:
    completions, parallelism, failed = spec.completions, spec.parallelism, spec.max_failed_indexes
    if completions is None:
        found.append(required(f"{at}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > MOST_AT_ONCE:
        why = f"must be less than or equal to {MOST_AT_ONCE} when completion mode is Indexed"
        found.append(wrong(f"{at}.parallelism", parallelism, why))
    if failed is not None and completions is not None and failed > completions:
        found.append(wrong(f"{at}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    if failed is not None and failed > MOST_FAILED_INDEXES:
        why = f"must be less than or equal to {MOST_FAILED_INDEXES}"
        found.append(wrong(f"{at}.maxFailedIndexes", failed, why))
    if completions is not None and completions > MANY_COMPLETIONS and spec.backoff_limit_per_index is not None:
        if failed is None:
            found.append(required(f"{at}.maxFailedIndexes", f"must be specified when completions is above {MANY_COMPLETIONS}"))  # fmt: skip  # noqa: E501
        why = (
            f"must be less than or equal to {MOST_OF_MANY} when completions are above {MANY_COMPLETIONS} and used with "
            "backoff limit per index"
        )
        if parallelism is not None and parallelism > MOST_OF_MANY:
            found.append(wrong(f"{at}.parallelism", parallelism, why))
        if failed is not None and failed > MOST_OF_MANY:
            found.append(wrong(f"{at}.maxFailedIndexes", failed, why))


def _replacement_policy(found: list[Cause], spec: JobSpec, at: str) -> None:
    known = ("Failed",) if spec.pod_failure_policy is not None else ("Failed", "TerminatingOrFailed")
    if spec.pod_replacement_policy is not None and spec.pod_replacement_policy not in known:
        found.append(unsupported(f"{at}.podReplacementPolicy", spec.pod_replacement_policy, known))


def _failure_policy(found: list[Cause], spec: JobSpec, at: str) -> None:
    assert spec.pod_failure_policy is not None
    rules, at = spec.pod_failure_policy.rules, f"{at}.podFailurePolicy.rules"
    _too_many(found, at, len(rules), MOST_RULES)
    for number, rule in enumerate(rules):
        _rule(found, rule, spec, f"{at}[{number}]")


def _too_many(found: list[Cause], at: str, count: int, most: int) -> None:
    if count > most:
        found.append(Cause(at, "FieldValueTooMany", f"Too many: {count}: must have at most {most} items"))


def _rule(found: list[Cause], rule: PodFailurePolicyRule, spec: JobSpec, at: str) -> None:
    if not rule.action:
        listed = " ".join(f'"{item}"' for item in _ACTIONS)
        found.append(required(f"{at}.action", f"valid values: [{listed}]"))
    elif rule.action not in _ACTIONS:
        found.append(unsupported(f"{at}.action", rule.action, _ACTIONS))
    elif rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
        found.append(wrong(f"{at}.action", rule.action, "requires the backoffLimitPerIndex to be set"))
    if rule.on_exit_codes is not None:
        _exit_codes(found, rule.on_exit_codes, spec.template, f"{at}.onExitCodes")
    _too_many(found, f"{at}.onPodConditions", len(rule.on_pod_conditions), MOST_PATTERNS)
    for number, pattern in enumerate(rule.on_pod_conditions):
        where = f"{at}.onPodConditions[{number}]"
        if why := names.qualified_problem(pattern.type):
            found.append(wrong(f"{where}.type", pattern.type, why))
        if pattern.status not in _STATUSES:
            found.append(unsupported(f"{where}.status", pattern.status, _STATUSES))
    if (rule.on_exit_codes is not None) == bool(rule.on_pod_conditions):
        both = rule.on_exit_codes is not None
        which = "specifying both OnExitCodes and OnPodConditions is not supported"
        none = "specifying one of OnExitCodes and OnPodConditions is required"
        found.append(Cause(at, "FieldValueInvalid", f"Invalid value: {which if both else none}"))


def _exit_codes(
    found: list[Cause], wanted: PodFailurePolicyOnExitCodesRequirement, template: PodTemplateSpec, at: str
) -> None:
    if not wanted.operator:
        found.append(required(f"{at}.operator", 'valid values: ["In" "NotIn"]'))
    elif wanted.operator not in _OPERATORS:
        found.append(unsupported(f"{at}.operator", wanted.operator, _OPERATORS))
    there = {container.name for container in (*template.spec.containers, *template.spec.init_containers)}
    if wanted.container_name is not None and wanted.container_name not in there:
        why = "must be one of the container or initContainer names in the pod template"
        found.append(wrong(f"{at}.containerName", wanted.container_name, why))
    values = wanted.values
    if not values:
        found.append(wrong(f"{at}.values", list(values), "at least one value is required"))
    _too_many(found, f"{at}.values", len(values), MOST_EXIT_CODES)
    seen: set[int] = set()
    for number, value in enumerate(values):
        if value == 0 and wanted.operator == "In":
            found.append(wrong(f"{at}.values[{number}]", value, "must not be 0 for the In operator"))
        if value in seen:
            found.append(duplicate(f"{at}.values[{number}]", value))
        seen.add(value)
    if list(values) != sorted(values):
        found.append(wrong(f"{at}.values", list(values), "must be ordered"))


def _success_policy(found: list[Cause], rules: tuple[SuccessPolicyRule, ...], completions: int, at: str) -> None:
    if not rules:
        found.append(required(at, "at least one rules must be specified when the successPolicy is specified"))
    _too_many(found, at, len(rules), MOST_RULES)
    for number, rule in enumerate(rules):
        where, count, indexes = f"{at}[{number}]", rule.succeeded_count, rule.succeeded_indexes
        if count is None and indexes is None:
            found.append(required(where, "at least one of succeededCount or succeededIndexes must be specified"))
        total = None
        if indexes is not None:
            if len(indexes) > LONGEST_INDEXES:
                found.append(too_long(f"{where}.succeededIndexes", LONGEST_INDEXES))
            total, why = _counted(indexes, completions)
            if why:
                text = f"error parsing succeededIndexes: {why}"
                found.append(wrong(f"{where}.succeededIndexes", indexes, text))
        at_least(found, f"{where}.succeededCount", count)
        if count is not None and count > completions:
            text = f"must be less than or equal to {completions} (the number of specified completions)"
            found.append(wrong(f"{where}.succeededCount", count, text))
        if count is not None and total is not None and count > total:
            text = (
                f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            )
            found.append(wrong(f"{where}.succeededCount", count, text))


def _counted(text: str, completions: int) -> tuple[int, str]:
    """(how many indexes a text names, what is wrong with it). Source: validateIndexesFormat."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        bounds = part.split("-")
        if len(bounds) > 2:
            rule = "violates the requirement that an index interval can have at most two parts separated by '-'"
            return total, f'the fragment "{part}" {rule}'
        numbers = [whole_number(bound) for bound in bounds]
        for bound, number in zip(bounds, numbers, strict=True):
            if number is None:
                return total, f'cannot convert string to integer for index: "{bound}"'
            if number >= completions:
                return total, f'too large index: "{bound}"'
            if number <= last:
                return total, f"non-increasing order, previous: {last}, current: {number}"
            last = number
        total += (numbers[-1] or 0) - (numbers[0] or 0) + 1
    return total, ""
