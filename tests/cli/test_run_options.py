"""`podyard run`: an option that would have no effect is told, and the progress counts what has ended."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.compare import arms_of
from harness.cli.parsing import names_of
from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--nodes ray --resume", "--nodes"),
        ("--nodes ray --parallel 2", "--nodes"),
        ("--nodes ray --autoscaler utilization,predictive", "--nodes"),
        ("--clock wall --vary load", "--clock"),
        ("--clock wall --parallel 2", "--clock"),
        ("--actors 3 --nodes inline", "--actors"),
        ("--actors 3 --resume", "--actors"),
        ("--ray-address 127.0.0.1:1 --resume", "--ray-address"),
        ("--ray-address 127.0.0.1:1 --nodes inline", "--ray-address"),
        ("--time-scale 3", "--time-scale"),
    ],
)
def test_an_option_without_effect_is_told(options: str, told: str) -> None:
    result = CliRunner().invoke(app, ["run", "quickstart", *options.split()])
    assert result.exit_code == 2
    assert f"Invalid value for {told}" in result.output


@pytest.mark.parametrize(
    "words", ["-s greedy -s random", "-s greedy,random", "-s greedy -s random,greedy", "--scheduler greedy, -s random"]
)
def test_strategies_may_be_separated_by_commas_or_repeated(words: str) -> None:
    result = CliRunner().invoke(app, ["lint", "batch", *words.split(), "-o", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["schedulers"] == ["greedy", "random"]
    compared = arms_of(["batch"], names_of(words.replace("--scheduler", "-s").split()[1::2]), [], {})
    assert [arm.scheduler for arm in compared] == ["greedy", "random"]


def test_variables_in_one_option_are_told_apart() -> None:
    result = CliRunner().invoke(app, ["lint", "fgd", "--vary", "list,list"])
    assert isinstance(result.exception, UserError)
    assert result.exception.hint == "--vary list --vary list"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--seeds=", "--seeds wants whole numbers"),
        ("--seeds 1,1", "--seeds names one twice"),
        ("--seeds 1-4,3", "--seeds names one twice"),
        ("--scheduler=", "--scheduler names none"),
        ("--scheduler ,", "--scheduler names none"),
        ("--set spec.schedulers=[greedy,random,greedy]", "spec.schedulers[2]: is there twice"),
        ("--out /dev/null/x", "/dev/null/x: cannot write results"),
    ],
)
def test_nothing_runs_twice_or_for_nothing(options: str, told: str) -> None:
    """A folder that cannot be written was told after the run."""
    result = CliRunner().invoke(app, ["run", "quickstart", "--nodes", "inline", *options.split()])
    assert told in str(result.exception)


def test_progress_counts_pods_that_have_ended() -> None:
    spec = loaded(workload=[{"openbLike": {"pods": 5, "longest": "1m"}}], nodes=[{"openbLike": {"count": 4}}])
    run = Run(spec, load_strategy(spec, "greedy")(), 0, Home())
    counts: list[int] = []
    try:
        run.play(lambda what, at, ended: counts.append(ended))
    finally:
        run.close()
    assert counts == sorted(counts)
    assert counts[-1] == 5
