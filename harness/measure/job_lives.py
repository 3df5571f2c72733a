"""Each job's life in instants: arrived, started, complete; and the account of every pod. A fold over the journal.

A job is a Job object, a bare pod that declares how long it runs, or a gang (PodGroup) of such. The workload reports its
arrival, so that time before its creation, as in an outage, counts as waiting; jobs that controllers create arrive when
they are created. A job is complete when all its parts have succeeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.measure.accounting import DEADLINE, Account, Accounting, deadline_ns, reader
from harness.measure.pods import NEVER, PodTimes
from harness.measure.requests import Requests
from harness.measure.tasks import ENDLESS, limit_ns
from harness.model.core import Pod, PodSpec
from harness.model.dependencies import DEPENDENCY
from harness.model.meta import ObjectMeta, condition
from harness.model.workloads import COMPLETE, Job

GROUP = "scheduling.x-k8s.io/pod-group"
"""Pod label that names its PodGroup (kubernetes-sigs/scheduler-plugins, coscheduling)."""

DEFAULT = "default"
"""The namespace of what names none."""

SECOND = 10**9
MOST_PROBLEMS = 10
HOUR_MILLI = 3600 * SECOND * 1000


class JobRow(msgspec.Struct, gc=False):
    """One job. Instants in ns, NEVER (-1) for what has not happened. `alone_ns`: how long it runs with nobody else
    there, ENDLESS (-1): it does not say. `deadline_ns`: after its arrival, 0 without one. `work`, `lost`: CPU-hours
    and GPU-hours of pods that succeeded, and of those (`interrupted`) that ended otherwise and are done again or never.
    """

    job: str
    arrival_ns: int
    account: Account = ("", "", "")
    alone_ns: int = ENDLESS
    deadline_ns: int = 0
    started_ns: int = NEVER
    completed_ns: int = NEVER
    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0
    interrupted: int = 0
    work_cpu_hours: float = 0.0
    work_gpu_hours: float = 0.0
    lost_cpu_hours: float = 0.0
    lost_gpu_hours: float = 0.0


class _Job(msgspec.Struct):
    """`parts`: by object, when it was complete."""

    row: JobRow
    parts: dict[str, int]


class JobLives:
    """`problems`: deadlines that cannot be read, in words."""

    kinds = ("Pod", "Job")

    def __init__(self, accounting: Accounting | None = None) -> None:
        self.accounting = accounting or Accounting()
        self.problems: list[str] = []
        self.account_of: dict[str, Account] = {}
        """Of each pod that ever was, by uid."""
        self._readers = [reader(source) for source in self.accounting.sources]
        self._jobs: dict[str, _Job] = {}
        self._part: dict[str, _Job] = {}  # by kind and key of what a job is made of
        self._uid_of: dict[str, str] = {}  # of the first object of each kind and key
        self._of_uid: dict[str, tuple[_Job, str]] = {}  # Jobs by uid: the job, which part
        self._of_pod: dict[str, tuple[_Job, str, int]] = {}  # pods by uid: the job, which part ('' of a Job), its limit
        self._requests = Requests()

    # -- told by the workload, and by the journal --------------------------------------------------------------------

    def arrives(self, at_ns: int, obj: Any) -> None:
        """The workload creates an object at `at_ns`."""
        if isinstance(obj, Job):
            self._job(at_ns, obj, _part("Job", obj.metadata))
        elif isinstance(obj, Pod) and limit_ns(obj.metadata.annotations, obj.spec) >= 0:
            self._pod(at_ns, obj, _part("Pod", obj.metadata))

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            if change == "ADDED":
                self._created(at_ns, obj)
            elif DEPENDENCY in obj.metadata.annotations and change == "MODIFIED":
                self._let_go(at_ns, obj.metadata.uid, old.spec.scheduling_gates and not obj.spec.scheduling_gates)
        elif kind == "Job":
            if change == "ADDED":
                part = self._named(_part("Job", obj.metadata), obj.metadata.uid)
                self._of_uid[obj.metadata.uid] = (self._job(at_ns, obj, part), part)
            elif DEPENDENCY in obj.metadata.annotations and change == "MODIFIED":
                self._let_go(at_ns, obj.metadata.uid, old.spec.suspend and not obj.spec.suspend)
            if obj.status.conditions and obj.metadata.uid in self._of_uid:
                job, part = self._of_uid[obj.metadata.uid]
                complete = condition(obj.status.conditions, COMPLETE) if job.parts[part] == NEVER else None
                if complete is not None and complete.status == "True":
                    job.parts[part] = at_ns

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _created(self, at_ns: int, pod: Pod) -> None:
        meta = pod.metadata
        self.account_of[meta.uid] = self._account(meta, pod.spec)
        owner = meta.owner_references[0] if meta.owner_references else None
        if owner is not None:
            of = self._of_uid.get(owner.uid)
            if of is not None:
                self._of_pod[meta.uid] = (of[0], "", limit_ns(meta.annotations, pod.spec))
            return
        limit = limit_ns(meta.annotations, pod.spec)
        if limit >= 0:
            part = self._named(_part("Pod", meta), meta.uid)
            self._of_pod[meta.uid] = (self._pod(at_ns, pod, part), part, limit)

    def _let_go(self, at_ns: int, uid: str, let_go: Any) -> None:
        """A job that waited for others arrives when it may start (Standard Workload Format, field 18)."""
        found = self._of_pod.get(uid) or self._of_uid.get(uid)
        if let_go and found is not None:
            found[0].row.arrival_ns = max(found[0].row.arrival_ns, at_ns)

    def _named(self, part: str, uid: str) -> str:
        """The name of a part of a job: a second object of one name is another part."""
        first = self._uid_of.setdefault(part, uid)
        return part if first == uid else f"{part} {uid}"

    def _account(self, meta: ObjectMeta, spec: PodSpec) -> Account:
        return tuple(read(meta, spec) for read in self._readers)

    # -- what a job is made of ---------------------------------------------------------------------------------------

    def _pod(self, at_ns: int, pod: Pod, part: str) -> _Job:
        known = self._part.get(part)
        if known is not None:
            return known
        amounts, _ = self._requests.of(pod)
        alone = limit_ns(pod.metadata.annotations, pod.spec)
        return self._add(part, at_ns, pod.metadata, pod, alone, amounts)

    def _job(self, at_ns: int, obj: Job, part: str) -> _Job:
        known = self._part.get(part)
        if known is not None:
            return known
        spec, template = obj.spec, obj.spec.template
        pod = Pod(metadata=_labelled(template.metadata, obj.metadata), spec=template.spec)
        completions = 1 if spec.completions is None else spec.completions
        at_once = max(1, min(completions or 1, 1 if spec.parallelism is None else spec.parallelism))
        limit = limit_ns(template.metadata.annotations, template.spec)
        alone = limit * -(-completions // at_once) if limit >= 0 else ENDLESS
        (cpu, memory, gpu), _ = self._requests.of(pod)
        amounts = (cpu * at_once, memory * at_once, gpu * at_once)
        kills = spec.active_deadline_seconds
        return self._add(part, at_ns, obj.metadata, pod, alone, amounts, 0 if kills is None else kills * SECOND)

    # size: what a job is known by.
    def _add(
        self,
        part: str,
        at_ns: int,
        meta: ObjectMeta,
        pod: Pod,
        alone_ns: int,
        amounts: Sequence[int],
        kills_ns: int = 0,
    ) -> _Job:
        group = pod.metadata.labels.get(GROUP, "")
        name = f"PodGroup {meta.namespace or DEFAULT}/{group}" if group else part
        deadline = self._deadline(part, meta, pod.metadata) or kills_ns
        job = self._jobs.get(name)
        if job is None:
            account = self._account(pod.metadata, pod.spec)
            job = self._jobs[name] = _Job(JobRow(name, at_ns, account, alone_ns, deadline), {})
        row = job.row
        row.arrival_ns = min(row.arrival_ns, at_ns)
        row.alone_ns = max(row.alone_ns, alone_ns)
        row.deadline_ns = min(filter(None, (row.deadline_ns, deadline)), default=0)
        row.cpu_milli += amounts[0]
        row.memory_bytes += amounts[1]
        row.gpu_milli += amounts[2]
        job.parts[part] = NEVER
        self._part[part] = job
        return job

    def _deadline(self, part: str, *metas: ObjectMeta) -> int:
        for meta in metas:
            text = meta.annotations.get(DEADLINE)
            if text is None:
                continue
            found = deadline_ns(text)
            if found is not None:
                return found
            if len(self.problems) < MOST_PROBLEMS:
                self.problems.append(f"{part}: {DEADLINE} {text!r} is no duration such as 10m: it has no deadline")
        return 0

    # -- what became of them -----------------------------------------------------------------------------------------

    def rows(self, lives: dict[str, PodTimes], until_ns: int) -> list[JobRow]:
        """Those that had arrived by `until_ns`, in order of arrival."""
        for job in self._jobs.values():
            row = job.row
            row.started_ns, row.interrupted = NEVER, 0
            row.work_cpu_hours = row.work_gpu_hours = row.lost_cpu_hours = row.lost_gpu_hours = 0.0
        for uid, (job, part, limit) in self._of_pod.items():
            _count(job, part, limit, lives[uid], until_ns)
        found = []
        for job in self._jobs.values():
            if job.row.arrival_ns <= until_ns:
                ends = job.parts.values()
                job.row.completed_ns = NEVER if NEVER in ends else max(ends)
                if job.row.started_ns == NEVER:
                    job.row.started_ns = job.row.completed_ns  # there was nothing to run
                job.row.deadline_ns = job.row.deadline_ns or self.accounting.deadline(job.row.alone_ns)
                found.append(job.row)
        found.sort(key=lambda row: (row.arrival_ns, row.job))
        return found


def _part(kind: str, meta: ObjectMeta) -> str:
    return f"{kind} {meta.namespace or DEFAULT}/{meta.name}"


def _labelled(meta: ObjectMeta, of_job: ObjectMeta) -> ObjectMeta:
    """The labels and annotations of a Job's pods; the Job's own labels and annotations fill in what its template leaves
    out."""
    labels, annotations = {**of_job.labels, **meta.labels}, {**of_job.annotations, **meta.annotations}
    return ObjectMeta(name=of_job.name, namespace=of_job.namespace, labels=labels, annotations=annotations)


def _count(job: _Job, part: str, limit_ns: int, life: PodTimes, until_ns: int) -> None:
    row = job.row
    if life.running_ns == NEVER:
        return
    row.started_ns = life.running_ns if row.started_ns == NEVER else min(row.started_ns, life.running_ns)
    work = lost = 0
    if life.ended_ns == life.deleted_ns == NEVER:  # in progress
        lost = life.undone_ns
    elif life.phase == "Succeeded":
        if part:
            job.parts[part] = life.ended_ns
        lost = life.undone_ns
        ran = life.ended_ns - life.running_ns - lost
        work = min(ran, limit_ns) if limit_ns >= 0 else ran  # from a node that was cut off, this is reported late
    else:  # or being deleted, on a node that does not answer
        ended = until_ns if life.ended_ns == NEVER else life.ended_ns
        lost = (ended if life.stopped_ns == NEVER else life.stopped_ns) - life.running_ns
        if limit_ns >= 0:
            lost = min(lost, life.undone_ns + limit_ns)
        row.interrupted += 1
    row.work_cpu_hours += life.cpu_milli * work / HOUR_MILLI
    row.work_gpu_hours += life.gpu_milli * work / HOUR_MILLI
    row.lost_cpu_hours += life.cpu_milli * lost / HOUR_MILLI
    row.lost_gpu_hours += life.gpu_milli * lost / HOUR_MILLI


def job_columns(rows: Sequence[JobRow]) -> dict[str, list[Any]]:
    """A table, one row a job, for Parquet."""
    out: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in JobRow.__struct_fields__ if name != "account"
    }
    for index, dimension in enumerate(("user", "queue", "class")):
        out[dimension] = [row.account[index] for row in rows]
    return out


def job_rows(columns: dict[str, list[Any]]) -> list[JobRow]:
    """The rows of a table that `job_columns` made."""
    names = [name for name in JobRow.__struct_fields__ if name != "account"]
    accounts = list(zip(columns["user"], columns["queue"], columns["class"], strict=True))
    return [
        JobRow(account=account, **dict(zip(names, values, strict=True)))
        for account, values in zip(accounts, zip(*(columns[name] for name in names), strict=True), strict=True)
    ]
