"""What others plug in to decide how many nodes or replicas there should be.

Four protocols, one entry-point group, GROUP: a sizing policy says which nodes to add and to remove; a node policy makes
the whole component that does; an expander tells the shipped one which pool should grow; a replica policy tells the
horizontal pod autoscaler how many replicas a workload needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
class NodeOffer:
    """Nodes that can be had: those of a pool, or of an instance type in a zone. `price`: of one for an hour, None where
    nobody says. `allocatable`: milli-CPU, bytes, units by resource. `room`: so many more."""

    name: str
    price: float | None
    allocatable: Mapping[str, int]
    labels: Mapping[str, str]
    room: int


@dataclass(frozen=True, slots=True)
class PoolNode:
    """A node that was had. `going`: it is being removed. `pods`: that run there, but for DaemonSets'."""

    name: str
    offer: str
    price: float | None
    created_ns: Instant
    ready: bool
    going: bool
    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class AddNodes:
    """`count` nodes more of an offer."""

    offer: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """Taint the node, drain it within its pods' budgets, and give it back."""

    name: str


class NodeSituation(Protocol):
    """What a sizing policy is shown; what it asks changes nothing."""

    now_ns: Instant
    offers: tuple[NodeOffer, ...]
    nodes: tuple[PoolNode, ...]

    @property
    def running(self) -> tuple[PodView, ...]:
        """Pods that run on any node, but for DaemonSets'."""
        ...

    def fit(self, pods: Iterable[PodView], offer: str, count: int = 1) -> tuple[PodView, ...]:
        """Those of `pods` that would fit on `count` new nodes of `offer`, by all of the scheduler's constraints.
        Raises KeyError for an offer that is none."""
        ...

    def room(self, pod: PodView, most: int, without: Collection[str] = ()) -> int:
        """How many more pods like this one, up to `most`, fit on what there is and is coming, `without` some nodes."""
        ...

    def can_go(self, node: str) -> bool:
        """Whether the node's pods would find places elsewhere, and nothing keeps them. Raises KeyError."""
        ...


class SizingPolicy(Protocol):
    """A node policy that only says which nodes to add and to remove; the harness does it."""

    def resize(
        self, pending: Sequence[PodView], cluster: NodeSituation, rng: Random
    ) -> Iterable[AddNodes | RemoveNode]:
        """Every 10 s. `pending`: pods that fit on nothing that there is or that is coming. `rng`: its own stream."""
        ...


@dataclass(frozen=True, slots=True)
class ScaleUpOption:
    """`count` more nodes like `template` in `pool` would take `pods`. `price`: of one of them for an hour, None where
    nobody says."""

    pool: str
    template: Node
    count: int
    pods: tuple[PodView, ...]
    price: float | None = None


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


def _node_problem(made: Any) -> str:
    found = any(callable(getattr(made, method, None)) for method in ("component", "resize"))
    return "" if found else "an object with component(pools, rng), or with resize(pending, cluster, rng)"


NODE_POLICIES = PluginGroup(GROUP, "node policy", _node_problem)
EXPANDERS = _group("expander", "best", "best(options, rng)")
REPLICA_POLICIES = _group("replica policy", "propose", "propose(target, metric)")

_DECIDES = {"component": "nodes", "resize": "nodes", "best": "which pool grows", "propose": "replicas"}
"""What each decides, by its method."""


def _problem(made: Any) -> str:
    found = [method for method in _DECIDES if callable(getattr(made, method, None))]
    methods = "component(pools, rng), resize(pending, cluster, rng), best(options, rng) and propose(target, metric)"
    return "" if len(found) == 1 else f"one of {methods}"


AUTOSCALERS = PluginGroup(GROUP, "autoscaler", _problem)
"""Any of them."""


def decides(name: str) -> str:
    """What the registered policy `name` decides; asked of what is registered, so nothing is made."""
    target = PluginGroup(GROUP, "autoscaler", lambda found: "").load(name)
    return next((about for method, about in _DECIDES.items() if hasattr(target, method)), "?")


def stands_alone(name: str) -> bool:
    """Whether the node policy `name` works without pools: it has objects of its own to go by, or is offered what the
    catalogue has. Raises UserError where there is none of this name."""
    target = PluginGroup(GROUP, "node policy", lambda found: "").load(name.partition("?")[0])
    return bool(getattr(target, "stands_alone", False)) or hasattr(target, "resize")


def goes_by_objects(name: str) -> bool:
    """Whether the node policy `name` goes by objects of the cluster, as NodePools, instead of pools. Raises UserError
    where there is none of this name."""
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
