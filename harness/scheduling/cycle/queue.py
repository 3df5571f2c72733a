"""The scheduling queue: active, backing off, and unschedulable until something changes that could help.

Source: kube-scheduler's pkg/scheduler/backend/queue: order by priority, then time of entry; backoff 1 s doubling to
10 s; pods that nothing has helped are tried again after 5 min. Unschedulable pods are kept by class, as pods of one
class fit or do not fit alike: a change wakes as many of a class as it could help, without looking at the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

import msgspec

from harness.engine.component import SECOND
from harness.model.constants import DEFAULTS, Constants
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.strategy import PodView


class Queued(msgspec.Struct, gc=False):
    """A pod that waits."""

    view: PodView
    uid: str
    entered_ns: int  # first time; keeps its place in the queue
    sequence: int
    attempts: int = 0
    tried_ns: int = 0
    where: str = ""  # 'active', 'backoff', 'unschedulable', 'gathering', '' while being scheduled
    nominated: bool = False  # a node is kept for it
    turn: int = 0  # grows with each move, so that heap entries of earlier stays are known as stale


class SchedulingQueue:
    def __init__(self, constants: Constants = DEFAULTS) -> None:
        self._initial = constants.pod_initial_backoff_s * SECOND
        self._most = constants.pod_max_backoff_s * SECOND
        self._unschedulable_ns = constants.max_in_unschedulable_ns
        self._pods: dict[str, Queued] = {}
        self._active: list[tuple[int, int, int, str, int]] = []
        self._backoff: list[tuple[int, int, str, int]] = []
        self._unschedulable: dict[int, dict[str, Queued]] = {}  # by class
        self._nominated_count: Counter[int] = Counter()  # of those, how many are nominated
        self.cluster_scope: dict[int, None] = {}  # of those, what looks at pods on other nodes too
        self._flush: list[tuple[int, str, int]] = []
        self._groups: dict[str, dict[str, Queued]] = {}
        self._gathering: dict[str, int] = {}  # groups that wait for members: until when
        self._sequence = 0
        self.incoming: Counter[tuple[str, str]] = Counter()  # (event, part of the queue), as kube-scheduler counts them

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, key: str) -> bool:
        return key in self._pods

    def get(self, key: str) -> Queued | None:
        return self._pods.get(key)

    def keys(self) -> Iterator[str]:
        return iter(self._pods)

    # -- coming and going ----------------------------------------------------------------------------------------------

    def add(self, view: PodView, uid: str, now: int) -> Queued:
        """A pod that is new here."""
        self._sequence += 1
        pod = Queued(view, uid, now, self._sequence)
        self._pods[view.key] = pod
        if view.group is not None:
            self._groups.setdefault(view.group, {})[view.key] = pod
        self._activate(pod)
        self.incoming["PodAdd", "active"] += 1
        return pod

    def remove(self, key: str) -> Queued | None:
        """It was bound or deleted."""
        pod = self._pods.pop(key, None)
        if pod is None:
            return None
        if pod.where == "unschedulable":
            self._leave_class(pod)
        pod.where = ""
        pod.turn += 1
        self._leave_group(pod)
        return pod

    def change(self, view: PodView, now: int) -> None:
        """Its spec, labels or group changed: look again."""
        pod = self._pods[view.key]
        if pod.where == "unschedulable":
            self._leave_class(pod)
        if view.group != pod.view.group:
            self._leave_group(pod)
            if view.group is not None:
                self._groups.setdefault(view.group, {})[view.key] = pod
        pod.view = view
        if pod.where != "active":
            self._activate(pod)
            self.incoming["PodUpdate", "active"] += 1

    # -- scheduling ----------------------------------------------------------------------------------------------------

    @property
    def has_active(self) -> bool:
        active, pods = self._active, self._pods
        while active:
            _, _, _, key, turn = active[0]
            pod = pods.get(key)
            if pod is not None and pod.turn == turn and pod.where == "active":
                return True
            heappop(active)
        return False

    # -- gangs ---------------------------------------------------------------------------------------------------------

    def _gather(self, group: str, until: int) -> None:
        self._gathering.setdefault(group, until)
        for pod in self._members(group):
            if pod.where == "active":
                pod.where = "gathering"
                pod.turn += 1

    def gathered(self, group: str) -> None:
        """Nobody is missing any more."""
        if self._gathering.pop(group, None) is not None:
            for pod in self._members(group):
                if pod.where == "gathering":
                    self._activate(pod)

    def given_up(self, now: int) -> list[tuple[str, list[Queued]]]:
        """Groups that have waited too long for members, and those that waited; they are out of the queue's parts."""
        out = []
        for group in sorted(group for group, until in self._gathering.items() if until <= now):
            del self._gathering[group]
            members = [pod for pod in self._members(group) if pod.where == "gathering"]
            for pod in members:
                pod.where = ""
                pod.turn += 1
                pod.attempts += 1
            if members:
                out.append((group, members))
        return out

    def waiting_in(self, group: str) -> int:
        """Members of a group that wait, in whichever part."""
        return len(self._groups.get(group, ()))

    def _members(self, group: str) -> list[Queued]:
        return sorted(self._groups.get(group, {}).values(), key=lambda pod: (pod.entered_ns, pod.sequence))

    def pop(self, most: int, lacking: Callable[[PodView], int | None] = lambda pod: None) -> list[Queued]:
        """Up to `most` pods from the head; a gang comes with all its members that wait, whatever `most` is.

        `lacking`: until when to wait for further members of a pod's group, None when there are enough.
        """
        out: list[Queued] = []
        while len(out) < most and self.has_active:
            pod = self._pods[heappop(self._active)[3]]
            if pod.view.group is not None:
                until = lacking(pod.view)
                if until is not None:
                    self._gather(pod.view.group, until)
                    continue
            for member in self._gang_of(pod):
                if member.where == "unschedulable":
                    self._leave_class(member)
                member.where = ""
                member.turn += 1
                member.attempts += 1
                out.append(member)
        return out

    def _gang_of(self, pod: Queued) -> list[Queued]:
        group = pod.view.group
        if group is None:
            return [pod]
        members = [member for member in self._groups[group].values() if member.where]
        return sorted(members, key=lambda member: (member.entered_ns, member.sequence))

    def put_back(self, pod: Queued, now: int) -> None:
        """It did not fit."""
        pod.where = "unschedulable"
        pod.turn += 1
        pod.tried_ns = now
        self.incoming["ScheduleAttemptFailure", "unschedulable"] += 1
        self._unschedulable.setdefault(pod.view.cls.id, {})[pod.view.key] = pod
        self._nominated_count[pod.view.cls.id] += pod.nominated
        if constraints_of(pod.view.cls).cluster:
            self.cluster_scope[pod.view.cls.id] = None
        heappush(self._flush, (now + self._unschedulable_ns, pod.view.key, pod.turn))

    def back_off(self, pod: Queued, now: int) -> None:
        """Its binding failed; nothing needs to change before it is tried again."""
        pod.tried_ns = now
        self._rest(pod, now, "ScheduleAttemptFailure")

    # -- what helps ----------------------------------------------------------------------------------------------------

    def waiting_classes(self) -> list[int]:
        """Classes with unschedulable pods, in ascending order."""
        return sorted(self._unschedulable)

    def waiting(self, cls: int) -> PodView:
        """One of them."""
        return next(iter(self._unschedulable[cls].values())).view

    def wake(self, cls: int, most: int, now: int, event: str, *, nominated: bool = True) -> None:
        """The first `most` pods of a class get another chance, and its gangs with all their members.

        Those for whom a node is kept come last, or, `nominated` False, not at all. Members of gangs do not count: the
        room of a gang that does not fit as a whole is left for those behind it. kube-scheduler moves every pod that an
        event helps (movePodsToActiveOrBackoffQueue, 1.32); of pods that are alike and alone, `most` take all the room.
        `event`: for metrics.
        """
        held = self._unschedulable.get(cls)
        if held is None:
            return
        chosen = [pod for pod in held.values() if nominated or not pod.nominated]
        if most < len(chosen):
            chosen.sort(key=lambda pod: (pod.nominated, -pod.view.priority, pod.entered_ns, pod.sequence))
            chosen = _first(chosen, most)
        for pod in chosen:
            if pod.where != "unschedulable":
                continue  # it went with its gang
            for member in self._gang_of(pod):
                if member.where == "unschedulable":
                    self._leave_class(member)
                    self._rest(member, now, event)

    def wake_pod(self, key: str, now: int, event: str) -> None:
        """One pod, if it is unschedulable."""
        pod = self._pods.get(key)
        if pod is not None and pod.where == "unschedulable":
            self._leave_class(pod)
            self._rest(pod, now, event)

    def wake_where(self, helps: Callable[[PodView], int], now: int, event: str, *, nominated: bool = True) -> None:
        """For each class: as many pods as `helps` says that the change could place."""
        for cls in self.waiting_classes():
            held = self._unschedulable.get(cls)
            if held is not None and (nominated or len(held) > self._nominated_count[cls]):
                most = helps(self.waiting(cls))
                if most > 0:
                    self.wake(cls, most, now, event, nominated=nominated)

    def tick(self, now: int) -> None:
        """What was backing off and is ready, and what has waited too long, becomes active."""
        while self._backoff and self._backoff[0][0] <= now:
            _, _, key, turn = heappop(self._backoff)
            pod = self._pods.get(key)
            if pod is not None and pod.turn == turn:
                self._activate(pod)
                self.incoming["BackoffComplete", "active"] += 1
        while self._flush and self._flush[0][0] <= now:
            _, key, turn = heappop(self._flush)
            pod = self._pods.get(key)
            if pod is not None and pod.turn == turn and pod.where == "unschedulable":
                self._leave_class(pod)
                self._rest(pod, now, "UnschedulableTimeout")

    def next_tick(self) -> int | None:
        """When `tick` next has something to do."""
        while self._backoff:
            _, _, key, turn = self._backoff[0]
            pod = self._pods.get(key)
            if pod is not None and pod.turn == turn:
                break
            heappop(self._backoff)
        while self._flush:
            _, key, turn = self._flush[0]
            pod = self._pods.get(key)
            if pod is not None and pod.turn == turn:
                break
            heappop(self._flush)
        due = [heap[0][0] for heap in (self._backoff, self._flush) if heap]
        due += self._gathering.values()
        return min(due, default=None)

    def counts(self) -> dict[str, int]:
        """Pods by part, under the names of scheduler_pending_pods."""
        out = {"active": 0, "backoff": 0, "unschedulable": 0}
        for pod in self._pods.values():
            if pod.where:
                out["unschedulable" if pod.where == "gathering" else pod.where] += 1
        return out

    def unschedulable(self) -> dict[int, int]:
        """How many of each class, by its id."""
        return {cls: len(self._unschedulable[cls]) for cls in self.waiting_classes()}

    # -- within --------------------------------------------------------------------------------------------------------

    def _activate(self, pod: Queued) -> None:
        pod.where = "active"
        pod.turn += 1
        heappush(self._active, (-pod.view.priority, pod.entered_ns, pod.sequence, pod.view.key, pod.turn))

    def _rest(self, pod: Queued, now: int, event: str) -> None:
        """Into backoff, or straight to active when it has rested enough."""
        ready = pod.tried_ns + min(self._initial << min(max(pod.attempts - 1, 0), 30), self._most)
        if pod.attempts == 0 or ready <= now:
            self._activate(pod)
            self.incoming[event, "active"] += 1
            return
        pod.where = "backoff"
        self.incoming[event, "backoff"] += 1
        pod.turn += 1
        heappush(self._backoff, (ready, pod.sequence, pod.view.key, pod.turn))

    def _leave_group(self, pod: Queued) -> None:
        group = pod.view.group
        if group is not None:
            members = self._groups[group]
            del members[pod.view.key]
            if not members:
                del self._groups[group]
                self._gathering.pop(group, None)

    def _leave_class(self, pod: Queued) -> None:
        cls = pod.view.cls.id
        held = self._unschedulable[cls]
        if held.pop(pod.view.key, None) is not None:
            self._nominated_count[cls] -= pod.nominated
        if not held:
            del self._unschedulable[cls]
            del self._nominated_count[cls]
            self.cluster_scope.pop(cls, None)


def _first(pods: Sequence[Queued], most: int) -> list[Queued]:
    """The first `most` of those that are alone, and all members of gangs."""
    alone = [pod for pod in pods if pod.view.group is None][:most]
    kept = {id(pod) for pod in alone}
    return [pod for pod in pods if pod.view.group is not None or id(pod) in kept]
