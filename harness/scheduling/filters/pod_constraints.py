"""What keeps a pod class off nodes, sorted by what can turn a verdict, and what its pods take: filters, footprint."""

from __future__ import annotations

from harness.scheduling.filters.filter import Filter, Scope, pre_filters
from harness.scheduling.state.footprint import Footprint


class PodConstraints:
    """`PodClass.constraints`.

    `filters`: all of them, in filter order; `node`, `node_usage` and `cluster`: the same by scope.
    `node_names`: names of the only nodes that come into question, None when that is open.
    `pre_filters`: those that may keep the pod from being held against any node at all, in filter order.
    `refusal`: why the pod is not placed by this scheduler: what is not modelled, what cannot be read; else empty.
    `repelling`: ids of the affinity terms of running pods that keep the class away from their domains.
    """

    __slots__ = (
        "cluster",
        "filters",
        "footprint",
        "node",
        "node_names",
        "node_usage",
        "pre_filters",
        "refusal",
        "repelling",
    )

    def __init__(
        self, footprint: Footprint, filters: tuple[Filter, ...], refusal: str, repelling: tuple[int, ...]
    ) -> None:
        self.footprint = footprint
        self.filters = filters
        self.repelling = repelling
        self.node = tuple(item for item in filters if item.scope is Scope.NODE)
        self.node_usage = tuple(item for item in filters if item.scope is Scope.NODE_USAGE)
        self.cluster = tuple(item for item in filters if item.scope is Scope.CLUSTER)
        self.node_names: tuple[str, ...] | None = None
        for named in (item.node_names for item in filters):
            if named is not None:
                known: tuple[str, ...] | None = self.node_names
                self.node_names = named if known is None else tuple(name for name in known if name in named)
        self.pre_filters = tuple(item for item in filters if pre_filters(item))
        self.refusal = refusal
