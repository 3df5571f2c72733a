"""Job. Source: pkg/apis/batch: validation, v1/defaults.go; pkg/registry/batch/job/strategy.go; printers.go printJob."""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.rules import ORPHAN_DEPENDENTS, KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    TEMPLATE_COLUMNS,
    Moment,
    created,
    duration,
    name_of,
    number,
    part,
    template_cells,
)
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import immutable, wrong
from harness.apiserver.validation.jobs import job_spec_problems
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json, Wire, encode
from harness.model.workloads import Job, JobSpec, JobStatus, PodFailurePolicy

MANY_FAILURES = 2**31 - 1
"""backoffLimit where each index has a limit of its own. Source: v1/defaults.go SetDefaults_Job (1.32)."""


def default_job_spec(spec: JobSpec) -> JobSpec:
    """Source: v1/defaults.go SetDefaults_Job (1.32)."""
    completions, parallelism, policy = spec.completions, spec.parallelism, spec.pod_failure_policy
    if completions is None and parallelism is None:
        completions = parallelism = 1
    limit = spec.backoff_limit
    if limit is None:
        limit = 6 if spec.backoff_limit_per_index is None else MANY_FAILURES
    return replaced(
        spec,
        completions=completions,
        parallelism=1 if parallelism is None else parallelism,
        backoff_limit=limit,
        completion_mode=spec.completion_mode or "NonIndexed",
        suspend=bool(spec.suspend),
        template=default_template(spec.template),
        pod_failure_policy=None if policy is None else default_failure_policy(policy),
        pod_replacement_policy=(spec.pod_replacement_policy or ("TerminatingOrFailed" if policy is None else "Failed")),
    )


def default_failure_policy(policy: PodFailurePolicy) -> PodFailurePolicy:
    rules = tuple(
        replaced(
            rule,
            on_pod_conditions=tuple(replaced(item, status=item.status or "True") for item in rule.on_pod_conditions),
        )
        for rule in policy.rules
    )
    return policy if rules == policy.rules else replaced(policy, rules=rules)


def _defaults(obj: Job) -> Job:
    return replaced(obj, spec=default_job_spec(obj.spec))


def _problems(new: Job, old: Job | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if old is None and spec.completion_mode == "Indexed" and spec.completions:
        last = f"{new.metadata.name or new.metadata.generate_name}-{spec.completions - 1}"
        if new.metadata.name and names.label_problem(last):
            why = f"will not able to create pod with invalid DNS label: {last}"
            found.append(wrong("metadata.name", new.metadata.name, why))
    job_spec_problems(found, spec, None if old is None else old.spec, "spec")
    found += names.selector_problems(spec.selector, "spec.selector")
    if old is not None:
        _changes(found, spec, old)
    return found


def _changes(found: list[Cause], spec: JobSpec, old: Job) -> None:
    """Source: ValidateJobSpecUpdate (1.32)."""
    was = old.spec
    elastic = spec.completion_mode == "Indexed" and spec.completions == spec.parallelism
    if spec.completions != was.completions and not elastic:
        found.append(immutable("spec.completions", spec.completions))
    if spec.selector != was.selector:
        found.append(immutable("spec.selector", None if spec.selector is None else encode(spec.selector)))
    if spec.template != was.template and not (was.suspend and old.status.start_time is None):
        found.append(immutable("spec.template", "the pod template"))
    for field, value, before in (
        ("completionMode", spec.completion_mode, was.completion_mode),
        ("podFailurePolicy", spec.pod_failure_policy, was.pod_failure_policy),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index, was.backoff_limit_per_index),
        ("managedBy", spec.managed_by, was.managed_by),
        ("successPolicy", spec.success_policy, was.success_policy),
    ):
        if value != before:
            found.append(immutable(f"spec.{field}", encode(value) if isinstance(value, Wire) else value))


CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID, _OLD_JOB_NAME = "controller-uid", "job-name"


def _on_create(job: Job, meta: ObjectMeta) -> Job:
    return replaced(job, metadata=meta, spec=_with_selector(job.spec, meta), status=JobStatus())


def _with_selector(spec: JobSpec, meta: ObjectMeta) -> JobSpec:
    """A job selects its pods by its own uid. Source: pkg/registry/batch/job/strategy.go generateSelector."""
    if spec.manual_selector:
        return spec
    name = meta.name[:63]
    own = {CONTROLLER_UID: meta.uid, JOB_NAME: name, _OLD_CONTROLLER_UID: meta.uid, _OLD_JOB_NAME: name}
    of_template = spec.template.metadata
    selector = spec.selector or LabelSelector()
    return replaced(
        spec,
        selector=replaced(selector, match_labels={**selector.match_labels, CONTROLLER_UID: meta.uid}),
        template=replaced(spec.template, metadata=replaced(of_template, labels={**of_template.labels, **own})),
    )


def _cells(obj: Json, moment: Moment) -> list[Any]:
    wanted, done = part(obj, "spec", "completions"), number(obj, "status", "succeeded")
    if wanted is not None:
        completions = f"{done}/{wanted}"
    elif (parallel := number(obj, "spec", "parallelism")) > 1:
        completions = f"{done}/1 of {parallel}"
    else:
        completions = f"{done}/1"
    held = {item["type"] for item in part(obj, "status", "conditions") or [] if item.get("status") == "True"}
    if "Complete" in held:
        state = "Complete"
    elif "Failed" in held:
        state = "Failed"
    elif part(obj, "metadata", "deletionTimestamp"):
        state = "Terminating"
    elif "Suspended" in held:
        state = "Suspended"
    elif "FailureTarget" in held:
        state = "FailureTarget"
    elif "SuccessCriteriaMet" in held:
        state = "SuccessCriteriaMet"
    else:
        state = "Running"
    begun, ended = part(obj, "status", "startTime"), part(obj, "status", "completionTime")
    took = ""
    if begun:
        took = duration((moment.instant(ended) - moment.instant(begun)) // 10**9) if ended else moment.age(begun)
    return [name_of(obj), state, completions, took, moment.age(created(obj)), *template_cells(obj)]


RULES = (
    KindRules(
        kind=KINDS["Job"],
        defaults=_defaults,
        validate=_problems,
        counts_generation=True,
        propagation=ORPHAN_DEPENDENTS,
        on_create=_on_create,
        table=Table(("Name", "Status", "Completions", "Duration", "Age", *TEMPLATE_COLUMNS), _cells),
        fields={"status.successful": lambda job: str(job.status.succeeded or 0)},
    ),
)
