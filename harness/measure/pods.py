"""Each pod's way in instants: created, bound, running, ready, ended; a fold over the journal."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from harness.measure.requests import Requests
from harness.model.core import ContainerStatus, Pod
from harness.model.meta import condition, is_ready

Int64: TypeAlias = npt.NDArray[np.int64]

NEVER = -1

BY_SCHEDULER = "PreemptionByScheduler"
"""Source: core/v1 PodReasonPreemptionByScheduler, of the condition DisruptionTarget."""


class PodTimes(msgspec.Struct, gc=False):
    """One pod's life. Instants in ns since the run began, NEVER (-1) for what has not happened.

    `stopped_ns`: its node lost power, or stood still, from then on until it ended. `undone_ns`: its containers ran for
    so long in attempts that ended and were begun again in place. `evicted_ns`: the scheduler took it away, for a
    preemption or because its strategy asked for that. `attempts`: of its containers that have ended and were begun
    again, or are about to be; `restarts` are those that have begun.
    """

    key: str
    uid: str
    owner: str
    created_ns: int
    priority: int = 0
    node: str = ""
    bound_ns: int = NEVER
    running_ns: int = NEVER
    ready_ns: int = NEVER
    ended_ns: int = NEVER
    deleted_ns: int = NEVER  # when deletion was asked for
    gone_ns: int = NEVER
    phase: str = "Pending"
    reason: str = ""
    restarts: int = 0
    attempts: int = 0
    stopped_ns: int = NEVER
    undone_ns: int = 0
    evicted_ns: int = NEVER
    tries: int = 0  # FailedScheduling events
    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0


class PodLives:
    """`all` holds every pod that ever was, by uid, in order of creation; `alive` those that are, by key.

    `ended` counts those that have ended or are gone.
    """

    kinds = ("Pod", "Event")

    def __init__(self) -> None:
        self.all: dict[str, PodTimes] = {}
        self.alive: dict[str, PodTimes] = {}
        self.ended = 0
        self._on: dict[str, dict[str, PodTimes]] = {}  # by node, by uid: bound and neither ended nor gone
        self._frozen: dict[str, tuple[int, int]] = {}  # by node: since when, until when
        self._requests = Requests()

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            self._pod(at_ns, change, obj)
        elif kind == "Event" and obj.reason == "FailedScheduling":
            about = obj.involved_object
            life = self.all.get(about.uid)
            if life is not None:
                life.tries += 1

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic != "disturbed":
            return
        node, kind, lasts_ns = data[:3]
        if kind == "Crash":
            for life in self.on(node):
                if life.running_ns != NEVER and life.stopped_ns == NEVER:
                    life.stopped_ns = at_ns
        elif kind == "Freeze":
            self._frozen[node] = (at_ns, 1 << 62 if lasts_ns < 0 else at_ns + lasts_ns)

    def _end(self, life: PodTimes, at_ns: int) -> None:
        """It has ended, or is gone."""
        life.ended_ns = at_ns
        self._on.get(life.node, {}).pop(life.uid, None)
        self._stop_if_frozen(life, at_ns)

    def _stop_if_frozen(self, life: PodTimes, at_ns: int) -> None:
        """Where its node stands still when it ends, or is told to go, it had stopped before that."""
        since, until = self._frozen.get(life.node, (NEVER, NEVER))
        if life.stopped_ns == NEVER and NEVER != life.running_ns <= since and at_ns < until:
            life.stopped_ns = since

    def on(self, node: str) -> Iterable[PodTimes]:
        """What is bound to a node and has not ended, in order of binding."""
        return self._on.get(node, {}).values()

    def _pod(self, at_ns: int, change: str, pod: Pod) -> None:
        meta = pod.metadata
        if change == "ADDED":
            owner = meta.owner_references[0].uid if meta.owner_references else ""
            life = PodTimes(meta.key, meta.uid, owner, at_ns, pod.spec.priority or 0)
            (life.cpu_milli, life.memory_bytes, life.gpu_milli), _ = self._requests.of(pod)
            self.all[meta.uid] = life
            self.alive[life.key] = life
        else:
            life = self.all[meta.uid]
        status, spec = pod.status, pod.spec
        if spec.node_name and life.bound_ns == NEVER:
            life.node = spec.node_name
            life.bound_ns = at_ns
            self._on.setdefault(life.node, {})[life.uid] = life
        if status.phase != life.phase:
            life.phase = status.phase
            life.reason = status.reason
            if status.phase in ("Running", "Succeeded") and life.running_ns == NEVER:
                life.running_ns = at_ns  # what was done at once is seen as Succeeded first
            if status.phase in ("Succeeded", "Failed"):
                self.ended += life.ended_ns == NEVER
                self._end(life, at_ns)
        if status.container_statuses:
            attempts = sum(map(_attempts, status.container_statuses))
            if attempts != life.attempts:
                life.undone_ns += max(_last_ran_ns(item) for item in status.container_statuses)
                life.stopped_ns = NEVER  # power is back
                life.attempts = attempts
            life.restarts = sum(item.restart_count or 0 for item in status.container_statuses)
        if life.ready_ns == NEVER and life.running_ns != NEVER and is_ready(status.conditions):
            life.ready_ns = at_ns
        deleted = meta.deletion_timestamp is not None
        # A pod that has no grace period is gone at once, without a deletionTimestamp.
        if (deleted or change == "DELETED") and life.deleted_ns == life.ended_ns == NEVER:
            why = condition(status.conditions, "DisruptionTarget")
            if why is not None and why.status == "True" and why.reason == BY_SCHEDULER:
                life.evicted_ns = at_ns
        if deleted and life.deleted_ns == NEVER:
            life.deleted_ns = at_ns
            self._stop_if_frozen(life, at_ns)
        if change == "DELETED":
            life.gone_ns = at_ns
            if life.ended_ns == NEVER:
                self.ended += 1
                self._end(life, at_ns)
            self._on.get(life.node, {}).pop(life.uid, None)
            if self.alive.get(life.key) is life:
                del self.alive[life.key]

    def columns(self) -> dict[str, list[Any]]:
        """A table, one row a pod, for Parquet."""
        lives = list(self.all.values())
        names = [name for name in PodTimes.__struct_fields__ if name != "attempts"]
        return {name: [getattr(life, name) for life in lives] for name in names}


def _attempts(status: ContainerStatus) -> int:
    """How many have ended before the one that runs, or is about to: a restart counts when it happens."""
    waits = status.state.waiting is not None and status.last_state.terminated is not None
    return (status.restart_count or 0) + waits


def _last_ran_ns(status: ContainerStatus) -> int:
    """How long the attempt before this one ran."""
    ended = status.last_state.terminated
    if ended is None or ended.started_at is None or ended.finished_at is None:
        return 0
    return max(0, ended.finished_at - ended.started_at)


class Wait(NamedTuple):
    """Of one pod, in ns: since when it waits, until when (NEVER: it never came there), when it was gone (NEVER: it
    is there), and when the scheduler took it away (else NEVER). `who`: its owner, or itself where nobody owns it."""

    who: str
    since_ns: int
    end_ns: int
    left_ns: int
    evicted_ns: int


def waits_of(pods: Iterable[Wait], until_ns: int) -> tuple[Int64, Int64]:
    """(how long those waited that came there, how long at least the others). Pods in order of creation.

    Who is taken away by the scheduler goes on waiting, in the next pod that its owner makes: one that evicts has made
    nobody wait for less. What nobody makes anew waits to the end of the run.
    """
    came: list[int] = []
    late: list[int] = []
    taken: dict[str, list[tuple[int, int]]] = {}  # by who makes it anew: when, how long it had waited
    for pod in pods:
        waited, since = 0, pod.since_ns
        before = taken.get(pod.who)
        if before and before[0][0] <= since:
            since, waited = heapq.heappop(before)
        if pod.evicted_ns != NEVER:
            waited += (pod.evicted_ns if pod.end_ns == NEVER else pod.end_ns) - since
            heapq.heappush(taken.setdefault(pod.who, []), (pod.evicted_ns, waited))
        elif pod.end_ns != NEVER:
            came.append(waited + pod.end_ns - since)
        else:
            left = until_ns if pod.left_ns == NEVER else min(pod.left_ns, until_ns)
            late.append(waited + max(0, left - since))
    late += [waited + max(0, until_ns - since) for gone in taken.values() for since, waited in gone]
    return np.array(came, dtype=np.int64), np.array(late, dtype=np.int64)


def seconds(spans_ns: npt.NDArray[np.int64], censored_ns: npt.NDArray[np.int64] | None = None) -> dict[str, Any]:
    """p50, p95, p99, max and mean in seconds, by the nearest rank; empty for no pods.

    `censored_ns`: of what had not come to its end when one stopped looking: at least so long. It counts as that long;
    `censored` says how many, and `atLeast` which of the numbers are therefore no more than lower bounds.
    """
    late = np.zeros(0, np.int64) if censored_ns is None else censored_ns
    if not len(spans_ns) + len(late):
        return {}
    both = np.concatenate([spans_ns, late])
    ordered = np.sort(both)
    # What is as long as the shortest that was censored may stand behind it.
    first = np.searchsorted(ordered, late.min(), side="left") if len(late) else len(ordered)
    out: dict[str, Any] = {}
    unsure = []
    for percent in (50, 95, 99):
        rank = min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)
        out[f"p{percent}"] = float(ordered[rank]) / 1e9
        if rank >= first:
            unsure.append(f"p{percent}")
    out["max"] = float(ordered[-1]) / 1e9
    out["mean"] = float(ordered.sum()) / len(ordered) / 1e9
    if len(late):
        out["censored"] = len(late)
        out["atLeast"] = [*unsure, "max", "mean"]
    return out
