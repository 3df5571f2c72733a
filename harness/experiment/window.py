"""One window for all strategies of a run: those that ended before the others are measured to the end of the last.

A scenario with a duration ends for all alike. Without one, each run ends when nothing of its workload is left to
happen; as its cluster is then, it stays. So the rest of the window is known without playing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.experiment.gates import failed_gates
from harness.experiment.prepared import prepare
from harness.experiment.record import put_metrics, whole_record
from harness.experiment.result import Result
from harness.experiment.scenario import LoadedScenario
from harness.measure.accounting import DIMENSIONS
from harness.measure.demand import Demand
from harness.measure.energy import JOULES_PER_KWH
from harness.measure.fairness import Hold
from harness.measure.job_lives import job_rows
from harness.measure.job_metrics import job_metrics
from harness.measure.placement import against
from harness.measure.pods import NEVER, Wait, seconds, waits_of
from harness.model.errors import UserError


def settle(results: Sequence[Result], read: Callable[[Result], LoadedScenario]) -> None:
    """Measure all runs of the same seed and variables over one window, in place, and in their records.

    `read`: the scenario that a result is of, with its values of the variables.
    """
    groups: dict[tuple[int, tuple[tuple[str, str], ...]], list[Result]] = {}
    for result in results:
        if result.accounts:
            groups.setdefault((result.seed, tuple(result.variables.items())), []).append(result)
    for (seed, _), group in groups.items():
        until = max(result.accounts["endSeconds"] for result in group)
        short = [r for r in group if r.metrics["placement"]["window"]["toSeconds"] != until and r.folder is not None]
        if not short:
            continue
        demands: dict[str, Demand] = {}
        for result in short:
            loaded = read(result)
            name = repr(loaded.data)
            demand = demands.get(name) or demands.setdefault(name, demand_of(loaded, seed))
            _extend(result, until, demand)
            result.missed = failed_gates(loaded, result.metrics)
            assert result.folder is not None
            put_metrics(result.folder, result.metrics, result.missed)


def demand_of(loaded: LoadedScenario, seed: int) -> Demand:
    """What a run of the scenario is asked for, without running it."""
    prepared = prepare(loaded, seed)
    demand = prepared.demand()
    for _ in prepared.workload.noted_stream(demand):
        pass
    return demand


def _extend(result: Result, until: float, demand: Demand) -> None:
    """Over the window to `until` (seconds); its accounts stay those of the run itself."""
    accounts, placement = result.accounts, result.metrics["placement"]
    more = until - accounts["endSeconds"]

    def total(name: str, what: str = "") -> float:
        area, going = accounts[name][what] if what else accounts[name]
        return float(area + going * more)

    resources = [name for name in accounts if isinstance(accounts[name], dict)]
    since = placement["window"]["fromSeconds"]
    placement["window"]["toSeconds"] = until
    for name in resources:
        placement["allocation"][name] = total(name, "counted") / total(name, "capacity")
        placement["heldBeyond"][name] = total(name, "beyond") / total(name, "capacity")
    placement["nodesUsed"] = total("busyNodes") / (until - since)
    if "fragmentation" in placement:
        fragments, idle = total("fragments"), total("idleGpu")
        placement["fragmentation"] = {
            "gpus": fragments / (until - since) / 1000,
            "shareOfIdle": fragments / idle if idle else 0.0,
        }
    placement |= _waits(result, until)
    bound = placement.get("bound", {})
    if "most" in bound:
        most = demand.most(round(until * 1e9))
        placement["bound"] = against(most, total(bound["resource"], "counted") / (until - since))
    energy = result.metrics.get("energy", {})
    if "kwh" in energy:
        energy["kwh"] += energy["wattsAtEnd"] * more / JOULES_PER_KWH
    _jobs(result, since, until, demand)


def _jobs(result: Result, since: float, until: float, demand: Demand) -> None:
    """Measures over jobs, and of each user, queue and class."""
    from workloads.readers.parquet import read_parquet

    folder, hint = result.folder, "run the scenario again"
    assert folder is not None
    if "steps" not in result.accounts or "rounds" in result.metrics.get("jobs", {}):
        return  # of an earlier version; of training jobs
    with whole_record(folder):
        path = folder / "jobs.parquet"
        found = read_parquet(path, expected="the jobs of a record", hint=hint) if path.exists() else None
        rows = [] if found is None else job_rows(found.to_dict(as_series=False))
        pods = read_parquet(folder / "pods.parquet", expected="the pods of a record", hint=hint)
        held = pods.select("bound_ns", "ended_ns", "cpu_milli", "memory_bytes", "gpu_milli").iter_rows()
        holds = list(zip(pods.select(*DIMENSIONS).iter_rows(), map(Hold._make, held), strict=True))
        steps = [tuple(step) for step in result.accounts["steps"]]
    result.metrics |= job_metrics(rows, holds, steps, demand.capacity, round(since * 1e9), round(until * 1e9))


def _waits(result: Result, until: float) -> dict[str, Any]:
    from workloads.readers.parquet import read_parquet

    assert result.folder is not None
    path = result.folder / "pods.parquet"
    hint = "run the scenario again"
    pods = read_parquet(path, expected="the pods of a record", hint=hint)
    for name in ("created_ns", "bound_ns", "running_ns", "ended_ns", "gone_ns"):
        found = str(pods.schema[name]) if name in pods.columns else "no such column"
        if found != "Int64" or pods[name].null_count():
            what = f"the pods have no whole numbers in {name}"
            raise UserError(what, file=path, found=found, expected="Int64, without nulls", hint=hint)
    far = round(until * 1e9)
    evicted = pods["evicted_ns"].to_list() if "evicted_ns" in pods.columns else [NEVER] * len(pods)
    who = [owner or key for owner, key in pods.select("owner", "key").iter_rows()]
    ended, gone = (pods[name].to_numpy() for name in ("ended_ns", "gone_ns"))
    left = np.minimum(np.where(ended == NEVER, far, ended), np.where(gone == NEVER, far, gone)).tolist()
    created = pods["created_ns"].to_list()
    out = {}
    for name, column in (("pendingSeconds", "bound_ns"), ("startSeconds", "running_ns")):
        rows = map(Wait, who, created, pods[column].to_list(), left, evicted)
        out[name] = seconds(*waits_of(rows, far))
    return out
