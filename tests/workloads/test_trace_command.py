"""podyard trace as its user meets it: what is dirty in a file is told by line, damaged files on one screen."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.trace import app
from tests.workloads import small_traces as small
from workloads.readers import names
from workloads.trace import read


def trace(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def told(result: Result, *parts: str, code: int = 2) -> None:
    """One screen on stderr, nothing on stdout, and all that a clear error has."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) <= 5
    for part in ("error: ", "  found: ", "  expected: ", "  try: ", *parts):
        assert part in result.stderr


@pytest.mark.parametrize("format", sorted(small.FILES))
def test_an_empty_file(tmp_path: Path, format: str) -> None:
    file = small.FILES[format](tmp_path)
    file.write_bytes(b"")
    out = tmp_path / "out.parquet"
    for result in (
        trace("lint", file, "--format", format),
        trace("lint", file),
        trace("convert", file, out, "--format", format),
    ):
        told(result, f"{file}:1: the file is empty")
    assert not out.exists()


@pytest.mark.parametrize(
    ("format", "column"),
    [("openb", "num_gpu"), ("dlrm2025", "rdma_request"), ("huawei-east-1", "memory"), ("openb", "creation_time")],
)
def test_a_missing_column(tmp_path: Path, format: str, column: str) -> None:
    file = small.FILES[format](tmp_path)
    file.write_text(file.read_text().replace(column, f"{column}_of_it", 1))
    result = trace("convert", file, tmp_path / "out.parquet", "--format", format)
    told(result, f"{file}:1: column '{column}' is missing", f"{column}_of_it")


def test_a_missing_column_of_google_s_tables(tmp_path: Path) -> None:
    file = small.google_csv(tmp_path)
    file.write_text(file.read_text().replace("instance_index", "index", 1))
    told(trace("lint", file, "-f", "google2019"), f"{file}:1: column 'instance_index' is missing")
    file = small.google(tmp_path)
    file.write_text(file.read_text().replace("instance_index", "index"))
    told(trace("convert", file, tmp_path / "o", "-f", "google2019"), f"{file}:1: missing-value: instance_index")


def test_a_missing_field_of_philly_s_jobs(tmp_path: Path) -> None:
    file = small.philly(tmp_path)
    file.write_text(file.read_text().replace("jobid", "job"))
    told(trace("convert", file, tmp_path / "o", "-f", "philly"), f"{file}:2: not-readable", "`jobid`")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE vm RENAME COLUMN priority TO prio", "table vm has no column 'priority'"),
        ("DROP TABLE vmType", "table vmType is missing"),
    ],
)
def test_a_missing_column_or_table_of_azure_s(tmp_path: Path, change: str, words: str) -> None:
    file = small.azure(tmp_path)
    db = sqlite3.connect(file)
    db.execute(change)
    db.commit()
    db.close()
    told(trace("lint", file), f"{file}: {words}")


# How much of each small file is left, and the line at which that shows.
CUTS = [
    ("openb", 0.9, 4, "cut-off-line"),
    ("dlrm2025", 0.85, 3, "cut-off-line"),
    ("huawei-east-1", 0.85, 4, "cut-off-line"),
    ("swf", 0.85, 7, "cut-off-line"),
    ("google2019", 0.85, 7, "not-readable"),
    ("philly", 0.85, 51, "no whole JSON array"),
]


@pytest.mark.parametrize(("format", "share", "line", "words"), CUTS)
def test_a_cut_off_line(tmp_path: Path, format: str, share: float, line: int, words: str) -> None:
    file = small.FILES[format](tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    out = tmp_path / "out.parquet"
    told(trace("convert", file, out, "--format", format), f"{file}:{line}: ", words)
    assert not out.exists()
    if format == "philly":  # one JSON text: cut off, nothing of it can be read
        told(trace("lint", file, "--format", format), f"{file}:{line}: ", words)
        return
    checked = trace("lint", file, "--format", format, "-o", "json")
    assert checked.exit_code == 1
    (report,) = json.loads(checked.stdout)
    finding = next(item for item in report["findings"] if item["rule"] == words)
    assert (finding["action"], finding["error"], finding["examples"][0]["line"]) == ("dropped", True, line)
    repaired = trace("convert", file, out, "--format", format, "--repair", "-o", "json")
    assert repaired.exit_code == 0
    assert json.loads(repaired.stdout)["kept"] == report["kept"] == len(read(out).workload)


def test_a_cut_off_database_and_a_cut_off_parquet_file(tmp_path: Path) -> None:
    file = small.azure(tmp_path)
    file.write_bytes(file.read_bytes()[:5000])
    told(trace("lint", file), f"{file}: the SQLite file cannot be read")
    out = tmp_path / "out.parquet"
    assert trace("convert", small.openb(tmp_path), out).exit_code == 0
    out.write_bytes(out.read_bytes()[:900])
    told(trace("lint", out), f"{out}: the Parquet file is damaged")


def test_lint_says_where_and_what_was_done(tmp_path: Path) -> None:
    file = small.openb(tmp_path)
    file.write_text(file.read_text() + "d,-1,1024,1,500,,LS,Running,0,60,1\ne,4000,1024,1,0,,LS,Running,6,60,6\n")
    result = trace("lint", file)
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if "negative-value" in line)
    assert "dropped" in row
    assert "line 5: cpu_milli '-1', expected at least 0" in result.stdout
    assert "filled" in next(line for line in result.stdout.splitlines() if "gpu-milli-missing" in line)
    assert "5 rows, 4 kept, 1 errors" in result.stdout


def test_lint_finds_pods_that_fit_nowhere(tmp_path: Path) -> None:
    file = small.openb(tmp_path)
    file.write_text(file.read_text() + "d,1,1024,1,500,H100,LS,Running,5,60,5\n")
    result = trace("lint", file, "--nodes", small.openb_nodes(tmp_path), "-o", "yaml")
    assert result.exit_code == 0
    pods, nodes = yaml.safe_load(result.stdout)
    assert "unknown-gpu-model" in [item["rule"] for item in pods["findings"]]
    assert nodes["kept"] == 2


def test_convert_writes_one_form_whole_or_not_at_all(tmp_path: Path) -> None:
    file, out = small.openb(tmp_path), tmp_path / "out.parquet"
    assert trace("convert", file, out, "--option", "mode=fill").exit_code == 0
    assert pl.read_parquet(out)["duration_ns"].to_list() == [-1, -1, -1]
    before = out.read_bytes()
    file.write_text(small.OPENB + "d,1\n")
    told(trace("convert", file, out), f"{file}:5: cut-off-line")
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openb.csv", "out.parquet"]


def test_convert_never_writes_over_the_trace(tmp_path: Path) -> None:
    file = small.openb(tmp_path)
    result = trace("convert", file, file)
    assert (result.exit_code, file.read_text()) == (2, small.OPENB)
    assert "this is the trace itself" in result.stderr


def test_convert_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    out = tmp_path / "absent" / "out.parquet"
    told(trace("convert", small.openb(tmp_path), out), f"{out}: the file cannot be written", "make the folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "openbb"), "did you mean 'openb'?"),
        (("--option", "mod=fill"), "did you mean 'mode'?"),
        (("--option", "mode=fil"), "departures or fill"),
        (("--option", "mode"), "NAME=VALUE"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    result = trace("lint", small.openb(tmp_path), *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_file_that_is_absent_or_of_no_known_format(tmp_path: Path) -> None:
    assert "cannot be read" in trace("lint", tmp_path / "absent.csv").stderr
    file = tmp_path / "shopping.txt"
    file.write_text("milk\nbread\n")
    told(trace("lint", file), f"{file}:1: this looks like no known trace format", "milk")


def test_formats_are_listed_with_source_licence_and_options() -> None:
    listed = json.loads(trace("ls", "-o", "json").stdout)
    assert [row["format"] for row in listed] == list(names())
    options = {row["format"]: row["options"] for row in listed}
    assert options["openb"] == {"mode": "departures", "lifetime_from": "creation", "gap_ns": 10**9}
    table = trace("ls").stdout
    assert all(name in table for name in names())


@pytest.mark.parametrize("format", [name for name in names() if name != "podyard"])
def test_fetch_tells_where_to_get_a_trace_and_what_to_cite(format: str) -> None:
    told_of = json.loads(trace("fetch", format, "-o", "json").stdout)
    assert told_of["url"].startswith("https://")
    assert told_of["licence"]
    assert told_of["citation"]
