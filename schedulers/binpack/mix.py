"""The observed pod mix: how often each pod class has asked for a place, and the means that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.scheduling.strategy import CPU, MEMORY, PodClass, PodView


@dataclass(frozen=True, slots=True)
class Means:
    """Mean requests: `device_*` per whole device of the pods that ask for GPU, `plain_*` per pod of those that don't.

    milli-CPU and bytes; 0.0 where the mix holds no such pod. `shares`: (milli of one device, pods that asked for it),
    ascending, whole devices left out. `together`: (devices that a pod asks for at once, its part of all GPU milli asked
    for), ascending, one device left out.
    """

    device_cpu: float
    device_memory: float
    plain_cpu: float
    plain_memory: float
    shares: tuple[tuple[int, int], ...]
    together: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class ClassMix:
    """Counts each pod once, when first seen; pods that wait and come again are remembered until they are bound."""

    classes: dict[int, PodClass] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    seen: int = 0
    _waiting: set[str] = field(default_factory=set)

    def add(self, cls: PodClass, count: int = 1) -> None:
        self.classes.setdefault(cls.id, cls)
        self.counts[cls.id] = self.counts.get(cls.id, 0) + count
        self.seen += count

    def observe(self, pods: Iterable[PodView]) -> None:
        for pod in pods:
            if pod.key not in self._waiting:
                self._waiting.add(pod.key)
                self.add(pod.cls)

    def bound(self, key: str) -> None:
        self._waiting.discard(key)

    def means(self) -> Means:
        """Sums of integers divided once at the end, so the order of arrival leaves no trace."""
        gpu_milli = gpu_cpu = gpu_memory = plain = plain_cpu = plain_memory = 0
        shares: dict[int, int] = {}
        together: dict[int, int] = {}
        for key in sorted(self.classes):
            cls, n = self.classes[key], self.counts[key]
            cpu, memory = int(cls.requests[CPU]), int(cls.requests[MEMORY])
            if cls.gpu.count:
                gpu_milli += n * cls.gpu.total_milli
                gpu_cpu += n * cpu
                gpu_memory += n * memory
                if cls.gpu.count > 1:
                    together[cls.gpu.count] = together.get(cls.gpu.count, 0) + n * cls.gpu.total_milli
                if cls.gpu.milli < 1000:
                    shares[cls.gpu.milli] = shares.get(cls.gpu.milli, 0) + n * cls.gpu.count
            else:
                plain += n
                plain_cpu += n * cpu
                plain_memory += n * memory
        return Means(
            device_cpu=1000 * gpu_cpu / gpu_milli if gpu_milli else 0.0,
            device_memory=1000 * gpu_memory / gpu_milli if gpu_milli else 0.0,
            plain_cpu=plain_cpu / plain if plain else 0.0,
            plain_memory=plain_memory / plain if plain else 0.0,
            shares=tuple(sorted(shares.items())),
            together=tuple((count, milli / gpu_milli) for count, milli in sorted(together.items())),
        )
