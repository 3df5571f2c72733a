"""The published runs of Shockwave (NSDI 2023) and what they were computed from, where the folder with them is there."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.jobs.rounds import RoundsRecord
from harness.model.training import Speeds, TrainingJob
from workloads.training import read_speeds, read_training_jobs

GPUS = {120: 32, 220: 64, 460: 128, 900: 256}


@dataclass(frozen=True)
class Published:
    """The folder with the traces, the tables and the results."""

    root: Path

    def jobs(self, size: int = 120) -> tuple[TrainingJob, ...]:
        return read_training_jobs(self.root / f"trace_{size}.csv")

    def speeds(self, size: int = 120) -> Speeds:
        table = "tacc_v100.json" if size == 120 else "wisr_v100.json"
        return read_speeds(self.root / table, self.root / "gns_thresholds.json")

    def result(self, name: str) -> dict[str, Any]:
        return dict(json.loads(gzip.decompress((self.root / f"{name}.json.gz").read_bytes())))


def schedules(result: dict[str, Any]) -> list[dict[int, tuple[int, ...]]]:
    return [{job: tuple(gpus) for job, *gpus in round} for round in result["schedule"]]


def shares(result: dict[str, Any]) -> list[tuple[float, dict[int, float]]]:
    return [(at["t"], {int(job): x for job, x in at["x"].items()}) for at in result["allocations"]]


def by_job(values: dict[int, float]) -> list[float]:
    return [values[job] for job in sorted(values)]


def completion_s(record: RoundsRecord) -> list[float]:
    return [record.completed_s[job] - record.jobs[job].arrival_s for job in sorted(record.jobs)]
