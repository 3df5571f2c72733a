"""podyard report: one page that stands by itself and says what the records say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.model.errors import UserError
from harness.report.page import find, load, page
from harness.report.series import over_time
from harness.report.svg import ticks
from tests.experiment.scenarios import SERVICE, loaded


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    small = loaded(
        duration="12m",
        workload=[SERVICE, {"openbLike": {"pods": 40, "longest": "3m", "load": 60}}],
        faults=[{"at": "1m", "nodeCrash": {"select": {"app": "web"}}}],
    )
    for name in ("greedy", "least-allocated"):
        run_once(small, name, 3, out=out)
    return out


def test_the_page_holds_the_numbers_and_needs_nothing_else(records: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(records), "--out", str(records / "report.html")])
    assert result.exit_code == 0
    text = (records / "report.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)", text)
    recorded = [load(folder) for folder in find([records])]
    for record in recorded:
        assert record.result.digest in text
        assert f"{record.result.metrics['placement']['podsBound']:.0f}" in text
    for title in (
        "Placement quality",
        "Recovery by stage",
        "Waterfalls",
        "pods pending",
        "GPUs allocated",
        "podyard replay",
    ):
        assert title in text
    drawings = re.findall(r"<svg.*?</svg>", text)
    assert len([drawing for drawing in drawings if 'aria-label="waterfall"' not in drawing]) == 5
    assert any('aria-label="waterfall"' in drawing for drawing in drawings)
    for drawing in drawings:
        assert "nan" not in drawing
        ET.fromstring(drawing)


def test_names_are_text_not_markup(records: Path) -> None:
    record = load(find([records])[0])
    record.result.scheduler = "<b>&mine"
    assert "<b>&mine" not in page([record])
    assert "&lt;b&gt;&amp;mine" in page([record])


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record in this folder"):
        find([tmp_path])
    with pytest.raises(UserError, match="nothing here"):
        find([tmp_path / "missing"])


INSTANT = st.integers(0, 50)


@given(st.lists(st.tuples(INSTANT, INSTANT, INSTANT, INSTANT, st.booleans(), st.booleans()), max_size=12))
def test_curves_count_what_is_there_at_each_instant(rows: list[tuple[int, int, int, int, bool, bool]]) -> None:
    pods = []
    for created, wait, start, run, binds, ends in rows:
        bound = created + wait if binds else -1
        running = bound + start if binds else -1
        ended = (running + run if binds else created + run) if ends else -1
        pods.append((created, bound, running, ended, -1, 500))
    names = ("created_ns", "bound_ns", "running_ns", "ended_ns", "gone_ns", "cpu_milli")
    frame = pl.DataFrame(pods, schema=dict.fromkeys(names, pl.Int64), orient="row")
    frame = frame.with_columns(pl.lit(0).alias("gpu_milli"))
    curves = over_time(frame, 300)
    for at in range(0, 300, 7):
        pending = sum(c <= at and not (0 <= b <= at) and not (0 <= e <= at) for c, b, _, e, _, _ in pods)
        cores = sum(0.5 for _, b, _, e, _, _ in pods if 0 <= b <= at and not 0 <= e <= at)
        for title, expected in (("pods pending", pending), ("CPU cores allocated", cores)):
            if title in curves:
                curve = curves[title]
                assert curve.y[np.searchsorted(curve.x, at / 1e9, side="right") - 1] == expected
            else:
                assert expected == 0


@given(st.floats(1e-6, 1e12))
def test_ticks_reach_the_largest_value_and_are_few(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-9)
    assert 4 <= len(found) <= 8
