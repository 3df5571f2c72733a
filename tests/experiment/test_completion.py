"""When runs end that have no duration, and what Jobs make anew on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harness.experiment.run import run_once
from harness.scheduling.strategy import ClusterView, Decision, PodBatch, Wait
from tests.experiment.scenarios import loaded


class Slow:
    """One pod in seven seconds, and none is placed: somebody is always being tried."""

    batch_size = 1

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        yield from (Wait(pod, "not now") for pod in pods)

    def modelled_seconds(self, pods: int, nodes: int) -> float:
        return 7.0


def test_a_run_ends_although_its_queue_is_never_empty() -> None:
    result = run_once(loaded(), "tests.experiment.test_completion:Slow", 1)
    assert result.metrics["placement"]["podsBound"] == 0
    assert 20 * 60 < result.metrics["durationSeconds"] < 4 * 60 * 60


def _tasks(folder: Path, controller: str) -> pl.DataFrame:
    tasks: dict[str, Any] = {"openbLike": {"pods": 60, "longest": "3m", "load": 60, "controller": controller}}
    crash = {"at": "2m", "nodeCrash": {"select": {"count": 3}, "downFor": "20m"}}
    made = loaded(nodes=[{"openbLike": {"count": 6, "zones": 2}}], workload=[tasks], faults=[crash])
    result = run_once(made, "least-allocated", 1, out=folder)
    assert not result.broken
    assert result.folder is not None
    return pl.read_parquet(result.folder / "pods.parquet")


def test_tasks_of_jobs_are_made_anew_when_their_node_is_lost_and_bare_ones_are_gone(tmp_path: Path) -> None:
    bare, jobs = (_tasks(tmp_path / name, name) for name in ("none", "Job"))
    done = {name: int((tasks["phase"] == "Succeeded").sum()) for name, tasks in (("none", bare), ("Job", jobs))}
    assert (len(bare), done["Job"]) == (60, 60)
    assert done["none"] == 60 - (len(jobs) - 60), "who was lost"
    assert done["none"] < 60
