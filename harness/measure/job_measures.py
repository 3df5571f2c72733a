"""The measures over jobs, as the catalogue has them."""

from __future__ import annotations

from harness.measure.catalogue import NEAREST_RANK, Better, Measure

DEADLINES = "deadline annotation, Job.spec.activeDeadlineSeconds, or spec.accounting.deadline"
FEITELSON = "Feitelson et al., Theory and Practice in Parallel Job Scheduling, JSSPP 1997"
DRF = "Ghodsi et al., Dominant Resource Fairness, NSDI 2011"
THEMIS = "Mahajan et al., Themis, NSDI 2020"
JAIN = "Jain, Chiu, Hawe, DEC-TR-301, 1984"
CENSORED = "What has not come to its end counts to the end of the run and marks it as a lower bound."


def _others_of(path: str, name: str, definition: str) -> list[Measure]:
    """Of a time over jobs, besides its mean."""
    words = {"p50": "median", "p95": "p95", "p99": "p99", "max": "longest"}
    out = [
        Measure(
            f"{path}.{key}", f"{name}, {word}", "s", "less", f"{definition}; {word}. {CENSORED}",
            NEAREST_RANK if key[0] == "p" else "", digits=1,
        )
        for key, word in words.items()
    ]  # fmt: skip
    return [*out, Measure(f"{path}.censored", f"{name}, without an end", "", "less", definition, digits=0)]


def _work(at: str, table: tuple[str, ...], of: str = "", *, compared: bool = True) -> list[Measure]:
    """Goodput and what was lost. `of`: before the names."""
    out = [
        Measure(
            f"{at}.interruptedPods", f"{of}pods interrupted", "", "less",
            "pods of jobs that ran and ended otherwise than by success: evicted, preempted, crashed, failed",
            digits=0, compared=compared,
        )
    ]  # fmt: skip
    for key, word in (("gpu", "GPU"), ("cpu", "CPU")):
        out += [
            Measure(
                f"{at}.workHours.{key}", f"{of}{word}-hours that counted", "h", "more",
                "requests times run time of pods of jobs that succeeded; of training jobs what rounds gave", digits=1,
                compared=compared,
            ),
            Measure(
                f"{at}.lostHours.{key}", f"{of}{word}-hours lost", "h", "less",
                "the same of pods that ended otherwise, until their node stopped, and of attempts begun anew, for "
                "no longer than they say that they run; of training jobs all else that their pods ran: restarts, work "
                "since the last checkpoint, waits for the gang, gangs told to stop that nobody reached", tables=table,
                compared=compared,
            ),
            Measure(
                f"{at}.goodputShare.{key}", f"{of}{word} goodput", "%", "more",
                "what counted, of that and what was lost", "", 100, tables=table, digits=1, compared=compared,
            ),
        ]  # fmt: skip
    return out


def account_measures() -> list[Measure]:
    """Of each user, queue and class, and how fair it was between them."""
    out: list[Measure] = []
    for dimension, family in (("user", "users"), ("queue", "queues"), ("class", "classes")):
        out += _of_values(dimension, family) + _fairness(dimension, family)
    return out


def _of_values(dimension: str, family: str) -> list[Measure]:
    at, of, table = f"{family}.*", f"{dimension}'s ", (family,)

    # size: the fields of a measure that differ.
    def row(
        key: str, name: str, unit: str, better: Better, definition: str, source: str = "", scale: float = 1.0,
        digits: int = 1, *, shown: bool = True,
    ) -> Measure:  # fmt: skip
        return Measure(
            f"{at}.{key}", of + name, unit, better, definition, source, scale, tables=table if shown else (),
            digits=digits, compared=False,
        )  # fmt: skip

    return [
        row("count", "jobs", "", "neither", f"jobs of one {dimension}", digits=0),
        row("censored", "open", "", "less", "not complete at the end of the run", digits=0),
        row("completionSeconds.mean", "completion, mean", "s", "less", f"arrival to completion. {CENSORED}"),
        *(
            row(f"completionSeconds.{key}", f"completion, {key}", "s", "less", CENSORED, NEAREST_RANK, shown=False)
            for key in ("p50", "p95", "p99")
        ),
        row("waitSeconds.mean", "wait, mean", "s", "less", f"arrival until a job runs first. {CENSORED}"),
        row("waitSeconds.p95", "wait, p95", "s", "less", CENSORED, NEAREST_RANK, shown=False),
        row("boundedSlowdown.mean", "slowdown, mean", "", "less", "bounded, as of all jobs", FEITELSON, digits=2),
        row("deadlines.metShare", "deadlines met", "%", "more", "of jobs that have one", DEADLINES, 100),
        row("makespanSeconds", "makespan", "s", "less", "first arrival to last completion", shown=False),
        row(
            "dominantShare", "dominant share", "%", "neither",
            "the largest share of any resource of the cluster that its pods hold, averaged from the first arrival to "
            "the end", DRF, 100,
        ),
        row(
            "rho.worst", "rho, worst", "", "less",
            f"of its jobs: completion time over the one with 1/N of the cluster to the {dimension} alone, first come, "
            f"first served; N: {family} with jobs", THEMIS, digits=2,
        ),
        row("rho.mean", "rho, mean", "", "less", "the same, mean", THEMIS, shown=False),
        *_work(at, table, of, compared=False),
    ]  # fmt: skip


def _fairness(dimension: str, family: str) -> list[Measure]:
    at, table = f"fairness.{dimension}", ("jobs",)
    return [
        Measure(f"{at}.count", family, "", "neither", f"{family} that have jobs or pods", digits=0),
        Measure(
            f"{at}.jainDominantShare", f"Jain's index over {family}, dominant share", "", "neither",
            "of the mean dominant shares: 1 where all had alike, whatever they asked for", f"{JAIN}; {DRF}",
            tables=table,
        ),
        Measure(
            f"{at}.jainRho", f"Jain's index over {family}, finish-time fairness", "", "more",
            "of the inverse mean finish-time fairness of each: 1 where all were held up alike", f"{JAIN}; {THEMIS}",
            tables=table,
        ),
        Measure(
            f"{at}.worstRho", f"finish-time fairness over {family}, worst", "", "less",
            f"of any job: completion time over the one with 1/N of the cluster to its {dimension} alone", THEMIS,
            tables=table,
        ),
        Measure(
            f"{at}.unfairShare", f"jobs worse off than by 1/N, {family}", "%", "less",
            "share of jobs with a finish-time fairness over 1.05", f"{THEMIS}; Zheng et al., Shockwave, NSDI 2023", 100,
            tables=table, digits=1,
        ),
    ]  # fmt: skip


def job_measures() -> list[Measure]:
    at, feitelson = "jobs", FEITELSON
    shockwave = "Zheng et al., Shockwave, NSDI 2023"
    table = ("jobs",)
    never = "; a job that is not complete counts to the end of the run"
    return [
        Measure(
            f"{at}.count",
            "jobs",
            "",
            "neither",
            "Jobs, bare pods that say how long they run, and gangs of such that have arrived; training jobs",
            tables=table,
            digits=0,
        ),
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
            "from the first arrival (of training jobs: from the trace's zero) to the last completion" + never,
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
        *_others_of(f"{at}.completionSeconds", "completion time", "from a job's arrival to its completion"),
        Measure(
            f"{at}.waitSeconds.mean",
            "wait of a job, mean",
            "s",
            "less",
            "from a job's arrival until it runs first: its first pod, or its first round",
            feitelson,
            tables=table,
            digits=1,
        ),
        *_others_of(f"{at}.waitSeconds", "wait of a job", "from a job's arrival until it runs first"),
        Measure(
            f"{at}.boundedSlowdown.mean",
            "bounded slowdown, mean",
            "",
            "less",
            "completion time over the time alone, which counts as 10 s at least",
            feitelson,
            tables=table,
        ),
        Measure(f"{at}.boundedSlowdown.worst", "bounded slowdown, worst", "", "less", "of any job", feitelson),
        Measure(
            f"{at}.deadlines.metShare",
            "deadlines met",
            "%",
            "more",
            "jobs that were complete by their deadline, of those that have one; what is not complete at the end has "
            "not met it",
            DEADLINES,
            100,
            tables=table,
            digits=1,
        ),
        Measure(f"{at}.deadlines.count", "jobs with a deadline", "", "neither", "annotation, field or spec", digits=0),
        Measure(
            f"{at}.deadlines.ahead",
            "deadlines after the end",
            "",
            "neither",
            "jobs that were not complete and whose deadline had not come",
            digits=0,
        ),
        *_work(at, table),
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
            JAIN,
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
            f"{at}.resizes",
            "gangs resized",
            "",
            "neither",
            "how often the gang of an elastic job had another size than when it ran last; each costs a restart",
            tables=table,
            digits=0,
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
