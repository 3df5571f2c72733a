"""Measures of others come through a door of their own, and a bad one ends itself, not the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.compare import question
from harness.experiment.run import run_once
from harness.measure.catalogue import Measure
from harness.measure.registry import Extra, catalogue, extras
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded

HERE = "tests.measure.test_registry"
NODES = [{"openbLike": {"count": 4, "cpuNodes": False}}]


class Bindings:
    """Counts bindings."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod" and old is not None and obj.spec.node_name and not old.spec.node_name:
            self.count += 1

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def value(self, until_ns: int) -> float:
        return self.count


class Raises(Bindings):
    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        raise RuntimeError("not today")


bindings = Extra(Measure("extra.bindings", "bindings", "", "more", "pods bound", digits=0), Bindings)
raises = Extra(Measure("extra.raises", "raises", "", "more", "nothing"), Raises)
again = Measure("placement.podsBound", "placed", "", "more", "a path that is taken")
no_measure = 7


def test_a_measure_of_ones_own_is_in_metrics_parquet_tables_gates_and_comparisons(tmp_path: Path) -> None:
    spec = loaded(
        duration="3m",
        nodes=NODES,
        measures=[f"{HERE}:bindings"],
        gates=[{"metric": "extra.bindings", "atLeast": 1000}],
    )
    result = run_once(spec, "greedy", 1, out=tmp_path)
    count = result.metrics["placement"]["podsBound"]
    assert result.metrics["extra"] == {"bindings": count}
    assert result.missed == [f"extra.bindings is {count}, not at least 1000"]
    rows = pl.read_parquet(tmp_path / "small" / "greedy" / "1" / "measures.parquet")
    (row,) = rows.filter(pl.col("path") == "extra.bindings").to_dicts()
    assert (row["name"], row["better"], row["value"]) == ("bindings", "more", count)
    gpu = rows.filter(pl.col("path") == "placement.allocation.gpu")["value"].item()
    assert gpu == pytest.approx(100 * result.metrics["placement"]["allocation"]["gpu"])
    asked = question(catalogue([f"{HERE}:bindings"]), [result])
    assert "extra.bindings" in [path for path, _ in asked.measures]
    page = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "page.html")])
    assert page.exit_code == 0
    assert "bindings" in (tmp_path / "page.html").read_text()
    listed = CliRunner().invoke(app, ["measures", "--measure", f"{HERE}:bindings", "-o", "json"])
    assert "extra.bindings" in listed.stdout


def test_one_that_raises_is_told_and_ends_itself() -> None:
    result = run_once(loaded(duration="1m", nodes=NODES, measures=[f"{HERE}:raises"]), "greedy", 1)
    assert result.measures_failed == ["measure extra.raises: RuntimeError: not today"]
    assert result.metrics["placement"]["pods"] > 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bindings", "named module:object"),
        ("no_such_package:x", "cannot load"),
        (f"{HERE}:missing", "cannot load"),
        (f"{HERE}:no_measure", "is no measure"),
    ],
)
def test_what_is_no_measure_is_told(name: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        extras([name])


def test_a_name_that_is_taken_is_an_error() -> None:
    with pytest.raises(UserError, match="of this name already"):
        catalogue([f"{HERE}:again"])
