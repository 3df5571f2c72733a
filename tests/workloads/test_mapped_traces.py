"""Any table as a trace, by a map of its columns: forms, units, and what is told where a row or the map is wrong."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.prepared import prepare
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.examples import examples
from tests.experiment.scenarios import written
from workloads.readers.mapped import parse_map
from workloads.trace import read

MAP = {
    "name": "task", "arrival": "submitted:iso", "end": "finished:iso", "cpu": "req_cpu:cores", "memory": "mem:GiB",
    "gpus": "gpu", "user": "who",
}  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {
        "task": "a", "submitted": "2024-01-31T12:00:05Z", "finished": "2024-01-31T12:01:05Z", "req_cpu": 1.5, "mem": 2,
        "gpu": 0, "who": "jane",
    },
    {
        "task": "b", "submitted": "2024-01-31 13:00:00.5+01:00", "finished": None, "req_cpu": 4, "mem": 0.5, "gpu": 2,
        "who": "",
    },
]  # fmt: skip


def _csv(path: Path, rows: list[dict[str, Any]], separator: str = ",") -> Path:
    names = list(rows[0])
    lines = [
        separator.join(names),
        *(separator.join("" if row[n] is None else str(row[n]) for n in names) for row in rows),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _tabs(path: Path, rows: list[dict[str, Any]]) -> Path:
    return _csv(path, rows, "\t")


def _semicolons_packed(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(gzip.compress(_csv(path, rows, ";").read_bytes()))
    return path


def _json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _json_array(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, indent=1))
    return path


def _parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pl.DataFrame(rows, strict=False)
    times = [
        pl.col(name).map_elements(lambda text: datetime.fromisoformat(text), return_dtype=pl.Datetime("us", "UTC"))
        for name in ("submitted", "finished")
    ]
    frame.with_columns(times).write_parquet(path)
    return path


@pytest.mark.parametrize("form", [_csv, _tabs, _semicolons_packed, _json_lines, _json_array, _parquet])
def test_the_form_of_a_table_does_not_matter(tmp_path: Path, form: Any) -> None:
    trace = read(form(tmp_path / "trace", ROWS), options={"map": MAP}).workload
    assert trace.name == ["b", "a"]
    assert trace.arrival_ns.tolist() == [0, 4_500_000_000]
    assert trace.duration_ns.tolist() == [-1, 60 * 10**9]
    assert trace.cpu_milli.tolist() == [4000, 1500]
    assert trace.memory_bytes.tolist() == [1 << 29, 2 << 30]
    assert trace.gpu_count.tolist() == [2, 0]
    assert trace.gpu_milli.tolist() == [1000, 0]
    assert [trace.user[row] for row in (0, 1)] == ["", "jane"]


def test_fields_within_objects_quantities_and_dates_without_a_unit(tmp_path: Path) -> None:
    rows = [
        {"id": "x", "at": "2024-01-31T00:00:00", "spec": {"cpu": "1500m", "memory": "1Gi"}},
        {"id": "y", "at": "2024-01-31T00:00:01", "spec": {"cpu": "2", "memory": "1M"}},
    ]
    columns = parse_map(["name=id,arrival=at", "cpu=spec.cpu:quantity,memory=spec.memory:quantity"])
    trace = read(_json_lines(tmp_path / "t", rows), options={"map": columns}).workload
    assert trace.arrival_ns.tolist() == [0, 10**9]
    assert trace.cpu_milli.tolist() == [1500, 2000]
    assert trace.memory_bytes.tolist() == [1 << 30, 10**6]


def test_units_have_the_words_that_people_write(tmp_path: Path) -> None:
    path = _csv(tmp_path / "t.csv", [{"t": 0, "d": 2, "c": 1500, "m": 3}, {"t": 1, "d": 1, "c": 250, "m": 1}])
    words = ["arrival=t:minutes,duration=d:hours,cpu=c:millicores,memory=m:Gi"]
    units = ["arrival=t:min,duration=d:h,cpu=c:milli,memory=m:GiB"]
    one, other = (read(path, options={"map": parse_map(given)}).workload for given in (words, units))
    for column in ("arrival_ns", "duration_ns", "cpu_milli", "memory_bytes"):
        assert getattr(one, column).tolist() == getattr(other, column).tolist()
    assert one.duration_ns.tolist() == [2 * 3600 * 10**9, 3600 * 10**9]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"arival": "t"}, "did you mean 'arrival'"),
        ({"arrival": "t:weeks", "cpu": "c"}, "arrival has no unit 'weeks'"),
        ({"arrival": "t:s", "cpu": "c:coers"}, "did you mean 'cores'"),
        ({"cpu": "c"}, "when pods arrive"),
        ({"arrival": "t"}, "what pods ask for"),
        ({"arrival": "t", "cpu": "c", "end": "e", "duration": "d"}, "both given"),
        ({"arrival": "t", "cpu": "cc"}, "column 'cc' is missing"),
        ({"arrival": ":s", "cpu": "c"}, "names no column"),
    ],
)
def test_what_is_wrong_with_a_map(tmp_path: Path, columns: dict[str, str], words: str) -> None:
    path = _csv(tmp_path / "t.csv", [{"t": 1, "c": 1, "d": 1, "e": 2}])
    with pytest.raises(UserError, match=words) as told:
        read(path, options={"map": columns})
    assert told.value.hint or told.value.expected


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("req_cpu", "four", ["req_cpu", "four", "a number"]),
        ("submitted", "yesterday", ["submitted", "yesterday", "2024-01-31T12:00:00Z"]),
        ("mem", "-1", ["mem", "-1", "at least 0"]),
        ("finished", "2023-01-01T00:00:00Z", ["finished", "2023-01-01", "after"]),
        ("gpu", "9999999", ["gpu", "9999999", "at most 1024"]),
    ],
)
@pytest.mark.parametrize("form", [_csv, _json_lines])
def test_what_is_wrong_with_a_row(tmp_path: Path, form: Any, column: str, value: str, words: list[str]) -> None:
    path = form(tmp_path / "t", [ROWS[0], {**ROWS[1], column: value}])
    with pytest.raises(UserError) as told:
        read(path, options={"map": MAP})
    assert told.value.line == (3 if form is _csv else 2)
    assert all(word in str(told.value) for word in words), str(told.value)
    assert read(path, options={"map": MAP}, repair=True).workload.name == ["a"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "empty"),
        (b"[{}", 1, "was the file cut off"),
        (b'[{"t":1,"c":1}\n,\n{"t":]', 3, "malformed JSON"),
        (b"t,c\n", 2, "a header and no rows"),
        (b'{"t":1}\n', 1, "column 'c' is missing"),
        (b"\0\1\2", 1, "no table"),
        (b"PAR1 and no more", None, "damaged"),
        (gzip.compress(b"t,c\n1,1\n", mtime=0)[:-6], None, "the compressed file is damaged"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, line: int | None, words: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as told:
        read(path, options={"map": {"arrival": "t", "cpu": "c"}})
    assert (told.value.file, told.value.line) == (str(path), line)


def test_on_the_command_line(tmp_path: Path) -> None:
    path = _csv(tmp_path / "t.csv", ROWS)
    mapped = [item for name, column in MAP.items() for item in ("--map", f"{name}={column}")]
    result = CliRunner().invoke(app, ["trace", "convert", str(path), str(tmp_path / "out.parquet"), *mapped])
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out.parquet").workload.name == ["b", "a"]
    assert "2 rows, 2 kept" in result.output  # a row of CSV counts once
    unmapped = CliRunner().invoke(app, ["trace", "lint", str(path)])
    assert "--map arrival=COLUMN:s" in unmapped.output


def test_in_a_scenario(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", ROWS)
    columns = {**MAP, "gpus": "gpu"}
    path = written(
        tmp_path,
        nodes=[{"group": {"name": "n", "count": 1, "cpu": 8, "memory": "16Gi", "gpus": 2}}],
        workload=[{"trace": {"path": "t.csv", "map": columns}}],
        duration="2m",
    )
    assert run_once(read_scenario(path), "greedy", 1).metrics["placement"]["podsBound"] == 2


TIMES = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@given(TIMES, st.sampled_from(["s", "ms", "us", "min", "iso"]))
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_times_in_any_unit(tmp_path: Path, seconds: list[int], unit: str) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    shown: dict[str, Any] = {
        "s": lambda s: s, "ms": lambda s: s * 1000, "us": lambda s: s * 10**6, "min": lambda s: repr(s / 60),
        "iso": lambda s: (start + timedelta(seconds=s)).isoformat(),
    }  # fmt: skip
    rows = [{"n": f"p{at}", "t": shown[unit](second), "c": 1} for at, second in enumerate(seconds)]
    trace = read(
        _csv(tmp_path / "t", rows), options={"map": {"name": "n", "arrival": f"t:{unit}", "cpu": "c"}}
    ).workload
    expected = sorted(second - min(seconds) for second in seconds)
    assert [round(at / 1e9, 3) for at in trace.arrival_ns.tolist()] == expected


# -- how fast, and how much ----------------------------------------------------------


def _plan(tmp_path: Path, rows: list[dict[str, Any]], **trace: Any) -> Any:
    _csv(tmp_path / "t.csv", rows)
    columns = {"name": "n", "arrival": "t", "duration": "d", "cpu": "c"}
    path = written(
        tmp_path,
        nodes=[{"group": {"name": "n", "count": 2, "cpu": 8, "memory": "16Gi"}}],
        workload=[{"trace": {"path": "t.csv", "map": columns, **trace}}],
    )
    (table,) = prepare(read_scenario(path), 1).workload.tables
    return table


JOBS = [{"n": f"j{at}", "t": 10 * at, "d": 100, "c": 1} for at in range(40)]


def test_time_may_be_compressed(tmp_path: Path) -> None:
    table = _plan(tmp_path, [*JOBS, {"n": "last", "t": 500, "d": "", "c": 1}], compress=10)
    assert table.arrival_ns.tolist()[:3] == [0, 10**9, 2 * 10**9]
    assert set(table.duration_ns.tolist()) == {10 * 10**9, -1}


@pytest.mark.parametrize("load", [20, 50, 90])
def test_arrivals_at_a_load(tmp_path: Path, load: int) -> None:
    """Held against a count of what runs at each second: a hundredth of the nodes' CPUs a percent."""
    table = _plan(tmp_path, JOBS, load=load)
    arrival, span = table.arrival_ns, int(table.arrival_ns[-1])
    held = sum(min(100 * 10**9, span - at) for at in arrival.tolist())
    assert held / span == pytest.approx(16 * load / 100, rel=0.02)
    assert set(table.duration_ns.tolist()) == {100 * 10**9}


def test_a_fill_has_no_times_to_change(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a fill has no times"):
        _plan(tmp_path, JOBS, compress=2, mode="fill")


def test_parts_of_a_swapped_job_count_once_and_headers_are_held_against_rows(tmp_path: Path) -> None:
    def job(number: int, status: int, processors: int) -> str:
        return f"{number} 0 0 60 {processors} -1 -1 {processors} -1 -1 {status} 1 1 -1 1 -1 -1 -1"

    path = tmp_path / "log.swf"
    lines = ["; MaxProcs: 8", "; MaxNodes: -1", job(1, 1, 4), job(1, 2, 4), job(1, 3, 4), job(2, 1, 16)]
    path.write_text("\n".join(lines) + "\n")
    trace = read(path, options={"processors_per_node": 16})
    assert trace.workload.name == ["job-1-0", "job-2-0"]
    counts = dict(trace.reports[0].counts)
    assert counts["partial-execution"] == 2
    assert counts["larger-than-machine"] == 1
