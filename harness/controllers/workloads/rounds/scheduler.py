"""The round scheduler: it asks a round strategy at each boundary, and moves the pods of training jobs as it answers.

A training job is a Job (batch/v1) with the annotation podyard.dev/training, made suspended, whose pods name this
scheduler. What is to run is resumed, and its pods are bound to the nodes of its GPUs; what is to wait is suspended, so
that the Job controller deletes its pods, and none of this counts as a failure. Source of the way of admission: Kueue
0.9, which suspends and resumes Jobs. The job book is in seconds from `origin_ns`, in doubles; instants only say when
things happen. Where an elastic job's gang has another size than before, its Job is suspended first, and resumed with
another parallelism and completions. What takes less than RESOLUTION_NS in the cluster takes no time in the book.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.workloads.rounds.gangs import (
    Gangs,
    Loss,
    bind,
    binds,
    endings,
    gang_since,
    lasting,
    misplaced,
    resumed,
)
from harness.controllers.workloads.rounds.nodes import GpuNodes, node_state
from harness.engine.component import SECOND, BindPod, Instant, Observe, Outcome, Update
from harness.jobs.book import RULES, RoundRules
from harness.jobs.protocol import RoundStrategy
from harness.jobs.rounds import REVISED, ROUND, SETTLED, RoundLoop
from harness.model.core import Node, Pod
from harness.model.errors import UserError
from harness.model.meta import condition
from harness.model.training import ROUND_SCHEDULER, TRAINING, Speeds, TrainingJob, read_training
from harness.model.workloads import Job, Lease, finished_condition

RESOLUTION_NS = 1000
"""Hops of a nanosecond, which order what happens at one instant, add up to less than this."""

_BOUNDARY = "boundary "
"""The key of the boundary; a Job's has no space."""


@dataclass(frozen=True, slots=True)
class BookTime:
    """Instants of the cluster as seconds of the job book, and back."""

    origin_ns: Instant

    def seconds(self, at: Instant) -> float:
        return (at - self.origin_ns) // RESOLUTION_NS / (SECOND // RESOLUTION_NS)

    def instant(self, seconds: float) -> Instant:
        return self.origin_ns + math.ceil(seconds * 1e9)


# size: one reconciler whose handlers share one state; what needs none of it is in gangs.py and nodes.py.
class RoundScheduler(Reconciler):
    """Keys are 'namespace/name' of Jobs, and _BOUNDARY. `gpus`: for each GPU the name of its node,
    or of the one that was there before it."""

    def __init__(
        self,
        strategy: RoundStrategy,
        speeds: Speeds,
        gpus: Sequence[str],
        origin_ns: Instant,
        rules: RoundRules = RULES,
        name: str = ROUND_SCHEDULER,
    ) -> None:
        handlers = {"Job": self._job_changed, "Pod": self._pod_changed, "Node": self._node_changed, "Lease": None}
        super().__init__(name, handlers, {"Job": _is_training, "Lease": _is_of_node})
        self.loop = RoundLoop(speeds, len(gpus), strategy, rules, revisable=True)
        self._rules = rules
        self._nodes = GpuNodes(self.informer, gpus)
        self._seconds, self._instant = BookTime(origin_ns).seconds, BookTime(origin_ns).instant
        self._gangs = Gangs()
        self._ids: dict[str, int] = {}  # by key of Job
        self._keys: dict[int, str] = {}
        self._wanted: dict[int, tuple[str, ...]] = {}  # by job, the nodes of its GPUs in this round
        self._starting: dict[int, None] = {}  # wanted, and not all of the gang runs yet
        self._since: dict[int, Instant] = {}  # by wanted job, when all of its gang was running
        self._judged: dict[int, Loss] = {}  # by job that waits: with what is known its rounds that are over hold
        self._began_ns: Instant = 0
        self._listed = False  # since its process started
        self._deleted: dict[str, None] = {}  # keys of Jobs that are gone, and are yet to be withdrawn

    def forget_all(self) -> None:
        """Start: what it knew of the cluster is forgotten. The loop, the book of jobs, is kept; its next boundary is
        set again, since its timers went with the process."""
        super().forget_all()
        self._gangs.clear()
        self._listed = False

    def before_reconciling(self, now: Instant) -> None:
        """The lists of all kinds come at one instant. Nothing is decided before, as behind client-go's
        WaitForCacheSync; what went while nobody watched is in none of them. Jobs that are gone are withdrawn when it is
        known what became of their pods: that may be news of rounds that are over."""
        if not self._listed and self.informer.objects("Node"):
            self._listed = True
            self._deleted.update(dict.fromkeys(key for key in self._ids if self.informer.get("Job", key) is None))
            self._gangs.listed(self.informer.objects("Pod").values(), now)
            self._arm()
        for key in list(self._deleted):
            self._withdraw(key)

    # -- what happened -------------------------------------------------------------------------------------------------

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is None:
            assert old is not None
            self._deleted[old.metadata.key] = None
            return
        key = new.metadata.key
        if key in self._deleted:
            self._withdraw(key)
        if key not in self._ids:
            self._submit(key, new)
        elif old is not None and self._rests(key, new) and _says_the_same(old, new):
            return
        self.queue.add(key)

    def _rests(self, key: str, job: Job | None) -> bool:
        """Whether it is suspended and waits for a round: nothing is to be done about it but to hear that its gang had
        been broken. Its key is added at the boundary at which it is to run."""
        number = self._ids[key]
        if job is None or not job.spec.suspend or number < 0 or number in self._wanted:
            return False
        return number not in self.loop.record.completed_s

    def _submit(self, key: str, job: Job) -> None:
        arrival_s = self._seconds(job.metadata.creation_timestamp or self.now)
        try:
            found = training_of(job, arrival_s)
            if found.id in self._keys:
                raise ValueError(f"id {found.id} is that of {self._keys[found.id]}")
            self.loop.submit(found)
        except (ValueError, UserError) as error:
            self.record(job, "Warning", "InvalidTraining", f"never scheduled: {error}")
            self._ids[key] = -1
            return
        self._ids[key] = found.id
        self._keys[found.id] = key
        self._arm()

    def _withdraw(self, key: str) -> None:
        """Its Job is gone. What is complete stays in the book; a new Job of the name is another one."""
        self._deleted.pop(key, None)
        number = self._ids.get(key, -1)
        if number in self.loop.record.completed_s:
            return
        self._ids.pop(key, None)
        if number >= 0:
            if self._gangs.is_broken(key):
                self._revise(number, self.now)
            self._gangs.whole.pop(key, None)
            del self._keys[number]
            self._judged.pop(number, None)
            self._let_go(number)
            self.loop.withdraw(number)
            self._arm()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        news = self._gangs.changed(old, new, self.now, watched=not self.informer.answering)
        if news is None or news[0] not in self._ids:
            return
        key, broken = news
        if broken or not self._rests(key, self.informer.get("Job", key)):
            self.queue.add(key)
        if new is None or new.status.phase in ("Succeeded", "Failed"):
            node = (new or old).spec.node_name  # type: ignore[union-attr]
            for job in self._starting:
                if node in self._wanted[job]:  # it may have waited for this GPU
                    self.queue.add(self._keys[job])

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is not None and node_state(old) == node_state(new):
            return
        for job, nodes in self._wanted.items():
            if (new or old).metadata.name in nodes:  # type: ignore[union-attr]
                self.queue.add(self._keys[job])

    # -- boundaries ----------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self.loop.next_s is not None and self._listed:
            # What happens at this very instant has come in half a resolution later.
            self.queue.add_at(_BOUNDARY, max(self.now, self._instant(self.loop.next_s) + RESOLUTION_NS // 2))

    def _boundary(self, now: Instant) -> None:
        loop = self.loop
        if not self._listed or loop.next_s is None or now < self._instant(loop.next_s) + RESOLUTION_NS // 2:
            self._arm()
            return
        patience_ns = self._began_ns + self._rules.round_s * SECOND
        if self._starting and now < patience_ns:
            self.queue.add_at(_BOUNDARY, patience_ns)
            return
        silent = self._nodes.silent(now, self.constants.lease_renewal_ns)
        for job in list(self._wanted):
            if job in self._starting:
                self._interrupt(job, loop.record.starts_s[-1], now)  # it never ran
            elif silent & set(self._wanted[job]) and not self._succeeded(job):
                self._revise(job, now)
                self._interrupt(job, loop.next_s, now)
        if self._starting:
            self._catch_up(now)
        jobs = (self.informer.get("Job", self._keys[number]) for number in loop.book.active)
        active = [job for job in jobs if job is not None]
        if self._nodes.replace_gone(active):
            silent = self._nodes.silent(now, self.constants.lease_renewal_ns)
        unusable = self._nodes.unusable(silent, active)
        unusable |= self._nodes.held(self._gangs.strangers)
        planned = self._instant(loop.next_s) + RESOLUTION_NS // 2
        going_on = loop.step(unusable)
        for settlement in loop.settlements:
            finish_s = loop.record.completed_s.get(settlement.job)
            data = (settlement.job, settlement.elapsed_s, finish_s, settlement.failed, settlement.lost_s)
            self._effects.append(Observe(SETTLED, data))
        before, self._wanted, self._starting = self._wanted, {}, {}
        since, self._since = self._since, {}
        # Late after an outage of this scheduler: who goes on has run since then, who starts is late.
        self._began_ns = now if now - planned < RESOLUTION_NS else planned
        if going_on:
            record = loop.record
            rows = tuple((job, *gpus) for job, gpus in record.schedules[-1].items())
            self._effects.append(Observe(ROUND, (record.starts_s[-1], record.active[-1], rows)))
            for job, gpus in record.schedules[-1].items():
                self._wanted[job] = tuple(self._nodes.names[gpu] for gpu in gpus)
                if before.get(job) != self._wanted[job] or job not in since:
                    self._starting[job] = None
                else:
                    self._since[job] = since[job]
                    self._delay(job)  # it came late to a round that is over, and later than this one begins
        for job in {**before, **self._wanted}:
            self._judged.pop(job, None)
            self.queue.add_at(self._keys[job], now + 1)  # the keys of this step have been taken
        self._arm()

    def _interrupt(self, number: int, at_s: float, now: Instant) -> None:
        due = self.loop.next_s
        self.loop.interrupt(number, at_s, self._seconds(self._heard_until(number, now)))
        if self.loop.next_s != due:
            self._catch_up(now)

    def _catch_up(self, now: Instant) -> None:
        """A round does not end before what broke it: one that nobody runs in any more ends now."""
        if now - self._instant(self.loop.next_s or 0.0) >= RESOLUTION_NS:
            self.loop.postpone(self._seconds(now))

    def _heard_until(self, number: int, now: Instant) -> Instant:
        """Until when the gang is known to have been whole: what it wrote later may never have come to storage."""
        heard = self._gangs.heard_until(self._keys[number], now)
        return min([heard, *(self._nodes.renewed(name, now) for name in self._wanted.get(number, ()))])

    def _revise(self, number: int, now: Instant) -> bool:
        """Late news: whether rounds that are over are settled anew, since its gang was broken in them."""
        key = self._keys[number]
        loss = None if number in self._wanted else self._gangs.loss(key)
        if loss is not None and self._judged.get(number) == loss:
            return False
        at = self._gangs.whole_until(key, now)
        found = self.loop.revise(
            number, self._seconds(at), self._seconds(self._heard_until(number, now)), self._seconds(now)
        )
        if found is None:
            if loss is not None and at < now:
                self._judged[number] = loss
            return False
        told, _ = found
        self._effects.append(Observe(REVISED, (number, told.elapsed_s, told.lost_s)))
        self._arm()
        return True

    def _succeeded(self, number: int) -> bool:
        """Whether all of its gang was seen to end."""
        job: Job | None = self.informer.get("Job", self._keys[number])
        return job is not None and not _members_left(job, self._wanted[number])

    # -- pods ----------------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        if key == _BOUNDARY:
            self._boundary(now)
            return
        job: Job | None = self.informer.get("Job", key)
        number = self._ids.get(key, -1)
        if number < 0:
            return
        if self._gangs.is_broken(key) and (job is None or not _is_complete(job)):
            self._revise(number, now)
        if job is None:
            self._withdraw(key)
            return
        if number in self.loop.record.completed_s:
            if finished_condition(job) is None:
                self._end_again(key, job, number)
            return
        if finished_condition(job) is not None:
            self._handle_job_over(job, number, now)
            return
        if not self.loop.knows(number):  # it had failed, and the store was set back
            del self._ids[key], self._keys[number]
            self._submit(key, job)
            return
        wanted = self._wanted.get(number)
        pods = self._gangs.pods(key)
        if wanted is None:
            self._suspend(key, job, True)
            return
        live = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if number not in self._starting:
            there = sum(pod.spec.node_name in wanted for pod in live)
            broken = there < _members_left(job, wanted) or self._gangs.is_broken(key)
            if broken and not self._has_ended(number, self._gangs.surely_until(key, now)):
                self._interrupt(number, self._seconds(self._gangs.whole_until(key, now)), now)
                self._let_go(number)
                self._suspend(key, job, True)
                self._arm()
            else:
                self._end_in_time(key, number, live)
            return
        resized = job.spec.parallelism != len(wanted)  # it starts anew: first all of the old gang goes
        if misplaced(live, wanted) or (resized and (live or not job.spec.suspend)):
            self._suspend(key, job, True)
        elif any(self._nodes.is_reachable(pod.spec.node_name) for pod in pods if pod not in live):
            return  # its end is told
        elif job.spec.suspend:
            self.write(key, Update(resumed(job, len(wanted)), "", key))
        else:
            self._bind(key, number, live, wanted, _members_left(job, wanted))

    def _end_again(self, key: str, job: Job, number: int) -> None:
        """Its work is done and its Job is not over: the store was set back, or nobody could tell its pods when to end.
        They end now; one that is made goes on from the last checkpoint, so it ends as it starts, wherever a GPU is
        free."""
        self.write_all(key, endings(key, self._gangs.pods(key), self._instant(self.loop.record.completed_s[number])))
        pod = self._gangs.first_waiting(key)
        if job.spec.suspend:
            self._suspend(key, job, False)
        elif pod is not None and (told := lasting(pod, "0s")) is not None:
            self.write(key, Update(told, "", key))
        elif pod is not None:
            node = self._nodes.with_room(job, self._gangs.count_on, self.now, self.constants.lease_renewal_ns)
            if node is None:
                self.queue.add_at(key, self.now + self._rules.round_s * SECOND)
            else:
                self._write_bindings(key, [bind(pod, node, key)])

    def _write_bindings(self, key: str, bindings: Sequence[BindPod]) -> None:
        self._gangs.assume(bindings)
        self.write_all(key, bindings)

    def failed(self, key: str, outcome: Outcome) -> bool:
        if isinstance(outcome.effect, BindPod):
            self._gangs.forget(f"{outcome.effect.namespace}/{outcome.effect.name}")
        return super().failed(key, outcome)

    def _suspend(self, key: str, job: Job, suspend: bool) -> None:
        if bool(job.spec.suspend) != suspend:
            self.write(key, Update(replace(job, spec=replace(job.spec, suspend=suspend)), "", key))

    def _bind(self, key: str, number: int, live: Sequence[Pod], wanted: Sequence[str], members: int) -> None:
        if not all(pod.spec.node_name for pod in live):
            room = {node: self._nodes.gpus_of[node] - self._gangs.count_on(node) for node in set(wanted)}
            self._write_bindings(key, binds(key, live, wanted, room))
        since = gang_since(live, members, {}) if members else None
        if since is None:
            return
        del self._starting[number]
        self._since[number] = since
        self._gangs.ran(key, since)
        self.loop.confirm(number)
        self._delay(number)
        self._arm()
        self._end_in_time(key, number, live)

    def _handle_job_over(self, job: Job, number: int, now: Instant) -> None:
        """The Job is over and the book has work left: its containers ended where nobody saw it in time."""
        if number not in self.loop.book.active:
            return
        if number in self._wanted and number not in self._starting:  # it is settled at the end of the round
            if not self._has_ended(number, now):  # its containers ended before their work was done
                self._interrupt(number, self._seconds(now), now)
                self._let_go(number)  # it is not taken to run on in the next round
                self._arm()
            return
        self._let_go(number)
        if _is_complete(job):
            at_s = self._seconds(now)
            told = self.loop.complete(number, at_s)
            self._effects.append(Observe(SETTLED, (number, told.elapsed_s, at_s, told.failed, told.lost_s)))
        else:
            self.loop.withdraw(number)
        self._arm()

    def _delay(self, number: int) -> None:
        late_ns = self._since[number] - self._began_ns
        if late_ns >= RESOLUTION_NS:
            self.loop.delay(number, late_ns // RESOLUTION_NS / (SECOND // RESOLUTION_NS))

    def _let_go(self, number: int) -> None:
        for held in (self._wanted, self._starting, self._since):
            held.pop(number, None)

    def _has_ended(self, number: int, now: Instant) -> bool:
        """Whether its last step is done, so that its pods may go."""
        return self.loop.completes(number) and now >= self._instant(self.loop.runs[number].finish_s)

    def _end_in_time(self, key: str, number: int, live: Sequence[Pod]) -> None:
        """The containers of a job that is done in this round end when its last step is."""
        if self.loop.completes(number):
            self.write_all(key, endings(key, live, self._instant(self.loop.runs[number].finish_s)))


def _says_the_same(old: Job, new: Job) -> bool:
    """Of a Job that waits the counts of its pods, which are on their way out, are no news."""
    return new.spec is old.spec and new.status.conditions == old.status.conditions


def _members_left(job: Job, wanted: Sequence[str]) -> int:
    """How many pods the gang still has. One that ended where nobody saw it in time, on a node that was cut off, counts
    as succeeded once it is seen, and the Job controller makes no other in its place: the rest go on without it."""
    return max(0, len(wanted) - (job.status.succeeded or 0))


def training_of(job: Job, arrival_s: float) -> TrainingJob:
    """What the annotation of `job` says. Raises ValueError."""
    found = read_training(job.metadata.annotations[TRAINING], job.spec.parallelism or 1, arrival_s)
    if found.sizes and (job.spec.completion_mode != "Indexed" or job.spec.completions != job.spec.parallelism):
        raise ValueError("a gang of several sizes needs an Indexed Job with as many completions as parallelism")
    return found


def _is_training(job: Job) -> bool:
    return TRAINING in job.metadata.annotations


def _is_of_node(lease: Lease) -> bool:
    return lease.metadata.namespace == "kube-node-lease"


def _is_complete(job: Job) -> bool:
    complete = condition(job.status.conditions, "Complete")
    return complete is not None and complete.status == "True"
