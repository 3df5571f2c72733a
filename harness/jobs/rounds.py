"""The round loop: settle, adapt, arrivals, schedule. A round lasts until the last of its jobs has finished."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.jobs.adaptation import ceil_div, epoch_steps, profile
from harness.jobs.book import RULES, JobBook, RoundRules, Run, is_charged
from harness.jobs.legality import check_schedule
from harness.jobs.protocol import Boundary, RoundStrategy, Settlement
from harness.jobs.settled import SettledRound, SettledRounds
from harness.model.errors import UserError
from harness.model.training import Speeds, TrainingJob

ROUND, SETTLED, REVISED = "rounds/round", "rounds/settled", "rounds/revised"
"""Topics of observations: at each boundary (seconds, active jobs, ((job, *gpus), ..)), and before it, of each job that
ran, (job, seconds that counted, finish in seconds where it is complete, failed, seconds lost). Where rounds that are
over are settled anew, (job, seconds that counted, seconds lost), as differences; the job is not complete."""


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
    lost_s: dict[int, float] = field(default_factory=dict)  # by job: ran for nothing
    makespan_s: float = 0.0

    def revise(self, told: Settlement, gpus: tuple[int, ...]) -> None:
        """`told`: differences. The job is not complete, whatever was said before."""
        self.completed_s.pop(told.job, None)
        self.settle((told,), {told.job: gpus}, {})

    def settle(
        self, settlements: Iterable[Settlement], gpus: Mapping[int, tuple[int, ...]], finish_s: Mapping[int, float]
    ) -> None:
        """What a round gave. `gpus`, by job, in that round; `finish_s`, of those that are complete."""
        for settlement in settlements:
            job = settlement.job
            if settlement.lost_s:
                self.lost_s[job] = self.lost_s.get(job, 0.0) + settlement.lost_s
            if not settlement.failed:
                for gpu in gpus[job]:
                    self.busy_s[gpu] = self.busy_s.get(gpu, 0.0) + settlement.elapsed_s
            if settlement.completed:
                self.completed_s[job] = finish_s[job]


class RoundLoop:
    """One boundary after the other. `next_s` is the instant of the next one, None while no job is there.

    `revisable`: rounds that are over are kept, to be settled anew (`revise`).
    """

    def __init__(
        self, speeds: Speeds, gpus: int, strategy: RoundStrategy, rules: RoundRules = RULES, *, revisable: bool = False
    ) -> None:
        self._speeds = speeds
        self.rules = rules
        self._strategy = strategy
        self._to_come: list[TrainingJob] = []  # by arrival, then id
        self.book = JobBook(speeds, rules)
        self.record = RoundsRecord(gpus, {})
        self.runs: dict[int, Run] = {}
        self.settlements: list[Settlement] = []  # of the round that ended last
        self.before: dict[int, int] = {}  # jobs of the round before the one that runs, and how many GPUs they had
        self._broken: dict[
            int, tuple[float, tuple[int, ...]]
        ] = {}  # by job: seconds lost, on which GPUs, when it ran last
        self._settled = SettledRounds(self.book) if revisable else None
        self._corrections: list[Settlement] = []  # since the last boundary
        self._reopened: dict[int, None] = {}  # since the last boundary: jobs that were told as complete
        self.next_s: float | None = None

    def submit(self, job: TrainingJob) -> None:
        """A job that arrives at the next boundary or later. Raises UserError for one that can never run."""
        check_job(job, self._speeds, self.record.gpus, self.rules)
        self.record.jobs[job.id] = job
        insort(self._to_come, job, key=lambda each: (each.arrival_s, each.id))
        if not self.book.active and not self.runs:
            self.next_s = max(self.record.makespan_s, self._to_come[0].arrival_s)

    def delay(self, job: int, delay_s: float) -> None:
        """The gang of `job` was running only so long after the boundary: it is done so much later."""
        run = self.runs[job]
        run.finish_s += delay_s - run.delay_s
        run.delay_s = delay_s
        self._set_end()

    def interrupt(self, job: int, at_s: float, heard_s: float | None = None) -> None:
        """The gang of `job` was broken: what it did in this round after its last checkpoint is lost, and it waits for
        the next boundary. Nothing was done after the end of its steps, where that was before. Checkpoints after
        `heard_s` (none: `at_s`) are not known to be written: nobody has heard of some node of the gang since then."""
        run = self.runs[job]
        if run.broken_s is None:
            run.broken_s = min(max(at_s, self.record.starts_s[-1]), run.finish_s)
            run.heard_s = at_s if heard_s is None else heard_s
            self._set_end()

    def postpone(self, at_s: float) -> None:
        """The boundary is at `at_s` when it was to be before: the round waited for a gang that never ran."""
        if self.next_s is not None:
            self.next_s = max(self.next_s, at_s)

    def revise(
        self, job: int, at_s: float, heard_s: float, now_s: float
    ) -> tuple[Settlement, Sequence[SettledRound]] | None:
        """It is known only at `now_s` that the gang of `job` was broken at `at_s`, and that nobody has heard of some
        node of it since `heard_s`: rounds that are over are settled anew, in which it did not run, or ran for nothing.
        What this changes, as differences, and those rounds; None for nothing."""
        if self._settled is None:
            return None
        complete = job in self.book.completed_s
        was, anew = self._settled.revise(job, at_s, heard_s)
        if not anew:
            return None
        elapsed_s = sum(each.settlement.elapsed_s for each in anew) - sum(each.settlement.elapsed_s for each in was)
        lost_s = sum(each.settlement.lost_s for each in anew) - sum(each.settlement.lost_s for each in was)
        told, gpus = Settlement(job, elapsed_s, completed=False, lost_s=lost_s), anew[0].run.gpus
        self.record.revise(told, gpus)
        if complete:
            self._reopened[job] = None
            if self.next_s is None or not (self.runs or len(self.book.active) > 1):
                self.next_s = max(self.record.makespan_s, self.record.starts_s[-1], now_s)
        elif job not in self._reopened:
            self._corrections.append(told)
        self._broken[job] = (sum(each.settlement.lost_s for each in anew), gpus)
        if job in self.runs:
            self._plan_again(job)
        return told, anew

    def _plan_again(self, job: int) -> None:
        """What `job` has left in this round is another amount than it was planned with."""
        run, began_s = self.runs[job], self.record.starts_s[-1]
        if len(run.gpus) not in self.book.active[job].speeds:
            self.interrupt(job, began_s)
        elif run.broken_s is None:
            self.runs[job] = replace(self.book.plan(job, began_s, run.gpus), delay_s=run.delay_s)
            self.runs[job].finish_s += run.delay_s
            self._set_end()

    def confirm(self, job: int) -> None:
        """Nothing will become known about the rounds of `job` that are over."""
        if self._settled is not None:
            self._settled.forget(job)

    def complete(self, job: int, at_s: float) -> Settlement:
        """`job` was complete, as is known only at `at_s`: the round that was told as broken was not for nothing. Nodes
        that are cut off go on with what they run."""
        lost_s, gpus = self._broken.get(job, (0.0, ()))
        told = Settlement(job, lost_s, completed=True, lost_s=-lost_s)
        self.record.settle((told,), {job: gpus}, {job: at_s})
        self.book.completed_s[job] = at_s
        self.withdraw(job)
        return told

    def withdraw(self, job: int) -> None:
        """Somebody took `job` away: it is never complete, and nobody waits for it. One of its id that is submitted
        later begins anew."""
        self.confirm(job)
        self._reopened.pop(job, None)
        self._corrections = [told for told in self._corrections if told.job != job]
        self._to_come = [each for each in self._to_come if each.id != job]
        self.runs.pop(job, None)
        self.book.withdraw(job)
        if self.runs or self.book.active:
            self._set_end()
        else:
            self.next_s = max(self.record.makespan_s, self._to_come[0].arrival_s) if self._to_come else None

    def knows(self, job: int) -> bool:
        """Whether `job` is active or to come."""
        return job in self.book.active or any(each.id == job for each in self._to_come)

    def completes(self, job: int) -> bool:
        """Whether `job` runs in this round and is complete at its end."""
        starts = self.record.starts_s
        return job in self.runs and self.book.completes(job, self.runs[job], starts[-1], len(starts), self.before)

    def step(self, unusable: frozenset[int] = frozenset()) -> bool:
        """The boundary at `next_s`. False when no job is left, nor to come."""
        record, book, now = self.record, self.book, self.next_s
        if now is None:
            return False
        number = len(record.starts_s)
        began = record.starts_s[-1] if number else now
        entries = {} if self._settled is None else {job: self._settled.before(job) for job in self.runs}
        self.settlements = book.settle(self.runs, began, number, self.before)
        if self._settled is not None:
            for told in self.settlements:
                run = self.runs[told.job]
                charged = is_charged(run, number, self.before.get(told.job))
                self._settled.add(SettledRound(number, began, replace(run), charged, entries[told.job], told))
        self._broken.update(
            (told.job, (told.lost_s, self.runs[told.job].gpus))
            for told in self.settlements
            if told.lost_s or told.elapsed_s
        )
        record.settle(self.settlements, {job: run.gpus for job, run in self.runs.items()}, book.completed_s)
        book.adapt()
        arrived = self._arrivals(now)
        record.makespan_s = now
        gpus = {job: run.gpus for job, run in self.runs.items()}
        self.before, self.runs = {job: len(held) for job, held in gpus.items()}, {}
        if not book.active and not self._to_come:
            self.next_s = None
            return False
        active = tuple(sorted(book.active))
        views = [book.view(job, gpus.get(job, ())) for job in active]
        settlements = [*self._corrections, *self.settlements]
        arrived = [*sorted(job for job in self._reopened if job in book.active), *arrived]
        self._corrections, self._reopened = [], {}
        round_s = self.rules.round_s
        boundary = Boundary(number, now, record.gpus, settlements, arrived, views, unusable, round_s)
        schedule = self._strategy.schedule(boundary)
        check_schedule(schedule, boundary)
        self.runs = {job: book.plan(job, now, tuple(gpus)) for job, gpus in schedule.items()}
        record.starts_s.append(now)
        record.schedules.append({job: run.gpus for job, run in self.runs.items()})
        record.active.append(active)
        self._set_end()
        return True

    def _set_end(self) -> None:
        now = self.record.starts_s[-1]
        if self.runs:
            ends = [run.finish_s for run in self.runs.values() if run.broken_s is None]
            self.next_s = max(ends or (run.broken_s or now for run in self.runs.values()))
        elif self.book.active:
            self.next_s = now + self.rules.round_s
        else:
            self.next_s = self._to_come[0].arrival_s

    def _arrivals(self, now: float) -> list[int]:
        arrived = []
        while self._to_come and self._to_come[0].arrival_s <= now:
            job = self._to_come.pop(0)
            self.book.arrive(job)
            self.record.exclusive_s[job.id] = self.book.active[job.id].exclusive_s
            arrived.append(job.id)
        return arrived


MOST_EPOCHS = 1_000_000
"""Of one job: each is looked at."""


def check_job(job: TrainingJob, speeds: Speeds, gpus: int, rules: RoundRules = RULES) -> None:
    """Raises UserError for a job that can never run."""
    epochs = ceil_div(job.steps, epoch_steps(job.model, job.batch_size))
    if epochs > MOST_EPOCHS:
        raise UserError(f"job {job.id} is too long", found=f"{epochs} epochs", expected=f"at most {MOST_EPOCHS}")
    if job.gang > gpus:
        raise UserError(f"job {job.id} can never run", found=f"a gang of {job.gang} GPUs", expected=f"at most {gpus}")
    for batch_size in profile(job, speeds):
        if (job.model, batch_size, job.gang) not in speeds.steps_per_s:
            raise UserError(
                f"the speed of job {job.id} is not known",
                found=f"no entry {job.model}|{batch_size}|{job.gang}",
                expected="steps a second for each batch size that its profile has",
            )
        _check_speed(job, speeds.steps_per_s[job.model, batch_size, job.gang], rules)
    for size in job.sizes:
        if (job.model, job.batch_size, size) not in speeds.steps_per_s:
            raise UserError(
                f"the speed of job {job.id} is not known",
                found=f"no entry {job.model}|{job.batch_size}|{size}",
                expected="steps a second for each size that its gang may have",
            )
        _check_speed(job, speeds.steps_per_s[job.model, job.batch_size, size], rules)


def _check_speed(job: TrainingJob, speed: float, rules: RoundRules) -> None:
    if speed * rules.round_s < 1:
        raise UserError(
            f"job {job.id} never gets on: a step is longer than a round",
            found=f"{speed:g} steps a second, in rounds of {rules.round_s} s",
            expected="one step in a round at least",
        )


def run_rounds(
    jobs: Sequence[TrainingJob],
    speeds: Speeds,
    gpus: int,
    strategy: RoundStrategy,
    rules: RoundRules = RULES,
) -> RoundsRecord:
    """All jobs to their end, without a cluster. Raises UserError for a schedule that cannot be."""
    loop = RoundLoop(speeds, gpus, strategy, rules)
    for job in jobs:
        loop.submit(job)
    while loop.step():
        pass
    return loop.record
