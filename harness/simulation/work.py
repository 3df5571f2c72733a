"""Work done and work lost of training jobs: the time on nodes times the speed, whatever breaks.

Time on nodes is read off the API: the seconds in which all pods of a gang run and none is being deleted. The job book
does not see that sum; it is held against it round by round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isclose
from typing import Any

from harness.controllers.workloads.job.indexes import is_indexed, valid_index
from harness.controllers.workloads.rounds.gangs import running_since
from harness.controllers.workloads.rounds.scheduler import RoundScheduler
from harness.experiment.run import Run
from harness.experiment.workload import SETTLE_NS, Training
from harness.jobs.book import RoundRules
from harness.jobs.book import Run as Planned
from harness.jobs.protocol import Settlement
from harness.jobs.rounds import RoundLoop
from harness.jobs.settled import SettledRound
from harness.model.core import Pod
from harness.model.gpu import gpus_of
from harness.model.meta import is_ready
from harness.model.training import TrainingJob
from harness.model.workloads import Job, finished_condition

EPSILON = 1e-6
"""Of sums of doubles, in seconds or steps."""

SLACK_S = 0.5
"""A gang that breaks is told so much later, as the latencies of watches have it."""


@dataclass(frozen=True, slots=True)
class Account:
    """One job in one round, that ended at boundary `round`. Seconds since the trace's start; `gained`: steps, None
    where the batch size changed.

    `life`: which time it was submitted: a Job that had failed begins anew where the store is set back.
    `warm`: it ran in the round before with as many GPUs, or this is one of the first two. `speed`: steps a second;
    `share`: of the speed of the gang that it asks for.
    """

    job: int
    round: int
    speed: float
    began_s: float
    boundary_s: float
    run: Planned
    warm: bool
    gained: int | None
    settlement: Settlement
    rules: RoundRules
    share: float = 1.0
    life: int = 1

    @property
    def until_s(self) -> float:
        """Until when the gang had something to do."""
        return self.run.finish_s if self.run.broken_s is None else self.run.broken_s

    @property
    def spent_s(self) -> float:
        """The time on nodes that the account is about."""
        return max(0.0, self.until_s - self.began_s - self.run.delay_s)

    def wrong(self) -> str:
        """What does not add up; '' where all does."""
        told, spent = self.settlement, self.spent_s
        if self.run.broken_s is not None:
            return self._broken(spent)
        if told.lost_s:
            return f"{told.lost_s} s lost, though its gang did not break"
        charged = not self.warm and spent > self.rules.charged_from_s
        restart = spent - told.elapsed_s
        if not isclose(restart, self.rules.restart_s if charged else 0.0, abs_tol=EPSILON):
            return f"{spent} s on nodes, {told.elapsed_s} counted; {'a' if charged else 'no'} restart is charged"
        # Whole steps: a charge rounds down.
        if self.gained is not None and not -EPSILON <= self.speed * told.elapsed_s - self.gained < 1 + EPSILON:
            return f"{told.elapsed_s} s at {self.speed} steps a second, {self.gained} steps done"
        return ""

    def _broken(self, spent: float) -> str:
        """What is kept is whole checkpoints, written while the gang was heard of."""
        told, rules = self.settlement, self.rules
        heard_s = max(0.0, min(self.until_s, self.run.heard_s) - self.began_s - self.run.delay_s)
        restart_s = 0.0 if self.warm else rules.restart_s
        most = rules.checkpoint_s + restart_s if rules.checkpoint_s else heard_s + EPSILON
        kept = told.elapsed_s
        adds_up = isclose(kept + told.lost_s, spent, abs_tol=EPSILON)
        whole = kept <= heard_s and heard_s - kept < most and (kept == 0 or rules.checkpoint_s)
        right = self.gained is None or -EPSILON <= self.speed * kept - self.gained < 2 + EPSILON
        if adds_up and whole and right:
            return ""
        return f"its gang broke after {spent} s, {heard_s} s heard of: {told.lost_s} lost, {kept} counted"


@dataclass
class Accounts:
    """Watches a loop: its every settlement is taken down. `late`: by job, steps of a round told as lost, which a Job
    that is done disproves."""

    loop: RoundLoop
    accounts: list[Account] = field(default_factory=list)
    late: dict[int, int] = field(default_factory=dict)
    lives: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._submit = self.loop.submit
        self.loop.submit = self.submit  # type: ignore[method-assign]
        self._step, self._complete, self._revise = self.loop.step, self.loop.complete, self.loop.revise
        self.loop.step = self.step  # type: ignore[method-assign]
        self.loop.revise = self.revise  # type: ignore[method-assign]
        self.loop.complete = self.complete  # type: ignore[method-assign]

    def submit(self, job: TrainingJob) -> None:
        self.lives[job.id] += 1
        self._submit(job)

    def complete(self, job: int, at_s: float) -> Settlement:
        self.late[job] = self.loop.book.active[job].left
        return self._complete(job, at_s)

    def revise(
        self, job: int, at_s: float, heard_s: float, now_s: float
    ) -> tuple[Settlement, Sequence[SettledRound]] | None:
        found = self._revise(job, at_s, heard_s, now_s)
        for each in found[1] if found else ():
            index = next(at for at, it in enumerate(self.accounts) if (it.job, it.round) == (job, each.round))
            was = self.accounts[index]
            gained = int(was.speed * each.settlement.elapsed_s) if each.settlement.elapsed_s else 0
            left = max(0, each.before.left - 1)
            self.accounts[index] = replace(was, run=each.run, settlement=each.settlement, gained=min(gained, left))
        return found

    def step(self, unusable: frozenset[int] = frozenset()) -> bool:
        loop = self.loop
        number, runs, warm, boundary_s = len(loop.record.starts_s), dict(loop.runs), loop.before, loop.next_s
        entries = {job: loop.book.active[job] for job in runs}
        was = {job: (entry.done, entry.batch_size, entry.speeds, entry.steps_per_s) for job, entry in entries.items()}
        going_on = self._step(unusable)
        for told in loop.settlements if number else ():
            if told.failed:
                continue
            job = told.job
            done, batch_size, speeds, of_gang = was[job]
            size = len(runs[job].gpus)
            changed = entries[job].batch_size != batch_size
            self.accounts.append(
                Account(
                    job,
                    number,
                    speeds[size],
                    loop.record.starts_s[number - 1],
                    boundary_s or 0.0,
                    runs[job],
                    number < 2 or warm.get(job) == size,
                    None if changed else entries[job].done - done,
                    told,
                    loop.rules,
                    speeds[size] / of_gang,
                    self.lives[job],
                )
            )
        return going_on

    def wrong(self) -> Iterator[str]:
        """What does not add up, of each account and of whole jobs."""
        record, rules = self.loop.record, self.loop.rules
        gained = dict.fromkeys(record.jobs, 0)
        lost, ran = dict.fromkeys(record.jobs, 0.0), dict.fromkeys(record.jobs, 0.0)
        for account in self.accounts:
            what = account.wrong()
            if what:
                yield f"job {account.job} in the round from {account.began_s} s: {what}"
            lost[account.job] += account.settlement.lost_s
            if account.life == self.lives[account.job]:
                gained[account.job] += account.gained or 0
                ran[account.job] += account.settlement.elapsed_s * account.share
        for number, job in record.jobs.items():
            if number not in record.completed_s or job.mode != "static":
                continue
            # A job that takes so many times its exclusive time is ended, as in the published protocol.
            ended = ran[number] > int(rules.longest * int(record.exclusive_s[number]))
            if gained[number] + self.late.get(number, 0) != job.steps and not ended:
                yield f"job {number} is complete with {gained[number]} of {job.steps} steps"
            told = record.lost_s.get(number, 0.0)
            if number not in self.late and not isclose(told, lost[number], abs_tol=EPSILON):
                yield f"job {number} lost {lost[number]} s, {told} s by the record"


class TimeOnNodes:
    """A listener of the API server's writes: when whole gangs ran, by job, as (from, to) in seconds since the trace's
    start. `gangs`: by job, its GPUs."""

    def __init__(self, server: Any, gangs: Mapping[int, int], origin_ns: int) -> None:
        self._server = server
        self._gangs = dict(gangs)
        self._origin_ns = origin_ns
        self._running: dict[int, dict[str, int]] = {job: {} for job in gangs}  # pod: since when
        self._succeeded: dict[int, dict[str, Pod]] = {job: {} for job in gangs}  # by uid
        self._deleted: dict[int, dict[str, Pod]] = {job: {} for job in gangs}  # of those that succeeded after that
        self._since: dict[int, int] = {}
        self.intervals: dict[int, list[tuple[float, float]]] = {job: [] for job in gangs}

    def written(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Job":
            self._count(int(obj.metadata.name.split("-")[1]), obj)
        if kind.kind != "Pod" or not obj.metadata.name.startswith("job-"):
            return
        job = int(obj.metadata.name.split("-")[1])
        since = running_since(obj)
        if change == "DELETED" or since is None or obj.metadata.deletion_timestamp is not None:
            self._running[job].pop(obj.metadata.key, None)
        else:
            self._running[job][obj.metadata.key] = since
        if change == "DELETED" and self._server.restoring:
            self._succeeded[job].pop(obj.metadata.uid, None)  # it has not ended
            self._deleted[job].pop(obj.metadata.uid, None)
        elif obj.status.phase == "Succeeded" and (old is None or old.status.phase != "Succeeded"):
            ended = self._succeeded if obj.metadata.deletion_timestamp is None else self._deleted
            ended[job][obj.metadata.uid] = obj
        running = len(self._running[job])
        whole = running > 0 and running == self._gangs[job] - len(self._succeeded[job])
        if whole and job not in self._since:
            self._since[job] = max(self._running[job].values())
        elif not whole and job in self._since:
            self._end(job)

    def _count(self, job: int, obj: Job) -> None:
        """What was being deleted when it succeeded has failed already for the Job controller, if it looked in between;
        it has succeeded where the Job says so. Source: pkg/controller/job/job_controller.go isPodFailed (1.32)."""
        deleted, succeeded = self._deleted[job], self._succeeded[job]
        while deleted and (obj.status.succeeded or 0) > len(succeeded):
            succeeded.update([deleted.popitem()])
        if not obj.spec.suspend:
            self._resize(job, obj)

    def _resize(self, job: int, obj: Job) -> None:
        """An elastic gang has many sizes. An index beyond the completions is done no longer, not even once there are as
        many again. Source: pkg/controller/job/indexed_job_utils.go parseIndexesFromString (1.32)."""
        self._gangs[job] = obj.spec.parallelism or 1
        if is_indexed(obj):
            ended = self._succeeded[job].items()
            self._succeeded[job] = {uid: pod for uid, pod in ended if valid_index(obj, pod) is not None}

    def _end(self, job: int) -> None:
        began, end = ((at - self._origin_ns) / 1e9 for at in (self._since.pop(job), self._server.now))
        told = self.intervals[job]
        if told:  # a store that was restored tells again of pods that it has told of
            began = max(began, told[-1][1])
        told.append((began, max(began, end)))

    def close(self) -> None:
        """The run may end before the last pods are told to have ended."""
        for job in list(self._since):
            self._end(job)

    def within(self, job: int, from_s: float, to_s: float) -> float:
        return sum(max(0.0, min(end, to_s) - max(began, from_s)) for began, end in self.intervals[job])


class WorkWatch:
    """Of a run of training jobs, from its beginning on."""

    def __init__(self, run: Run, rounds: RoundScheduler, training: Training) -> None:
        self._run = run
        self._loop = rounds.loop
        self._jobs = training.jobs
        self._gpus = Counter(run.prepared.gpus())  # by node
        self._accounts = Accounts(rounds.loop)
        self._on_nodes = TimeOnNodes(run.cluster.server, {job.id: job.gang for job in training.jobs}, SETTLE_NS)
        run.cluster.server.listeners.append(self._on_nodes.written)

    @classmethod
    def of(cls, run: Run) -> WorkWatch | None:
        """None where the run has no training jobs."""
        training = run.prepared.workload.training
        if training is None:
            return None
        rounds = next(each for each in run.cluster.components.values() if isinstance(each, RoundScheduler))
        return cls(run, rounds, training)

    def wrong(self) -> Iterator[tuple[str, str]]:
        """At the run's end, (check, what): what does not add up, work that nobody did, and jobs that are not done
        though they could be."""
        self._on_nodes.close()
        for text in self._accounts.wrong():
            yield "work", text
        for account in self._accounts.accounts:
            counted = account.settlement.elapsed_s
            found = self._on_nodes.within(account.job, account.began_s + account.run.delay_s, account.until_s)
            if found + SLACK_S < counted:
                where = f"job {account.job} in the round from {account.began_s} s"
                yield "time on nodes", f"{where}: {counted} s count, its gang ran {found:.3f} s"
        for text in self._left():
            yield "unfinished", text

    def _left(self) -> Iterator[str]:
        server = self._run.cluster.server
        usable = {
            name: gpus_of(node.status.allocatable)
            for name, node in sorted(server.objects("Node").items())
            if is_ready(node.status.conditions) and not node.spec.unschedulable and not node.spec.taints
        }
        count = sum(usable.pop(name, 0) for name in self._gpus)
        for name, gpus in self._gpus.items():  # one that is gone is replaced by one that has as many
            spare = next((other for other in usable if usable[other] >= gpus), None)
            if spare is not None and name not in server.objects("Node"):
                count += gpus
                del usable[spare]
        left = []
        for job in self._jobs:
            found = server.objects("Job").get(f"default/job-{job.id}")
            if found is not None and found.metadata.deletion_timestamp is None and finished_condition(found) is None:
                left.append(job)
        if any(job.gang > count for job in left):
            return  # whoever goes first in, first out waits behind that one
        for job in left:
            yield f"job {job.id} is not complete at the end of the run"
