"""The fold over a run of rounds: what the round scheduler said of boundaries and settlements, as a RoundsRecord."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.jobs.adaptation import exclusive_seconds
from harness.jobs.protocol import Settlement
from harness.jobs.rounds import ROUND, SETTLED, RoundsRecord
from harness.measure.jobs import JobsSummary, summarize
from harness.model.training import Speeds, TrainingJob


class Rounds:
    """`jobs`: those of the workload; the ones that never come to a boundary count as well."""

    kinds: tuple[str, ...] = ()

    def __init__(self, jobs: Iterable[TrainingJob], speeds: Speeds, gpus: int) -> None:
        self.record = RoundsRecord(gpus, {job.id: job for job in jobs})
        self.record.exclusive_s = {job.id: exclusive_seconds(job, speeds) for job in self.record.jobs.values()}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        pass

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        record = self.record
        if topic == SETTLED:
            job, elapsed_s, finish_s, failed, lost_s = data
            settlement = Settlement(job, elapsed_s, finish_s is not None, failed, lost_s)
            gpus = next((held for held in reversed(record.schedules) if job in held), {})
            record.settle((settlement,), gpus, {} if finish_s is None else {job: finish_s})
            if finish_s is not None:
                record.makespan_s = max(record.makespan_s, finish_s)
        elif topic == ROUND:
            start_s, active, rows = data
            record.starts_s.append(start_s)
            record.active.append(tuple(active))
            record.schedules.append({job: tuple(gpus) for job, *gpus in rows})

    def summary(self, end_s: float) -> JobsSummary:
        """`end_s`: of the run, for jobs that are not complete."""
        if len(self.record.completed_s) < len(self.record.jobs):
            self.record.makespan_s = end_s
        return summarize(self.record)

    def metrics(self, end_s: float) -> dict[str, Any]:
        found = self.summary(end_s)
        return {
            "count": found.jobs,
            "censored": found.censored,
            "makespanSeconds": found.makespan_s,
            "completionSeconds": {
                "mean": found.mean_completion_s,
                "geometricMean": found.geometric_mean_completion_s,
                "harmonicMean": found.harmonic_mean_completion_s,
            },
            "waitSeconds": {"mean": found.mean_wait_s},
            "boundedSlowdown": {"mean": found.mean_bounded_slowdown},
            "rho": {"worst": found.worst_rho, "unfairShare": found.unfair_share},
            "jain": found.jain,
            "gpuUtilization": found.mean_utilization,
            "leaseExtensionShare": found.lease_extensions / max(1, found.lease_opportunities),
            "lostSeconds": sum(self.record.lost_s.values()),
            "resizes": found.resizes,
            "rounds": len(self.record.starts_s),
        }
