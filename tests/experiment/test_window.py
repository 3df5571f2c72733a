"""One window and one bound for all strategies of a run: who starts late, or leaves pods out, looks no better for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.experiment.compare import question
from harness.experiment.record import read_record
from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.experiment.window import settle
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, loaded

LAZY = ("tests.experiment.lazy:Late", "tests.experiment.lazy:Picky")
TINY: dict[str, Any] = {
    "seed": 0,
    "nodes": [{"openbLike": {"count": 6, "zones": 2}}],
    "workload": [{"openbLike": {"pods": 60, "load": 130, "longest": "4m"}}],
    "events": False,
}


@pytest.fixture(scope="module")
def tiny() -> dict[str, Result]:
    spec = loaded(**TINY, duration="10m")
    return {name: run_once(spec, name, 0) for name in ("greedy", *LAZY)}


def test_the_bound_is_the_workloads_the_same_for_all_and_below_a_hundred(tiny: dict[str, Result]) -> None:
    bounds = [result.metrics["placement"]["bound"] for result in tiny.values()]
    assert len({bound["most"] for bound in bounds}) == 1
    assert len({bound["share"] for bound in bounds}) == 1
    assert all(0 <= bound["gap"] <= 1 and bound["share"] <= 1 for bound in bounds)
    for result in tiny.values():
        assert result.broken == []
        assert result.metrics["placement"]["allocation"]["gpu"] <= bounds[0]["share"] * (1 + 1e-9)


def test_who_starts_late_or_leaves_pods_out_is_worse(tiny: dict[str, Result]) -> None:
    greedy, late, picky = (result.metrics["placement"] for result in tiny.values())
    assert len({str(m["window"]) for m in (greedy, late, picky)}) == 1
    for worse in (late, picky):
        assert worse["allocation"]["gpu"] < greedy["allocation"]["gpu"] - 0.1
        assert worse["bound"]["gap"] > greedy["bound"]["gap"] + 0.1
        assert worse["pendingSeconds"]["mean"] > greedy["pendingSeconds"]["mean"] + 60
    assert picky["pendingSeconds"]["censored"] == picky["podsNeverBound"] > 0
    assert {"p99", "mean"} <= set(picky["pendingSeconds"]["atLeast"])


@pytest.mark.parametrize(("name", "placed"), [("Quits", 30), ("Silent", 0)])
def test_who_stops_looks_worst(tiny: dict[str, Result], name: str, placed: int) -> None:
    greedy = tiny["greedy"].metrics["placement"]
    stopped = run_once(loaded(**TINY, duration="10m"), f"tests.experiment.lazy:{name}", 0).metrics["placement"]
    assert stopped["window"] == greedy["window"]
    assert stopped["podsNeverBound"] == stopped["pendingSeconds"]["censored"] >= 60 - placed
    assert stopped["pendingSeconds"]["p50"] > 500 > greedy["pendingSeconds"]["p50"] + 400
    assert "p50" in stopped["pendingSeconds"]["atLeast"]
    assert stopped["bound"]["gap"] > 0.7


@pytest.mark.parametrize("controller", ["Job", "none"])
def test_who_takes_pods_away_has_kept_them_waiting_and_loses_their_work(controller: str) -> None:
    """It was better: hundreds of pods that each waited for a moment stood for the tasks that were never done."""
    tasks = [{"openbLike": {"pods": 60, "load": 130, "longest": "4m", "controller": controller}}]
    spec = loaded(**{**TINY, "workload": tasks}, duration="10m")
    names = ("greedy", "tests.experiment.lazy:Churns")
    results = [run_once(spec, name, 0) for name in names]
    greedy, churns = (result.metrics["placement"] for result in results)
    assert "podsEvicted" not in greedy
    assert churns["podsEvicted"] > 20
    assert "mean" in churns["pendingSeconds"]["atLeast"]
    if controller == "none":  # they are gone for good
        assert churns["pendingSeconds"]["mean"] > greedy["pendingSeconds"]["mean"]
    else:
        assert greedy["pods"] == 60 < churns["pods"]
    asked = question(shipped(), results)
    assert {"placement.pendingSeconds.mean", "jobs.completionSeconds.mean"} <= asked.primary
    done = [result.metrics["jobs"]["completionSeconds"]["mean"] for result in results]
    assert done[1] > done[0]


def test_runs_that_end_early_are_measured_to_the_end_of_the_last(tmp_path: Path) -> None:
    """As if each had gone on until then: the same as with that duration."""
    names = ("greedy", "random", LAZY[1])
    endless = loaded(**TINY)
    results = [run_once(endless, name, 0, out=tmp_path / "own") for name in names]
    ends = {result.metrics["placement"]["window"]["toSeconds"] for result in results}
    assert len(ends) > 1
    settle(results, lambda result: endless)
    played = loaded(**TINY, duration=f"{max(ends):.0f}s")
    for name, result in zip(names, results, strict=True):
        there = run_once(played, name, 0).metrics["placement"]
        for family in ("window", "allocation", "heldBeyond", "pendingSeconds", "startSeconds", "fragmentation"):
            ours, theirs = dict(result.metrics["placement"][family]), dict(there[family])
            assert ours.pop("atLeast", None) == theirs.pop("atLeast", None)
            assert ours == pytest.approx(theirs, rel=1e-9), family
        assert result.metrics["placement"]["nodesUsed"] == pytest.approx(there["nodesUsed"])
        ours, theirs = result.metrics["placement"]["bound"], there["bound"]
        assert ours.pop("resource") == theirs.pop("resource")
        assert ours == pytest.approx(theirs)
        assert result.folder is not None
        assert read_record(result.folder)["metrics"]["placement"]["window"]["toSeconds"] == max(ends)


def test_a_load_without_an_end_is_refused() -> None:
    with pytest.raises(UserError, match="needs one"):
        run_once(loaded(workload=[SERVICE]), "greedy", 1)


def test_a_bound_that_says_nothing_says_why() -> None:
    spec = loaded(
        nodes=[{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "16Gi"}}], workload=[SERVICE], duration="1m"
    )
    bound = run_once(spec, "greedy", 1).metrics["placement"]["bound"]
    assert "Deployment default/web" in bound["saysNothing"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path, pods: path.write_bytes(path.read_bytes()[:100]), "damaged"),
        (lambda path, pods: path.unlink(), "cannot be read"),
        (lambda path, pods: pods.with_columns(bound_ns=pl.lit("x")).write_parquet(path), "bound_ns"),
        (lambda path, pods: pods.drop("gone_ns").write_parquet(path), "gone_ns"),
        (lambda path, pods: pods.with_columns(ended_ns=pl.lit(None, dtype=pl.Int64)).write_parquet(path), "ended_ns"),
    ],
)
def test_a_record_whose_pods_are_damaged_is_told(tmp_path: Path, damage: Any, words: str) -> None:
    endless = loaded(**TINY)
    results = [run_once(endless, name, 0, out=tmp_path) for name in ("greedy", LAZY[0])]
    for result in results:
        assert result.folder is not None
        path = result.folder / "pods.parquet"
        damage(path, pl.read_parquet(path))
    with pytest.raises(UserError, match=words) as told:
        settle(results, lambda result: endless)
    assert "pods.parquet" in str(told.value)


TASKS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{index}", "annotations": {"podyard.dev/duration": "9m"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": 4}}}],
        },
    }
    for index in range(5)
]
ONE_NODE: dict[str, Any] = {
    "duration": "10m",
    "nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "16Gi"}}],
    "workload": [{"objects": TASKS}],
}


def test_nodes_that_join_are_part_of_the_bound() -> None:
    """It came out as 270 % more than any schedule can reach, and broke an invariant: the bound knew one node."""
    join = {"at": "30s", "nodeJoin": {"like": "n-0", "name": "more", "count": 3}}
    result = run_once(loaded(**ONE_NODE, faults=[join]), "greedy", 0)
    bound = result.metrics["placement"]["bound"]
    assert result.broken == []
    assert 0 <= bound["gap"] < 0.1
    assert bound["allocated"] > 12
    assert "share" not in bound  # of how many nodes, changes


@pytest.mark.parametrize(
    "fault",
    [
        {"nodeUpgrade": {"select": {"names": ["n-0"]}, "surge": True}},
        {"objectChange": {"kind": "Node", "name": "n-0", "patch": {"status": {"allocatable": {"cpu": 16}}}}},
        {"apply": {"objects": [{**TASKS[0], "metadata": {**TASKS[0]["metadata"], "name": "another"}}]}},
    ],
)
def test_where_an_action_may_change_what_there_is_the_bound_says_nothing(fault: dict[str, Any]) -> None:
    faults = [{"at": "30s", "nodeJoin": {"like": "n-0", "name": "later"}}, {"at": "60s", **fault}]
    result = run_once(loaded(**ONE_NODE, faults=faults), "greedy", 0)
    assert result.broken == []
    assert "an action" in result.metrics["placement"]["bound"]["saysNothing"]
