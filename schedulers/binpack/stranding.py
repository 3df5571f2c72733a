"""What a placement costs: the capacity that it is expected to strand under the observed pod mix.

Every node has a potential that depends on its own free columns alone; the cost of a placement is the growth of the
potential, so costs of placements on one node add up whatever their order, and nodes are independent.

A node with GPUs, whose idle devices are worth U (`prices.residual_worth`, in devices), k of them wholly idle, with
free cpu c and memory m:

    potential = U * (0.53 * q(2.5 c / (U C)) + 0.3 * q(10 m / (U M))) - U - 0.02 * sum over n of s(n) * n * (k // n)

C and M are what the mix asks for beside one device, and q(y) = (1 + y/16)^-16, close to exp(-y). The bracket is the
share of the idle devices that will find no cpu or memory. -U lets a placement pay for the device worth that it uses
up, so that a share pod prefers the hole that little else fits. The sum keeps devices together for the pods that ask
for n at once, which are s(n) of the GPU demand. A node without GPUs has the bracket between cpu and memory alone,
weighted far lower, so that pods without GPU go there first.

These numbers, and those of `prices`, were fitted on the openb default list under arrival orders drawn from seeds that
no comparison uses (101 to 124, held against 201 to 224); the other lists keep them. GPU allocation is flat around
them, but falls steeply where TIGHTNESS is below 0.008, or cpu weighs more or decays slower: then pods spread over the
nodes early.

Only +, -, *, / are used, so that the bits are the same on every machine (exp is not).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.scheduling.strategy import Bool, Float64, Int64
from schedulers.binpack.mix import Means
from schedulers.binpack.prices import WORTH, residual_worth

CPU_WEIGHT, CPU_DECAY = 0.53, 2.5
MEMORY_WEIGHT, MEMORY_DECAY = 0.3, 10.0
PLAIN_WEIGHT, PLAIN_DECAY = 0.02, 2.0
TIGHTNESS = 0.009  # paid for each idle device of the chosen node: fill nodes that are nearly full first

TOGETHER = 0.02  # what keeping n devices together is worth, for each part of the demand that asks for n

MAX_DEVICES = 64  # of one node; beyond them `kept` grows no more

COST = 1_000_000  # integer units of cost in the potential of one idle device


def _decay(y: Float64) -> Float64:
    t = 1.0 / (1.0 + y * 0.0625)
    t = t * t
    t = t * t
    t = t * t
    return t * t


@dataclass(frozen=True, slots=True, eq=False)
class Stranding:
    """The potential under one mix.

    `worth`: of r idle milli of a device, int64 [1001], WORTH units; `kept`: of k wholly idle devices on one node,
    beyond their own worth, int64 [MAX_DEVICES + 1], COST units.
    """

    means: Means
    worth: Int64
    kept: Int64

    @classmethod
    def of(cls, means: Means) -> Stranding:
        idle = np.arange(MAX_DEVICES + 1, dtype=np.int64)
        kept = np.zeros(MAX_DEVICES + 1, dtype=np.int64)
        for count, part in means.together:
            kept += idle // count * count * round(part * TOGETHER * COST)
        return cls(means, residual_worth(means.shares), kept)

    def potential(self, idle_worth: Int64, whole: Int64, cpu: Int64, memory: Int64, has_gpu: Bool) -> Int64:
        """In COST units, int64, of any shape that the arguments broadcast to.

        `idle_worth` in WORTH units, `whole` a number of wholly idle devices, `cpu` and `memory` free.
        """
        mean = self.means
        if has_gpu.all():
            return self._with_gpu(idle_worth, whole, cpu, memory)
        scaled_cpu = np.maximum(cpu, 0) / max(mean.plain_cpu, 1.0)
        scaled_memory = np.maximum(memory, 0) / max(mean.plain_memory, 1.0)
        plain = PLAIN_WEIGHT * (
            scaled_cpu * _decay(PLAIN_DECAY * scaled_memory / np.maximum(scaled_cpu, 1e-9))
            + scaled_memory * _decay(PLAIN_DECAY * scaled_cpu / np.maximum(scaled_memory, 1e-9))
        )
        plain_cost = np.rint(plain * COST).astype(np.int64)
        if not has_gpu.any():
            return plain_cost
        return np.where(has_gpu, self._with_gpu(idle_worth, whole, cpu, memory), plain_cost)

    def _with_gpu(self, idle_worth: Int64, whole: Int64, cpu: Int64, memory: Int64) -> Int64:
        devices = np.maximum(idle_worth, 1) / WORTH
        starved_cpu = _decay(np.maximum(cpu, 0) * (CPU_DECAY / max(self.means.device_cpu, 1.0)) / devices)
        starved_memory = _decay(np.maximum(memory, 0) * (MEMORY_DECAY / max(self.means.device_memory, 1.0)) / devices)
        stranded = devices * (CPU_WEIGHT * starved_cpu + MEMORY_WEIGHT * starved_memory)
        kept: Int64 = self.kept[np.minimum(whole, MAX_DEVICES)]
        return np.rint(stranded * COST).astype(np.int64) - idle_worth * (COST // WORTH) - kept

    def tightness(self, idle_worth: Int64, free_share: Float64, has_gpu: Bool) -> Int64:
        """Cost of touching each node, COST units: `idle_worth` at the start of the window, WORTH units."""
        idle = np.where(has_gpu, idle_worth / WORTH, free_share)
        return np.rint(idle * (TIGHTNESS * COST)).astype(np.int64)
