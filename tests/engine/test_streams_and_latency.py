"""Named random streams, and latencies drawn from them."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from harness.engine.component import MS
from harness.engine.latency import Constant, Empirical, LogNormal
from harness.engine.streams import array_stream, stream


def test_streams_do_not_touch_each_other() -> None:
    first, other = stream(1, "a"), stream(1, "b")
    expected = stream(1, "a").random()
    other.random()
    assert first.random() == expected
    assert stream(1, "a").random() != stream(2, "a").random()


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_streams_are_the_same_whatever_the_hash_seed(hash_seed: str) -> None:
    code = "from harness.engine.streams import stream; print(stream(7, 'x').random())"
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    assert float(out.stdout) == stream(7, "x").random()


def test_array_streams_repeat() -> None:
    assert (array_stream(3, "n").integers(0, 100, 5) == array_stream(3, "n").integers(0, 100, 5)).all()


def test_constant_takes_always_the_same() -> None:
    assert Constant(5).draw(Random(1)) == Constant(5).least_ns == 5


def test_lognormal_has_the_median_and_the_p99_that_it_was_given() -> None:
    latency = LogNormal(10 * MS, 100 * MS)
    rng = Random(1)
    drawn = sorted(latency.draw(rng) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(10 * MS, rel=0.05)
    assert drawn[19_800] == pytest.approx(100 * MS, rel=0.15)


def test_lognormal_never_goes_below_its_least() -> None:
    latency = LogNormal(10, 1000, least_ns=8)
    rng = Random(2)
    assert min(latency.draw(rng) for _ in range(1000)) == 8


def test_a_tail_ends_where_it_is_cut() -> None:
    """Seed 240 of podyard simulate: of a watch with a p99 of 8 s, one event took 40 minutes."""
    rng, latency = Random(1), LogNormal(100 * MS, 8000 * MS, most_ns=9000 * MS)
    drawn = [latency.draw(rng) for _ in range(2000)]
    assert max(drawn) == 9000 * MS
    assert sum(ns > 7000 * MS for ns in drawn) < 60


def test_empirical_draws_only_what_was_measured() -> None:
    latency = Empirical((3, 5, 9))
    rng = Random(3)
    assert {latency.draw(rng) for _ in range(200)} == {3, 5, 9}
    assert latency.least_ns == 3
