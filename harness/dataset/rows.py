"""Records as a table to learn from: one row per decision, what the scheduler saw, what it did, and what came of it.

Columns of the state describe the instant before the decision. Columns that are known only later begin with `outcome_`
or `regret_`; `known_ns` says when.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.experiment.record import whole_record
from harness.explain.recorded_decision import Decided, RecordNotes
from harness.explain.regret import regrets
from harness.model.errors import UserError
from harness.scheduling.strategy import CPU, MEMORY, Bool

if TYPE_CHECKING:
    import polars as pl

COLUMNS: dict[str, str] = {
    "record": "folder of the record",
    "scenario": "name of the scenario",
    "scheduler": "the strategy that decided",
    "seed": "seed of the run",
    "list": "digest of the pods that arrived, and when: the same for all strategies on one scenario and seed",
    "decision": "number of the decision in its run, from 0",
    "at_ns": "instant of the decision, ns since the run began",
    "pod": "namespace/name",
    "created_ns": "instant of its creation, ns",
    "cpu_milli": "milli-CPU that it requests",
    "memory_bytes": "bytes that it requests",
    "gpus": "GPU devices that it asks for",
    "gpu_milli": "thousandths of each device",
    "gpu_models": "models that it accepts; empty: any",
    "priority": "its priority",
    "group": "its PodGroup, namespace/name; null: none",
    "lifetime_ns": "how long it declares to run; null: it says nothing",
    "waiting": "pods of the batch without a node, itself included",
    "nodes": "nodes that are there",
    "free_cpu_share": "of all CPU, 0..1",
    "free_memory_share": "of all memory, 0..1",
    "free_gpu_share": "of all GPU, 0..1; null where there is none",
    "candidates": "names of the nodes where every constraint holds, by rank",
    "candidate_cpu_milli": "free milli-CPU of each candidate",
    "candidate_memory_bytes": "free bytes of each candidate",
    "candidate_cpu_capacity": "allocatable milli-CPU of each candidate",
    "candidate_memory_capacity": "allocatable bytes of each candidate",
    "candidate_gpu_milli": "idle thousandths of each GPU of each candidate",
    "candidate_pods": "pods on each candidate",
    "chosen": "index into candidates; -1: it was handed over and got no node",
    "devices": "GPU devices that it got",
    "outcome_wait_ns": "from its creation until it was bound for good; null: never",
    "outcome_start_ns": "from its creation until it ran; null: never",
    "outcome_phase": "its phase at last",
    "outcome_ended_ns": "instant of its end; null: it had none",
    "outcome_restarts": "restarts of its containers",
    "known_ns": "instant from which on all outcomes of the row are known; null: not by the end of the run",
    "regret_gpu_milli": "GPU of the largest pod without a node at the run's end that would fit without this one",
    "regret_cpu_milli": "its CPU",
    "regret_kept_out": "its name; null: the binding kept nobody out",
    "end_ns": "end of the run, ns",
}


def rows(folder: Path) -> pl.DataFrame:
    """One row per decision of one record, COLUMNS. Raises UserError for what is no record, or has no notes."""
    import polars as pl

    with whole_record(folder):
        out = _rows(folder)
    if not out:
        raise UserError("nothing was decided in this run", file=folder)
    return pl.DataFrame(out, schema=_schema())


def _schema() -> dict[str, Any]:
    import polars as pl

    whole, text = pl.Int64(), pl.String()
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, whole)
    named = ("record", "scenario", "scheduler", "list", "pod", "group", "outcome_phase", "regret_kept_out")
    kinds |= dict.fromkeys(named, text)
    kinds |= {name: pl.Float64() for name in COLUMNS if name.endswith("_share")}
    kinds |= {name: pl.List(whole) for name in COLUMNS if name.startswith("candidate_")}
    return kinds | {
        "candidates": pl.List(text),
        "gpu_models": pl.List(text),
        "devices": pl.List(whole),
        "candidate_gpu_milli": pl.List(pl.List(whole)),
    }


def list_of(folder: Path) -> str:
    """A digest of the arrivals, the same for all strategies."""
    from workloads.readers.parquet import read_parquet

    specs = read_parquet(folder / "specs.parquet", expected="part of a record", hint="run the scenario again")
    first = specs.unique("pod", keep="first", maintain_order=True)
    bare = first.filter(~first["meta"].str.contains("ownerReferences", literal=True))
    arrived = (bare if len(bare) else first).select("pod", "at_ns", "spec")
    digest = hashlib.blake2b(digest_size=8)
    for row in arrived.iter_rows():
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _rows(folder: Path) -> list[dict[str, Any]]:
    from workloads.readers.parquet import read_parquet

    recorded = RecordNotes(folder)
    record = recorded.record
    lives = read_parquet(recorded.folder / "pods.parquet", expected="the pods of a record", hint="run it again")
    outcomes = {row["key"]: row for row in lives.iter_rows(named=True)}
    end_ns = round(float(record["metrics"]["durationSeconds"]) * 1e9)
    bad = {item.pod: item for item in regrets(recorded, len(outcomes))}
    same = {
        "record": str(folder),
        "scenario": record["scenario"]["metadata"]["name"],
        "scheduler": record["scheduler"],
        "seed": record["seed"],
        "list": list_of(recorded.folder),
    }
    out: list[dict[str, Any]] = []
    for number, decided in enumerate(recorded.decisions()):
        row = {**same, "decision": number, **_state(decided), **_outcome(decided, outcomes.get(decided.view.key))}
        regret = bad.get(decided.view.key) if decided.node >= 0 else None
        row["regret_gpu_milli"] = 0 if regret is None else regret.gpu_milli
        row["regret_cpu_milli"] = 0 if regret is None else regret.cpu_milli
        row["regret_kept_out"] = None if regret is None else regret.kept_out
        row["end_ns"] = end_ns
        out.append(row)
    return out


def _state(decided: Decided) -> dict[str, Any]:
    on, view = decided.on, decided.view
    fits: Bool = on.feasible(view)
    nodes = np.flatnonzero(fits)
    if decided.node >= 0 and not fits[decided.node]:  # in a gang, of which the others are not there yet
        nodes = np.append(nodes, decided.node)
    nodes = nodes[np.argsort(on.rank[nodes], kind="stable")]
    alive = on.alive
    free, capacity = on.free[:, alive].sum(axis=1), on.capacity[:, alive].sum(axis=1)
    gpus = int(on.gpu_capacity[alive].sum())
    there = on.gpu_capacity > 0
    return {
        "at_ns": decided.at_ns,
        "pod": view.key,
        "created_ns": view.created_ns,
        "cpu_milli": int(view.requests[CPU]),
        "memory_bytes": int(view.requests[MEMORY]),
        "gpus": view.gpu.count,
        "gpu_milli": view.gpu.milli,
        "gpu_models": list(view.gpu.models),
        "priority": view.priority,
        "group": view.group,
        "lifetime_ns": view.lifetime_ns,
        "waiting": decided.waiting,
        "nodes": int(alive.sum()),
        "free_cpu_share": float(free[CPU] / capacity[CPU]) if capacity[CPU] else 0.0,
        "free_memory_share": float(free[MEMORY] / capacity[MEMORY]) if capacity[MEMORY] else 0.0,
        "free_gpu_share": float(on.gpu_free[alive].sum() / gpus) if gpus else None,
        "candidates": [on.names[node] for node in nodes.tolist()],
        "candidate_cpu_milli": on.free[CPU, nodes].tolist(),
        "candidate_memory_bytes": on.free[MEMORY, nodes].tolist(),
        "candidate_cpu_capacity": on.capacity[CPU, nodes].tolist(),
        "candidate_memory_capacity": on.capacity[MEMORY, nodes].tolist(),
        "candidate_gpu_milli": [on.gpu_free[node][there[node]].tolist() for node in nodes.tolist()],
        "candidate_pods": [len(on.pods_on(node)) for node in nodes.tolist()],
        "chosen": int(np.flatnonzero(nodes == decided.node)[0]) if decided.node >= 0 else -1,
        "devices": list(decided.devices),
    }


def _outcome(decided: Decided, life: dict[str, Any] | None) -> dict[str, Any]:
    if life is None:
        names = [name for name in COLUMNS if name.startswith("outcome_")]
        return {**dict.fromkeys(names), "known_ns": None}
    created = life["created_ns"]

    def since(name: str) -> int | None:
        return None if life[name] < 0 else life[name] - created

    ended = None if life["ended_ns"] < 0 else life["ended_ns"]
    return {
        "outcome_wait_ns": since("bound_ns"),
        "outcome_start_ns": since("running_ns"),
        "outcome_phase": life["phase"],
        "outcome_ended_ns": ended,
        "outcome_restarts": life["restarts"],
        "known_ns": ended,
    }
