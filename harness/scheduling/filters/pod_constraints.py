"""What keeps a pod class off nodes, sorted by what can turn a verdict."""

from __future__ import annotations

from harness.scheduling.filters.filter import Filter, PreFilters, Scope, pre_filters
from harness.scheduling.strategy import PodClass


class PodConstraints:
    """`PodClass.constraints`.

    `filters`: all of them, in filter order; `node`, `node_usage` and `cluster`: the same by scope.
    `node_names`: names of the only nodes that come into question, None when that is open.
    `pre_filters`: plugin, and those that may keep the pod from being held against any node at all, in filter order.
    `refusal`: why the pod is not placed by this scheduler: what is not modelled, what cannot be read; else empty.
    `repelling`: ids of the affinity terms of running pods that keep the class away from their domains.
    """

    __slots__ = (
        "cluster",
        "filters",
        "node",
        "node_names",
        "node_usage",
        "pre_filters",
        "refusal",
        "repelling",
    )

    def __init__(self, filters: tuple[Filter, ...], refusal: str = "", repelling: tuple[int, ...] = ()) -> None:
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
        pre: list[tuple[str, PreFilters]] = []
        for item in filters:
            plugin = item.plugin
            if pre_filters(item):
                pre.append((plugin, item))
        self.pre_filters = tuple(pre)
        self.refusal = refusal


NO_CONSTRAINTS = PodConstraints(())


def constraints_of(cls: PodClass) -> PodConstraints:
    """Those of a class that PodClasses made; none for one that was made by hand."""
    found = cls.constraints
    if type(found) is PodConstraints:
        return found
    assert found is None, f"constraints of a pod class: {found!r}"
    return NO_CONSTRAINTS
