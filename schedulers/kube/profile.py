"""A profile: which scorers with which weights and arguments, for the pods of one schedulerName."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from harness.scheduling.filters.node_affinity import Requirement

FitStrategy: TypeAlias = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]

SCORERS: Mapping[str, int] = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
"""Score plugins of the default profile with their weights.
Source: kube-scheduler 1.32 apis/config/v1/default_plugins.go."""

OTHERS = (
    "SchedulingGates",
    "PrioritySort",
    "NodeUnschedulable",
    "NodeName",
    "NodePorts",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "DefaultPreemption",
    "DefaultBinder",
    "DynamicResources",
)
"""Plugins of the default profile (and DynamicResources) that score nothing here: what they do is the harness's part."""

HELD = (
    *(name for name in OTHERS if name != "DynamicResources"),
    *("TaintToleration", "NodeAffinity", "NodeResourcesFit", "PodTopologySpread", "InterPodAffinity"),
)
"""Plugins of the default profile that do more than score: the harness does it whatever a configuration says."""


@dataclass(frozen=True, slots=True)
class DefaultSpread:
    """A soft constraint for pods that have none of their own."""

    key: str
    max_skew: int


SYSTEM_SPREAD = (DefaultSpread("kubernetes.io/hostname", 3), DefaultSpread("topology.kubernetes.io/zone", 5))
"""Source: kube-scheduler 1.32 plugins/podtopologyspread systemDefaultConstraints."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`resources` and `balanced`: (name, weight). `shape`: (utilisation 0..100, score 0..100), ascending.

    `percentage`: of nodes to score; None asks for the adaptive share.
    """

    name: str = "default-scheduler"
    weights: Mapping[str, int] = field(default_factory=lambda: dict(SCORERS))
    fit: FitStrategy = "LeastAllocated"
    resources: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()
    balanced: tuple[str, ...] = ("cpu", "memory")
    hard_pod_affinity_weight: int = 1
    ignore_preferred_of_existing: bool = False
    added: tuple[tuple[int, tuple[Requirement, ...]], ...] = ()  # (weight, requirements) of addedAffinity's preferences
    spread: tuple[DefaultSpread, ...] = SYSTEM_SPREAD
    system_spread: bool = True
    percentage: int | None = None


MIN_NODES = 100
MIN_PERCENTAGE = 5
"""Source: kube-scheduler 1.32 schedule_one.go minFeasibleNodesToFind, minFeasibleNodesPercentageToFind."""


def nodes_to_find(percentage: int | None, nodes: int) -> int:
    """How many feasible nodes are enough. Source: kube-scheduler 1.32 schedule_one.go numFeasibleNodesToFind."""
    if nodes < MIN_NODES:
        return nodes
    if not percentage:
        percentage = max(50 - nodes // 125, MIN_PERCENTAGE)
    return max(nodes * percentage // 100, MIN_NODES)
