"""Migrations for any strategy: the budget, the room promised to whoever was moved aside, and when to look for moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scheduling.strategy import Bind, ClusterView, Decision, Evict, Int64, PodBatch, PodView, Wait
from schedulers.binpack.board import Board, choose_devices
from schedulers.binpack.migrate import VICTIMS, Mover

LONGEST_BACKOFF = 64
"""A class for which no move was found is looked at again after 1, 2, 4, .. windows, at most so many."""

ASK_AGAIN_NS = 300 * 10**9
"""A pod for which room was made is not helped again before this: the flush interval of unschedulable pods (5 min)."""


@dataclass(frozen=True, slots=True)
class Promise:
    """`node` (the cluster's index) keeps room for `pod`: it was moved aside for another, or others were for it.

    `devices`: the ones that are kept for it; None: any.
    """

    node: int
    pod: PodView
    at_ns: int
    devices: tuple[int, ...] | None = None


class Migrations:
    """What one strategy moves. `part`: most moves, as a part of the pods bound so far. `bare`: pods without a
    controller may be moved, too, which nobody makes anew in a cluster.
    """

    def __init__(self, part: float, bare: bool) -> None:
        self.part = part
        self.bare = bare
        self.short_of_budget = part == 0  # whether a greater budget could have decided anything differently
        self._bound = 0
        self._moved = 0
        self._promised: dict[str, Promise] = {}  # by the pod that was moved aside
        self._asked_ns: dict[str, int] = {}  # pod that room is being made for -> when
        self._window = 0
        self._backoff: dict[int, tuple[int, int]] = {}  # class that no move was found for -> (windows, next window)

    def bound(self) -> None:
        """One more pod was bound: the budget grows."""
        self._bound += 1

    @property
    def spoken_for(self) -> frozenset[int]:
        """Nodes (the cluster's indices) that keep room for somebody."""
        return frozenset(promise.node for promise in self._promised.values())

    def coming_back(self, pods: PodBatch, cluster: ClusterView, worth: Callable[[], Int64]) -> Iterator[Bind | Wait]:
        """Of those for whom room is kept, the promised pods themselves or what replaces them, as long as it is there.

        They wait while whoever was moved away from that room is still on the way out. `worth`: of an idle device by
        its milli (`Stranding.worth`).
        """
        if not self._promised:
            return
        for pod in pods:
            key = self._promise_to(pod, cluster.now_ns)
            if key is None:
                continue
            promise = self._promised[key]
            if not cluster.feasible(pod)[promise.node]:
                if any(other.terminating for other in cluster.pods_on(promise.node)):
                    yield Wait(pod, f"room is being made for it on {cluster.names[promise.node]}")
                else:
                    del self._promised[key]
                continue
            del self._promised[key]
            idle = np.asarray(cluster.gpu_free[promise.node])
            devices = promise.devices
            if devices is None or any(idle[device] < pod.gpu.milli for device in devices):
                devices = choose_devices(pod.cls, idle, worth()) or None
            yield Bind(pod, promise.node, devices)

    def make_room(
        self,
        waits: Sequence[Wait],
        board: Callable[[], Board],
        cluster: ClusterView,
        wanted: Callable[[PodView], tuple[int, ...]],
    ) -> Iterator[Decision]:
        """Move running pods aside for those that wait, the most wanted first, as far as the budget goes.

        `board`: as the cluster stands now. `wanted`: how much a pod is wanted, beside its priority.
        """
        self._window += 1
        mover: Mover | None = None
        at_version = -1
        waiting = [wait.pod for wait in waits if wait.pod.group is None]
        for pod in sorted(waiting, key=lambda pod: (-pod.priority, *(-amount for amount in wanted(pod)))):
            budget = int(self.part * self._bound) - self._moved
            asked = self._asked_ns.get(pod.key)
            self.short_of_budget |= budget < VICTIMS
            if budget < 1:
                break
            pause, again = self._backoff.get(pod.cls.id, (0, 0))
            if self._window < again or (asked is not None and cluster.now_ns - asked < ASK_AGAIN_NS):
                continue
            if mover is None or cluster.version != at_version:
                at_version = cluster.version
                mover = Mover(board(), cluster, self.spoken_for, frozenset(self._promised), self.bare)
            move = mover.find(pod, budget)
            if move is None:
                pause = min(max(1, 2 * pause), LONGEST_BACKOFF)
                self._backoff[pod.cls.id] = (pause, self._window + pause)
                continue
            self._backoff.pop(pod.cls.id, None)
            self._asked_ns[pod.key] = cluster.now_ns
            source = int(mover.board.order[move.source])
            for victim, target in zip(move.victims, move.targets, strict=True):
                self._moved += 1
                node = int(mover.board.order[target])
                self._promised[victim.key] = Promise(node, victim, cluster.now_ns)
                yield Evict(victim.key, f"makes room for {pod.key}, and has room on {cluster.names[node]}")
            worth = mover.board.stranding.worth
            kept = None if move.idle is None else choose_devices(pod.cls, move.idle, worth) or None
            # Where an eviction takes effect at once the pod goes in at once; elsewhere it comes back for the room.
            if cluster.feasible(pod)[source]:
                del self._asked_ns[pod.key]
                devices = kept or choose_devices(pod.cls, np.asarray(cluster.gpu_free[source]), worth) or None
                yield Bind(pod, source, devices)
            else:
                self._promised[pod.key] = Promise(source, pod, cluster.now_ns, kept)
            mover = None  # who moves, and what is spoken for, is no longer what it saw

    def _promise_to(self, pod: PodView, now_ns: int) -> str | None:
        """Under which key room is kept for `pod`, or for the pod that it replaces: same controller, same request."""
        for key in [key for key, promise in self._promised.items() if now_ns - promise.at_ns > ASK_AGAIN_NS]:
            del self._promised[key]  # it never came back: the eviction was refused, or its controller wants fewer
        for key, promise in self._promised.items():
            moved = promise.pod
            same = pod.owner is not None and (pod.owner, pod.namespace) == (moved.owner, moved.namespace)
            if key == pod.key or (same and pod.cls.amounts == moved.cls.amounts and pod.gpu == moved.gpu):
                return key
        return None
