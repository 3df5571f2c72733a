"""Looking before the last seed: the error stays where it was, clear differences are found sooner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.compare import Question, Within
from harness.experiment.result import Result
from harness.experiment.sequential import LOOKS, Sequential, looks
from harness.measure.catalogue import Measure
from harness.measure.statistics import ALPHA, least_seeds
from tests.experiment.scenarios import SERVICE, scenario

MEASURES = tuple((f"m{i}", Measure(f"m{i}", f"m{i}", "", "less", "")) for i in range(2))
ASKED = Question(MEASURES, frozenset(path for path, _ in MEASURES))

Draw = Callable[[np.random.Generator], float]


def played(
    rng: np.random.Generator, seeds: int, noise: Draw, shift: float = 0.0, others: int = 2, within: float = 0.0
) -> Sequential:
    """A comparison of arms that are the base and `shift`, each with a noise of its own."""
    names = ["base", *(f"arm{i}" for i in range(others))]
    told = Sequential(seeds, ASKED, Within(within))
    found: dict[str, list[Result]] = {name: [] for name in names}
    for end in looks(seeds, len(MEASURES) * others):
        active = told.active(names, [()])
        for name in names:
            if active[name]:
                for seed in range(len(found[name]), end):
                    metrics = {path: 10 + noise(rng) + (shift if name != "base" else 0.0) for path, _ in MEASURES}
                    found[name].append(Result("s", name, seed, "", metrics, [], [], {}))
        told.look(found, end)
    return told


def wrong(seeds: int, noise: Draw, trials: int) -> float:
    """In how many comparisons of identical arms any difference was found."""
    rng = np.random.default_rng([seeds, trials])
    return sum(any(row.found.differs for row in played(rng, seeds, noise).table()) for _ in range(trials)) / trials


NOISES: dict[str, Draw] = {
    "normal": lambda rng: float(rng.standard_normal()),
    "exponential": lambda rng: float(rng.exponential()),
    "mostly equal": lambda rng: float(rng.random() < 0.1),
}


@pytest.mark.parametrize("noise", NOISES)
def test_identical_arms_are_told_apart_in_at_most_5_percent(noise: str) -> None:
    assert wrong(20, NOISES[noise], 150) <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / 150) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seeds", [20, 60])
def test_the_error_stays_at_5_percent(noise: str, seeds: int) -> None:
    trials = 2000
    rate = wrong(seeds, NOISES[noise], trials)
    print(f"{noise}, {seeds} seeds: {rate:.4f} of {trials}")
    assert rate <= ALPHA + 2 * (ALPHA * (1 - ALPHA) / trials) ** 0.5


def test_a_clear_difference_stops_early_and_an_absent_one_goes_on() -> None:
    rng = np.random.default_rng(7)
    clear = played(rng, 60, NOISES["normal"], shift=5.0)
    assert set(clear.stopped.values()) == {12}
    assert all(row.verdict == "base is better" for row in clear.table())
    none = played(rng, 60, NOISES["normal"])
    assert not none.stopped
    assert all(row.found.n == 60 and not row.advice for row in none.table())


def test_what_is_equivalent_stops_too() -> None:
    rng = np.random.default_rng(8)
    told = played(rng, 60, lambda rng: float(rng.normal(0, 0.01)), within=0.05)
    assert set(told.stopped.values()) == {12}
    assert {row.verdict for row in told.table()} == {"equivalent within 5 %"}


def test_a_verdict_once_given_is_kept_and_intervals_are_wider_than_of_one_look() -> None:
    rng = np.random.default_rng(9)
    names, told = ["base", "arm0"], Sequential(40, ASKED, Within(0.0))
    found: dict[str, list[Result]] = {name: [] for name in names}
    differed: set[str] = set()
    for end in looks(40, 2):
        for name in names:
            for seed in range(len(found[name]), end):
                metrics = {"m0": rng.normal() + 1.2 * (name == "arm0"), "m1": rng.normal()}
                found[name].append(Result("s", name, seed, "", metrics, [], [], {}))
        told.look(found, end)
        now = {row.path for row in told.table() if row.found.differs}
        assert differed <= now
        differed = now
    assert differed == {"m0"}
    (row,) = [row for row in told.table() if row.path == "m0"]
    alone = row.interval(ALPHA)
    assert row.found.low < alone[0]
    assert row.found.high > alone[1]


@given(st.integers(1, 300), st.integers(1, 30))
def test_looks_grow_end_with_the_last_seed_and_could_decide(seeds: int, measures: int) -> None:
    ends = looks(seeds, measures)
    assert len(ends) <= LOOKS
    assert ends == sorted(set(ends))
    assert ends[-1] == seeds
    if len(ends) > 1:
        assert ends[0] >= least_seeds(ALPHA * ends[0] / seeds / measures)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = scenario(duration="2m", workload=[SERVICE])
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


@pytest.mark.slow
def test_the_command_runs_fewer_seeds_of_what_is_decided(path: Path) -> None:
    """`least-allocated` has more nodes in use than `greedy`, on every seed."""
    words = [
        "compare",
        str(path),
        "-s",
        "greedy,least-allocated",
        "--seeds",
        "1-30",
        "--metric",
        "placement.nodesUsedPeak",
        "--out",
    ]
    out = path.parent / "out"
    result = CliRunner().invoke(app, [*words, str(out), "--stop-early", "-o", "json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["verdict"] == "they differ"
    assert row["looked"]
    assert row["seeds"] < 30
    assert len(list(out.rglob("record.json"))) == 2 * row["seeds"]
    assert f"least-allocated: decided after {row['seeds']} of 30 seeds" in result.stderr
