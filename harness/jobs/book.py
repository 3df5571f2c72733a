"""The job book: how far each job has come, in doubles of seconds and whole steps.

A job that is not run keeps its steps. One that did not run in the round before starts again from its checkpoint, which
costs `restart_s` of the first round's work; so does another size of its gang. All sums are made in the order in which
the published simulator makes them: equal priorities are told apart by the last bits of elapsed times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.jobs.adaptation import (
    ceil_div,
    doubles,
    epoch_steps,
    exclusive_seconds,
    gns_batch_size,
    in_critical_regime,
)
from harness.jobs.protocol import JobView, Settlement
from harness.model.training import MODELS, Speeds, TrainingJob


@dataclass(frozen=True, slots=True)
class RoundRules:
    """Lengths in seconds. A round that lasted at most `charged_from_s` is not charged for a restart. A job writes a
    checkpoint at each boundary, and every `checkpoint_s` of its work within a round; 0: at boundaries alone.
    """

    round_s: int = 120
    restart_s: int = 20
    charged_from_s: int = 115
    failures: int = 5  # in a row, after which a job with nothing left to do is complete
    longest: float = 1.5  # times its exclusive time, in which a job must be done
    checkpoint_s: int = 0


RULES = RoundRules()


@dataclass(slots=True)
class ActiveJob:
    """One active job. `steps` and `done` are in steps of `batch_size`, which may change. `steps_per_s`: of the gang
    that it asks for; `speeds`: by each size that its gang may have. `ran_s`: in seconds of the gang that it asks for.
    """

    job: TrainingJob
    batch_size: int
    steps: int
    steps_per_s: float
    speeds: Mapping[int, float]
    exclusive_s: float
    done: int = 0
    ran_s: float = 0.0
    failures: int = 0
    flag: int = 0  # 1: a larger batch size from the next settlement on, -1: the first one again
    batch_sizes: list[tuple[int, int]] = field(default_factory=list)  # round, batch size from it on

    @property
    def left(self) -> int:
        return self.steps - self.done

    def of_its_gang(self, seconds: float, gpus: int) -> float:
        """How long the gang that it asks for would need for what `gpus` do in so many seconds."""
        return seconds if gpus == self.job.gang else seconds * (self.speeds[gpus] / self.steps_per_s)


@dataclass(slots=True)
class Run:
    """What one job does in a round: planned steps, and the instant at which they are done.

    `delay_s`: so long after the boundary its gang was running. `broken_s`: the instant at which it lost a member.
    `heard_s`: until when its nodes were heard of; no later checkpoint of a broken gang is known to be written.
    """

    steps: int
    finish_s: float
    gpus: tuple[int, ...]
    delay_s: float = 0.0
    broken_s: float | None = None
    heard_s: float = math.inf


class JobBook:
    """Active jobs by id, and the times at which the others were complete."""

    def __init__(self, speeds: Speeds, rules: RoundRules = RULES) -> None:
        self._speeds = speeds
        self._rules = rules
        self.active: dict[int, ActiveJob] = {}
        self.completed_s: dict[int, float] = {}

    def arrive(self, job: TrainingJob) -> None:
        speed = self._speeds.steps_per_s[job.model, job.batch_size, job.gang]
        exclusive = exclusive_seconds(job, self._speeds)
        speeds = self._speeds.by_size(job, job.batch_size)
        self.active[job.id] = ActiveJob(job, job.batch_size, job.steps, speed, speeds, exclusive)

    def withdraw(self, job: int) -> None:
        """It leaves `active` without being complete."""
        self.active.pop(job, None)

    def reopen(self, job: int, entry: ActiveJob) -> None:
        """`job` is as far as `entry` says, and not complete."""
        self.completed_s.pop(job, None)
        self.active[job] = entry

    def settle_again(self, job: int, run: Run, began_s: float, charged: bool) -> Settlement:
        """The accounts of one job whose gang broke in a round that was over."""
        told = self._settle(job, run, began_s, charged)
        entry = self.active[job]
        entry.flag = self._wanted(entry)
        return told

    def plan(self, job: int, now_s: float, gpus: tuple[int, ...]) -> Run:
        """What `job` can do in the round that begins at `now_s`."""
        entry = self.active[job]
        speed = entry.speeds[len(gpus)]
        steps = min(int(speed * self._rules.round_s), entry.left)
        return Run(steps, max(now_s, now_s + steps / speed), gpus)

    def settle(
        self, runs: Mapping[int, Run], began_s: float, round: int, before: Mapping[int, int]
    ) -> list[Settlement]:
        """Accounts for the round before `round`, that began at `began_s`. `before`: jobs of the round before that one,
        with how many GPUs each had.

        Completed jobs leave `active`.
        """
        settlements = [
            self._settle(job, runs[job], began_s, is_charged(runs[job], round, before.get(job)))
            for job in sorted(runs, key=lambda job: (-runs[job].finish_s, job))
        ]
        for settlement in settlements:
            if settlement.completed:
                del self.active[settlement.job]
                self.completed_s[settlement.job] = runs[settlement.job].finish_s
            elif not settlement.failed and runs[settlement.job].broken_s is None:
                self._change_batch_size(self.active[settlement.job], round)
        return settlements

    def adapt(self) -> None:
        """Lets every job decide on its batch size, running or not. It takes effect when the job is settled next."""
        for entry in self.active.values():
            entry.flag = self._wanted(entry)

    def view(self, job: int, gpus: tuple[int, ...]) -> JobView:
        entry = self.active[job]
        speeds = tuple(entry.speeds.items())
        return JobView(job, entry.job.gang, entry.job.arrival_s, entry.left, entry.steps_per_s, gpus, speeds)

    def _settle(self, job: int, run: Run, began_s: float, charged: bool) -> Settlement:
        entry = self.active[job]
        if run.broken_s is not None:
            ran = max(0.0, run.broken_s - began_s - run.delay_s)
            kept = self._checkpointed_s(run, began_s, charged)
            # The last step is done where its end is told.
            entry.done += min(int(entry.speeds[len(run.gpus)] * kept), max(0, entry.left - 1))
            entry.ran_s += entry.of_its_gang(kept, len(run.gpus))
            return Settlement(job, kept, completed=False, lost_s=ran - kept)
        steps, elapsed = self._given(run, began_s, charged)
        if steps <= 0 and elapsed <= 0:
            entry.failures += 1
            return Settlement(job, 0.0, completed=entry.failures >= self._rules.failures, failed=True)
        entry.failures = 0
        ran = entry.of_its_gang(elapsed, len(run.gpus))
        late = self._is_late(entry, ran)
        entry.done += steps
        entry.ran_s += ran
        return Settlement(job, elapsed, completed=entry.left <= 0 or late)

    def _checkpointed_s(self, run: Run, began_s: float, charged: bool) -> float:
        """What is left of a round whose gang is broken: up to the last checkpoint that is known of. The restart comes
        first, and is no work."""
        period = self._rules.checkpoint_s
        if not period or run.broken_s is None:
            return 0.0
        ran = min(run.broken_s, run.heard_s) - began_s - run.delay_s
        planned = run.finish_s - began_s - run.delay_s
        restart = planned - self._given(run, began_s, charged)[1]
        return (max(0.0, ran - restart) // period) * period

    def completes(self, job: int, run: Run, began_s: float, round: int, before: Mapping[int, int]) -> bool:
        """Whether `settle` with the same would find it complete."""
        entry = self.active[job]
        steps, elapsed = self._given(run, began_s, is_charged(run, round, before.get(job)))
        if run.broken_s is not None:
            return False
        if steps <= 0 and elapsed <= 0:
            return entry.failures + 1 >= self._rules.failures
        return steps >= entry.left or self._is_late(entry, entry.of_its_gang(elapsed, len(run.gpus)))

    def _given(self, run: Run, began_s: float, charged: bool) -> tuple[int, float]:
        """Steps and seconds that count: less than planned after a restart."""
        steps, elapsed = run.steps, run.finish_s - began_s
        if run.delay_s:
            elapsed -= run.delay_s
        if charged and elapsed > self._rules.charged_from_s:
            steps = int(steps * ((elapsed - self._rules.restart_s) / elapsed))
            elapsed = elapsed - self._rules.restart_s
        return steps, elapsed

    def _is_late(self, entry: ActiveJob, elapsed_s: float) -> bool:
        return entry.ran_s + elapsed_s > int(self._rules.longest * int(entry.exclusive_s))

    def _wanted(self, entry: ActiveJob) -> int:
        job, batch = entry.job, entry.batch_size
        model = MODELS[job.model]
        if job.mode == "static" or job.model == "Transformer":
            return 0
        epoch = ceil_div(entry.done, epoch_steps(job.model, batch))
        if job.mode == "gns":
            if not doubles(job, self._speeds) or batch == model.largest_batch:
                return 0
            ahead = (gns_batch_size(job, self._speeds, at) for at in (epoch, epoch + 1))
            return 1 if max(ahead) > batch else 0
        critical = in_critical_regime(job, epoch)
        if batch == job.batch_size:
            return 1 if not critical and batch != model.largest_batch else 0
        return -1 if critical and batch != model.smallest_batch else 0

    def _change_batch_size(self, entry: ActiveJob, round: int) -> None:
        flag, entry.flag = entry.flag, 0
        job, old = entry.job, entry.batch_size
        largest = MODELS[job.model].largest_batch
        if not flag or job.batch_size == largest:
            return
        new = 2 * old if job.mode == "gns" else (largest if flag > 0 else job.batch_size)
        speed = self._speeds.steps_per_s.get((job.model, new, job.gang))
        if speed is None:
            return
        epochs = ceil_div(entry.steps, epoch_steps(job.model, old))
        steps = math.ceil(entry.steps * old / new)
        if ceil_div(steps, epoch_steps(job.model, new)) != epochs:
            steps = epochs * epoch_steps(job.model, new)
        # Progress is kept in whole epochs, rounded up: a job may be done by this alone, and is settled as failing.
        entry.done = ceil_div(entry.done, epoch_steps(job.model, old)) * epoch_steps(job.model, new)
        entry.batch_size, entry.steps, entry.steps_per_s = new, steps, speed
        entry.speeds = self._speeds.by_size(job, new)
        entry.batch_sizes.append((round, new))


def is_charged(run: Run, round: int, before: int | None) -> bool:
    """Whether a restart is due in the round before boundary `round`. `before`: with how many GPUs the job ran in the
    round before that one."""
    return round >= 2 and before != len(run.gpus)
