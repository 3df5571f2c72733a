"""Each pod's way in instants: created, bound, running, ready, ended; a fold over the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from harness.measure.requests import Requests
from harness.model.core import ContainerStatus, Pod
from harness.model.meta import is_ready

NEVER = -1


class PodTimes(msgspec.Struct, gc=False):
    """One pod's life. Instants in ns since the run began, NEVER (-1) for what has not happened.

    `stopped_ns`: its node lost power, or stood still, from then on until it ended. `undone_ns`: its containers ran for
    so long in attempts that ended and were begun again in place.
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
    stopped_ns: int = NEVER
    undone_ns: int = 0
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
            restarts = sum(item.restart_count or 0 for item in status.container_statuses)
            if restarts != life.restarts:
                life.undone_ns += max(_last_ran_ns(item) for item in status.container_statuses)
                life.stopped_ns = NEVER  # power is back
                life.restarts = restarts
        if life.ready_ns == NEVER and life.running_ns != NEVER and is_ready(status.conditions):
            life.ready_ns = at_ns
        if meta.deletion_timestamp is not None and life.deleted_ns == NEVER:
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
        return {name: [getattr(life, name) for life in lives] for name in PodTimes.__struct_fields__}


def _last_ran_ns(status: ContainerStatus) -> int:
    """How long the attempt before this one ran."""
    ended = status.last_state.terminated
    if ended is None or ended.started_at is None or ended.finished_at is None:
        return 0
    return max(0, ended.finished_at - ended.started_at)


def spans(lives: list[PodTimes], start: str, end: str) -> npt.NDArray[np.int64]:
    """ns from one instant to another, of the pods that have both, int64 [pods]."""
    out = [
        to - since for life in lives if (since := getattr(life, start)) != NEVER and (to := getattr(life, end)) != NEVER
    ]
    return np.array(out, dtype=np.int64)


def censored(lives: list[PodTimes], start: str, end: str, until_ns: int) -> npt.NDArray[np.int64]:
    """ns from `start` on of the pods that have not come to `end`: until they were gone, else to the end of the run."""
    out = []
    for life in lives:
        since = getattr(life, start)
        if since == NEVER or getattr(life, end) != NEVER:
            continue
        left = min((at for at in (life.ended_ns, life.gone_ns) if at != NEVER), default=until_ns)
        out.append(max(0, min(left, until_ns) - since))
    return np.array(out, dtype=np.int64)


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
