"""Columns: taken, ordered, classed, and read-only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.table import FOREVER, Coded, NodeTable, Workload, distinct


def pods() -> Workload:
    return Workload.of(
        ["a", "b", "c"],
        arrival_ns=[30, 10, 20],
        cpu_milli=[1, 2, 1],
        gpu_models=[("T4",), (), ("T4",)],
        group=["g", "", "g"],
        extra={"x/y": [1, 2, 1]},
    )


def test_in_order_of_arrival_ties_stay() -> None:
    ordered = pods().in_order()
    assert list(ordered.name) == ["b", "c", "a"]
    assert ordered.arrival_ns.tolist() == [10, 20, 30]
    assert [ordered.gpu_models[row] for row in range(3)] == [(), ("T4",), ("T4",)]
    assert ordered.extra["x/y"].tolist() == [2, 1, 1]
    assert ordered.in_order() is ordered


def test_masks_slices_and_indices_agree() -> None:
    whole = pods()
    for rows in (slice(1, 3), np.array([False, True, True]), np.array([1, 2])):
        assert list(whole.take(rows).name) == ["b", "c"]
        assert whole.take(rows).cpu_milli.tolist() == [2, 1]


def test_pure_fill_has_no_departures() -> None:
    filled = pods().one_by_one(gap_ns=4)
    assert filled.arrival_ns.tolist() == [0, 4, 8]
    assert set(filled.duration_ns.tolist()) == {FOREVER}
    assert pods().one_by_one(gap_ns=4, together=2).arrival_ns.tolist() == [0, 0, 4]


def test_faster_and_starting_at_zero() -> None:
    assert pods().starting_at_zero().arrival_ns.tolist() == [20, 0, 10]
    assert pods().faster(5).arrival_ns.tolist() == [6, 2, 4]
    assert list(pods().head(2).name) == ["b", "c"]


def test_columns_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        pods().cpu_milli[0] = 5


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises((AssertionError, ValueError)):
        Workload.of(["a", "b"], cpu_milli=[1, 2, 3])


def test_classes_are_of_equal_requests() -> None:
    first, kind = pods().classes()
    assert first.tolist() == [0, 1]
    assert kind.tolist() == [0, 1, 0]


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3), st.integers(0, 1)), max_size=40))
def test_distinct_groups_equal_rows(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array([row[at] for row in rows], dtype=np.int64) for at in range(3)]
    first, kind = distinct(columns, len(rows))
    seen: dict[tuple[int, int, int], int] = {}
    expected = [seen.setdefault(row, len(seen)) for row in rows]
    assert kind.tolist() == expected
    assert first.tolist() == [expected.index(code) for code in range(len(seen))]


def test_words_are_coded_by_first_appearance() -> None:
    words = Coded.of(["x", "y", "x"])
    assert words.values == ("x", "y")
    assert words.codes.tolist() == [0, 1, 0]
    assert words.take(np.array([2, 1]))[0] == "x"


def test_nodes_by_rank_and_zone() -> None:
    nodes = NodeTable.of(["m", "n"], cpu_milli=[1, 2], memory_bytes=1, gpu_count=[0, 2], gpu_model=["", "T4"])
    turned = nodes.ranked({"n": 0, "m": 1}).in_zones(2)
    assert list(turned.name) == ["n", "m"]
    assert [turned.zone[row] for row in range(2)] == ["zone-0", "zone-1"]
    assert turned.gpu_milli.tolist() == [1000, 0]
    assert turned.gpu_total_milli == 2000
