"""What workloads cost: reading each trace format, converting millions of rows, drawing pods, making objects of them."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.experiment.manifests import read_checked_manifests
from workloads.generators.load import Diurnal, requests_milli
from workloads.generators.openb_like import openb_like
from workloads.manifests import to_nodes, to_pods, to_prerequisites
from workloads.trace import lint, read

ROWS = 200_000 if FULL else 2_000
PODS = 100_000 if FULL else 2_000
NODES = 5_000 if FULL else 200
OBJECTS = 2_000 if FULL else 50
CONVERTED = (1_000_000, 4_000_000) if FULL else (20_000,)
MOST_MIB = 700
"""Of a process that converts, the interpreter included, however many rows there are."""


def openb(path: Path, rows: int) -> None:
    table = (
        (f"pod-{i:08d}", 100 + i % 32_000, 1 + i % 65_536, 1, 1 + i % 999, "", "LS", "Running", i, i + i % 5000, i)
        for i in range(rows)
    )
    head = "name cpu_milli memory_mib num_gpu gpu_milli gpu_spec qos pod_phase creation_time deletion_time"
    written(path, (*head.split(), "scheduled_time"), table)


def dlrm(path: Path, rows: int) -> None:
    names = "instance_sn role app_name cpu_request cpu_limit gpu_request gpu_limit rdma_request rdma_limit"
    more = "memory_request memory_limit disk_request disk_limit max_instance_per_node creation_time scheduled_time"
    table = (
        (f"i-{i}", "HN", f"app_{i % 156}", 12, 12, 1, 1, 25, 25, 120.0, 120.0, 640.0, 800.0, 8, i, i + 1.0, i + 900.0)
        for i in range(rows)
    )
    written(path, (*names.split(), *more.split(), "deletion_time"), table)


def huawei(path: Path, rows: int) -> None:
    half = rows // 2
    created = [(i, 4, 8, i, 0) for i in range(half)]
    written(path, ("vmid", "cpu", "memory", "time", "type"), [*created, *((i, 4, 8, i + half, 1) for i in range(half))])


def swf(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("; MaxNodes: 64\n; MaxProcs: 1024\n")
        for i in range(rows):
            file.write(f"{i + 1} {i} 5 {60 + i % 9000} 6 -1 1024 16 200 2048 1 {i % 90} 2 1 1 1 -1 -1\n")


def google(path: Path, rows: int) -> None:
    """Three events an instance: submitted, scheduled, finished."""
    with path.open("w") as file:
        for i in range(rows):
            instance, kind = i // 3, (0, 3, 6)[i % 3]
            event = {"time": str(i * 1000), "type": kind, "collection_id": str(instance // 10), "priority": 103}
            event |= {"instance_index": str(instance % 10), "resource_request": {"cpus": 0.01, "memory": 0.005}}
            file.write(json.dumps(event) + "\n")


def philly(path: Path, rows: int) -> None:
    jobs = [
        {
            "jobid": f"application_{i}",
            "submitted_time": "2017-10-07 01:11:00",
            "user": f"u{i % 90}",
            "vc": f"vc{i % 9}",
            "attempts": [
                {
                    "start_time": "2017-10-07 01:12:00",
                    "end_time": "2017-10-07 03:13:00",
                    "detail": [{"ip": "m1", "gpus": ["gpu0", "gpu1"]}],
                }
            ],
        }
        for i in range(rows)
    ]
    path.write_text(json.dumps(jobs))


def azure(path: Path, rows: int) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE vm (vmId, tenantId, vmTypeId, priority, starttime, endtime)")
    db.execute("CREATE TABLE vmType (id, vmTypeId, machineId, core, memory, hdd, ssd, nic)")
    db.executemany("INSERT INTO vmType VALUES (?, ?, 16, 0.1, 0.05, 0, 0.1, 0.1)", [(i, i) for i in range(100)])
    vms = ((i, i % 900, i % 100, i % 2, i / 1e5, i / 1e5 + 0.5) for i in range(rows))
    db.executemany("INSERT INTO vm VALUES (?, ?, ?, ?, ?, ?)", vms)
    db.commit()
    db.close()


def written(path: Path, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


FORMATS: dict[str, Callable[[Path, int], None]] = {
    "openb": openb,
    "dlrm2025": dlrm,
    "huawei-east-1": huawei,
    "swf": swf,
    "google2019": google,
    "philly": philly,
    "azure2020": azure,
}


def once(benchmark: BenchmarkFixture, work: Callable[[], Any], items: int, unit: str) -> Any:
    """Some rounds of the whole; what one item costs goes beside the figure."""
    return measured(benchmark, work, items, unit, rounds=3, warmup_rounds=1)


def measured(benchmark: BenchmarkFixture, work: Callable[[], Any], items: int, unit: str, **how: int) -> Any:
    done = benchmark.pedantic(work, **how)
    note(benchmark, **{f"us_per_{unit}": lambda s: round(1e6 * s / items, 2)})
    return done


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_read(benchmark: BenchmarkFixture, tmp_path: Path, format: str) -> None:
    """Rows of the file into a Workload, every check of lint included."""
    file = tmp_path / "trace"
    FORMATS[format](file, ROWS)
    trace = once(benchmark, partial(read, file, format=format), ROWS, "row")
    assert trace.reports[0].rows == ROWS
    assert len(trace.workload) > ROWS // 4


def test_lint(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    openb(tmp_path / "trace", ROWS)
    (report,) = once(benchmark, partial(lint, tmp_path / "trace", format="openb"), ROWS, "row")
    assert report.kept == ROWS


@pytest.mark.parametrize("rows", CONVERTED)
@pytest.mark.parametrize("format", ["openb", "azure2020"])
def test_convert_in_bounded_memory(benchmark: BenchmarkFixture, tmp_path: Path, format: str, rows: int) -> None:
    """In a process of its own, whose peak is measured: it grows by the names' hashes, 8 bytes a row."""
    file, out = tmp_path / "trace", tmp_path / "out.parquet"
    FORMATS[format](file, rows)
    code = (
        "import resource, sys; from pathlib import Path; from workloads.trace import convert\n"
        "report = convert(Path(sys.argv[1]), Path(sys.argv[2]), format=sys.argv[3])\n"
        "print(report.kept, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(file), str(out), format]
    root = str(Path(__file__).resolve().parents[1])
    run = partial(
        subprocess.run, command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    done = measured(benchmark, run, rows, "row", rounds=1)
    kept, peak_kib = map(int, done.stdout.split())
    # Linux counts KiB, macOS bytes.
    peak_mib = peak_kib >> (20 if sys.platform == "darwin" else 10)
    benchmark.extra_info["peak_mib"] = peak_mib
    assert kept == rows
    assert peak_mib < MOST_MIB


def test_draw(benchmark: BenchmarkFixture) -> None:
    draw = partial(openb_like, PODS, NODES, 1, load_percent=90, constrained_percent=33)
    workload, nodes = once(benchmark, draw, PODS, "pod")
    assert (len(workload), len(nodes)) == (PODS, NODES)


@pytest.mark.parametrize("mode", ["departures", "fill"])
def test_to_pods(benchmark: BenchmarkFixture, mode: str) -> None:
    workload, _ = openb_like(PODS, NODES, 1, load_percent=90)
    if mode == "fill":
        workload = workload.one_by_one()
    once(benchmark, lambda: deque(to_pods(workload), maxlen=0), PODS, "pod")


def test_to_prerequisites(benchmark: BenchmarkFixture) -> None:
    workload, _ = openb_like(PODS, NODES, 1, load_percent=90)
    assert once(benchmark, lambda: list(to_prerequisites(workload)), PODS, "pod") == []


def test_to_nodes(benchmark: BenchmarkFixture) -> None:
    _, nodes = openb_like(1, NODES, 1, zones=3)
    assert len(once(benchmark, lambda: list(to_nodes(nodes)), NODES, "node")) == NODES


def test_manifests(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Deployments, as written by hand: YAML, types, defaults and validation, each with its line."""
    one = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{0}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web-{0}}}}}
  template:
    metadata: {{labels: {{app: web-{0}}}}}
    spec:
      containers:
      - name: main
        image: example/app:1
        resources: {{requests: {{cpu: 250m, memory: 64Mi}}}}
"""
    file = tmp_path / "app.yaml"
    file.write_text("---\n".join(one.format(i) for i in range(OBJECTS)))
    assert len(once(benchmark, partial(read_checked_manifests, [file]), OBJECTS, "object")) == OBJECTS


def test_load_curve(benchmark: BenchmarkFixture) -> None:
    """Requests of every quarter of a minute of a day."""
    curve = Diurnal(10_000, 500_000)
    step, steps = 15 * 10**9, 5760

    def day() -> int:
        return sum(requests_milli(curve, at * step, (at + 1) * step) for at in range(steps))

    total = once(benchmark, day, steps, "interval")
    assert abs(total - 255_000 * 86_400) < 255_000 * 86_400 // 1000
