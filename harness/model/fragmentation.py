"""GPU fragmentation: how much idle GPU the typical pods of a workload cannot use, exactly and in whole numbers.

Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023, and its simulator (hkust-adsl/kubernetes-scheduler-simulator, pkg/utils/frag.go). For typical pod m
and a node with idle GPU I: when m asks for no GPU, or the node's model, devices or CPU do not do for m, all of I is
fragment; else what sits idle on devices with less than m's milli. Weighted over the typical pods. Memory is left out.

Amounts here are multiplied by the sum of the weights, so that they are integers and equal means equal.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.model.gpu import DEVICE_MILLI

Int64: TypeAlias = npt.NDArray[np.int64]

TYPICAL_SHARE_PERCENT = 95
"""Typical pods are the most frequent ones that make up this share. Source: frag.go, isInvolvedCpuPods, popularity."""


@dataclass(frozen=True, slots=True, order=True)
class GpuPod:
    """What fragmentation looks at in a pod."""

    cpu_milli: int
    gpu_milli: int  # of each device
    gpu_count: int
    models: str = ""  # accepted models, 'A|B'; empty means any

    def accepts(self, model: str) -> bool:
        return not self.models or model in self.models.split("|")


@dataclass(frozen=True, slots=True)
class TypicalPods:
    """The most frequent specs of a workload and how often each occurs."""

    pods: tuple[GpuPod, ...]
    weights: tuple[int, ...]
    everything: int  # pods of the workload that these were taken from

    @property
    def total(self) -> int:
        return sum(self.weights)

    @classmethod
    def of(cls, pods: Iterable[GpuPod]) -> TypicalPods:
        """The shortest list of specs, most frequent first, that reaches TYPICAL_SHARE_PERCENT of `pods`.

        Specs of the same frequency come in descending order. Raises ValueError when there are no pods.
        """
        counted = Counter(pods)
        if not counted:
            raise ValueError("fragmentation needs pods to tell which ones are typical")
        ranked = sorted(counted.items(), key=lambda item: (item[1], item[0]), reverse=True)
        everything = sum(counted.values())
        kept: list[tuple[GpuPod, int]] = []
        reached = 0
        while reached * 100 < everything * TYPICAL_SHARE_PERCENT:
            kept.append(ranked[len(kept)])
            reached += kept[-1][1]
        return cls(tuple(pod for pod, _ in kept), tuple(count for _, count in kept), everything)


class Fragmentation:
    """The definition in tables, for nodes of `models` with at most `width` devices.

    What all typical pods that want t milli of a device can use of a node is: (weight of those whose CPU, model and
    number of devices the node meets) x (idle milli on devices with at least t). The first factor is `weight[cpu
    bucket, model, t, devices with at least t]`; the fragment is what is idle and cannot be used. Amounts are in
    weighted milli: milli x `total`.
    """

    def __init__(self, typical: TypicalPods, models: Sequence[str], width: int) -> None:
        self.typical = typical
        self.models = tuple(models)
        self.width = width
        self.total = typical.total
        wants_gpu = [(pod, w) for pod, w in zip(typical.pods, typical.weights, strict=True) if pod.gpu_count]
        self.cpu_steps: Int64 = np.array(sorted({pod.cpu_milli for pod, _ in wants_gpu}), dtype=np.int64)
        self.thresholds: Int64 = np.array(sorted({pod.gpu_milli for pod, _ in wants_gpu}), dtype=np.int64)
        steps, marks = self.cpu_steps.tolist(), self.thresholds.tolist()
        # [cpu bucket, model, threshold, devices]
        self.weight: Int64 = np.zeros((len(steps) + 1, len(self.models), len(marks), width + 1), dtype=np.int64)
        for pod, weight in wants_gpu:
            bucket, mark = steps.index(pod.cpu_milli) + 1, marks.index(pod.gpu_milli)
            for at, model in enumerate(self.models):
                if pod.accepts(model):
                    self.weight[bucket:, at, mark, pod.gpu_count :] += weight
        # By idle milli of one device: 1 where it reaches the threshold, and its idle milli there.
        idle = np.arange(DEVICE_MILLI + 1, dtype=np.int64)[:, None]
        self.reaches: Int64 = (idle >= self.thresholds[None, :]).astype(np.int64)  # [idle, threshold]
        self.offers: Int64 = idle * self.reaches  # [idle, threshold]
        self._weight_lists: list[list[list[list[int]]]] = self.weight.tolist()
        self._marks: list[int] = marks
        self._steps: list[int] = steps
        self._known: dict[tuple[int, int, tuple[int, ...]], int] = {}

    def bucket(self, cpu_milli: Int64) -> Int64:
        """How many of `cpu_steps` the free CPU reaches."""
        return np.searchsorted(self.cpu_steps, cpu_milli, side="right")

    def satisfied(self, bucket: Int64, model: Int64, reach: Int64, offer: Int64) -> Int64:
        """Weighted milli that typical pods can use, int64 [states]; `reach`, `offer`: [states, thresholds]."""
        marks = np.arange(len(self._marks))
        weights = self.weight[bucket[:, None], model[:, None], marks[None, :], reach]
        result: Int64 = (weights * offer).sum(axis=1)
        return result

    def amount(self, cpu_milli: Int64, devices: Int64, model: Int64) -> Int64:
        """Weighted fragment of each node, int64 [nodes].

        `devices`: idle milli, int64 [nodes, devices]; `model`: index into `models`, -1 without GPUs.
        """
        if not self.models:
            nothing: Int64 = np.zeros(len(cpu_milli), dtype=np.int64)
            return nothing
        reach, offer = self.reaches[devices].sum(axis=1), self.offers[devices].sum(axis=1)
        usable = self.satisfied(self.bucket(cpu_milli), model, reach, offer)
        result: Int64 = devices.sum(axis=1) * self.total - np.where(model >= 0, usable, 0)
        return result

    def of_node(self, cpu_milli: int, devices: Sequence[int], model: int) -> int:
        """The same for one node, without numpy; remembered."""
        key = (bisect_right(self._steps, cpu_milli), model, tuple(sorted(devices)))
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 1 << 18:
                self._known.clear()
            known = self._known[key] = self._of_state(*key)
        return known

    def _of_state(self, bucket: int, model: int, devices: tuple[int, ...]) -> int:
        fragment = sum(devices) * self.total
        if model < 0:
            return fragment
        idle_on = [*accumulate(reversed(devices), initial=0)]  # on the n most idle ones; they come least idle first
        count = len(devices)
        for mark, weights in zip(self._marks, self._weight_lists[bucket][model], strict=True):
            fitting = count - bisect_left(devices, mark)
            fragment -= weights[fitting] * idle_on[fitting]
        return fragment
