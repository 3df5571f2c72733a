"""Dominant Resource Fairness: the next pod is one of the user whose dominant share is least.

Source: Ghodsi et al., Dominant Resource Fairness: Fair Allocation of Multiple Resource Types, NSDI 2011, algorithm 1.
A user's dominant share is the largest share of any resource of the whole cluster that its pods hold. A pod that fits
nowhere is passed over, where algorithm 1 ends. Fairness is between users with pods that wait;
nobody is preempted for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.scheduling.scoring import ChangedNodes, Choice, one_by_one
from harness.scheduling.strategy import CPU, PODS, Bind, ClusterView, Decision, Float64, Int64, PodBatch, PodView

USER = "podyard.dev/user"
"""Label of a pod: who submitted it. Pods without it are their namespace's."""


class DRF:
    """`user_label`: which label names the user. `weights`: none; all users are equal. Of the nodes, the fullest."""

    def __init__(self, user_label: str = USER, batch_size: int = 4096) -> None:
        self.batch_size = int(batch_size)
        self._label = user_label
        self._changed = ChangedNodes()
        self._of_node: list[dict[str, Float64]] = []  # by node: what each user holds there, rows as in `_held`
        self._of_user: dict[str, Float64] = {}

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        total = _total(cluster)
        queues: dict[str, list[list[PodView]]] = {}
        for job in _jobs(pods):
            queues.setdefault(self.user(job[0]), []).append(job)
        for jobs in queues.values():
            jobs.reverse()
        arrival = {user: at for at, user in enumerate(queues)}
        choose = _fullest(cluster)
        while queues:
            self._sync(cluster)
            user = min(queues, key=lambda name: (self._share(name, total), arrival[name]))
            job = queues[user].pop()
            yield from one_by_one(job, cluster, choose)
            if not queues[user]:
                del queues[user]

    def user(self, pod: PodView) -> str:
        return pod.labels.get(self._label) or pod.namespace

    def _share(self, user: str, total: Float64) -> float:
        held = self._of_user.get(user)
        return 0.0 if held is None else float((held[: len(total)] / total[: len(held)]).max())

    def _sync(self, cluster: ClusterView) -> None:
        changed = self._changed.since_last(cluster)
        if changed is None:
            self._of_node, self._of_user = [], {}
        for node in range(len(cluster.names)) if changed is None else changed.tolist():
            while node >= len(self._of_node):
                self._of_node.append({})
            for user, held in self._of_node[node].items():
                self._add(user, -held)
            here: dict[str, Float64] = {}
            for pod in cluster.pods_on(node):
                user, held = self.user(pod), _held(pod)
                here[user] = held if user not in here else _plus(here[user], held)
            self._of_node[node] = here
            for user, held in here.items():
                self._add(user, held)

    def _add(self, user: str, held: Float64) -> None:
        there = self._of_user.get(user)
        there = held if there is None else _plus(there, held)
        if there.any():
            self._of_user[user] = there
        else:
            self._of_user.pop(user, None)


def _held(pod: PodView) -> Float64:
    """What a pod takes: GPU milli, then requests by resource row; whole numbers, so that sums come out exact."""
    held = np.array([pod.gpu.total_milli, *pod.cls.amounts], dtype=np.float64)
    held[1 + PODS] = 0  # a slot for a pod is no resource of the paper's
    return held


def _plus(a: Float64, b: Float64) -> Float64:
    """Resources that one of them has never heard of are 0 there."""
    out = (a if len(a) >= len(b) else b).copy()
    short = b if len(a) >= len(b) else a
    out[: len(short)] += short
    return out


def _total(cluster: ClusterView) -> Float64:
    """Of the whole cluster, rows as in `_held`; infinite where it has none."""
    total = np.array([cluster.gpu_capacity.sum(), *cluster.capacity.sum(axis=1)], dtype=np.float64)
    total[total == 0] = np.inf
    return total


def _jobs(pods: PodBatch) -> list[list[PodView]]:
    """Pods, and gangs as one, in the queue's order."""
    gangs: dict[str, list[PodView]] = {}
    for pod in pods:
        gang = pod.group if pod.group is not None and pod.group_min > 1 else None
        gangs.setdefault(pod.key if gang is None else f"group {gang}", []).append(pod)
    return list(gangs.values())


def _fullest(cluster: ClusterView) -> Choice:
    def choose(pod: PodView) -> Bind | None:
        fits: Int64 = np.flatnonzero(cluster.feasible(pod))
        if not len(fits):
            return None
        keys = (cluster.rank[fits], cluster.free[CPU][fits], cluster.gpu_free[fits].sum(axis=1))
        return Bind(pod, int(fits[np.lexsort(keys)[0]]))

    return choose
