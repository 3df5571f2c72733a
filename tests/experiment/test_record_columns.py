"""Every column of a record's tables is told what it is, and the page says so."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from harness.experiment import autoscaler_notes
from harness.experiment.record_columns import TABLES, markdown
from harness.experiment.run import run_once
from tests.experiment.scenarios import SERVICE, loaded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "records.md"


def test_the_tables_of_a_record_have_the_columns_that_are_told(tmp_path: Path) -> None:
    small = loaded(duration="3m", workload=[SERVICE, {"openbLike": {"pods": 10, "longest": "1m", "load": 60}}])
    folder = run_once(small, "greedy", 3, out=tmp_path).folder
    assert folder is not None
    found = {file.stem: list(pl.read_parquet_schema(file)) for file in folder.glob("*.parquet")}
    found.setdefault("autoscalers", list(autoscaler_notes.COLUMNS))  # where one was held back
    assert found == {name: list(table.columns) for name, table in TABLES.items()}


def test_the_page_is_made_from_the_columns() -> None:
    assert PAGE.read_text() == markdown()
