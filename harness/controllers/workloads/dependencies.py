"""The dependency controller: Pods and Jobs that wait for others are let go when these have ended.

A Pod with the annotation podyard.dev/dependency loses its scheduling gate, a Job is resumed (harness.model.dependencies
has the words). Kubernetes leaves scheduling gates to controllers of this sort (KEP-3521, pod scheduling readiness).
An array of jobs is an Indexed Job: its name stands for all of it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Instant, Update
from harness.model.core import Pod
from harness.model.dependencies import DEPENDENCY, GATE, THINK_TIME, read_dependency
from harness.model.times import parse_duration
from harness.model.workloads import Job, PodGroup, finished_condition

REMEMBERED = 100_000
"""Deleted Jobs and Pods whose end is known. Own choice; Slurm knows a job for 300 s after its end (MinJobAge)."""

LONGEST_CIRCLE = 100
"""Objects among which one that waits for itself is looked for. Own choice; Slurm refuses circles when they are made."""

GROUP = "scheduling.x-k8s.io/pod-group"


class DependencyController(Reconciler):
    """Keys are 'Pod namespace/name' and 'Job namespace/name'."""

    def __init__(self, name: str = "dependency-controller") -> None:
        super().__init__(name, {"Pod": self._pod_changed, "Job": self._job_changed, "PodGroup": self._group_changed})
        self._ends: dict[str, tuple[Instant, bool]] = {}  # of Pods and Jobs, by key: when, and whether all was well
        self._gone: dict[str, str] = {}  # those of them that are deleted, oldest first, and the group of each
        self._members: dict[str, dict[str, None]] = {}  # pods of each group that ever were
        self._waiters: dict[str, dict[str, None]] = {}  # keys by what they wait for
        self._let_go = 0
        self._due: dict[str, Instant] = {}  # keys whose think time runs, and when it is over

    @property
    def thinking(self) -> bool:
        """Whether something is let go by and by, though nothing else happens."""
        return bool(self._due)

    @property
    def let_go(self) -> int:
        """How many it has let go so far."""
        return self._let_go

    def forget_all(self) -> None:
        super().forget_all()
        for held in (self._ends, self._gone, self._members, self._waiters, self._due):
            held.clear()

    def subject(self, key: str) -> Any:
        kind, _, name = key.partition(" ")
        return self.informer.get(kind, name)

    # -- what happened -------------------------------------------------------------------------------------------------

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        meta = pod.metadata
        group = meta.labels.get(GROUP)
        name = f"{meta.namespace}/{group}" if group else ""
        if group:
            self._members.setdefault(name, {})[meta.key] = None
        if new is not None and _is_held(new):
            self.queue.add(f"Pod {meta.key}")
        key = f"Pod {meta.key}"
        self._renew(key, old, new)
        if key not in self._ends and (new is None or pod.status.phase in ("Succeeded", "Failed")):
            self._ends[key] = (_ended_at(pod, self.now), pod.status.phase == "Succeeded")
            self._tell(meta.key)
            self._tell(name)
        if new is None:
            self._remember(key, name)

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        job = new if new is not None else old
        assert job is not None
        key = f"Job {job.metadata.key}"
        if new is not None and DEPENDENCY in new.metadata.annotations:
            self.queue.add(key)
        self._renew(key, old, new)
        over = finished_condition(job)
        if key not in self._ends and (new is None or over is not None):
            at = self.now if over is None else over.last_transition_time or self.now
            self._ends[key] = (at, over is not None and over.type == "Complete")
            self._tell(job.metadata.key)
        if new is None:
            self._remember(key, "")

    def _renew(self, key: str, old: Pod | Job | None, new: Pod | Job | None) -> None:
        """An object of a name that was there before is another one: it has not ended."""
        if new is None:
            self._due.pop(key, None)
        elif old is None or old.metadata.uid != new.metadata.uid:
            self._ends.pop(key, None)
            self._gone.pop(key, None)

    def _remember(self, key: str, group: str) -> None:
        """It is deleted. The ends of REMEMBERED such objects are known, for those that are to wait for them yet."""
        self._gone[key] = group
        if len(self._gone) <= REMEMBERED:
            return
        oldest = next(iter(self._gone))
        group = self._gone.pop(oldest)
        self._ends.pop(oldest, None)
        members = self._members.get(group)
        if members is not None:
            members.pop(oldest.removeprefix("Pod "), None)
            if not members:
                del self._members[group]

    def _group_changed(self, old: PodGroup | None, new: PodGroup | None) -> None:
        self._tell((new or old).metadata.key)  # type: ignore[union-attr]

    def _tell(self, name: str) -> None:
        for key in self._waiters.pop(name, ()):
            self.queue.add(key)

    # -- who may go ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        obj = self.subject(key)
        if obj is None or not _is_held(obj):
            self._due.pop(key, None)
            return
        meta = obj.metadata
        try:
            wanted = read_dependency(meta.annotations, meta.namespace)
            think_ns = parse_duration(meta.annotations.get(THINK_TIME, "0s"))
        except ValueError as error:
            self.record(obj, "Warning", "InvalidDependency", f"never let go: {error}")
            return
        ends: list[Instant] = []
        for kind, name in wanted:
            end = self._end_of(name)
            if end is None:
                self._waiters.setdefault(name, {})[key] = None
                circle = self._circle(key, name)
                if circle:
                    self.record(obj, "Warning", "CircularDependency", f"waits for itself: {' -> '.join(circle)}")
                return
            if kind == "afterok" and not end[1]:
                self.record(obj, "Warning", "DependencyNeverSatisfied", f"{name} has not succeeded")
                return
            ends.append(end[0])
        due = max(ends) + think_ns
        if now < due:
            self._due[key] = due
            self.queue.add_at(key, due)
            return
        self._due.pop(key, None)
        self._let_go += 1
        if isinstance(obj, Pod):
            gates = tuple(gate for gate in obj.spec.scheduling_gates if gate.name != GATE)
            self.write(key, Update(replace(obj, spec=replace(obj.spec, scheduling_gates=gates)), "", key))
        else:
            self.write(key, Update(replace(obj, spec=replace(obj.spec, suspend=False)), "", key))

    def _circle(self, key: str, name: str) -> list[str]:
        """Names over which `key` waits for itself, from `name` on; none where it does not, as far as LONGEST_CIRCLE."""
        own = key.partition(" ")[2]
        trails = [[own, name]]
        seen: set[str] = set()
        while trails and len(seen) < LONGEST_CIRCLE:
            trail = trails.pop()
            for each in self._subjects(trail[-1]):
                if each == key:
                    return trail
                obj = self.subject(each)
                if each in seen or obj is None or not _is_held(obj):
                    continue
                seen.add(each)
                try:
                    wanted = read_dependency(obj.metadata.annotations, obj.metadata.namespace)
                except ValueError:
                    continue
                trails += [[*trail, further] for _, further in wanted]
        return []

    def _subjects(self, name: str) -> list[str]:
        """Keys of the Job, the members of the PodGroup, or the Pod of that name, in this order."""
        if self.informer.get("Job", name) is not None:
            return [f"Job {name}"]
        return [f"Pod {pod}" for pod in self._members.get(name, {})] or [f"Pod {name}"]

    def _end_of(self, name: str) -> tuple[Instant, bool] | None:
        """Of the Job, the PodGroup or the Pod of that name, in this order; None where it has not ended or never was."""
        if self.informer.get("Job", name) is not None or f"Job {name}" in self._ends:
            return self._ends.get(f"Job {name}")
        group: PodGroup | None = self.informer.get("PodGroup", name)
        members = self._members.get(name, {})
        if group is None and not members:
            return self._ends.get(f"Pod {name}")
        ends = [self._ends.get(f"Pod {pod}") for pod in members]
        least = 1 if group is None else max(1, group.spec.min_member or 1)
        if len(ends) < least or any(end is None for end in ends):
            return None
        known = [end for end in ends if end is not None]
        return max(at for at, _ in known), all(well for _, well in known)


def _is_held(obj: Pod | Job) -> bool:
    if DEPENDENCY not in obj.metadata.annotations or obj.metadata.deletion_timestamp is not None:
        return False
    if isinstance(obj, Pod):
        return any(gate.name == GATE for gate in obj.spec.scheduling_gates)
    return bool(obj.spec.suspend)


def _ended_at(pod: Pod, now: Instant) -> Instant:
    """When its last container ended, as its kubelet says; now, where nobody says."""
    states = [status.state.terminated for status in pod.status.container_statuses]
    ends = [state.finished_at for state in states if state is not None and state.finished_at is not None]
    return max(ends, default=now)
