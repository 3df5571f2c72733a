"""Whether an Indexed Job has succeeded before all its indexes have.

Source: pkg/controller/job/success_policy.go (1.32).
"""

from __future__ import annotations

from collections.abc import Collection

from harness.controllers.workloads.job.indexes import parsed
from harness.model.workloads import Job


def met_rule(job: Job, done: Collection[int]) -> int | None:
    """The number of the first rule of successPolicy that the succeeded indexes meet."""
    policy = job.spec.success_policy
    if policy is None or not done:
        return None
    for number, rule in enumerate(policy.rules):
        if rule.succeeded_indexes is not None:
            wanted = parsed(rule.succeeded_indexes, job.spec.completions or 0)
            found = len(wanted.intersection(done))
            if wanted and found >= (len(wanted) if rule.succeeded_count is None else rule.succeeded_count):
                return number
        elif rule.succeeded_count is not None and len(done) >= rule.succeeded_count:
            return number
    return None
