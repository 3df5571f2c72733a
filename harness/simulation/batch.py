"""Random specs of Jobs and CronJobs."""

from __future__ import annotations

from random import Random
from typing import Any

SCHEDULES = ("* * * * *", "*/2 * * * *", "*/5 * * * *", "3,17 * * * *")


def job_spec(rng: Random, template: dict[str, Any], *, full: bool) -> dict[str, Any]:
    """`full`: with limits and policies for each index, for failures, for success, for replacements."""
    indexed = rng.random() < (0.7 if full else 0.2)
    completions = rng.randint(1, 5)
    spec: dict[str, Any] = {
        "completions": completions,
        "parallelism": rng.randint(1, 3),
        "backoffLimit": rng.choice((0, 2, 6)),
        "template": template,
    }
    if indexed:
        spec["completionMode"] = "Indexed"
    if rng.random() < 0.2:
        spec["activeDeadlineSeconds"] = rng.choice((20, 100))
    if rng.random() < 0.2:
        spec["ttlSecondsAfterFinished"] = rng.choice((0, 30))
    if full:
        _policies(rng, spec, indexed=indexed)
    return spec


def _policies(rng: Random, spec: dict[str, Any], *, indexed: bool) -> None:
    of_index = indexed and rng.random() < 0.5
    if of_index:
        del spec["backoffLimit"]
        spec["backoffLimitPerIndex"] = rng.choice((0, 1, 3))
        if rng.random() < 0.5:
            spec["maxFailedIndexes"] = rng.randint(0, spec["completions"])
    if rng.random() < 0.5 and spec["template"]["spec"]["restartPolicy"] == "Never":
        spec["podFailurePolicy"] = {"rules": _failure_rules(rng, of_index=of_index)}
        if rng.random() < 0.5:
            spec["podReplacementPolicy"] = "Failed"
    elif rng.random() < 0.5:
        spec["podReplacementPolicy"] = rng.choice(("Failed", "TerminatingOrFailed"))
    if indexed and rng.random() < 0.4:
        last = spec["completions"] - 1
        rules: tuple[dict[str, Any], ...] = (
            {"succeededCount": rng.randint(1, spec["completions"])},
            {"succeededIndexes": f"0-{last}" if last else "0"},
            {"succeededIndexes": f"0,{last}" if last else "0", "succeededCount": 1},
        )
        spec["successPolicy"] = {"rules": [rng.choice(rules)]}
    if rng.random() < 0.2:
        spec["suspend"] = True


def _failure_rules(rng: Random, *, of_index: bool) -> list[dict[str, Any]]:
    actions = ("Ignore", "Count", "FailJob", *(("FailIndex",) if of_index else ()))
    disrupted = {"action": rng.choice(actions), "onPodConditions": [{"type": "DisruptionTarget"}]}
    exits = rng.choice(({"operator": "In", "values": [1, 137]}, {"operator": "NotIn", "values": [1]}))
    exited = {"action": rng.choice(actions), "onExitCodes": exits}
    return rng.sample([disrupted, exited], rng.randint(1, 2))


def cron_job_spec(rng: Random, template: dict[str, Any], *, full: bool) -> dict[str, Any]:
    job = job_spec(rng, template, full=full)
    job.pop("suspend", None)  # nobody would ever resume these
    spec: dict[str, Any] = {
        "schedule": rng.choice(SCHEDULES),
        "concurrencyPolicy": rng.choice(("Allow", "Forbid", "Replace")),
        "jobTemplate": {"spec": job},
    }
    if rng.random() < 0.3:
        spec["startingDeadlineSeconds"] = rng.choice((15, 200))
    if rng.random() < 0.3:
        spec["successfulJobsHistoryLimit"] = rng.choice((0, 1))
    if rng.random() < 0.3:
        spec["failedJobsHistoryLimit"] = rng.choice((0, 2))
    if rng.random() < 0.2:
        spec["timeZone"] = rng.choice(("Europe/Berlin", "Etc/UTC"))
    return spec
