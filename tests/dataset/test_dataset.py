"""Rows to learn from: what they say is what the record's own explanation says, and no split leaks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.dataset.rows import COLUMNS, rows
from harness.dataset.split import by_list, by_time, check
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.explain.recorded_decision import RecordNotes
from harness.model.errors import UserError

SCENARIO: dict[str, Any] = {
    "apiVersion": "podyard.dev/v1",
    "kind": "Scenario",
    "metadata": {"name": "learn"},
    "spec": {
        "duration": "12m",
        "nodes": [{"openbLike": {"count": 5, "cpuNodes": False}}],
        "workload": [{"openbLike": {"pods": 40, "load": 130, "longest": "4m"}}],
        "schedulers": ["greedy"],
    },
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    loaded = from_data(SCENARIO, "learn")
    for scheduler in ("greedy", "least-allocated"):
        for seed in (1, 2):
            run_once(loaded, scheduler, seed, out=out)
    return out


@pytest.fixture(scope="module")
def table(records: Path) -> pl.DataFrame:
    return pl.concat([rows(path.parent) for path in sorted(records.rglob("record.json"))])


def test_columns_are_the_documented_ones(table: pl.DataFrame) -> None:
    assert table.columns == list(COLUMNS)


def test_a_record_of_another_version_is_told(records: Path, tmp_path: Path) -> None:
    """It was a KeyError."""
    folder = tmp_path / "old"
    shutil.copytree(next(records.rglob("record.json")).parent, folder)
    pods = pl.read_parquet(folder / "pods.parquet")
    pods.drop("restarts").write_parquet(folder / "pods.parquet")
    with pytest.raises(UserError, match="damaged, or of another version") as told:
        rows(folder)
    assert "restarts" in str(told.value)


def test_the_page_has_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "datasets.md").read_text()
    columns = page[page.index("| `record` |") :]
    assert [line for line in columns.splitlines() if line.startswith("| `")] == [
        f"| `{name}` | {what} |" for name, what in COLUMNS.items()
    ]


def test_a_row_says_what_explain_brings_back(records: Path, table: pl.DataFrame) -> None:
    folder = records / "learn" / "greedy" / "1"
    recorded = RecordNotes(folder)
    mine = table.filter((pl.col("record") == str(folder)) & (pl.col("chosen") >= 0))
    for row in mine.tail(12).iter_rows(named=True):
        case = recorded.case(row["pod"])
        on = case.on
        assert row["candidates"][row["chosen"]] == case.node
        names = [name for name, fits in zip(on.names, on.feasible(case.view), strict=True) if fits]
        assert sorted(row["candidates"]) == sorted(names)
        at = on.node_table.index[case.node]
        assert row["candidate_cpu_milli"][row["chosen"]] == on.free[0, at]
        assert row["candidate_pods"][row["chosen"]] == len(on.pods_on(at))


def test_every_binding_is_a_decision_and_waits_are_told(records: Path, table: pl.DataFrame) -> None:
    bound = table.filter(pl.col("chosen") >= 0)
    for folder in table["record"].unique():
        lives = pl.read_parquet(Path(folder) / "pods.parquet").filter(pl.col("bound_ns") >= 0)
        assert set(bound.filter(pl.col("record") == folder)["pod"]) == set(lives["key"])
    waited = table.filter(pl.col("chosen") < 0)
    assert len(waited)
    chosen = bound.filter(pl.col("chosen") >= pl.col("candidates").list.len())
    assert chosen.is_empty()


def test_a_list_is_the_same_whoever_schedules_it(table: pl.DataFrame) -> None:
    assert table["list"].n_unique() == 2
    assert (table.group_by("list").agg(pl.col("seed").n_unique())["seed"] == 1).all()


def test_splits_leak_nothing_and_a_leak_is_found(table: pl.DataFrame) -> None:
    time = by_time(table, 0.6)
    assert time.purged
    assert len(time.train) + len(time.test) + time.purged == len(table)
    whole = by_list(table, 0.5)
    assert set(whole.train["list"]).isdisjoint(whole.test["list"])
    with pytest.raises(AssertionError, match="future"):
        check(replace(time, train=pl.concat([time.train, time.test.head(1).select(time.train.columns)])), by="time")
    train = time.train.with_columns(regret_gpu_milli=pl.lit(1, dtype=pl.Int64))
    with pytest.raises(AssertionError, match="the run's end"):
        check(replace(time, train=train), by="time")
    with pytest.raises(AssertionError, match="lists in both parts"):
        check(replace(whole, test=pl.concat([whole.test, whole.train.head(1)])), by="list")
    with pytest.raises(UserError, match="one list of pods cannot be split"):
        by_list(table.filter(pl.col("seed") == 1))


def test_the_command_writes_both_parts(records: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["dataset", str(records), "--split", "list", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.parquet", "train.parquet"]
    assert pl.read_parquet(tmp_path / "train.parquet").columns == list(COLUMNS)
