"""What a filter is: a constraint of a pod class, evaluated over columns or on one node, that gives its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Protocol, TypeGuard, runtime_checkable

from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool, Int64


class Scope(IntEnum):
    """What can turn a filter's verdict on a node, which says how long a cached verdict lives."""

    NODE = 0  # the node's own spec: labels, taints, capacity, unschedulable
    NODE_USAGE = 1  # also what runs on that node
    CLUSTER = 2  # also what runs elsewhere: affinity, spread


class Filter(Protocol):
    """A constraint of a pod class. Filters are values: equal filters make equal classes, so they must hash."""

    @property
    def plugin(self) -> str:
        """The kube-scheduler plugin whose semantics these are."""

    @property
    def scope(self) -> Scope: ...

    @property
    def resolvable(self) -> bool:
        """Whether evicting pods can make it hold: False is kube-scheduler's UnschedulableAndUnresolvable."""

    @property
    def node_names(self) -> tuple[str, ...] | None:
        """Names of the only nodes where it can hold (kube-scheduler's PreFilterResult); None when that is open."""

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        """Where it holds, bool, one entry for each of `nodes`."""

    def holds(self, state: ClusterState, node: int) -> bool:
        """The same for one node, without numpy."""

    def reasons(self, state: ClusterState, node: int) -> Sequence[str]:
        """kube-scheduler's words for a node where it does not hold."""


@runtime_checkable
class PreFilters(Protocol):
    """What a filter may offer besides: why the pod is held against no node at all (kube-scheduler's PreFilter)."""

    def pre_filter(self, state: ClusterState) -> str:
        """Empty where it is held against nodes."""


@runtime_checkable
class CountsReasons(Protocol):
    """What a filter may offer besides: its reasons counted over many nodes at once, for clusters of thousands."""

    def count_reasons(self, state: ClusterState, nodes: Int64) -> Iterable[tuple[str, int]]:
        """(reason, nodes), over `nodes` where it does not hold; the same as counting `reasons` of each."""


def pre_filters(item: object) -> TypeGuard[PreFilters]:
    """Asked of the type, which remembers the answer: `isinstance` with a protocol looks at its members each time."""
    return issubclass(type(item), PreFilters)


def counts_reasons(item: object) -> TypeGuard[CountsReasons]:
    return issubclass(type(item), CountsReasons)
