"""Arrival lists read from files, and drawn by the same protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.errors import UserError
from workloads.readers.fgd import TUNED, arrive, draw_order, draw_ranks, ranked, read_ranks
from workloads.table import FOREVER, NodeTable, Workload

PODS = Workload.of(["a", "b", "c"], gpu_count=[1, 2, 0], gpu_milli=[500, 1000, 0], duration_ns=5)
NODES = NodeTable.of(["m", "n", "o"], cpu_milli=1, memory_bytes=1)


def test_copies_are_of_the_pod_that_they_name(tmp_path: Path) -> None:
    order = tmp_path / "order.txt"
    order.write_text(f"c\na\nb\nb{TUNED}0\na{TUNED}1\n")
    pods = arrive(PODS, order, gap_ns=7)
    assert list(pods.name) == ["c", "a", "b", "b-tuned-0", "a-tuned-1"]
    assert pods.gpu_total_milli.tolist() == [0, 500, 2000, 2000, 500]
    assert pods.arrival_ns.tolist() == [0, 7, 14, 21, 28]
    assert set(pods.duration_ns.tolist()) == {FOREVER}


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [("a\nz\n", "not in the pod list", 2), ("a\nb\na\n", "arrived at line 1", 3), ("a b\n", "one pod name", 1)],
)
def test_wrong_orders_name_the_line(tmp_path: Path, text: str, words: str, line: int) -> None:
    order = tmp_path / "order.txt"
    order.write_text(text)
    with pytest.raises(UserError, match=words) as told:
        arrive(PODS, order)
    assert told.value.line == line


def test_ranks_set_the_order_of_ties(tmp_path: Path) -> None:
    file = tmp_path / "ranks.txt"
    file.write_text("m 2\nn 0\no 1\n")
    assert list(ranked(NODES, file).name) == ["n", "o", "m"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("m 1\nn 1\n", "rank 1 is taken"),
        ("m one\n", "not a rank"),
        ("m 1\nm 2\n", "a rank already"),
        ("m 1\n", "no rank"),
    ],
)
def test_wrong_ranks_are_told(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "ranks.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        ranked(NODES, file)


def test_ranks_are_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "ranks.txt"
    file.write_text("m 2\n\nn 0\n")
    assert read_ranks(file) == {"m": 2, "n": 0}


shapes = st.lists(st.sampled_from([(0, 0), (1, 250), (1, 1000), (2, 1000), (8, 1000)]), min_size=1, max_size=30).filter(
    lambda found: any(count for count, _ in found)
)


@given(shapes=shapes, devices=st.integers(1, 60), seed=st.integers(0, 99))
def test_a_drawn_order_follows_the_protocol(shapes: list[tuple[int, int]], devices: int, seed: int) -> None:
    names = [f"p{row:02d}" for row in range(len(shapes))]
    pods = Workload.of(names, gpu_count=[count for count, _ in shapes], gpu_milli=[milli for _, milli in shapes])
    target = devices * 1000 * 130 // 100
    out = draw_order(pods, devices * 1000, np.random.default_rng(seed))
    total = int(out.gpu_total_milli.sum())
    originals = [name for name in out.name if TUNED not in name]
    copies = [name for name in out.name if TUNED in name]
    assert len(set(out.name)) == len(out)
    assert total <= target + 7000  # the check looks at one device of the last copy
    if int(pods.gpu_total_milli.sum()) <= target:
        assert sorted(originals) == names
        assert list(out.name[: len(names)]) == originals
        assert total + max(milli for _, milli in shapes) > target
        assert [int(name.rpartition("-")[2]) for name in copies] == list(range(len(copies)))
    else:
        assert not copies
        assert total <= target
    again = draw_order(pods, devices * 1000, np.random.default_rng(seed))
    assert list(again.name) == list(out.name)


def test_drawn_ranks_do_not_depend_on_the_order_of_the_list() -> None:
    one = draw_ranks(NODES, np.random.default_rng(3))
    other = draw_ranks(NODES.take(np.array([2, 0, 1])), np.random.default_rng(3))
    assert list(one.name) == list(other.name)
    assert sorted(one.name) == ["m", "n", "o"]
