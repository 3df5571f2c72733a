"""GpuDevices: enough devices of an accepted model, each with the milli that the pod asks of a device.

Source of the semantics: open-gpu-share (hkust-adsl/kubernetes-scheduler-simulator): a pod of one device needs one with
idle >= its milli, a pod of n devices needs n such devices; a node's devices are all of one model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.gpu import DEVICE_MILLI, GPU_MILLI, WHOLE_GPU
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool, Int64

REASON_MODEL = "node(s) didn't match Pod's GPU card model"


@dataclass(frozen=True, slots=True)
class GpuModel:
    """The node has GPUs, and of a model that the pod names (any when it names none)."""

    models: tuple[str, ...]

    plugin = "GpuDevices"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        accepted = np.array([not self.models or model in self.models for model in (*state.gpu_models, None)])
        accepted[-1] = False  # index -1: no GPU
        found: Bool = accepted[state.gpu_model[nodes]]
        return found

    def holds(self, state: ClusterState, node: int) -> bool:
        model = state.model_of[node]
        return model >= 0 and (not self.models or state.gpu_models[model] in self.models)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        if state.model_of[node] < 0:
            return (f"Insufficient {WHOLE_GPU}",)
        return (REASON_MODEL,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        without = int(np.count_nonzero(state.gpu_model[nodes] < 0))
        return [(f"Insufficient {WHOLE_GPU}", without), (REASON_MODEL, len(nodes) - without)]


@dataclass(frozen=True, slots=True)
class GpuDevices:
    """`count` devices with at least `milli` idle each.

    Whole devices are Kubernetes' extended resource nvidia.com/gpu: a lack of them is told by NodeResourcesFit, beside
    the other resources that lack.
    """

    count: int
    milli: int

    scope = Scope.NODE_USAGE
    resolvable = True
    node_names = None

    @property
    def plugin(self) -> str:
        return "NodeResourcesFit" if self.milli == DEVICE_MILLI else "GpuDevices"

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        idle = state.gpu_free[nodes]
        if not idle.shape[1]:
            return np.zeros(len(idle), dtype=np.bool_)
        if self.count == 1:
            found: Bool = idle.max(axis=1) >= self.milli
        else:
            found = np.count_nonzero(idle >= self.milli, axis=1) >= self.count
        return found

    def holds(self, state: ClusterState, node: int) -> bool:
        idle = state.devices_of[node]
        milli = self.milli
        if self.count == 1:
            return bool(idle) and max(idle) >= milli
        fitting = 0
        for device in idle:
            if device >= milli:
                fitting += 1
        return fitting >= self.count

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (f"Insufficient {WHOLE_GPU if self.milli == DEVICE_MILLI else GPU_MILLI}",)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(self.reasons(state, 0)[0], len(nodes))]
