"""A profile: which scorers with which weights and arguments, for the pods of one schedulerName."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.scheduling.scores import (
    SYSTEM_SPREAD,
    DefaultSpread,
    FitStrategy,
    ImageLocality,
    InterPodAffinity,
    NodeAffinity,
    NodePlugin,
    NodeResourcesBalancedAllocation,
    NodeResourcesFit,
    PodTopologySpread,
    RowsPlugin,
    TaintToleration,
    WeightedPlugin,
    WeightedTerms,
)
from harness.scheduling.strategy import ScorePlugin

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
    added: WeightedTerms = ()  # (weight, requirements) of addedAffinity's preferences
    spread: tuple[DefaultSpread, ...] = SYSTEM_SPREAD
    system_spread: bool = True
    percentage: int | None = None
    outside: Mapping[str, Callable[[], ScorePlugin]] = field(default_factory=dict)  # plugins of others, by name

    def plugins(self) -> tuple[WeightedPlugin, ...]:
        """A new object of each enabled plugin, with its weight, in the order of `weights`."""
        made: dict[str, Callable[[], NodePlugin | RowsPlugin | ScorePlugin]] = {
            "TaintToleration": TaintToleration,
            "NodeAffinity": lambda: NodeAffinity(self.added),
            "NodeResourcesFit": lambda: NodeResourcesFit(self.fit, self.resources, self.shape),
            "PodTopologySpread": lambda: PodTopologySpread(self.spread, self.system_spread),
            "InterPodAffinity": lambda: InterPodAffinity(
                self.hard_pod_affinity_weight, self.ignore_preferred_of_existing
            ),
            "NodeResourcesBalancedAllocation": lambda: NodeResourcesBalancedAllocation(self.balanced),
            "ImageLocality": ImageLocality,
            **self.outside,
        }
        return tuple((made[name](), weight) for name, weight in self.weights.items())
