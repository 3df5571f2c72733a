"""The mix of pods that a cluster is asked for, as the ranker remembers it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.model.fragmentation import GpuPod, TypicalPods
from harness.scheduling.strategy import CPU, MEMORY, PodView

KEPT_PERCENT = 97
"""The most frequent requests that make up this share of the pods with GPUs are looked at one by one."""


@dataclass(frozen=True, slots=True, order=True)
class PodRequest:
    cpu_milli: int
    memory_bytes: int
    gpu: GpuPod

    @property
    def gpu_milli(self) -> int:
        return self.gpu.gpu_milli * self.gpu.gpu_count


def request_of(pod: PodView) -> PodRequest:
    amounts, gpu = pod.cls.amounts, pod.gpu
    fragment = GpuPod(amounts[CPU], gpu.milli if gpu.count else 0, gpu.count, "|".join(gpu.models))
    return PodRequest(amounts[CPU], amounts[MEMORY], fragment)


@dataclass(frozen=True, slots=True)
class RequestMix:
    """`wanted`: requests with GPUs and how often each occurs, most frequent first. `typical`: as FGD takes them."""

    typical: TypicalPods
    wanted: tuple[tuple[PodRequest, int], ...]

    @classmethod
    def of(cls, counted: Mapping[PodRequest, int]) -> RequestMix | None:
        """None where nobody asks for a GPU."""
        with_gpu = sorted(((r, n) for r, n in counted.items() if r.gpu_milli), key=lambda item: (-item[1], item[0]))
        if not with_gpu:
            return None
        everything = sum(n for _, n in with_gpu)
        kept, reached = [], 0
        for request, n in with_gpu:
            if reached * 100 >= everything * KEPT_PERCENT:
                break
            kept.append((request, n))
            reached += n
        pods = Counter[GpuPod]()
        for request, n in counted.items():
            pods[request.gpu] += n
        return cls(TypicalPods.of(pods.elements()), tuple(kept))


def count(pods: Iterable[PodView]) -> Counter[PodRequest]:
    return Counter(request_of(pod) for pod in pods)
