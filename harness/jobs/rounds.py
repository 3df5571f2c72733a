"""The round loop: settle, adapt, arrivals, schedule. A round lasts until the last of its jobs has finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.jobs.adaptation import profile
from harness.jobs.book import RULES, JobBook, RoundRules, Run
from harness.jobs.protocol import Boundary, RoundStrategy, Schedule
from harness.model.errors import UserError
from harness.model.training import Speeds, TrainingJob


@dataclass(slots=True)
class RoundsRecord:
    """What a run of rounds consisted of. Times in seconds since the trace's start.

    `starts_s`, `schedules`: a round each. `active`: ids of the active jobs at each boundary, arrivals included; the
    boundary at which a job arrived is the first with its id. `completed_s`, by job. `busy_s`, by GPU.
    """

    gpus: int
    jobs: dict[int, TrainingJob]
    exclusive_s: dict[int, float] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)
    schedules: list[dict[int, tuple[int, ...]]] = field(default_factory=list)
    active: list[tuple[int, ...]] = field(default_factory=list)
    completed_s: dict[int, float] = field(default_factory=dict)
    busy_s: dict[int, float] = field(default_factory=dict)
    makespan_s: float = 0.0


class RoundLoop:
    """One boundary after the other. `next_s` is the instant of the next one."""

    def __init__(
        self,
        jobs: Iterable[TrainingJob],
        speeds: Speeds,
        gpus: int,
        strategy: RoundStrategy,
        rules: RoundRules = RULES,
    ) -> None:
        self._to_come = sorted(jobs, key=lambda job: (job.arrival_s, job.id))
        for job in self._to_come:
            _check_job(job, speeds, gpus)
        self._rules = rules
        self._strategy = strategy
        self.book = JobBook(speeds, rules)
        self.record = RoundsRecord(gpus, {job.id: job for job in self._to_come})
        self._runs: dict[int, Run] = {}
        self._before: tuple[int, ...] = ()  # jobs of the round before the one that runs
        self.next_s: float = self._to_come[0].arrival_s if self._to_come else 0.0

    def step(self) -> bool:
        """The boundary at `next_s`. False when there is nothing left to do."""
        record, book, now = self.record, self.book, self.next_s
        number = len(record.starts_s)
        settlements = book.settle(self._runs, record.starts_s[-1] if number else now, number, self._before)
        book.adapt()
        arrived = self._arrivals(now)
        if not book.active and not self._to_come:
            record.makespan_s = now
            record.completed_s, record.busy_s = book.completed_s, book.busy_s
            return False
        gpus = {job: run.gpus for job, run in self._runs.items()}
        active = tuple(sorted(book.active))
        views = [book.view(job, gpus.get(job, ())) for job in active]
        schedule = self._strategy.schedule(Boundary(number, now, record.gpus, settlements, arrived, views))
        self._check(schedule)
        self._before = tuple(self._runs)
        self._runs = {job: book.plan(job, now, tuple(gpus)) for job, gpus in schedule.items()}
        record.starts_s.append(now)
        record.schedules.append({job: run.gpus for job, run in self._runs.items()})
        record.active.append(active)
        self.next_s = self._end(now)
        return True

    def _arrivals(self, now: float) -> list[int]:
        arrived = []
        while self._to_come and self._to_come[0].arrival_s <= now:
            job = self._to_come.pop(0)
            self.book.arrive(job)
            self.record.exclusive_s[job.id] = self.book.active[job.id].exclusive_s
            arrived.append(job.id)
        return arrived

    def _end(self, now: float) -> float:
        if self._runs:
            return max(run.finish_s for run in self._runs.values())
        # Nothing runs: an empty round, or up to the next arrival where nothing is there that could.
        return now + self._rules.round_s if self.book.active else self._to_come[0].arrival_s

    def _check(self, schedule: Schedule) -> None:
        taken: set[int] = set()
        for job, gpus in schedule.items():
            entry = self.book.active.get(job)
            if entry is None:
                raise UserError("the schedule names a job that is not active", found=f"job {job}")
            if len(gpus) != entry.job.gang:
                raise UserError(f"job {job} needs its whole gang", found=f"{len(gpus)} GPUs", expected=entry.job.gang)
            for gpu in gpus:
                if gpu in taken or not 0 <= gpu < self.record.gpus:
                    why = "given twice" if gpu in taken else f"not among 0 to {self.record.gpus - 1}"
                    raise UserError(f"job {job} cannot have this GPU", found=f"GPU {gpu}, {why}")
                taken.add(gpu)


def _check_job(job: TrainingJob, speeds: Speeds, gpus: int) -> None:
    if job.gang > gpus:
        raise UserError(f"job {job.id} can never run", found=f"a gang of {job.gang} GPUs", expected=f"at most {gpus}")
    for batch_size in profile(job, speeds):
        if (job.model, batch_size, job.gang) not in speeds.steps_per_s:
            raise UserError(
                f"the speed of job {job.id} is not known",
                found=f"no entry {job.model}|{batch_size}|{job.gang}",
                expected="steps a second for each batch size that its profile has",
            )


def run_rounds(
    jobs: Sequence[TrainingJob],
    speeds: Speeds,
    gpus: int,
    strategy: RoundStrategy,
    rules: RoundRules = RULES,
) -> RoundsRecord:
    """All jobs to their end, without a cluster. Raises UserError for a schedule that cannot be."""
    loop = RoundLoop(jobs, speeds, gpus, strategy, rules)
    while loop.step():
        pass
    return loop.record
