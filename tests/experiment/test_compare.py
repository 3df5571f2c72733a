"""podyard compare: known numbers give known intervals and verdicts, and chance alone gives none."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.compare import KNOWN, Measure, compare, leaves, measures_of
from harness.experiment.result import Result
from harness.measure.statistics import holm, paired
from harness.model.errors import UserError
from tests.experiment.scenarios import scenario


def test_an_interval_that_can_be_checked_by_hand() -> None:
    """Student's sleep data (Biometrika 1908): t = 4.0621 on 9 degrees of freedom, p = 0.00283, 0.70 to 2.46 hours."""
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    two = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired(one, two)
    assert found.mean == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.00283289, abs=1e-7)


def test_holm_steps_down_and_stops() -> None:
    def with_p(p: float) -> Any:
        found = paired([0.0, 1.0], [1.0, 3.0])
        return type(found)(found.n, 0, 0, 1, 0, 2, p)

    found = holm([with_p(p) for p in (0.04, 0.011, 0.2, math.nan, 0.012)])
    assert [item.differs for item in found] == [False, True, False, False, True]  # 0.05/4, 0.05/3, then 0.04 > 0.025


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=20))
def test_pairs_turned_round_give_the_difference_turned_round(pairs: list[tuple[float, float]]) -> None:
    one, two = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired(one, two), paired(two, one)
    assert there.mean == pytest.approx(-back.mean, abs=1e-6)
    assert there.low == pytest.approx(-back.high, abs=1e-6)
    assert there.p == pytest.approx(back.p)
    assert there.low <= there.mean <= there.high


def result(scheduler: str, seed: int, **metrics: float) -> Result:
    return Result("s", scheduler, seed, "", {"placement": {"allocation": metrics}}, [], [], {})


def test_verdicts_know_which_way_is_better_and_when_nothing_is_known() -> None:
    rng = random.Random(1)
    noise = [rng.gauss(0, 1) for _ in range(12)]
    results = []
    for seed, shift in enumerate(noise):
        results.append(result("a", seed, gpu=0.5 + shift / 100, cpu=0.5 + shift / 100, memory=0.5))
        results.append(
            result("b", seed, gpu=0.6 + shift / 90, cpu=0.5 + rng.gauss(0, 1) / 100, memory=0.5 if seed else 0.5001)
        )
    rows = {row.measure.path.rpartition(".")[2]: row for row in compare(results, ["a", "b"], KNOWN)}
    assert rows["gpu"].verdict == "b is better"
    assert rows["cpu"].verdict == "no difference found"
    assert rows["memory"].verdict == "equal within 0.1 %"
    (row,) = compare(results, ["b", "a"], measures_of(["placement.allocation.gpu"]))
    assert (row.verdict, row.base) == ("b is better", "b")
    (row,) = compare(results[:2], ["a", "b"], [Measure("x", "placement.allocation.gpu", 1)])
    assert row.verdict == "one seed: nothing can be said"


def test_equal_strategies_are_rarely_told_apart() -> None:
    """At 5 % for the whole table: of 200 tables of 3 measures about 10 may err."""
    rng = random.Random(7)
    wrong = 0
    for _ in range(200):
        results = [
            result(name, seed, **{key: rng.gauss(1, 0.2) for key in ("gpu", "cpu", "memory")})
            for seed in range(8)
            for name in ("a", "b")
        ]
        wrong += any(row.found.differs for row in compare(results, ["a", "b"], KNOWN))
    assert wrong <= 20


def test_a_metric_that_no_run_has_is_told_with_the_nearest() -> None:
    results = [result(name, seed, gpu=1.0) for seed in (1, 2) for name in ("a", "b")]
    with pytest.raises(UserError) as caught:
        compare(results, ["a", "b"], measures_of(["placement.alocation.gpu"]))
    assert "placement.allocation.gpu" in str(caught.value)
    assert leaves(results[0].metrics) == ["placement.allocation.gpu"]


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(scenario(duration="5m")))
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
    assert "least-allocated against greedy, 3 seeds, paired" in table.stdout
    assert "verdict" in table.stdout
    alone = CliRunner().invoke(app, ["compare", str(path), "-s", "greedy"])
    assert "nothing to compare with" in str(alone.exception)
