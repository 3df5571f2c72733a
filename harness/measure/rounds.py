"""The fold over a run of rounds: the round scheduler's observations of boundaries and settlements, as a
RoundsRecord."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.jobs.adaptation import exclusive_seconds
from harness.jobs.protocol import Settlement
from harness.jobs.rounds import REVISED, ROUND, SETTLED, RoundsRecord
from harness.measure.jobs import JobsSummary, outcomes, summarize
from harness.measure.pods import NEVER, PodTimes
from harness.model.training import TRAINING, Speeds, TrainingJob

HOUR_S = 3600.0
WHOLE_GPU_MILLI = 1000


class Rounds:
    """`jobs`: all of the workload, including those that never reach a boundary."""

    kinds = ("Job",)

    def __init__(self, jobs: Iterable[TrainingJob], speeds: Speeds, gpus: int) -> None:
        self.record = RoundsRecord(gpus, {job.id: job for job in jobs})
        self._owners: set[str] = set()  # uids of training Jobs
        self.record.exclusive_s = {job.id: exclusive_seconds(job, speeds) for job in self.record.jobs.values()}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Job" and change == "ADDED" and TRAINING in obj.metadata.annotations:
            self._owners.add(obj.metadata.uid)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        record = self.record
        if topic == SETTLED:
            job, elapsed_s, finish_s, failed, lost_s = data
            settlement = Settlement(job, elapsed_s, finish_s is not None, failed, lost_s)
            record.settle((settlement,), self._last_with(job), {} if finish_s is None else {job: finish_s})
            if finish_s is not None:
                record.makespan_s = max(record.makespan_s, finish_s)
        elif topic == REVISED:
            job, elapsed_s, lost_s = data
            told = Settlement(job, elapsed_s, completed=False, lost_s=lost_s)
            record.revise(told, self._last_with(job).get(job, ()))
        elif topic == ROUND:
            start_s, active, rows = data
            record.starts_s.append(start_s)
            record.active.append(tuple(active))
            record.schedules.append({job: tuple(gpus) for job, *gpus in rows})

    def _last_with(self, job: int) -> Mapping[int, tuple[int, ...]]:
        """The last round in which it was to run."""
        return next((held for held in reversed(self.record.schedules) if job in held), {})

    def summary(self, end_s: float) -> JobsSummary:
        """`end_s`: of the run, for jobs that are not complete."""
        if len(self.record.completed_s) < len(self.record.jobs):
            self.record.makespan_s = end_s
        return summarize(self.record)

    def work_hours(self, lives: Iterable[PodTimes], origin_ns: int) -> dict[str, Any]:
        """GPU-hours that counted, and those that pods of training jobs ran besides: restarts, what a broken gang had
        done since its last checkpoint, members that wait for the others, and gangs that were told to stop where nobody
        could reach them. What runs at the end counts up to the last boundary, as the book does. `origin_ns`: of the
        book's time."""
        starts = self.record.starts_s
        settled_ns = origin_ns + round(starts[-1] * 1e9) if starts else origin_ns
        ran = 0
        for life in lives:
            if life.owner in self._owners and life.running_ns != NEVER:
                end = settled_ns if life.ended_ns == NEVER else life.ended_ns
                stop = end if life.stopped_ns == NEVER else min(end, life.stopped_ns)
                ran += max(0, stop - life.running_ns) * life.gpu_milli
        work = sum(self.record.busy_s.values()) / HOUR_S
        lost = max(0.0, ran / WHOLE_GPU_MILLI / 1e9 / HOUR_S - work)
        share = {"goodputShare": {"gpu": work / (work + lost)}} if work + lost else {}
        return {"workHours": {"gpu": work}, "lostHours": {"gpu": lost}, **share}

    def metrics(self, end_s: float) -> dict[str, Any]:
        """`end_s`: of the run. What is not complete counts to there, and leaves lower bounds; of Jain's index, which
        may then be anything, no number."""
        found = self.summary(end_s)
        told = self._told(found)
        if found.censored:
            del told["jain"]
            for name in ("completionSeconds", "boundedSlowdown", "rho"):
                told[name]["atLeast"] = list(told[name])
            told["atLeast"] = ["makespanSeconds"]
        if any(job.waited_s is None for job in outcomes(self.record)):
            told["waitSeconds"]["atLeast"] = ["mean"]
        return told

    def _told(self, found: JobsSummary) -> dict[str, Any]:
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
