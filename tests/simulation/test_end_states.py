"""The end state of clusters under a strategy: 'converged', or what did not, and a small scenario that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.jobs.protocol import Boundary, Schedule
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import Bind, ClusterView, PodBatch, PodView
from harness.simulation.end_states import TRAINING, judge_end_states
from harness.simulation.trial import play

HERE = "tests.simulation.test_end_states"


class AsksOnce:
    """A pod that did not fit when it was first seen is never placed."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Any]:
        return one_by_one(pods, cluster, lambda pod: self.choose(pod, cluster))

    def choose(self, pod: PodView, cluster: ClusterView) -> Bind | None:
        fits = np.flatnonzero(cluster.feasible(pod))
        if not pod.group and (pod.key in self.seen or not len(fits)):
            self.seen.add(pod.key)
            return None
        return Bind(pod, int(fits[cluster.rank[fits].argmin()])) if len(fits) else None


def test_a_strategy_under_which_clusters_come_to_rest_is_told_so() -> None:
    verdict = judge_end_states("greedy", seeds=range(1, 5))
    assert (verdict.ok, verdict.reason) == (True, "converged in 4 clusters with faults")


def test_one_that_never_asks_twice_is_found() -> None:
    verdict = judge_end_states(f"{HERE}:AsksOnce", seeds=range(1, 30))
    assert verdict.ok is False
    assert "waits, though" in verdict.reason


@pytest.mark.slow
def test_its_scenario_is_made_small_and_kept(tmp_path: Path) -> None:
    verdict = judge_end_states(f"{HERE}:AsksOnce", seeds=range(1, 30), write_to=tmp_path)
    assert verdict.ok is False
    assert "waits, though" in verdict.reason
    assert verdict.file is not None
    small = yaml.safe_load(verdict.file.read_text())
    assert small["spec"]["schedulers"] == [f"{HERE}:AsksOnce"]
    assert any("waits, though" in found.what for found in play(small).findings)
    small["spec"]["schedulers"] = ["greedy"]
    assert play(small).findings == ()


@pytest.mark.slow
def test_podyard_check_says_converged() -> None:
    result = CliRunner().invoke(app, ["check", "greedy", "--examples", "12"])
    assert "holds   end state: converged in 12 clusters with faults" in result.stdout


class GivesUp:
    """A round strategy that runs nothing any more once a GPU could not be used."""

    def __init__(self) -> None:
        self._given_up = False

    def schedule(self, boundary: Boundary) -> Schedule:
        self._given_up = self._given_up or bool(boundary.unusable)
        found: dict[int, tuple[int, ...]] = {}
        free = list(range(boundary.gpus))
        for job in boundary.active if not self._given_up else ():
            if job.gang <= len(free):
                found[job.id], free = tuple(free[: job.gang]), free[job.gang :]
        return found


def test_round_strategies_are_judged_on_training_jobs() -> None:
    assert judge_end_states("srtf", seeds=range(1, 4), draws=TRAINING).ok
    verdict = judge_end_states(f"{HERE}:GivesUp", seeds=range(1, 20), draws=TRAINING)
    assert verdict.ok is False
    assert "training" in verdict.reason or "unfinished" in verdict.reason
