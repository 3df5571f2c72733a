"""How the published simulator's floating-point sums decide between 49 and 50 where fragmentation does not change.

A placement that changes no fragment scores 100 x sigmoid(0) = 50. But the simulator sums F in floating point, by reason
(frag.go: lacks both, lacks GPU, lacks CPU, CPU-only pod that fits, CPU-only pod that does not, no access), so a typical
pod that merely changes its reason can move F by an ulp, and int() turns 49.999.. into 49. To place pods as published,
such ties are decided by the same sums in the same order; everywhere else whole numbers decide (descent.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.model.fragmentation import TypicalPods
from harness.scheduling.strategy import Float64, Int64

_LACKS_BOTH, _LACKS_GPU, _SATISFIED, _LACKS_CPU, _CPU_FITS, _CPU_LACKS, _NO_ACCESS = range(7)
_IN_ORDER = (_LACKS_BOTH, _LACKS_GPU, _LACKS_CPU, _CPU_FITS, _CPU_LACKS, _NO_ACCESS)


class PublishedSums:
    """F in floating point, for nodes of `models`."""

    def __init__(self, typical: TypicalPods, models: Sequence[str]) -> None:
        # Normalised twice, as GetTypicalPods does: over all pods, then over the typical ones.
        everything = float(typical.everything)
        counts = np.array(typical.weights, dtype=np.float64)
        self._share = (counts / everything / (typical.total / everything))[:, None]
        self._cpu = np.array([pod.cpu_milli for pod in typical.pods], dtype=np.int64)[:, None]
        self._milli = np.array([pod.gpu_milli for pod in typical.pods], dtype=np.int64)[:, None]
        self._count = np.array([pod.gpu_count for pod in typical.pods], dtype=np.int64)[:, None]
        self._accepts = np.array([[*map(pod.accepts, models), False] for pod in typical.pods], dtype=np.bool_)

    def amount(self, cpu_milli: Int64, devices: Int64, model: Int64) -> Float64:
        """F of each node, GPU milli, float64 [nodes]; `devices`: idle milli [nodes, devices]."""
        fits = devices[None] >= self._milli[:, :, None]  # [typical pod, node, device]
        too_small = np.where(fits, 0, devices[None]).sum(axis=2)
        gpu, cpu = fits.sum(axis=2) >= self._count, cpu_milli[None] >= self._cpu
        access, cpu_only = self._accepts[:, model], self._milli == 0
        satisfied = access & gpu & cpu & ~cpu_only
        value = self._share * np.where(satisfied, too_small, devices.sum(axis=1)[None])
        reason = np.where(gpu, _LACKS_CPU, np.where(cpu, _LACKS_GPU, _LACKS_BOTH))
        reason = np.where(satisfied, _LACKS_GPU, reason)  # what a satisfied pod leaves idle lacks GPU
        reason = np.where(access, reason, _NO_ACCESS)
        reason = np.where(cpu_only, np.where(cpu, _CPU_FITS, _CPU_LACKS), reason)
        total = np.zeros(len(cpu_milli))
        for kind in _IN_ORDER:
            # accumulate adds one typical pod after the other; sum would add in pairs and round differently
            total += np.add.accumulate(np.where(reason == kind, value, 0.0), axis=0)[-1]
        return total

    @staticmethod
    def score(before: Float64, after: Float64) -> Int64:
        """int(100 x sigmoid((before - after) / 1000))."""
        result: Int64 = (100.0 * (1.0 / (1.0 + np.exp(-(before - after) / 1000.0)))).astype(np.int64)
        return result
