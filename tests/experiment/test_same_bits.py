"""Same inputs, same bits: one digest wherever nodes live, however often, under any hash seed; replay says where not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from harness.experiment.record import FILES, read_record
from harness.experiment.replay import replay_record
from harness.experiment.run import Home, run_once
from tests.experiment.scenarios import SERVICE, loaded, written

BUSY = {
    "duration": "14m",
    "nodes": [
        {"openbLike": {"count": 6, "zones": 3}},
        {"group": {"name": "n", "count": 4, "cpu": 4, "memory": "16Gi", "zones": ["a", "b"]}},
    ],
    "pools": [{"name": "burst", "max": 2, "cpu": 4, "memory": "16Gi"}],
    "workload": [
        {"openbLike": {"pods": 60, "longest": "4m", "load": 110, "constrained": 33}},
        SERVICE
        | {"service": SERVICE["service"] | {"autoscaler": {"min": 2, "max": 12}, "load": [{"ramp": {
            "start": "2m", "end": "4m", "from": 20, "to": 300}}]}},
    ],
    "faults": [
        {"at": "5m", "nodeCrash": {"select": {"app": "web"}, "downFor": "2m"}},
        {"at": "6m", "apiServerRestart": {"downFor": "3s"}},
        {"at": "7m", "zonePartition": {"zone": "a", "for": "90s"}},
        {"at": "9m", "nodeFreeze": {"for": "70s"}},
        {"at": "10m", "containerCrash": {"app": "web", "count": 2}},
    ],
    "latencies": {"watch": {"median": "8ms", "p99": "40ms", "least": "3ms"}},
}  # fmt: skip


def test_a_run_repeats() -> None:
    first = run_once(loaded(**BUSY), "greedy", 5)
    again = run_once(loaded(**BUSY), "greedy", 5)
    assert first.digest == again.digest
    assert first.metrics == again.metrics
    assert first.broken == []


def test_another_seed_is_another_run() -> None:
    assert run_once(loaded(**BUSY), "random", 5).digest != run_once(loaded(**BUSY), "random", 6).digest


@pytest.mark.xdist_group("ray")  # one process starts one
@pytest.mark.parametrize("actors", [(1, 3), pytest.param((1, 2, 8), marks=pytest.mark.slow)], ids=["1, 3", "1, 2, 8"])
def test_nodes_in_ray_actors_give_the_same_bits(actors: tuple[int, ...]) -> None:
    """One Ray for all of them: in tests of their own, each would start another one."""
    inline = run_once(loaded(**BUSY), "greedy", 5).digest
    apart = {n: run_once(loaded(**BUSY), "greedy", 5, Home(nodes="ray", actors=n)).digest for n in actors}
    assert apart == dict.fromkeys(actors, inline)


def test_the_hash_seed_changes_nothing(tmp_path: Path) -> None:
    strategies = ["greedy", "binpack", "ranked", "random", "fgd"]
    path = written(
        tmp_path, duration="4m", workload=[SERVICE, {"openbLike": {"pods": 30, "longest": "2m", "load": 90}}]
    )
    found = []
    for hash_seed in ("1", "4242"):
        out = subprocess.run(
            [sys.executable, "-m", "harness.cli", "run", str(path), "-s", ",".join(strategies), "--nodes", "inline",
             "-o", "json", "--out", str(tmp_path / hash_seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        found.append({row["scheduler"]: row["digest"] for row in json.loads(out.stdout)})
    assert found[0] == found[1]
    assert list(found[0]) == strategies


def test_a_record_is_confirmed_and_a_tampered_one_is_told(tmp_path: Path) -> None:
    result = run_once(loaded(duration="3m", workload=[SERVICE]), "greedy", 7, out=tmp_path)
    assert result.folder == tmp_path / "small" / "greedy" / "7"
    assert {path.name for path in result.folder.iterdir()} == set(FILES) - {
        "jobs.parquet",
        "autoscalers.parquet",
    }  # there are none
    verdict = replay_record(result.folder)
    assert verdict.same
    assert str(verdict) == f"same digest: {result.digest}"

    journal = pl.read_parquet(result.folder / "journal.parquet")
    row = journal.with_row_index().filter(pl.col("kind") == "Pod")["index"][3]
    changed = journal.with_columns(
        at_ns=pl.when(pl.int_range(pl.len()) == row).then(pl.col("at_ns") + 1).otherwise(pl.col("at_ns"))
    )
    changed.write_parquet(result.folder / "journal.parquet")
    verdict = replay_record(result.folder)
    assert not verdict.same
    assert f"entry {row + 1} " in verdict.difference
    assert "at_ns" in verdict.difference


def test_a_record_with_another_seed_differs_from_the_first_entry_that_shows_it(tmp_path: Path) -> None:
    result = run_once(loaded(duration="2m"), "random", 7, out=tmp_path)
    assert result.folder is not None
    record = read_record(result.folder)
    record["seed"] = 8
    (result.folder / "record.json").write_text(json.dumps(record))
    verdict = replay_record(result.folder)
    assert not verdict.same
    assert verdict.replayed != verdict.recorded
    assert "entry" in verdict.difference
