"""Job. Source: pkg/apis/batch: validation, v1/defaults.go; pkg/registry/batch/job/strategy.go; printers.go printJob."""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    TEMPLATE_COLUMNS,
    Json,
    Moment,
    created,
    duration,
    name_of,
    number,
    part,
    template_cells,
)
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import at_least, immutable, required, unsupported
from harness.apiserver.validation.templates import template_problems
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import encode
from harness.model.workloads import Job, JobSpec, JobStatus


def _defaults(obj: Job) -> Job:
    spec = obj.spec
    completions, parallelism = spec.completions, spec.parallelism
    if completions is None and parallelism is None:
        completions = parallelism = 1
    if parallelism is None:
        parallelism = 1
    spec = replaced(
        spec,
        completions=completions,
        parallelism=parallelism,
        backoff_limit=6 if spec.backoff_limit is None else spec.backoff_limit,
        completion_mode=spec.completion_mode or "NonIndexed",
        suspend=bool(spec.suspend),
        template=default_template(spec.template),
        extra={"podReplacementPolicy": "TerminatingOrFailed", **(spec.extra or {})},
    )
    return replaced(obj, spec=spec)


def _problems(new: Job, old: Job | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    for field, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("backoffLimit", spec.backoff_limit),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
    ):
        at_least(found, f"spec.{field}", value)
    if spec.completion_mode not in (None, "NonIndexed", "Indexed"):
        found.append(unsupported("spec.completionMode", spec.completion_mode, ("NonIndexed", "Indexed")))
    if spec.completion_mode == "Indexed" and spec.completions is None:
        found.append(required("spec.completions", "when completion mode is Indexed"))
    found += names.selector_problems(spec.selector, "spec.selector")
    if old is None or spec.template is not old.spec.template:
        template_problems(found, spec.template, ("OnFailure", "Never"))
    if old is not None:
        was = old.spec
        if spec.selector != was.selector:
            found.append(immutable("spec.selector", None if spec.selector is None else encode(spec.selector)))
        if spec.completion_mode != was.completion_mode:
            found.append(immutable("spec.completionMode", spec.completion_mode))
        elastic = spec.completion_mode == "Indexed" and spec.completions == spec.parallelism
        if spec.completions != was.completions and not elastic:
            found.append(immutable("spec.completions", spec.completions))
        if spec.template != was.template and not (was.suspend and old.status.start_time is None):
            found.append(immutable("spec.template", "the pod template"))
    return found


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
        on_create=_on_create,
        table=Table(("Name", "Status", "Completions", "Duration", "Age", *TEMPLATE_COLUMNS), _cells),
        fields={"status.successful": lambda job: str(job.status.succeeded or 0)},
    ),
)
