"""When runs end that have no duration, and what Jobs make anew on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, Wait
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


def _pod(name: str, duration: str | None, gang: str | None = None) -> dict[str, Any]:
    """It takes a whole node of those below."""
    annotations = {} if duration is None else {"podyard.dev/duration": duration}
    labels = {} if gang is None else {"scheduling.x-k8s.io/pod-group": gang}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": "4"}}}],
        },
    }


def _gang(name: str, members: int, duration: str) -> list[dict[str, Any]]:
    group = {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {"minMember": members},
    }
    return [group, *(_pod(f"{name}-{member}", duration, name) for member in range(members))]


def _run(objects: list[dict[str, Any]], folder: Path, nodes: int, strategy: str) -> tuple[Result, dict[str, str]]:
    made = loaded(
        nodes=[{"group": {"name": "n", "count": nodes, "cpu": 4, "memory": "16Gi"}}], workload=[{"objects": objects}]
    )
    result = run_once(made, strategy, 1, out=folder)
    assert not result.broken
    assert result.folder is not None
    pods = pl.read_parquet(result.folder / "pods.parquet")
    return result, dict(zip(pods["key"], pods["phase"], strict=True))


@pytest.mark.parametrize("apart_s", [3, 6])
@pytest.mark.parametrize("strategy", ["greedy", "easy"])
def test_a_gang_that_backs_off_as_the_last_long_pod_ends_is_tried_again(
    tmp_path: Path, strategy: str, apart_s: int
) -> None:
    """Nothing is placed for longer than QUIET_NS, as two pods fill the cluster; the gang has backed off since the first
    of them ended when the second one does."""
    objects = [_pod("a", "1560s"), _pod("b", f"{1560 + apart_s}s"), *_gang("gang", 2, "30s")]
    _, phases = _run(objects, tmp_path, 2, strategy)
    assert set(phases.values()) == {"Succeeded"}, phases


@pytest.mark.parametrize("strategy", ["greedy", "easy"])
def test_a_pod_that_fits_is_tried_again_though_a_gang_of_its_kind_was_woken_in_its_place(
    tmp_path: Path, strategy: str
) -> None:
    objects = [_pod("stays", None), _pod("goes", "2m"), *_gang("gang", 2, "30s"), _pod("last", "30s")]
    result, phases = _run(objects, tmp_path, 2, strategy)
    assert phases["default/last"] == "Succeeded", phases
    assert phases["default/gang-0"] == phases["default/gang-1"] == "Pending", phases
    assert result.metrics["durationSeconds"] < 30 * 60, (
        "a gang that fits in part holds the end back for QUIET_NS at most"
    )


class Minutes:
    """Each decision takes two minutes."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        yield from (Bind(pod, node) for pod, node in zip(pods, range(len(cluster.names)), strict=False))

    def modelled_seconds(self, pods: int, nodes: int) -> float:
        return 120.0


def test_a_run_goes_on_while_a_decision_is_on_its_way(tmp_path: Path) -> None:
    _, phases = _run([_pod("only", "30s")], tmp_path, 1, "tests.experiment.test_completion:Minutes")
    assert phases == {"default/only": "Succeeded"}
