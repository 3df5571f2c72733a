"""The shipped measures, in the order in which tables show them."""

from __future__ import annotations

from harness.measure.catalogue import NEAREST_RANK, SPEC_RG, Better, Catalogue, Measure, spread
from harness.measure.job_measures import account_measures, job_measures
from harness.measure.recovery import PHASES
from harness.measure.vertical_measures import vertical_measures

HOP_NUMBERS = {"p50": "median", "max": "longest", "mean": "mean"}
QUEUE = "M/G/c/K in its steady state: Kleinrock, Queueing Systems I, 1975; Tijms, Stochastic Models, 2003"
RESOURCES = {"cpu": "CPU", "memory": "memory", "gpu": "GPU", "pods": "pod places"}


def _count(path: str, name: str, better: Better, definition: str, *tables: str) -> Measure:
    return Measure(path, name, "", better, definition, tables=tables, digits=0)


def shipped() -> Catalogue:
    return Catalogue(
        [
            *_placement(),
            *_scheduling(),
            *_filling(),
            *_autoscaling(),
            *vertical_measures(),
            *_requests(),
            *_recovery(),
            *_energy(),
            *_waterfalls(),
            *job_measures(),
            *account_measures(),
        ]
    )


def _placement() -> list[Measure]:
    at = "placement"
    out = [
        Measure("durationSeconds", "the run lasted", "s", "neither", "from instant 0 to the end of the run"),
        Measure(f"{at}.window.fromSeconds", "measured from", "s", "neither", "the first arrival of the workload"),
        Measure(f"{at}.window.toSeconds", "measured to", "s", "neither", "the end of the run, or of the longest run"),
        Measure(f"{at}.pods", "pods", "", "neither", "pods that ever were", digits=0),
        Measure(
            f"{at}.podsBound",
            "pods placed",
            "",
            "neither",
            "got a node; also those made anew",
            tables=("placement", "sweep"),
            digits=0,
        ),
        Measure(
            f"{at}.podsNeverBound",
            "pods never placed",
            "",
            "less",
            "pods that never got a node",
            primary=True,
            tables=("placement",),
            digits=0,
        ),
        Measure(f"{at}.podsFailed", "pods failed", "", "less", "pods whose phase became Failed", digits=0),
        _count(f"{at}.podsEvicted", "pods taken away", "neither", "preempted, or evicted by the strategy"),
    ]
    for key, word in RESOURCES.items():
        out.append(
            Measure(
                f"{at}.allocation.{key}",
                f"{word} allocated, mean",
                "%",
                "more",
                "requests of bound pods over what nodes offer, averaged from the first arrival to the end; a task "
                "counts for no longer than it says that it runs",
                "allocation ratio, as in Weng et al., USENIX ATC 2023",
                100,
                primary=key in ("cpu", "gpu"),
                tables=("placement",) if key != "pods" else (),
            )
        )
    out += [
        Measure(
            f"{at}.bound.share",
            "  proven most",
            "%",
            "neither",
            "what no schedule can have allocated more of, given arrivals, durations and nodes; the same for all",
            "harness/measure/bound: Lagrangian prices, minimum cut over the window",
            100,
            compared=False,
            tables=("placement",),
        ),
        Measure(
            f"{at}.bound.gap",
            "  gap to it",
            "% of it",
            "less",
            "(proven most - allocated) / proven most",
            "",
            100,
            tables=("placement", "sweep"),
        ),
        Measure(f"{at}.bound.allocated", "allocated", "cores or GPUs", "more", "mean of the resource that is bounded"),
        Measure(f"{at}.bound.most", "proven most", "cores or GPUs", "neither", "the bound, in units of the resource"),
    ]
    for key, word in RESOURCES.items():
        out += [
            Measure(
                f"{at}.heldBeyond.{key}",
                f"{word} held beyond its work, mean",
                "%",
                "less",
                "held by tasks beyond the time that they say they run: dead nodes, slow starts, work done again",
                "",
                100,
            ),
            Measure(
                f"{at}.allocationAtEnd.{key}",
                f"{word} at end",
                "%",
                "neither",
                "allocated over capacity when the run ended",
                "",
                100,
                compared=False,
                tables=("sweep",) if key != "pods" else (),
            ),
            Measure(
                f"{at}.strandedAtEnd.{key}",
                f"{word} stranded at end",
                "%",
                "neither",
                "idle on nodes that are exhausted (below 10 % free) in another resource; less is better where as "
                "much is allocated",
                "",
                100,
            ),
        ]
    out += [
        Measure(
            f"{at}.fragmentation.shareOfIdle",
            "GPU fragmentation",
            "% of idle",
            "neither",
            "idle GPU that typical pods of the workload cannot use, over what is idle, averaged over time; less is "
            "better where as much is allocated",
            "Weng et al., Beware of Fragmentation, USENIX ATC 2023",
            100,
            tables=("placement",),
        ),
        Measure(f"{at}.fragmentation.gpus", "GPU fragmentation", "GPUs", "less", "the same in GPUs"),
        Measure(
            f"{at}.nodesUsed",
            "nodes used, mean",
            "",
            "neither",
            "nodes with a bound pod, averaged over time; fewer are better where as much is allocated",
            tables=("placement",),
            digits=1,
        ),
        _count(f"{at}.nodesUsedPeak", "nodes used, peak", "neither", "most nodes with a bound pod at once; as above"),
        *spread(
            f"{at}.pendingSeconds",
            "wait for a node",
            "from the pod's creation to its binding; whom the scheduler evicts waits on, in the pod made anew",
            primary="mean",
            rows={"p50": ("placement",), "p99": ("placement",), "mean": ("placement", "sweep")},
        ),
        *spread(f"{at}.startSeconds", "start of a pod", "from the pod's creation to Running", rows={}),
    ]
    return out


def _scheduling() -> list[Measure]:
    return [
        Measure("scheduling.decisions", "decisions", "", "neither", "bindings that were decided", digits=0),
        Measure(
            "scheduling.unschedulableAttempts",
            "attempts without a node",
            "",
            "less",
            "times that a pod was tried and not placed",
            digits=0,
        ),
        Measure("scheduling.cycles", "scheduling cycles", "", "neither", "calls of the strategy", digits=0),
        Measure(
            "scheduling.batch",
            "pods handed over at once, most",
            "",
            "neither",
            "size of the window of the queue that the strategy is shown",
            tables=("placement",),
            digits=0,
            compared=False,
        ),
    ]


def _filling() -> list[Measure]:
    source = "Weng et al., USENIX ATC 2023, scripts/analysis.py"
    return [
        Measure(
            "filling.100.allocated",
            "GPU at 100 % load",
            "%",
            "more",
            "GPU allocated when what has arrived asks for all GPUs",
            source,
            primary=True,
            tables=("sweep",),
        ),
        Measure(
            "filling.130.allocated",
            "GPU at 130 % load",
            "%",
            "more",
            "GPU allocated when what has arrived asks for 1.3 times the GPUs",
            source,
            primary=True,
            tables=("sweep",),
        ),
        Measure(
            "filling.100.fragmented",
            "fragments at 100 % load",
            "%",
            "less",
            "idle GPU that is fragment, in percent of what is idle, at 100 % load",
            source,
            tables=("sweep",),
        ),
        Measure("filling.*.allocated", "GPU allocated at a load", "%", "more", "by percent that has arrived", source),
        Measure("filling.*.fragmented", "fragments at a load", "%", "less", "by percent that has arrived", source),
    ]


def _autoscaling() -> list[Measure]:
    at = "autoscaling.*"

    def row(
        key: str, name: str, unit: str, better: Better, definition: str, source: str = "", digits: int = 1
    ) -> Measure:
        return Measure(
            f"{at}.{key}",
            name,
            unit,
            better,
            definition,
            source,
            tables=("autoscaling",),
            digits=digits,
        )

    return [
        row("responseSeconds.episodes", "shortages", "", "less", "times that supply fell below demand", digits=0),
        row(
            "responseSeconds.mean",
            "until capacity was there, mean",
            "s",
            "less",
            "from the beginning of a shortage to its end; 0 without one, a lower bound where one had no end",
            digits=0,
        ),
        row("responseSeconds.max", "until capacity was there, longest", "s", "less", "the longest shortage", digits=0),
        row(
            "underTimeshare",
            "under-provisioned",
            "% of time",
            "less",
            "share of time in which supply was below demand",
            SPEC_RG,
        ),
        row("overTimeshare", "over-provisioned", "% of time", "less", "share of time with supply over demand", SPEC_RG),
        row("underAccuracy", "missing replicas", "% of demand", "less", "mean of (d - s)+ / d over time", SPEC_RG),
        row("overAccuracy", "idle replicas", "% of demand", "less", "mean of (s - d)+ / d over time", SPEC_RG),
        row(
            "instability",
            "instability",
            "% of time",
            "less",
            "share of time in which supply and demand have moved in opposite directions over the last minute",
            SPEC_RG,
        ),
        row("rescales", "rescales", "", "less", "times that the autoscaler wanted another number", digits=0),
        row("supplyPeak", "replicas, peak", "", "neither", "most ready replicas", digits=0),
        row("nodesPeak", "nodes, peak", "", "neither", "most nodes", digits=0),
        row("podHours", "pod-hours", "h", "less", "replicas over time", digits=2),
        row("nodeHours", "node-hours", "h", "less", "nodes over the whole run, of the cluster or pool", digits=2),
        row(
            "cost",
            "cost, money",
            "",
            "less",
            "node-hours times the price of each, of the cluster or of the pool",
            digits=2,
        ),
        row("refused", "machines refused", "", "less", "machines that the pool's provider did not make", digits=0),
        Measure(f"{at}.jitter", "jitter", "1/s", "neither", "(supply changes - demand changes) / time", SPEC_RG),
        Measure(
            f"{at}.demandPeak",
            "demand, peak",
            "replicas",
            "neither",
            "most replicas that the load needed to meet the SLO",
            digits=0,
        ),
        _longest("atSeconds", "began at", "neither", "instant of its beginning"),
        _longest("decidedSeconds", "until decided", "less", "until the HPA wanted more"),
        Measure(
            f"{at}.longest.nodesAskedSeconds", "longest shortage, until asked", "s", "less", "until a pool was asked"
        ),
        _longest("nodesThereSeconds", "until a node", "less", "until a node came"),
        _longest("readySeconds", "until ready", "less", "until supply met demand"),
    ]


def _longest(key: str, name: str, better: Better, definition: str) -> Measure:
    return Measure(f"autoscaling.*.longest.{key}", f"longest shortage, {name}", "s", better, definition)


def _requests() -> list[Measure]:
    return [
        _count("requests.*.sent", "requests sent", "neither", "requests that clients sent after the warm-up"),
        _count(
            "requests.*.warmUp",
            "requests before it served",
            "neither",
            "sent until the service first served, for its `warmUp` (30 s) at most; they count for nothing else",
        ),
        _count("requests.*.lost", "requests lost", "less", "sent, and not answered in the client's time"),
        _count("requests.*.lostBy.noEndpoint", "lost: no endpoint", "less", "no pod was ready"),
        _count("requests.*.lostBy.unreachable", "lost: unreachable", "less", "sent to a pod that did not serve"),
        _count("requests.*.lostBy.overload", "lost: overload", "less", "the pod's line was full"),
        _count("requests.*.lostBy.timeout", "lost: timeout", "less", "the client had given up"),
        Measure("requests.*.goodput", "goodput", "requests/s", "more", "answered within the SLO's latency, on average"),
        Measure("requests.*.utilisation", "servers busy", "%", "neither", "of the pods that served", QUEUE, 100),
        Measure(
            "requests.*.errorBudgetUsed",
            "error budget used",
            "%",
            "less",
            "share not answered in time, over what the objective allows",
            "Beyer et al., Site Reliability Engineering, 2016, chapter 3",
            100,
        ),
        Measure(
            "requests.*.lostShare",
            "requests lost",
            "%",
            "less",
            "lost over sent",
            "",
            100,
            primary=True,
            tables=("autoscaling", "requests"),
        ),
        Measure(
            "requests.*.sloAttainment",
            "answered in time",
            "% of sent",
            "more",
            "within the SLO's latency",
            QUEUE,
            100,
            primary=True,
            tables=("autoscaling", "requests"),
        ),
        *(
            Measure(
                f"requests.*.latencySeconds.{key}",
                f"latency, {word}",
                "ms",
                "less",
                "from sent to answered, of those let in; at least that, where more are lost than it leaves out",
                QUEUE,
                1000,
                tables=("autoscaling", "requests") if key in ("p50", "p99") else (),
                digits=1,
            )
            for key, word in {"p50": "median", "p90": "p90", "p95": "p95", "p99": "p99", "mean": "mean"}.items()
        ),
    ]


def _recovery() -> list[Measure]:
    at = "recovery.*"
    out = [
        Measure(f"{at}.atSeconds", "fault at", "s", "neither", "instant of the fault", digits=0),
        _count(f"{at}.victims", "pods hit", "neither", "pods on its nodes, or that it names, not hit before"),
        _count(f"{at}.back", "pods back", "more", "victims that run again, or what replaced them; unwanted ones, too"),
        _count(f"{at}.replaced", "pods replaced", "neither", "victims for which another pod was made"),
        _count(f"{at}.returned", "pods back by themselves", "neither", "victims that were ready again"),
        _count(f"{at}.completed", "pods completed", "neither", "victims that ended by themselves"),
        _count(f"{at}.removed", "pods removed meanwhile", "neither", "victims that their controller wanted no longer"),
        _count(f"{at}.lost", "pods lost", "less", "victims that nobody makes anew"),
        _count(f"{at}.pullsFailed", "pods whose images were not pulled", "less", "while the registry was away"),
        _count(f"{at}.prolonged", "pods kept away longer", "neither", "hit by an earlier fault, which it outlasts"),
        Measure(f"{at}.outage.seconds", "process away", "s", "neither", "how long the fault lasted, within the run"),
        Measure(
            f"{at}.outage.withoutDecisions",
            "without decisions",
            "s",
            "less",
            "from the fault until a pod was bound, or a missing replica made, again",
        ),
        _count(
            f"{at}.outage.backlog",
            "backlog after the outage",
            "less",
            "when it was over: pods without a node (of an API server or scheduler), replicas not there (of an API "
            "server or controller manager)",
        ),
        Measure(f"{at}.outage.catchUp", "catch-up", "s", "less", "from its end until all of the backlog was done"),
        Measure(f"{at}.action.seconds", "action takes", "s", "less", "from its begin until its last step"),
        _count(f"{at}.action.evictionsRefused", "evictions refused", "less", "tries that a disruption budget refused"),
        _count(
            f"{at}.requestsLost.*",
            "requests lost to the fault",
            "less",
            "on the way to pods that it hit, or to nobody while those were not replaced",
        ),
    ]
    for phase in PHASES:
        about = f"from the fault to {phase}, over the pods that it hit"
        out += [
            Measure(
                f"{at}.phases.{phase}.last",
                f"fault to {phase}, last pod",
                "s",
                "less",
                f"{about}; the last of them",
                primary=phase == "serving",
                digits=1,
            ),
            Measure(f"{at}.phases.{phase}.first", f"fault to {phase}, first pod", "s", "less", f"{about}; the first"),
            *spread(f"{at}.phases.{phase}", f"fault to {phase}", about, rows={}),
        ]
    return out


def _waterfalls() -> list[Measure]:
    at, ups = "waterfalls.recoveries.*", "waterfalls.scaleUps"
    hops = "hops by name, as leaseNotRenewed, taintTolerated, poolDecision, imagePulled"
    dominant = "of the timer that most of the time went to, of all of it"
    return [
        Measure(
            f"{at}.totalSeconds",
            "recovery, total",
            "s",
            "less",
            "from the fault to the first request of the last pod that it hit, or of what replaced it",
        ),
        Measure(f"{at}.dominantShare", "recovery, share of the dominant timer", "%", "neither", dominant, "", 100),
        *(
            Measure(
                f"{at}.hops.*.{key}",
                f"hop of a recovery, {word}",
                "s",
                "less",
                f"over the pods of a fault, {word}; {hops}",
                NEAREST_RANK if key == "p50" else "",
                digits=3,
            )
            for key, word in HOP_NUMBERS.items()
        ),
        Measure(f"{ups}.count", "scale-ups", "", "neither", "of autoscaled replicas, and of pools for pods", digits=0),
        *spread(
            f"{ups}.totalSeconds", "scale-up, total", "from the load to the first request of the last pod", rows={}
        ),
        Measure(f"{ups}.dominantShare", "scale-ups, share of the dominant timer", "%", "neither", dominant, "", 100),
        *(
            Measure(
                f"{ups}.hops.*.{key}",
                f"hop of a scale-up, {word}",
                "s",
                "less",
                f"over the pods of all scale-ups, {word}; {hops}",
                NEAREST_RANK if key == "p50" else "",
                digits=3,
            )
            for key, word in HOP_NUMBERS.items()
        ),
    ]


def _energy() -> list[Measure]:
    source = "Fan, Weber, Barroso, ISCA 2007; watts: harness/model/power.py"
    return [
        Measure(
            "energy.kwh",
            "energy",
            "kWh",
            "less",
            "of nodes that have power, from the first arrival to the end: idle, and linear in what pods request",
            source,
            tables=("placement",),
        ),
        Measure("energy.idleKwh", "energy, idle", "kWh", "less", "what nodes would have drawn without pods", source),
        Measure("energy.wattsAtEnd", "power at end", "W", "neither", "what is drawn when the run ends", source),
        Measure("energy.poweredHours", "powered-on time", "node-hours", "less", "of all nodes, crashes left out"),
    ]
