"""Request rates from files: what is read, and what is told by file and line."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.errors import UserError
from workloads.generators.load import requests_milli
from workloads.rate_trace import RateTrace, read_rate_trace

S = 10**9


def csv(folder: Path, text: str, name: str = "rates.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_rate_holds_until_the_next_row_and_the_last_for_good(tmp_path: Path) -> None:
    curve = read_rate_trace(csv(tmp_path, "time,rps\n100,10\n160,20.5\n220,0\n"), RateTrace())
    for at, rate in ((0, 10_000), (59, 10_000), (60, 20_500), (119, 20_500), (120, 0), (9999, 0)):
        assert curve.rate_milli_rps(at * S) == rate
    assert curve.next_change_ns(0) == 60 * S
    assert requests_milli(curve, 0, 180 * S) == 60 * 10_000 + 60 * 20_500


def test_rows_may_be_joined_by_lines_scaled_and_sped_up(tmp_path: Path) -> None:
    path = csv(tmp_path, "t;requests per minute\n0;60\n60;120\n")
    how = RateTrace(rate="requests per minute", per_ns=60 * S, scale=10, speedup=6, between="line")
    curve = read_rate_trace(path, how)
    assert [curve.rate_milli_rps(at * S) for at in (0, 5, 10, 99)] == [10_000, 15_000, 20_000, 20_000]


@pytest.mark.parametrize(
    "stamps",
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:01:00Z"),
        ("2024-05-01T14:00:00+02:00", "2024-05-01T12:01:00Z"),
        ("2024-05-01 12:00:00", "2024-05-01 12:01:00.000"),
        ("1714564800", "1714564860.0"),
        ("-30", "30"),
    ],
)
def test_times_are_rfc_3339_or_seconds(tmp_path: Path, stamps: tuple[str, str]) -> None:
    path = csv(tmp_path, f"Timestamp,Value,other\n{stamps[0]},1,x\n{stamps[1]},2,y\n")
    curve = read_rate_trace(path, RateTrace())
    assert curve.points == ((0, 1000), (60 * S, 1000), (60 * S, 2000))


def test_parquet_gzip_and_csv_come_to_the_same(tmp_path: Path) -> None:
    begin = datetime(2024, 5, 1, tzinfo=UTC)
    times = [begin + timedelta(seconds=30 * index) for index in range(50)]
    rates = [float(index % 7) for index in range(50)]
    text = "time,rps\n" + "".join(f"{at.isoformat()},{rate}\n" for at, rate in zip(times, rates, strict=True))
    plain = read_rate_trace(csv(tmp_path, text), RateTrace())
    packed = tmp_path / "rates.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_rate_trace(packed, RateTrace()) == plain
    for name, column in (("stamps", times), ("seconds", [int(at.timestamp()) for at in times])):
        path = tmp_path / f"{name}.parquet"
        pl.DataFrame({"time": column, "rps": rates}).write_parquet(path)
        assert read_rate_trace(path, RateTrace()) == plain


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("time,rps\n", None, "no rows"),
        ("a,b\n1,2\n", 1, "no column says the time"),
        ("time,b\n1,2\n", 1, "no column says the rate"),
        ("time,rps\n0,1\n60,-2\n", 3, "never negative"),
        ("time,rps\n0,1\n60,nan\n", 3, "not a rate"),
        ("time,rps\n0,1\n60,lots\n", 3, "found:    lots"),
        ("time,rps\n0,1\n60,\n", 3, "found:    nothing"),
        ("time,rps\n0,1\nnoon,2\n", 3, "RFC 3339"),
        ("time,rps\n0,1\n60,2\n30,2\n", 4, "earlier than the row before"),
        ("time,rps\n0,1\n60,2\n60,3\n", 4, "the same instant again"),
        ("time,rps\n0,1\n60,2\n120,2\n\n600,2\n", 6, "a gap before this row"),
        ("time,rps\n0,1\n60\n", 3, "cut off"),
        ("time,rps\n0,1\n60,1e18\n", 3, "too high"),
        ("time,rps\n1714564800000,1\n", 2, "milliseconds"),
        ("time,rps\n0,1\n2024-13-01T00:00:00Z,1\n", 3, "not a time"),
    ],
)
def test_what_cannot_be_right_is_told_with_its_line(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(UserError, match=words) as told:
        read_rate_trace(path, RateTrace())
    assert (told.value.file, told.value.line) == (str(path), line)


def test_a_row_of_a_parquet_file_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rates.parquet"
    pl.DataFrame({"time": [0, 60, 120], "rps": [1.0, None, 3.0]}).write_parquet(path)
    with pytest.raises(UserError, match="row 2: not a rate"):
        read_rate_trace(path, RateTrace())
    with pytest.raises(UserError, match="did you mean 'time'"):
        read_rate_trace(path, RateTrace(time="tine"))
    path.write_bytes(b"PAR1" + b"\0" * 40)
    with pytest.raises(UserError, match="damaged"):
        read_rate_trace(path, RateTrace())


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(b"time,rps\n0,1\n\xff\xfe,2\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_rate_trace(path, RateTrace())


def test_a_gap_may_be_allowed(tmp_path: Path) -> None:
    path = csv(tmp_path, "time,rps\n0,1\n60,2\n120,3\n900,4\n")
    with pytest.raises(UserError, match="gap: 780s"):
        read_rate_trace(path, RateTrace())
    assert read_rate_trace(path, RateTrace(gap_ns=780 * S)).rate_milli_rps(899 * S) == 3000


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.sampled_from([1.0, 4.0, 60.0]))
def test_all_requests_are_there_whatever_the_speed(rates: list[float], speedup: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        text = "time,rps\n" + "".join(f"{60 * index},{rate!r}\n" for index, rate in enumerate(rates))
        curve = read_rate_trace(csv(Path(folder), text), RateTrace(speedup=speedup))
        found = requests_milli(curve, 0, round(60 * len(rates) / speedup * S))
        wanted = sum(round(rate * 1000) for rate in rates) * 60 / speedup
        assert found == pytest.approx(wanted, abs=len(rates) + 1)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_time_stamps_of_parquet_are_read_in_their_unit(tmp_path: Path, unit: str) -> None:
    stamps = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=90 * row) for row in range(3)]
    frame = pl.DataFrame({"time": stamps, "rps": [1, 2, 3]}).with_columns(pl.col("time").cast(pl.Datetime(unit)))  # type: ignore[arg-type]
    frame.write_parquet(tmp_path / "r.parquet")
    curve = read_rate_trace(tmp_path / "r.parquet", RateTrace())
    assert [curve.rate_milli_rps(at * S) for at in (0, 89, 90, 180)] == [1000, 1000, 2000, 3000]


def test_a_time_stamp_far_from_now_is_told_with_its_row(tmp_path: Path) -> None:
    """In nanoseconds it does not fit, and the conversion raised."""
    far = pl.Series("time", [0, 60_000_000, 6_000_000_000_000_000_000], pl.Int64).cast(pl.Datetime("us"))
    pl.DataFrame({"time": far, "rps": [1, 2, 3]}).write_parquet(tmp_path / "r.parquet")
    with pytest.raises(UserError, match="row 3: not seconds"):
        read_rate_trace(tmp_path / "r.parquet", RateTrace())
