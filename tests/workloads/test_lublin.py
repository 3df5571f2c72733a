"""Logs drawn after Lublin and Feitelson: read without a complaint, of the load that was asked for."""

from __future__ import annotations

import pytest

from workloads.generators.lublin import LublinLog, lines, main


def rows(log: LublinLog) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in lines(log) if not line.startswith(";")]


def test_the_load_is_what_was_asked_for() -> None:
    log = LublinLog(4000, 128, 70, seed=3)
    found = rows(log)
    work = sum(row[3] * row[4] for row in found)
    span = found[-1][1]
    assert work / (128 * span) == pytest.approx(0.7, rel=0.1)


def test_sizes_are_those_of_the_model() -> None:
    """A quarter is serial; 0.576 of all jobs have a power of two for certain, which is three of four parallel ones, and
    others by chance; none asks for more than there are."""
    sizes = [row[4] for row in rows(LublinLog(8000, 128))]
    assert max(sizes) <= 128
    assert 0.22 < sizes.count(1) / len(sizes) < 0.27
    parallel = [size for size in sizes if size > 1]
    assert 0.76 < sum(size & (size - 1) == 0 for size in parallel) / len(parallel) < 0.86


def test_a_seed_is_a_log_and_who_asks_for_more_is_overestimated() -> None:
    assert rows(LublinLog(50, seed=1)) == rows(LublinLog(50, seed=1)) != rows(LublinLog(50, seed=2))
    assert all(row[3] == row[8] for row in rows(LublinLog(50)))
    assert all(row[3] <= row[8] <= 3 * row[3] + 1 for row in rows(LublinLog(50, overestimate=3.0)))


def test_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--jobs", "20", "--load", "50", "--seed", "4"])
    assert capsys.readouterr().out.splitlines() == list(lines(LublinLog(20, 128, 50, 4)))
    with pytest.raises(SystemExit):
        main(["--jobs", "20", "--load", "0"])
