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

from harness.autoscaling.metrics_client import MetricsClient, Startup, Tolerances
from harness.autoscaling.pool import NodePool
from harness.engine.component import Component, Instant
from harness.model.core import Node, Pod
from harness.model.plugins import PluginGroup
from harness.model.workloads import MetricSpec
from harness.scheduling.strategy import PodView

GROUP = "podyard.autoscalers"
SCHEDULERS = "podyard.schedulers"


class NodePolicy(Protocol):
    def component(self, pools: tuple[NodePool, ...], rng: Random) -> Component:
        """What keeps the pools at the right size, by StartMachine, StopMachine and API writes. `rng`: its stream.

        A component with `use_filter_plugins(plugins)` is handed the cluster's Filter plugins of others
        (harness.scheduling.filter_plugin), so that it can ask where pods fit by all constraints.
        """
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
class ScaleTarget:
    """What a HorizontalPodAutoscaler (`key`, namespace/name) scales. `replicas` as specified, `status_replicas` as
    there are; `pods`: all that its selector matches, in order of their keys; `metrics`: where to ask what they use."""

    key: str
    namespace: str
    now_ns: Instant
    replicas: int
    status_replicas: int
    pods: tuple[Pod, ...]
    metrics: MetricsClient
    tolerances: Tolerances
    startup: Startup


@dataclass(frozen=True, slots=True)
class Proposal:
    """`metric`: what it is called in events. `current`: its entry of status.currentMetrics."""

    replicas: int
    metric: str
    current: dict[str, Any]


class ReplicaPolicy(Protocol):
    """One instance serves all autoscalers of a cluster; the autoscaler takes the highest of several metrics, and limits
    it (bounds, rates, stabilization) by Kubernetes' rules."""

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        """How many replicas `metric` asks for. Raises MetricError where it does not say."""
        ...


def _group(noun: str, method: str, form: str) -> PluginGroup:
    def problem(made: Any) -> str:
        return "" if callable(getattr(made, method, None)) else f"an object with {form}"

    return PluginGroup(GROUP, noun, problem)


NODE_POLICIES = _group("node policy", "component", "component(pools, rng)")
EXPANDERS = _group("expander", "best", "best(options, rng)")
REPLICA_POLICIES = _group("replica policy", "propose", "propose(target, metric)")

_DECIDES = {"component": "nodes", "best": "which pool grows", "propose": "replicas"}
"""What each of the three decides, by its method."""


def _problem(made: Any) -> str:
    found = [method for method in _DECIDES if callable(getattr(made, method, None))]
    return "" if len(found) == 1 else "one of component(pools, rng), best(options, rng) and propose(target, metric)"


AUTOSCALERS = PluginGroup(GROUP, "autoscaler", _problem)
"""Any of the three."""


def decides(name: str) -> str:
    """What the registered policy `name` decides; asked of what is registered, so nothing is made."""
    target = PluginGroup(GROUP, "autoscaler", lambda found: "").load(name)
    return next((about for method, about in _DECIDES.items() if hasattr(target, method)), "?")


def stands_alone(name: str) -> bool:
    """Whether the node policy `name` works without node groups, as it has objects of its own to go by. Raises
    UserError where there is none of this name."""
    target = PluginGroup(GROUP, "node policy", lambda found: "").load(name.partition("?")[0])
    return bool(getattr(target, "stands_alone", False))


def is_autoscaler(spec: str) -> bool:
    """Whether `spec` names an autoscaler and no scheduler: one that is registered, or module:object with a method of
    one and without `place`. Raises UserError where module:object does not load."""
    name = spec.partition("?")[0]
    if ":" not in name:
        schedulers = PluginGroup(SCHEDULERS, "scheduler", lambda found: "").names()
        return name in AUTOSCALERS.names() and name not in schedulers
    target = PluginGroup(GROUP, "autoscaler", lambda found: "").load(name)
    return any(hasattr(target, method) for method in _DECIDES) and not hasattr(target, "place")
