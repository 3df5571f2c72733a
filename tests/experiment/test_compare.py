"""podyard compare: known numbers give known intervals and verdicts, and chance alone gives none."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.compare import Row, Within, compare, question
from harness.experiment.result import Result
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from harness.scheduling.strategy import ClusterView, PodView
from tests.experiment.scenarios import scenario


def result(scheduler: str, seed: int, **metrics: float) -> Result:
    return Result("s", scheduler, seed, "", {"placement": {"allocation": metrics, "bound": {"gap": 0.1}}}, [], [], {})


def arms(results: list[Result]) -> dict[str, list[Result]]:
    out: dict[str, list[Result]] = {}
    for item in results:
        out.setdefault(item.scheduler, []).append(item)
    return out


def rows_of(results: list[Result], asked: tuple[str, ...] = (), within: Within | None = None) -> dict[str, Row]:
    rows = compare(arms(results), question(shipped(), results, asked), within)
    return {row.path.rpartition(".")[2]: row for row in rows}


def test_verdicts_know_which_way_is_better_and_when_nothing_is_known() -> None:
    rng = random.Random(1)
    noise = [rng.gauss(0, 1) for _ in range(12)]
    results = []
    for seed, shift in enumerate(noise):
        results.append(result("a", seed, gpu=0.5 + shift / 100, cpu=0.5 + shift / 100, memory=0.5))
        results.append(
            result("b", seed, gpu=0.6 + shift / 90, cpu=0.5 + rng.gauss(0, 1) / 20, memory=0.5 if seed else 0.5001)
        )
    rows = rows_of(results)
    assert rows["gpu"].verdict == "b is better"
    assert rows["cpu"].verdict == "exploratory: no difference found"  # of allocation, GPU is decided about
    assert rows["memory"].verdict == "exploratory: equivalent within 1 %"
    turned = compare({"b": arms(results)["b"], "a": arms(results)["a"]}, question(shipped(), results))
    assert next(row for row in turned if row.primary).verdict == "b is better"
    few = rows_of(results[:8])
    assert few["gpu"].verdict == "too few seeds: 6 at least"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_number_that_is_none_blocks_the_verdict(value: float) -> None:
    results = [
        result(name, seed, gpu=value if name == "b" and seed == 3 else 0.5 + seed / 100 + (name == "b"), cpu=0.5)
        for name in "ab"
        for seed in range(8)
    ]
    assert rows_of(results)["gpu"].verdict == "no verdict: no usable number in 1 of 8 seeds"
    rows_of(results)["gpu"].to_data()


def test_what_is_asked_for_is_decided_about() -> None:
    rng = random.Random(3)
    results = [
        result(name, seed, gpu=1.0, cpu=0.5 + rng.gauss(0, 0.2) + (name == "b") * 0.1)
        for seed in range(10)
        for name in ("a", "b")
    ]
    (row,) = rows_of(results, ("placement.allocation.cpu",)).values()
    assert row.verdict == "no difference found"
    assert "would have been found" in row.advice
    assert row.found.seeds_to_decide is not None
    assert row.found.seeds_to_decide > 10
    data = row.to_data()
    assert data["detectable"] > abs(data["difference"]) > 0


def test_a_constant_difference_on_three_seeds_is_too_few() -> None:
    """It came out as p = 0."""
    results = [result(name, seed, gpu=0.5 + 0.02 * (name == "b")) for seed in (1, 2, 3) for name in ("a", "b")]
    assert rows_of(results)["gpu"].verdict == "too few seeds: 6 at least"
    assert rows_of(results)["gpu"].found.p == 0.25


def waited(scheduler: str, seed: int, seconds: float, *, open_end: bool = False) -> Result:
    spread: dict[str, Any] = {"last": seconds}
    if open_end:
        spread["atLeast"] = ["last"]
    return Result("s", scheduler, seed, "", {"recovery": [{"phases": {"serving": spread}}]}, [], [], {})


def test_what_never_served_again_is_worst_not_missing() -> None:
    """b serves again sooner where it does, and never in half of the runs: it came out as better."""
    rng = random.Random(2)
    results = [waited("a", seed, 255 + rng.gauss(0, 5)) for seed in range(10)]
    results += [waited("b", seed, 111.0 if seed % 2 else 200.0, open_end=seed % 2 == 0) for seed in range(10)]
    (row,) = compare(arms(results), question(shipped(), results))
    assert "b is better" not in row.verdict
    assert row.censored == (0, 5)
    never = [waited("a", seed, 255 + rng.gauss(0, 5)) for seed in range(10)]
    never += [waited("b", seed, 200.0, open_end=True) for seed in range(10)]
    (row,) = compare(arms(never), question(shipped(), never))
    assert row.found.mean > 0
    assert row.verdict != "b is better"


def test_what_ends_in_neither_or_is_missing_in_one_has_no_verdict() -> None:
    neither = [waited(name, seed, 400.0, open_end=True) for seed in range(10) for name in ("a", "b")]
    (row,) = compare(arms(neither), question(shipped(), neither))
    assert row.verdict == "no verdict: it came to no end in either"
    missing = [waited("a", seed, 200.0 + seed) for seed in range(10)]
    missing += [
        waited("b", seed, 100.0) if seed < 7 else Result("s", "b", seed, "", {"recovery": []}, [], [], {})
        for seed in range(10)
    ]
    (row,) = compare(arms(missing), question(shipped(), missing))
    assert row.verdict == "no verdict: missing on one side in 3 of 10 seeds"


@pytest.mark.parametrize("open_end", ["a", "b"])
def test_what_came_to_no_end_is_never_shown_to_be_equal(open_end: str) -> None:
    """It was ranked with the worst that was seen, and came out as 'equal on every seed'."""
    results = [waited(name, seed, 400.0, open_end=name == open_end) for seed in range(10) for name in ("a", "b")]
    (row,) = compare(arms(results), question(shipped(), results))
    assert row.verdict == "no difference found"
    nearly = [
        waited(name, seed, 400.0 + seed % 2, open_end=name == open_end) for seed in range(10) for name in ("a", "b")
    ]
    (row,) = compare(arms(nearly), question(shipped(), nearly))
    assert "equivalent" not in row.verdict


def test_seeds_that_one_arm_has_no_run_of_block_the_verdict() -> None:
    """They were left out: who fails on the hard seeds came out as better."""
    results = [result(name, seed, gpu=0.5 + 0.1 * (name == "b") + seed / 100) for seed in range(10) for name in "ab"]
    whole = rows_of(results)["gpu"]
    assert whole.verdict == "b is better"
    partial = [item for item in results if item.scheduler == "a" or item.seed < 8]
    assert rows_of(partial)["gpu"].verdict == "no verdict: no run on one side in 2 of 10 seeds"


def test_a_seed_in_which_neither_has_it_is_told_so() -> None:
    """It read as missing on one side."""
    results = [waited(name, seed, 200.0 + seed + (name == "b")) for seed in range(8) for name in "ab"]
    results += [Result("s", name, 8, "", {"recovery": []}, [], [], {}) for name in "ab"]
    (row,) = compare(arms(results), question(shipped(), results))
    assert row.verdict == "no verdict: missing on both sides in 1 of 9 seeds"


def test_what_the_cluster_costs_is_not_averaged_with_what_its_pools_do() -> None:
    """Autoscalers with other pools, or without any, had no verdict about money."""

    def costs(name: str, seed: int) -> Result:
        pools = {f"pool {index}": {"cost": 0.01 * index} for index in range(3 if name == "a" else 0)}
        found = {"default/web": {"cost": 5.0 + seed / 100 - (name == "b")}, **pools}
        return Result("s", name, seed, "", {"autoscaling": found}, [], [], {})

    results = [costs(name, seed) for seed in range(8) for name in "ab"]
    (row,) = compare(arms(results), question(shipped(), results, ("autoscaling.*.cost",)))
    assert row.verdict == "b is better"
    assert row.found.mean == pytest.approx(-1.0)
    own = [
        Result("s", r.scheduler, r.seed, "", {"autoscaling": {"pool x": {"cost": r.seed + 1.0}}}, [], [], {})
        for r in results
    ]
    assert [row.verdict for row in compare(arms(own), question(shipped(), own, ("autoscaling.*.cost",)))] == [
        "equal on every seed"
    ]


@pytest.mark.parametrize("better", ["more", "neither"])
def test_a_lower_bound_ranks_last_only_where_less_is_better(better: str) -> None:
    path = "jobs.goodputShare.gpu" if better == "more" else "jobs.count"
    head, _, leaf = path.removeprefix("jobs.").rpartition(".")

    def found(name: str, seed: int) -> Result:
        numbers = {leaf: 0.5 + seed / 100 + (name == "b"), **({"atLeast": [leaf]} if name == "a" else {})}
        return Result("s", name, seed, "", {"jobs": {head: numbers} if head else numbers}, [], [], {})

    results = [found(name, seed) for seed in range(8) for name in "ab"]
    (row,) = compare(arms(results), question(shipped(), results, (path,)))
    assert row.verdict == f"no verdict: a lower bound cannot rank last where {better} is better"


def test_equal_strategies_are_rarely_told_apart() -> None:
    """At 5 % for all that is decided about: of 200 comparisons of 3 measures about 10 may err."""
    rng = random.Random(7)
    wrong = 0
    for _ in range(200):
        results = [
            result(name, seed, **{key: rng.gauss(1, 0.2) for key in ("gpu", "cpu", "memory")})
            for seed in range(8)
            for name in ("a", "b")
        ]
        asked = tuple(f"placement.allocation.{key}" for key in ("gpu", "cpu", "memory"))
        wrong += any(row.found.differs for row in rows_of(results, asked).values())
    assert wrong <= 20


def test_a_metric_that_no_run_has_is_told_with_the_nearest() -> None:
    results = [result(name, seed, gpu=1.0) for seed in (1, 2) for name in ("a", "b")]
    with pytest.raises(UserError) as caught:
        question(shipped(), results, ["placement.alocation.gpu"])
    assert "placement.allocation.gpu" in str(caught.value)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    nodes = [{"openbLike": {"count": 4, "cpuNodes": False}}]
    path.write_text(yaml.safe_dump(scenario(duration="5m", nodes=nodes)))
    words = [
        "compare",
        str(path),
        "-s",
        "greedy,least-allocated",
        "--seeds",
        "1-3",
        "--out",
        str(tmp_path / "out"),
        "-q",
    ]
    done = CliRunner().invoke(app, [*words, "-o", "json", "--metric", "placement.nodesUsed"])
    assert done.exit_code == 0
    (row,) = json.loads(done.stdout)
    assert (row["base"], row["other"], row["seeds"]) == ("greedy", "least-allocated", 3)
    assert row["difference"] == pytest.approx(row["otherMean"] - row["baseMean"])
    table = CliRunner().invoke(app, [*words, "--resume"])
    assert "least-allocated against greedy, 3 seeds, paired: decided" in table.stdout
    assert "too few seeds" in table.stdout
    assert "verdict" in table.stdout
    by_setting = ["--arm", "as it is:", "--arm", "short:spec.duration=4m", "--metric", "durationSeconds", "-o", "json"]
    done = CliRunner().invoke(
        app, ["compare", str(path), *by_setting, "--seeds", "1-2", "--out", str(tmp_path / "arms"), "-q"]
    )
    (row,) = json.loads(done.stdout)
    assert (row["base"], row["other"], row["difference"]) == ("as it is", "short", -60.0)
    alone = CliRunner().invoke(app, ["compare", str(path), "-s", "fgd"])
    assert "nothing to compare with" in str(alone.exception)
    assert "--scheduler greedy,fgd" in str(alone.exception)


def broken(pod: PodView, cluster: ClusterView) -> np.ndarray:
    raise RuntimeError("not today")


def test_the_command_takes_the_strategies_of_the_scenario_and_says_what_went_wrong(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    nodes = [{"openbLike": {"count": 4, "cpuNodes": False}}]
    workload = [{"openbLike": {"pods": 12, "load": 500, "longest": "2m"}}]
    mine = "tests.experiment.test_compare:broken"
    path.write_text(
        yaml.safe_dump(scenario(duration="3m", nodes=nodes, workload=workload, schedulers=["greedy", mine]))
    )
    words = ["compare", str(path), "--seeds", "1-2", "--out", str(tmp_path / "out"), "-q"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    for text in (
        f"{mine} against greedy",
        f"VIOLATIONS  {mine}/1: the strategy misbehaved",
        "RuntimeError: not today",
        "and in 1 more of its runs",
        "openbLike.load: 500 % is out of reach: 12 pods ask for",
    ):
        assert text in done.stdout
    rows = CliRunner().invoke(app, [*words, "--resume", "-o", "json", "--metric", "placement.nodesUsed"])
    assert "not today" in rows.stderr
    assert len(json.loads(rows.stdout)) == 1
