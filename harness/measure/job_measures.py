"""The measures over jobs, as the catalogue has them."""

from __future__ import annotations

from harness.measure.catalogue import Measure


def job_measures() -> list[Measure]:
    at, feitelson = "jobs", "Feitelson et al., Theory and Practice in Parallel Job Scheduling, JSSPP 1997"
    shockwave = "Zheng et al., Shockwave, NSDI 2023"
    table = ("jobs",)
    never = "; a job that is not complete counts to the end of the run"
    return [
        Measure(f"{at}.count", "jobs", "", "neither", "training jobs of the workload", tables=table, digits=0),
        Measure(
            f"{at}.censored",
            "  not complete at the end",
            "",
            "less",
            "jobs that never were complete",
            tables=table,
            digits=0,
        ),
        Measure(
            f"{at}.makespanSeconds",
            "makespan",
            "s",
            "less",
            "from the first arrival's zero to the last completion" + never,
            shockwave,
            primary=True,
            tables=table,
            digits=1,
        ),
        Measure(
            f"{at}.completionSeconds.mean",
            "completion time, mean",
            "s",
            "less",
            "from a job's arrival to its completion" + never,
            shockwave,
            primary=True,
            tables=table,
            digits=1,
        ),
        Measure(f"{at}.completionSeconds.geometricMean", "completion time, geometric mean", "s", "less", "the same"),
        Measure(f"{at}.completionSeconds.harmonicMean", "completion time, harmonic mean", "s", "less", "the same"),
        Measure(
            f"{at}.waitSeconds.mean",
            "wait for the first round, mean",
            "s",
            "less",
            "from a job's arrival to the first round in which it runs",
            tables=table,
            digits=1,
        ),
        Measure(
            f"{at}.boundedSlowdown.mean",
            "bounded slowdown, mean",
            "",
            "less",
            "completion time over the time alone, which counts as 10 s at least",
            feitelson,
            tables=table,
        ),
        Measure(
            f"{at}.rho.worst",
            "finish-time fairness, worst",
            "",
            "less",
            "completion time over the time alone times the jobs of the workload that share a GPU",
            shockwave,
            primary=True,
            tables=table,
        ),
        Measure(
            f"{at}.rho.unfairShare",
            "treated unfairly",
            "%",
            "less",
            "share of jobs with a finish-time fairness over 1.05",
            shockwave,
            100,
            tables=table,
        ),
        Measure(
            f"{at}.jain",
            "Jain's index",
            "",
            "more",
            "of the inverse finish-time fairness over all jobs: 1 where all are alike",
            "Jain, Chiu, Hawe, DEC-TR-301, 1984",
            tables=table,
        ),
        Measure(
            f"{at}.gpuUtilization",
            "GPUs at work, mean",
            "%",
            "more",
            "time that counted over the makespan, mean over the GPUs",
            shockwave,
            100,
            tables=table,
        ),
        Measure(
            f"{at}.leaseExtensionShare",
            "GPUs kept to the next round",
            "%",
            "more",
            "of jobs that ran and are not complete, those that keep all their GPUs",
            shockwave,
            100,
            tables=table,
        ),
        Measure(
            f"{at}.lostSeconds",
            "work lost",
            "s",
            "less",
            "time that gangs ran for nothing, as they lost a member before the next checkpoint",
            tables=table,
            digits=1,
        ),
        Measure(
            f"{at}.rounds",
            "rounds",
            "",
            "neither",
            "boundaries at which the strategy was asked",
            tables=table,
            digits=0,
        ),
    ]
