"""Readers of further files: training jobs and their tables, rates, snapshots; and a scenario's JSON Schema."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import yaml

from harness.model.errors import UserError
from tests.loading.reader import Reader

JOBS = b"""\
job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s
0,ResNet-18,32,1,static,1200,0
1,ResNet-50,16,2,accordion,900,12.5
2,LM,10,1,gns,4000,30
"""
SPEEDS = {"ResNet-18|32|1": 20.5, "ResNet-18|256|1": 4.5, "ResNet-50|16|2": 9.0, "ResNet-50|128|2": 3.0,
          "LM|10|1": 30.0, "LM|20|1": 17, "LM|40|1": 0}  # fmt: skip
DOUBLINGS = {"LM|10|1": [1, 3]}


@cache
def _validator() -> Any:
    from harness.experiment.schema import scenario_schema

    return jsonschema.Draft7Validator(scenario_schema())


def check_schema(data: Any) -> None:
    """A scenario that is read is one for editors, too."""
    problem = next(iter(_validator().iter_errors(data)), None)
    if problem is not None:
        raise AssertionError(f"read, and refused by the schema: {problem.json_path}: {problem.message[:120]}")


def file_readers(folder: Path) -> Iterator[Reader]:
    yield from _training(folder)
    yield from _rates(folder)
    yield from _snapshots(folder)


def _training(folder: Path) -> Iterator[Reader]:
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import read_scenario
    from harness.experiment.strategies import load_strategy
    from tests.experiment.scenarios import scenario
    from workloads.training import read_speeds, read_training_jobs, to_job

    def jobs(path: Path) -> None:
        for job in read_training_jobs(path):
            to_job(job)

    yield Reader("training jobs", ".csv", (JOBS,), jobs)
    tables = (json.dumps(SPEEDS, indent=1).encode(), json.dumps(DOUBLINGS).encode())
    yield Reader("speeds", ".json", tables[:1], read_speeds)
    (folder / "speeds.json").write_bytes(tables[0])
    yield Reader("doublings", ".json", tables[1:], lambda path: read_speeds(folder / "speeds.json", path))

    (folder / "jobs.csv").write_bytes(JOBS)
    (folder / "doublings.json").write_bytes(tables[1])
    files = {name: str(folder / f"{name}.{end}") for name, end in (("speeds", "json"), ("doublings", "json"))}
    task = {"training": {"path": str(folder / "jobs.csv"), **files, "round": "60s", "restart": "5s"}}
    group = {"group": {"name": "g", "count": 4, "cpu": 8, "memory": "32Gi", "gpus": 1}}
    whole = scenario(workload=[task], nodes=[group], schedulers=["allox", "max-min-fairness?solver=ecos"], bound=False)

    def training(path: Path) -> None:
        made = read_scenario(path)
        for name in made.scenario.spec.schedulers[:5]:
            load_strategy(made, name)()
        counts = [node.group.count for node in made.scenario.spec.nodes if node.group is not None]
        if sum(counts) < 2000:
            prepare(made, 1)
            check_schema(made.document.data)

    yield Reader("training", ".yaml", (yaml.safe_dump(whole, sort_keys=False).encode(),), training)


def _rates(folder: Path) -> Iterator[Reader]:
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import read_scenario
    from tests.experiment.scenarios import scenario
    from workloads.rate_trace import RateTrace, read_rate_trace

    def rates(path: Path) -> None:
        refused = []
        hows = (RateTrace(gap_ns=10**18), RateTrace(scale=1e6, speedup=60.0, between="line"))
        for how in hows:
            try:
                read_rate_trace(path, how)
            except UserError as error:
                refused.append(error)
        if len(refused) == len(hows):
            raise refused[0]

    rows = b"".join(b"2026-01-01T00:%02d:00Z,%d.5\n" % (minute, 10 + minute) for minute in range(30))
    seconds = b"seconds;qps\n" + b"".join(b"%d;%d\n" % (60 * at, at % 7) for at in range(30))
    yield Reader("rates", ".csv", (b"time,rps\n" + rows, seconds, gzip.compress(seconds, mtime=0)), rates)
    frame = pl.DataFrame({"t": [60.0 * at for at in range(30)], "value": list(range(30))})
    stamps = frame.with_columns(pl.from_epoch(pl.col("t").cast(pl.Int64), time_unit="s").alias("t"))
    packed = []
    for table in (frame, stamps):
        out = io.BytesIO()
        table.write_parquet(out)
        packed.append(out.getvalue())
    yield Reader("rates in columns", ".parquet", tuple(packed), rates)

    def loaded(path: Path) -> None:
        made = read_scenario(path)
        counts = [node.group.count for node in made.scenario.spec.nodes if node.group is not None]
        if sum(counts) < 2000:
            prepare(made, 1)
            check_schema(made.document.data)

    (folder / "rates.csv").write_bytes(b"time,rps\n" + rows)
    load = {"file": {"path": str(folder / "rates.csv"), "scale": 2, "speedup": 3, "gap": "2m", "between": "line"}}
    constants = {"node-monitor-grace-period": "20s", "node-eviction-rate": 0.2, "terminated-pod-gc-threshold": 100,
                 "HPAScaleToZero": True}  # fmt: skip
    service = {"name": "a", "replicas": 2, "cpu": 1, "memory": "1Gi", "load": load, "concurrency": 3,
               "serviceTime": {"distribution": "gamma", "cv": 0.5}, "queueLimit": 4, "timeout": "3s"}  # fmt: skip
    services = [{"service": service}]
    whole = [scenario(workload=services, duration="10m", constants=constants),
             scenario(workload=services, duration="10m", metrics=[
                 {"name": "depth", "series": {"constant": {"value": 3}}, "labels": {"q": "a"}}])]  # fmt: skip
    yield Reader("loads and constants", ".yaml", tuple(yaml.safe_dump(item).encode() for item in whole), loaded)


def _snapshots(folder: Path) -> Iterator[Reader]:
    """A snapshot is restored as it was taken, or refused; then its rows are damaged, under a checksum that is right."""
    from harness.cluster.live import keep_clock
    from harness.model.objects import from_wire
    from harness.store.codec import ObjectCodec
    from harness.store.snapshot_files import read_snapshot, restore_file
    from harness.store.snapshots import pack, unpack
    from harness.store.sqlite import SqliteStore
    from tests.loading.samples import MANIFESTS

    store = SqliteStore(folder / "store.db", ObjectCodec())
    for number, item in enumerate(yaml.safe_load_all(MANIFESTS)):
        lease = store.grant(60 * 10**9, now_ns=0) if number % 3 == 0 else 0
        store.put(f"/registry/{item['kind']}/{item['metadata']['name']}", from_wire(item), lease=lease)
    sound = store.snapshot()
    store.close()
    rows = unpack(sound)

    def restored(path: Path) -> None:
        target = folder / "restored.db"
        for left in folder.glob("restored.db*"):
            left.unlink()
        restore_file(read_snapshot(path), target, 0, keep_clock)
        opened = SqliteStore(target, ObjectCodec())
        try:
            opened.range("")
        finally:
            opened.close()

    def whole(path: Path) -> None:
        restored(path)
        found = unpack(path.read_bytes())
        assert found == rows, "another state than was saved"

    yield Reader("snapshot", ".bin", (sound,), whole)

    def value(path: Path) -> None:
        key, _, created, modified, version, lease = rows.rows[0]
        changed = [(key, path.read_bytes(), created, modified, version, lease), *rows.rows[1:]]
        again = folder / "again.snapshot"
        again.write_bytes(pack(rows.revision, changed, rows.leases, rows.next_lease))
        restored(again)

    yield Reader("value of a snapshot", ".bin", tuple(row[1] for row in rows.rows), value)
