"""What others plug in: the strategy protocol, what a strategy sees, and what it may answer.

The harness owns the legality (constraints, capacity, binding); a strategy owns the preference.
It sees columns, not objects. This module imports only numpy and the standard library, so a
third-party package needs nothing else of Podyard to be written, typed and tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Int64: TypeAlias = npt.NDArray[np.int64]
Float64: TypeAlias = npt.NDArray[np.float64]
Bool: TypeAlias = npt.NDArray[np.bool_]
RandomGenerator: TypeAlias = np.random.Generator

CPU, MEMORY, PODS = 0, 1, 2
"""Rows that every cluster has in `capacity` and `free`; extended resources follow."""


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """`count` devices, `milli` thousandths of each; `models` empty means any model."""

    count: int = 0
    milli: int = 0
    models: tuple[str, ...] = ()

    @property
    def total_milli(self) -> int:
        return self.count * self.milli


NO_GPU = GpuRequest()


HostPort: TypeAlias = tuple[str, int, str]
"""Protocol, port, host IP."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a pod takes of the cluster where it is placed: all that assume and forget must know of it. Of every pod of
    one class; its GPU devices aside, which are chosen by pod.

    `amounts`: (resource row, amount) of what is requested, plain ints, in milli-CPU, bytes, pods and units.
    `claims`: 'namespace/name'. `non_requested`: milli-CPU and bytes beyond the requests that kube-scheduler's scores
    assume for containers without any (util.GetNonzeroRequests); () for none.
    """

    amounts: tuple[tuple[int, int], ...] = ()
    ports: tuple[HostPort, ...] = ()
    claims: tuple[str, ...] = ()
    non_requested: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PodClass:
    """What all pods with the same scheduling-relevant spec share; one object a class, so caches key on `id`.

    `requests`: int64 [resources], in milli-CPU, bytes, 1 (pods), and units of each extended resource. Read-only.
    `footprint` and `constraints` (selectors, tolerations, affinity) are the harness's own, opaque to strategies; the
    second is a PodConstraints of harness.scheduling.filters, which stands above this module: `constraints_of` gives it.
    """

    id: int
    requests: Int64
    gpu: GpuRequest = NO_GPU
    priority: int = 0
    footprint: Footprint = field(default_factory=Footprint)
    constraints: object = None
    amounts: tuple[int, ...] = field(init=False)  # `requests` in plain ints, for arithmetic on one node

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", tuple(self.requests.tolist()))


NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class PodView:
    """One pending pod as a strategy sees it."""

    key: str  # "namespace/name"
    cls: PodClass
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    created_ns: int = 0
    group: str | None = None  # PodGroup, "namespace/name"
    group_min: int = 0  # the group's minMember
    lifetime_ns: int | None = None  # what the workload declares, None when it says nothing
    # The harness's own, opaque to strategies: affinity terms towards other pods, by number; what the pod prefers.
    affinity_term_ids: tuple[int, ...] = ()
    preferences: object = None  # harness.scheduling.pods.preferences.preferences_of gives them
    terminating: bool = False  # being deleted: PodTopologySpread no longer counts it
    owner: tuple[str, str] | None = None  # kind and name of the controller that makes it anew; None: nobody does

    @property
    def namespace(self) -> str:
        return self.key.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def requests(self) -> Int64:
        return self.cls.requests

    @property
    def gpu(self) -> GpuRequest:
        return self.cls.gpu

    @property
    def priority(self) -> int:
        return self.cls.priority


PodBatch: TypeAlias = Sequence[PodView]
"""The head of the queue, in queue order: priority descending, then time of entry."""


class NodesView(Protocol):
    """The nodes and what runs on them in columns, N nodes and R resources. Read-only and live.

    Node indices are stable while a node lives; the index of a node that has left is reused only after
    `alive` was False for it. Ties between nodes are broken by the lowest `rank`.
    """

    @property
    def resources(self) -> tuple[str, ...]:
        """Resource names, the row order of `capacity` and `free`: cpu, memory, pods, extended ones."""

    @property
    def capacity(self) -> Int64:
        """Allocatable, int64 [resources, nodes], in milli-CPU, bytes, pods, units. Zero where a node has left."""

    @property
    def free(self) -> Int64:
        """Unallocated, int64 [resources, nodes], same units as `capacity`."""

    @property
    def gpu_capacity(self) -> Int64:
        """Milli of each GPU device, int64 [nodes, devices]; 0 where the node has no such device."""

    @property
    def gpu_free(self) -> Int64:
        """Idle milli of each GPU device, int64 [nodes, devices]."""

    @property
    def gpu_model(self) -> Int64:
        """Index into `gpu_models` per node, -1 without GPUs, int64 [nodes]."""

    @property
    def gpu_models(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def rank(self) -> Int64:
        """Tie-break order, int64 [nodes]: lowest first."""

    @property
    def alive(self) -> Bool:
        """False for a column whose node has left, bool [nodes]."""

    @property
    def zone(self) -> Int64:
        """Index into `zones`, -1 without one, int64 [nodes]."""

    @property
    def zones(self) -> tuple[str, ...]: ...

    def label(self, node: int, key: str) -> str | None: ...

    def labels(self, node: int) -> Mapping[str, str]: ...

    def taints(self, node: int) -> Sequence[tuple[str, str, str]]:
        """(key, value, effect) of each."""

    def devices(self, key: str) -> tuple[int, ...]:
        """GPU indices of a running pod ("namespace/name"); empty where it has none or does not run."""

    def placed_in_group(self, group: str) -> int:
        """How many pods of a PodGroup ("namespace/name") are on a node."""

    def pods_on(self, node: int) -> Sequence[PodView]: ...


class ClusterView(NodesView, Protocol):
    """The cluster as a strategy sees it: it shows each accepted Bind at once."""

    def feasible(self, pod: PodView) -> Bool:
        """Where every constraint holds now, bool [nodes]. Read-only; valid until the next accepted decision."""

    def admits(self, pod: PodView, node: int) -> bool:
        """Whether the node's own spec lets the pod in (labels, taints, name, GPU model), whatever runs there."""

    def is_independent(self, pod: PodView) -> bool:
        """Whether what runs on a node bears on the pod by amounts and devices only: no ports, no other pods' labels."""

    @property
    def version(self) -> int:
        """Grows by one with each change of any node's columns."""

    def changed_since(self, version: int) -> Int64 | None:
        """Nodes whose columns changed after `version`, sorted, unique; None when the log no longer reaches back."""

    @property
    def now_ns(self) -> int:
        """Instant of the decision, ns since the run began."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Put `pod` on `node` (column index). `devices`: GPU indices, one entry a device; None lets the harness choose."""

    pod: PodView
    node: int
    devices: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class BindTogether:
    """All or none: a gang."""

    binds: tuple[Bind, ...]


@dataclass(frozen=True, slots=True)
class Evict:
    """Take a running pod away (through the eviction API, so disruption budgets hold)."""

    pod: str  # "namespace/name"
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave `pod` in the queue. The reason is what people study afterwards."""

    pod: PodView
    reason: str


Decision: TypeAlias = Bind | BindTogether | Evict | Wait


@dataclass(frozen=True, slots=True)
class StrategyFault:
    """What a strategy did wrong, counted as a violation of its run. `pod`: its key, empty where no pod is concerned.

    A strategy that stands for another program may yield one among its decisions, of kind and reason of its own.
    `traceback`: of what it raised, for the record.
    """

    kind: str
    pod: str
    reason: str
    traceback: str = field(default="", compare=False, repr=False)


class WhatIf(Protocol):
    """Changes that a strategy tries on the cluster: `with what_if(cluster) as trial:` (harness.scheduling.scoring).

    Inside the `with` the view shows the cluster as if they had happened, feasible() included; at its end all of them
    are undone. For gangs (does the next member fit beside this one?), migrations and preemption (who fits once this pod
    is gone?). Nothing of it is decided: a decision is what `place` yields, outside the `with`. A decision inside it, or
    a what-if that is left open, is undone and counted as a violation.
    """

    def bind(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> Bind | str:
        """The bind as it would be carried out, devices filled in; or why it is not legal. Gangs aside."""

    def remove(self, key: str) -> bool:
        """Take a pod ("namespace/name") off its node; False where no such pod runs."""


@runtime_checkable
class Strategy(Protocol):
    """The whole contract.

    `place` may be a generator: each yielded Bind is applied before the next is asked for, so `cluster` always
    shows what was decided. A pod about which nothing is said waits. Optional attributes:
    `batch_size: int` (most pods handed over at once; default 64), `explain(pod, cluster) -> Mapping[str, Float64]`
    (each scorer's contribution per node), `fit(history) -> None`,
    `modelled_seconds(pods, nodes) -> float` (time to charge to the virtual clock for one `place`), `state() -> str`
    with `restore(state)` (what earlier calls left behind, in few bytes, so that a decision can be asked for again).
    """

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]: ...


ScoreFunction: TypeAlias = Callable[[PodView, ClusterView], Float64]
"""(pod, view) -> float [nodes]; higher is better; infeasible nodes may hold anything."""


class IncrementalScore(Protocol):
    """A score of single nodes, which lets the harness rescore only the nodes that changed.

    It must depend on nothing but the pod's class and the columns of the node itself.
    """

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        """float64 [len(nodes)]."""


MAX_NODE_SCORE = 100
"""Source: kube-scheduler 1.32 framework/interface.go MaxNodeScore."""


class DependsOn(Enum):
    """What a Score plugin's score of a node follows from; it says how long a score can be kept."""

    NODE = "node"
    """The pod's class and the columns of the node itself. Kept by class, computed again for nodes that changed."""

    NODE_SPEC = "node spec"
    """The pod, and labels, taints and capacity of the nodes. Kept until the spec of a node changes."""

    CLUSTER = "cluster"
    """Anything. Computed for each decision."""


class ScorePlugin(Protocol):
    """A Score plugin of the strategy `kube`, in one object: placing and `explain` ask it alike.

    It is registered as entry point of group `podyard.score_plugins`, or named `package.module:object`, and enabled
    with a weight at the extension point score of a KubeSchedulerConfiguration; pluginConfig's args are passed to it as
    keywords. What it raises or answers wrongly is a fault of the strategy, counted as a violation.

    Optional: `normalize(scores) -> Int64`, raw scores of the nodes that are scored to 0..MAX_NODE_SCORE (not with
    DependsOn.NODE); `score_node(pod, cluster, node) -> int`, equal to `score` of one node, which spares numpy's cost
    where one node changed (DependsOn.NODE only; `cluster` then also has the lists of `scoring.NodeLists`).
    """

    name: str
    depends_on: DependsOn

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64 | None:
        """int64 [len(nodes)], 0..MAX_NODE_SCORE where there is no `normalize`; None to skip the pod: it counts 0.

        `nodes`: indices of feasible nodes.
        """
