"""What is dirty is found, told by line, and dealt with as the rules say; nothing damaged ends in a traceback."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.experiment.prepared import prepare
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.examples import examples
from tests.workloads import small_traces as small
from workloads.lint import RULES
from workloads.readers import podyard
from workloads.table import Provenance
from workloads.trace import convert, lint, read

HEADER, *ROWS = small.OPENB.splitlines()
GOOD = ROWS[0]

# A row of openb, the rule that it breaks, and whether a run refuses it.
DIRT = [
    ("d,4000,1024,1,500,,LS,Running,0", "cut-off-line", True),
    ("d,4000,1024,1,500,,LS,Running,0,60,1,9", "extra-fields", True),
    (",4000,1024,1,500,,LS,Running,0,60,1", "missing-value", True),
    ("d,,1024,1,500,,LS,Running,0,60,1", "missing-value", True),
    ("d,four,1024,1,500,,LS,Running,0,60,1", "not-a-number", True),
    ("d,inf,1024,1,500,,LS,Running,0,60,1", "not-a-number", True),
    ("d,-4000,1024,1,500,,LS,Running,0,60,1", "negative-value", True),
    ("d,4000,1e40,1,500,,LS,Running,0,60,1", "out-of-range", True),
    ("d,4000,1024,1,1001,,LS,Running,0,60,1", "out-of-range", True),
    ("d,4000,1024,1,500,,LS,Running,60,0,1", "ends-before-start", True),
    ("a,4000,1024,1,500,,LS,Running,0,60,1", "duplicate-name", True),
    ("", "blank-line", False),
    ("d,4000,0,1,500,,LS,Running,0,60,1", "zero-memory", False),
    ("d,0,0,0,0,,LS,Running,0,60,1", "zero-request", False),
    ("d,4000,1024,1,500,,LS,Running,9,9,9", "zero-duration", False),
    ("d,4000.25,1024,1,500,,LS,Running,0,60,1", "value-rounded", False),
    ("d,4000,1024,1,0,,LS,Running,0,60,1", "gpu-milli-missing", False),
    ("d,4000,1024,0,500,,LS,Running,0,60,1", "gpu-milli-without-gpu", False),
    ("d,4000,1024,2,500,,LS,Running,0,60,1", "shared-multi-gpu", False),
    ("d,4000,1024,1,500,T4|T4,LS,Running,0,60,1", "repeated-model", False),
    ("d,4000,1024,1,500,,LS,Running,0,,1", "still-there-at-end", False),
    ("d,4000,1024,1,500,,LS,Running,0,60,", "never-started", False),
    ("D_1,4000,1024,1,500,,LS,Running,0,60,1", "name-changed", False),
]


def pods(folder: Path, *rows: str) -> Path:
    file = folder / "pods.csv"
    file.write_text("\n".join((HEADER, *rows)) + "\n")
    return file


@pytest.mark.parametrize(("row", "rule", "error"), DIRT)
def test_each_rule(tmp_path: Path, row: str, rule: str, error: bool) -> None:
    file = pods(tmp_path, GOOD, row, "z,1,1,0,0,,LS,Running,99,100,99")
    (report,) = lint(file)
    assert report.count(rule) == 1
    (finding,) = [item for item in report.findings if item.rule == rule]
    assert finding.line == 3
    assert finding.action == RULES[rule].action
    assert RULES[rule].error is error
    kept = 2 if error or rule == "blank-line" else 3
    assert report.kept == kept
    if not error:
        assert len(read(file).workload) == kept
        return
    with pytest.raises(UserError) as told:
        read(file)
    assert (told.value.file, told.value.exit_code) == (str(file), 2)
    assert rule in told.value.what
    if rule != "duplicate-name":
        assert told.value.line == 3
    assert len(read(file, repair=True).workload) == kept


def test_repairs_are_what_the_rule_says(tmp_path: Path) -> None:
    dirty = read(
        pods(
            tmp_path,
            "d,4000,1024,1,0,,LS,Running,0,60,1",
            "e,4000,1024,0,500,,LS,Running,0,60,1",
            "f,4000.6,1024,1,500,T4|G2|T4,LS,Running,0,,1",
            "G_1,4000,1024,1,500,,LS,Running,0,60,1",
        )
    ).workload
    assert dirty.gpu_milli.tolist() == [1000, 0, 500, 500]
    assert dirty.cpu_milli.tolist() == [4000, 4000, 4001, 4000]
    assert dirty.gpu_models[2] == ("T4", "G2", "T4")
    assert dirty.duration_ns[2] == -1
    assert dirty.name[3] == "g-1"


def test_rows_out_of_order_are_sorted_and_told(tmp_path: Path) -> None:
    trace = read(pods(tmp_path, GOOD.replace(",0,60", ",50,60"), "b,1,1,0,0,,LS,Running,7,60,7"))
    assert list(trace.workload.name) == ["b", "a"]
    assert trace.reports[0].count("out-of-order") == 1


def test_pods_that_fit_nowhere(tmp_path: Path) -> None:
    file = pods(tmp_path, "x,4000,1,1,500,H100,LS,Running,0,60,1", "y,900000,1,0,0,,LS,Running,0,60,1", GOOD)
    report = lint(file, nodes=small.openb_nodes(tmp_path))[0]
    assert (report.count("unknown-gpu-model"), report.count("larger-than-any-node")) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        (HEADER + "\n", "no rows"),
        (HEADER.replace("cpu_milli", "cpu") + "\n" + GOOD, "'cpu_milli' is missing"),
        (HEADER + "\n" + "x,-1,1,0,0,,LS,Running,0,1,0\n", "negative-value"),
        (HEADER.replace("gpu_milli", "cpu_milli") + "\n" + GOOD, "is missing"),
        (HEADER.replace("qos", "cpu_milli") + "\n" + GOOD, "appears twice"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_screen(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "pods.csv"
    file.write_text(text)
    with pytest.raises(UserError) as told:
        read(file, format="openb")
    assert words in str(told.value)
    assert str(told.value).startswith(str(file))
    assert len(str(told.value).splitlines()) <= 5


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(UserError):
            read(path)


def test_only_bad_rows_is_an_error_even_with_repair(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row of this trace can be used") as told:
        read(pods(tmp_path, "x,-1,1,0,0,,LS,Running,0,1,0"), repair=True)
    assert told.value.line == 2
    assert told.value.found == "1 negative-value; first cpu_milli '-1', where at least 0 is expected"


def test_a_file_that_ends_within_a_line_is_told(tmp_path: Path) -> None:
    """Cut off within its last number, the line still has all its fields: nobody can know but from its end."""
    file = tmp_path / "pods.csv"
    file.write_text(small.OPENB[:-1].replace("35,6", "359,6"))
    (report,) = lint(file)
    (finding,) = report.findings[:1]
    assert (finding.rule, finding.line, report.kept) == ("no-final-newline", 4, 3)
    assert finding.found.endswith(ROWS[2])


def test_a_form_of_a_newer_version_is_refused_by_all(tmp_path: Path) -> None:
    file = convert_of(tmp_path)
    head = podyard.header_text("openb", Provenance("x")).replace('"version":1', '"version":9')
    pl.read_parquet(file).write_parquet(file, metadata={podyard.METADATA: head})
    for door in (lint, read):
        with pytest.raises(UserError, match="newer podyard"):
            door(file)


def convert_of(folder: Path) -> Path:
    convert(small.openb(folder), folder / "out.parquet")
    return folder / "out.parquet"


def test_examples_are_few_counts_are_whole(tmp_path: Path) -> None:
    (report,) = lint(pods(tmp_path, GOOD, *[f"p{row},0,0,0,0,,LS,Running,0,60,1" for row in range(500)]))
    assert report.count("zero-request") == 500
    assert len([item for item in report.findings if item.rule == "zero-request"]) == 20


def originals() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        found = {format: make(path).read_bytes() for format, make in small.FILES.items()}
        convert(small.openb(path), path / "out.parquet")
        found["podyard"] = (path / "out.parquet").read_bytes()
        return found


ORIGINALS = originals()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of some format: cut off, with bytes changed, pieces swapped, or numbers replaced."""
    format = draw(st.sampled_from(sorted(ORIGINALS)))
    data = bytearray(ORIGINALS[format])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["cut", "byte", "insert", "repeat", "digit"])):
            case "cut":
                del data[at:]
            case "byte":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "insert":
                data[at:at] = draw(
                    st.sampled_from([b",", b"\n", b'"', b"-", b"9" * 30, b"nan", b"\xff", b"{", b"]", b"\0"])
                )
            case "repeat":
                data += data[at : at + 200]
            case _:
                digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
                if digits:
                    data[draw(st.sampled_from(digits))] = draw(st.sampled_from(list(b"0159-.e")))
    return format, bytes(data)


@settings(max_examples=examples(240), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file=damaged())
def test_damaged_files_give_a_report_or_a_clear_error(file: tuple[str, bytes]) -> None:
    format, data = file
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        path.write_bytes(data)
        try:
            (report,) = lint(path, format=format)
        except UserError:
            with pytest.raises(UserError):
                read(path, format=format)
            return
        assert report.kept >= 0
        assert all(item.rule in RULES for item in report.findings)
        # A clean report and a refusal exclude each other.
        try:
            trace = read(path, format=format)
        except UserError:
            assert report.errors or not report.kept
        else:
            assert not report.errors
            assert len(trace.workload) == report.kept
            numbers = trace.workload.numbers()
            assert all((numbers[column] >= 0).all() for column in numbers if column not in ("duration_ns", "priority"))
            assert (numbers["duration_ns"] >= -1).all()


def test_a_run_tells_which_rows_it_leaves_out(tmp_path: Path) -> None:
    """It said nothing of them; rows that are odd and stay, or that never ran, it does not tell."""
    rows = ["1 0 -1 10 4", "2 5 -1 ten 4", "3 6 -1 10 4", "4 7 -1 x 4"]
    (tmp_path / "log.swf").write_text("".join(f"{row} -1 -1 4 10 -1 1 1 1 1 1 -1 -1 -1\n" for row in rows))
    head = "apiVersion: podyard.dev/v1\nkind: Scenario\nmetadata: {name: odd}\nspec:\n"
    nodes = "  nodes: [{group: {name: n, count: 1, cpu: 4, memory: 8Gi}}]\n"
    workload = "  workload: [{trace: {path: log.swf, format: swf}}]\n  bound: false\n"
    (tmp_path / "odd.yaml").write_text(head + nodes + workload)
    loaded = read_scenario(tmp_path / "odd.yaml")
    (notice,) = prepare(loaded, 0).notices
    assert notice == "log.swf: rows are left out: 2 not-a-number, the first on line 2"
