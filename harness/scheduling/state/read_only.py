"""The state to look at, for code of others: what would change it is refused and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.strategy import Bool, Int64, PodView

WRITERS = frozenset(
    {
        "add_node",
        "assume",
        "assume_on",
        "fit_rows",
        "forget",
        "namespaces_changed",
        "remove_node",
        "update_labels",
        "update_node",
        "update_pod",
        "volumes_changed",
    }
)
"""The methods of a ClusterState that change it."""


class ReadOnly(AttributeError):
    """Code of others tried to change the cluster that it was shown."""


class ReadOnlyNodes:
    """A NodesView over a state, one for as long as the state lives.

    Its columns cannot be made writable again. `tried`: what somebody tried to change since it was last emptied.
    """

    __slots__ = ("_named", "_names", "_state", "tried")

    whom = "Filter plugins"
    instead = ""
    tried: list[str]
    _state: ClusterState
    _names: tuple[str, ...]
    _named: int

    def __init__(self, state: ClusterState) -> None:
        put = object.__setattr__
        put(self, "_state", state)
        put(self, "tried", [])
        put(self, "_names", ())
        put(self, "_named", -1)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self.tried.append(f"set {name}")
        raise ReadOnly(f"the cluster is read-only to {self.whom}: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name not in WRITERS:
            raise AttributeError(f"the view of a cluster has no {name!r}")

        def refuse(*_: object, **__: object) -> NoReturn:
            self.tried.append(f"called {name}()")
            raise ReadOnly(f"the cluster is read-only to {self.whom}: {name}() is the harness's own{self.instead}")

        return refuse

    # -- NodesView -----------------------------------------------------------------------------------------------------

    @property
    def resources(self) -> tuple[str, ...]:
        return self._state.resources

    @property
    def capacity(self) -> Int64:
        return self._state.capacity

    @property
    def free(self) -> Int64:
        return self._state.free

    @property
    def gpu_capacity(self) -> Int64:
        return self._state.gpu_capacity

    @property
    def gpu_free(self) -> Int64:
        return self._state.gpu_free

    @property
    def gpu_model(self) -> Int64:
        return self._state.gpu_model

    @property
    def gpu_models(self) -> tuple[str, ...]:
        return self._state.gpu_models

    @property
    def names(self) -> Sequence[str]:
        seen = self._state.spec_log.version
        if seen != self._named:
            object.__setattr__(self, "_names", tuple(self._state.node_table.names))
            object.__setattr__(self, "_named", seen)
        return self._names

    @property
    def rank(self) -> Int64:
        return self._state.rank

    @property
    def alive(self) -> Bool:
        return self._state.alive

    @property
    def zone(self) -> Int64:
        return self._state.zone

    @property
    def zones(self) -> tuple[str, ...]:
        return self._state.zones

    def label(self, node: int, key: str) -> str | None:
        return self._state.label(node, key)

    def labels(self, node: int) -> Mapping[str, str]:
        return self._state.labels(node)

    def taints(self, node: int) -> Sequence[tuple[str, str, str]]:
        return self._state.taints(node)

    def devices(self, key: str) -> tuple[int, ...]:
        return self._state.devices(key)

    def placed_in_group(self, group: str) -> int:
        return self._state.placed_in_group(group)

    def pods_on(self, node: int) -> Sequence[PodView]:
        return self._state.pods_on(node)
