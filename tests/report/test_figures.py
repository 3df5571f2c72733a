"""Figures say what their rows say, and the rows what the record says."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.output import Output, text_of
from harness.experiment.api import run as run_all
from harness.experiment.compare import compare, question
from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from harness.report.figure_data import FRAMES, Asked, RunData, by_number
from harness.report.figures import draw
from harness.report.page import find, load, page
from tests.experiment.scenarios import SERVICE, loaded, scenario

ONE = ("nodes", "gantt", "replicas", "waterfall")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    small = loaded(
        duration="10m",
        workload=[SERVICE, {"openbLike": {"pods": 40, "longest": "3m", "load": 60}}],
        faults=[{"at": "1m", "nodeCrash": {"select": {"app": "web"}}}],
    )
    for name in ("greedy", "least-allocated"):
        run_once(small, name, 3, out=out)
    return out


def only(records: Path) -> RunData:
    return RunData(find([records])[0])


@pytest.mark.parametrize("kind", [kind for kind in FRAMES if kind != "sweep"])
def test_each_kind_is_drawn_and_has_rows_and_one_in_each_form(kind: str, records: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    where = str(find([records])[0] if kind in ONE else records)
    heads = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for form in heads if kind == "waits" else ("svg",):  # the form is the drawing library's, whatever is drawn
        head = heads[form]
        file = tmp_path / f"figure.{form}"
        done = CliRunner().invoke(app, ["plot", where, "--kind", kind, "-o", form, "--out", str(file)])
        assert done.exit_code == 0, done.output
        first = file.read_bytes()
        assert first.startswith(head)
        if kind == "waits":  # the same bytes again
            CliRunner().invoke(app, ["plot", where, "--kind", kind, "-o", form, "--out", str(file)])
            assert file.read_bytes() == first
    done = CliRunner().invoke(app, ["plot", where, "--kind", kind, "-o", "csv"])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows
    assert all(None not in row for row in rows)


def test_a_comparison_is_drawn_as_the_command_decides(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    data = scenario(duration="5m", workload=[{"openbLike": {"pods": 60, "longest": "3m", "load": 90}}])
    run_all(data, ["least-allocated", "greedy", "random"], range(1, 7), out=tmp_path)
    runs = [RunData(folder) for folder in find([tmp_path])]
    path = "placement.nodesUsed"
    asked = Asked(path, base="least-allocated")
    frame = FRAMES["comparison"](runs, asked)
    arms: dict[str, list[Result]] = {"least-allocated": [], "greedy": [], "random": []}
    for run in runs:
        arms[run.result.scheduler].append(run.result)
    results = [result for each in arms.values() for result in each]
    for row in compare(arms, question(shipped(), results, [path])):
        mine = frame.filter(pl.col("other") == row.other)
        assert mine["difference"].to_list() == list(row.differences)
        assert mine["verdict"].unique().to_list() == [row.verdict]
        assert (mine["low"][0], mine["high"][0]) == (row.found.low, row.found.high)
    narrow = draw("comparison", frame, runs, asked, 3.5)
    assert narrow.get_figwidth() == 3.5
    assert [tick.get_text() for tick in narrow.axes[0].get_yticklabels()] == ["greedy", "random"]
    with pytest.raises(UserError, match="no run of this strategy"):
        FRAMES["comparison"](runs, Asked(base="greedi"))
    with pytest.raises(UserError, match="nothing to compare with"):
        FRAMES["comparison"](runs[:1], Asked())


def test_rows_are_the_records_own_numbers(records: Path) -> None:
    run = only(records)
    waits = FRAMES["waits"]([run], Asked())
    pending = run.result.metrics["placement"]["pendingSeconds"]
    assert waits["wait_seconds"].mean() == pytest.approx(pending["mean"])
    allocated = FRAMES["allocation"]([run], Asked())
    bound = run.result.metrics["placement"]["bound"]
    if "most" in bound:
        assert allocated["proven_most"][0] == bound["most"]
    share = FRAMES["nodes"]([run], Asked())["share"]
    assert 0 <= share.min() <= share.max() <= 1 + 1e-9
    gantt = FRAMES["gantt"]([run], Asked())
    assert len(gantt) == (run.pods["bound_ns"] >= 0).sum()
    replicas = FRAMES["replicas"]([run], Asked())
    assert set(replicas["line"]) >= {"ready", "demand"}
    falls = FRAMES["waterfall"]([run], Asked())
    last = falls.group_by("what", maintain_order=True).agg(pl.col("to_seconds").max())["to_seconds"][0]
    assert last == pytest.approx(run.result.metrics["recovery"][0]["phases"]["serving"]["last"], abs=1.0)


def test_a_sweep_has_a_mean_and_an_interval_for_each_value(tmp_path: Path) -> None:
    data: dict[str, Any] = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "swept"},
        "spec": {
            "duration": "4m",
            "variables": {"load": [80, 120, 40]},
            "nodes": [{"openbLike": {"count": 4}}],
            "workload": [{"openbLike": {"pods": 15, "load": "{load}", "longest": "2m"}}],
            "schedulers": ["greedy"],
        },
    }
    run_all(data, ["greedy"], [1, 2, 3], vary={"load": [80, 120, 40]}, out=tmp_path)
    runs = [RunData(folder) for folder in find([tmp_path])]
    frame = FRAMES["sweep"](runs, Asked("placement.podsBound"))
    assert frame["value"].to_list() == ["40", "80", "120"]  # by number, whatever the order of the runs
    assert (frame["seeds"] == 3).all()
    assert (frame["low"] <= frame["mean"]).all()
    html = page([load(folder) for folder in find([tmp_path])])
    assert "9 runs: 3 settings of load, 1 strategy." in html
    assert re.findall(r"<summary>(load=\d+)</summary>", html) == ["load=40", "load=80", "load=120"]
    mean = sum(run.result.metrics["placement"]["podsBound"] for run in runs if run.result.variables["load"] == "80") / 3
    part = html.partition("<summary>load=80</summary>")[2].partition("</details>")[0]
    assert re.search(rf"<td>pods placed</td><td>{mean:.0f} ±", part)  # of this setting, not over all of them
    assert "More of one setting: load=40" in html
    done = CliRunner().invoke(app, ["plot", str(tmp_path), "--kind", "sweep", "--measure", "placement.podBound"])
    assert isinstance(done.exception, UserError)
    assert "did you mean 'placement.podsBound'?" in str(done.exception)


SWEPT = ("strategy", "variable", "value", "others", "mean", "low", "high", "seeds")


@pytest.mark.parametrize(("strategies", "others"), [(2, 1), (9, 4), (3, 24)])
def test_a_sweep_has_a_panel_for_each_setting_of_the_other_variables(strategies: int, others: int) -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    from harness.report.figures import FIGURES

    rows = [
        (f"module.of.a.name:strategy-{index}", "load", value, f"nodes={other}, gap=30s", 1.0, 0.5, 1.5, 5)
        for index in range(strategies)
        for other in range(others)
        for value in ("50", "80")
    ]
    figure = FIGURES["sweep"](pl.DataFrame(rows, schema=list(SWEPT), orient="row"), [], Asked("placement.podsBound"))
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == others
    whole = figure.get_window_extent()
    for axes in shown:  # a legend does not squeeze the axes
        assert len(axes.lines) == strategies
        assert axes.get_window_extent().width > 0.2 * whole.width
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= whole.x0
    assert legend.x1 <= whole.x1


def test_more_panels_than_a_page_holds_are_refused() -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    from harness.report.figures import FIGURES

    rows = [("greedy", "load", "50", f"nodes={other}", 1.0, None, None, 1) for other in range(25)]
    with pytest.raises(UserError, match="too many settings of the other variables"):
        FIGURES["sweep"](pl.DataFrame(rows, schema=list(SWEPT), orient="row"), [], Asked("placement.podsBound"))


def test_settings_of_other_variables_are_in_the_order_of_their_numbers() -> None:
    settings = ["nodes=10, gap=30s", "nodes=6, gap=2m", "nodes=6, gap=30s", "list=b"]
    assert sorted(settings, key=by_number) == ["nodes=6, gap=30s", "nodes=6, gap=2m", "nodes=10, gap=30s", "list=b"]


def test_a_chrome_trace_is_in_its_format(records: Path, tmp_path: Path) -> None:
    run = only(records)
    file = tmp_path / "trace.json"
    where = str(run.folder)
    assert CliRunner().invoke(app, ["plot", where, "--kind", "chrome-trace", "--out", str(file)]).exit_code == 0
    told = json.loads(file.read_text())
    fields = {"X": {"dur", "args", "cat"}, "C": {"args", "cat"}, "i": {"s", "cat"}, "M": {"args"}}
    for event in told["traceEvents"]:
        assert {"name", "ph", "pid", "tid", "ts"} | fields[event["ph"]] == set(event)
        assert event["ts"] >= 0
        assert event.get("dur", 0) >= 0
    slices = [event for event in told["traceEvents"] if event["ph"] == "X" and event["cat"] != "stage"]
    assert len(slices) == (run.pods["bound_ns"] >= 0).sum()
    on_lane: dict[tuple[int, int], float] = {}
    for event in sorted(slices, key=lambda event: event["ts"]):  # slices of one lane do not overlap
        lane = event["pid"], event["tid"]
        assert on_lane.get(lane, 0) <= event["ts"] + 1e-6
        on_lane[lane] = event["ts"] + event["dur"]


def test_the_report_has_the_figures_and_tells_of_unlike_seeds(records: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    both = [load(folder) for folder in find([records])]
    text = page(both)
    assert text.count("<figure>") >= 4
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(drawing)
    ids = re.findall(r'<(?:clipPath|path|g|symbol)[^>]* id="([^"]+)"', text)
    drawn = [name for name in ids if re.fullmatch(r"[mp][0-9a-f]{8,}", name)]
    assert len(drawn) == len(set(drawn)), "identifiers of two pictures collide"
    assert "did not run on the same seeds" not in text
    both[1].result.seed = 4
    assert "did not run on the same seeds (greedy 3; least-allocated 4)" in page(both)


def test_tables_in_other_forms() -> None:
    data = [{"name": "a|b", "values": {"x": 1.5, "y": [1, 2]}}, {"name": "50 %", "values": {"x": None}}]
    assert text_of(data, Output.csv) == "name,values.x,values.y\na|b,1.5,1; 2\n50 %,,\n"
    assert text_of(data, Output.markdown).splitlines()[2] == "| a\\|b | 1.5 | 1; 2 |"
    latex = text_of(data, Output.latex)
    assert "\\begin{tabular}{lll}" in latex
    assert "50 \\% &" in latex
    nested = {"scheduler": "s", "properties": [{"property": "legality", "holds": True}]}
    assert text_of(nested, Output.csv).splitlines() == ["scheduler,property,holds", "s,legality,True"]
