"""What others plug in to decide how many nodes or replicas there should be.

Three protocols, one entry-point group, GROUP: a node policy makes the component that adds and removes nodes of pools,
an expander tells the shipped one which pool should grow, a replica policy tells the horizontal pod autoscaler how many
replicas a workload needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from harness.autoscaling.pool import NodePool
from harness.engine.component import Component, Instant
from harness.model.core import Node
from harness.model.plugins import PluginGroup
from harness.scheduling.strategy import PodView

GROUP = "podyard.autoscalers"


class NodePolicy(Protocol):
    def component(self, pools: tuple[NodePool, ...], rng: Random) -> Component:
        """What keeps the pools at the right size, by StartMachine, StopMachine and API writes. `rng`: its stream."""
        ...


@dataclass(frozen=True, slots=True)
class ScaleUpOption:
    """`count` more nodes like `template` in `pool` would take `pods`."""

    pool: str
    template: Node
    count: int
    pods: tuple[PodView, ...]


class Expander(Protocol):
    """Which pool of the cluster autoscaler grows. Source: cluster-autoscaler/expander/expander.go, Filter (1.32)."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        """Those of `options` (at least one, in the order of the pools) that are best and equally good."""
        ...


@dataclass(frozen=True, slots=True)
class PodSample:
    """One pod of a scale target: CPU in milli, per container summed up.

    `request_milli` 0: a container has no request. `usage_milli` None: no metrics. `unready`: it is pending, or was
    started so lately that its usage is not to be trusted.
    """

    key: str
    request_milli: int
    usage_milli: int | None
    unready: bool


@dataclass(frozen=True, slots=True)
class ScaleTarget:
    """What a HorizontalPodAutoscaler (`key`, namespace/name) scales: `replicas` as specified, CPU `target_percent` of
    the request or, where that is 0, `target_milli` a pod, and the pods that exist, by key. Nothing changes while usage
    is between 1 - `tolerance_down` and 1 + `tolerance_up` of the target."""

    key: str
    now_ns: Instant
    replicas: int
    target_percent: int
    pods: tuple[PodSample, ...]
    target_milli: int = 0
    tolerance_up: float = 0.1
    tolerance_down: float = 0.1


@dataclass(frozen=True, slots=True)
class Proposal:
    """`utilization_percent`, `average_milli`: what the status shows as the current usage, the one that is aimed at."""

    replicas: int
    utilization_percent: int
    average_milli: int = 0


class ReplicaPolicy(Protocol):
    """One instance serves all autoscalers of a cluster; the autoscaler limits what is proposed (bounds, rates,
    stabilization) by Kubernetes' rules."""

    def propose(self, target: ScaleTarget) -> Proposal | None:
        """How many replicas there should be; None where the metrics do not say."""
        ...


def _group(noun: str, method: str, form: str) -> PluginGroup:
    def problem(made: Any) -> str:
        return "" if callable(getattr(made, method, None)) else f"an object with {form}"

    return PluginGroup(GROUP, noun, problem)


NODE_POLICIES = _group("node policy", "component", "component(pools, rng)")
EXPANDERS = _group("expander", "best", "best(options, rng)")
REPLICA_POLICIES = _group("replica policy", "propose", "propose(target)")
