"""Tetris: the pod and node whose demand and room are most alike go first, and jobs with little work left before others.

Source: Grandl et al., Multi-resource Packing for Cluster Schedulers, SIGCOMM 2014, sections 3.2 and 3.3. Alignment is
the dot product of what the pod asks and what the node has free, both as parts of the node's capacity. Remaining work of
a job is the sum over its waiting pods of duration times what they ask as parts of the mean node. The score is
a - epsilon * p, with epsilon the mean alignment over the mean remaining work of the candidates, times `weight` (the
paper's m, 1). Durations are the lifetimes that pods declare; a job with one that does not counts as the longest.

Own choices: the paper fills one machine after the other, as room comes up on it (section 3.2); here all machines are
looked at, and the best pair of pod and node goes first. Of a job's remaining work only pods that wait count, as those
that run are no candidates; the paper counts all remaining tasks (section 3.3).

Not modelled: disk and network demands, the penalty for remote data, the fairness knob, the barrier knob.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.scoring import NOWHERE, one_by_one
from harness.scheduling.strategy import PODS, Bind, ClusterView, Decision, Float64, Int64, PodBatch, PodView, Wait

_Job = list[PodView]


class Tetris:
    """A pod's job is its gang, or its controller (a Job, a ReplicaSet), or itself."""

    def __init__(self, weight: float = 1.0, batch_size: int = 512) -> None:
        self.batch_size = int(batch_size)
        self._weight = float(weight)
        if not self._weight >= 0:
            raise UserError("no such weight of remaining work", found=repr(weight), expected="0 or more")

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        turns = _turns(pods)
        work = _remaining_work(turns, cluster)
        waiting = list(range(len(turns)))
        table = _Alignments(cluster)

        def choose(pod: PodView) -> Bind | None:
            best = table.best(pod)
            return None if best is None else Bind(pod, best[1])

        while waiting:
            aligned = {at: found[0] for at in waiting if (found := table.best(turns[at][0])) is not None}
            if not aligned:
                break
            mean_work = sum(work[at] for at in aligned) / len(aligned)
            epsilon = 0.0
            if mean_work > 0:
                epsilon = self._weight * (sum(aligned.values()) / len(aligned)) / mean_work
            at = max(aligned, key=lambda at: (aligned[at] - epsilon * work[at], -at))
            waiting.remove(at)
            yield from one_by_one(turns[at], cluster, choose)
        for at in waiting:
            yield from (Wait(pod, NOWHERE) for pod in turns[at])


class _Alignments:
    """Alignment of each pod class with each node where it fits, as the cluster stands."""

    def __init__(self, cluster: ClusterView) -> None:
        self._cluster = cluster
        self._kept: dict[int, tuple[int, tuple[float, int] | None]] = {}

    def best(self, pod: PodView) -> tuple[float, int] | None:
        """The greatest alignment and its node, the lowest rank among equals. None: it fits nowhere."""
        cluster = self._cluster
        kept = self._kept.get(pod.cls.id)
        independent = cluster.is_independent(pod)
        if independent and kept is not None and kept[0] == cluster.version:
            return kept[1]
        fits: Int64 = np.flatnonzero(cluster.feasible(pod))
        found = None
        if len(fits):
            scores = alignment(pod, cluster, fits)
            at = int(np.lexsort((cluster.rank[fits], -scores))[0])
            found = (float(scores[at]), int(fits[at]))
        self._kept[pod.cls.id] = (cluster.version, found)
        return found


def alignment(pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
    """Dot product of demand and free amounts, each over the node's capacity: CPU, memory, GPU and extended resources.

    float64 [len(nodes)]. GPUs count once, by their milli.
    """
    out = np.zeros(len(nodes), dtype=np.float64)
    for row, wanted in enumerate(pod.cls.amounts[: len(cluster.resources)]):
        if wanted and row != PODS and not (pod.gpu.count and "gpu" in cluster.resources[row]):
            capacity = np.maximum(cluster.capacity[row][nodes], 1)
            out += wanted / capacity * (cluster.free[row][nodes] / capacity)
    if pod.gpu.total_milli:
        capacity = np.maximum(cluster.gpu_capacity[nodes].sum(axis=1), 1)
        out += pod.gpu.total_milli / capacity * (cluster.gpu_free[nodes].sum(axis=1) / capacity)
    return out


def _turns(pods: PodBatch) -> list[_Job]:
    """What is placed at once: a pod, or a gang."""
    turns: dict[str, _Job] = {}
    for pod in pods:
        gang = pod.group if pod.group is not None and pod.group_min > 1 else None
        turns.setdefault(pod.key if gang is None else f"group {gang}", []).append(pod)
    return list(turns.values())


def _job_of(pod: PodView) -> str:
    if pod.group is not None:
        return f"group {pod.group}"
    return pod.key if pod.owner is None else f"{pod.owner[0]} {pod.namespace}/{pod.owner[1]}"


def _remaining_work(turns: list[_Job], cluster: ClusterView) -> list[float]:
    """Of the job of each turn: seconds times parts of the mean node. 0 for all where nobody declares a lifetime."""
    nodes = max(int(np.count_nonzero(cluster.alive)), 1)
    mean = np.maximum(cluster.capacity.sum(axis=1) / nodes, 1.0)
    mean_gpu = max(cluster.gpu_capacity.sum() / nodes, 1.0)
    work: dict[str, float] = {}
    unknown: set[str] = set()
    for turn in turns:
        for pod in turn:
            job = _job_of(pod)
            if pod.lifetime_ns is None:
                unknown.add(job)
                continue
            parts = sum(
                wanted / float(mean[row])
                for row, wanted in enumerate(pod.cls.amounts[: len(mean)])
                if row != PODS and not (pod.gpu.count and "gpu" in cluster.resources[row])
            )
            parts += pod.gpu.total_milli / mean_gpu
            work[job] = work.get(job, 0.0) + pod.lifetime_ns / 1e9 * parts
    longest = max(work.values(), default=0.0)
    return [longest if _job_of(turn[0]) in unknown else work[_job_of(turn[0])] for turn in turns]
