"""What a strategy is handed: the snapshot, to look at. What would change it is named, refused and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.feasibility.tentative import Removed, Tentative
from harness.scheduling.strategy import Bool, ClusterView, Int64, PodView

WRITERS = frozenset(
    {
        "add_node",
        "assume",
        "assume_on",
        "fit_rows",
        "forget",
        "namespaces_changed",
        "update_labels",
        "update_pod",
        "remove_node",
    }
    | {"update_node", "volumes_changed"}
)
"""The methods of a Snapshot that change it."""


class ReadOnly(AttributeError):
    """A strategy tried to change the cluster that it was shown."""


class ReadOnlyView:
    """A ClusterView over a snapshot, one for as long as the snapshot lives; also scores' NodeLists.

    Its columns cannot be made writable again. `tried`: what a strategy tried to change since it was last emptied.
    """

    __slots__ = (
        "_named",
        "_names",
        "_snapshot",
        "capacity_of",
        "devices_of",
        "free_of",
        "model_of",
        "tried",
        "what_ifs",
    )

    free_of: list[list[int]]
    capacity_of: list[list[int]]
    devices_of: list[list[int]]
    model_of: list[int]
    tried: list[str]
    what_ifs: list[Tentative]
    _snapshot: Snapshot
    _names: tuple[str, ...]
    _named: int

    def __init__(self, snapshot: Snapshot) -> None:
        put = object.__setattr__
        put(self, "_snapshot", snapshot)
        put(self, "tried", [])
        put(self, "what_ifs", [])
        put(self, "_names", ())
        put(self, "_named", -1)
        for name in ("free_of", "capacity_of", "devices_of", "model_of"):
            put(self, name, getattr(snapshot, name))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self.tried.append(f"set {name}")
        raise ReadOnly(f"the cluster is read-only to strategies: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name not in WRITERS:
            raise AttributeError(f"a ClusterView has no {name!r}")

        def refuse(*_: object, **__: object) -> NoReturn:
            self.tried.append(f"called {name}()")
            raise ReadOnly(f"the cluster is read-only to strategies: {name}() is the harness's own; answer with Bind")

        return refuse

    # -- the harness's own: what was tried by what_if() ----------------------------------------------------------------

    def close_what_ifs(self) -> bool:
        """Undo what is still open, the last one first; whether anything was."""
        left = [trial for trial in self.what_ifs if trial.open]
        self.what_ifs.clear()
        for trial in reversed(left):
            trial.undo()
        return bool(left)

    def abandon_what_ifs(self) -> tuple[Removed, ...]:
        """The snapshot is to be rebuilt: what was taken away by those that are still open."""
        left = [trial for trial in self.what_ifs if trial.open]
        self.what_ifs.clear()
        for trial in left:
            trial.open = False
        return tuple(item for trial in left for item in trial.removed.values())

    # -- ClusterView ---------------------------------------------------------------------------------------------------

    @property
    def resources(self) -> tuple[str, ...]:
        return self._snapshot.resources

    @property
    def capacity(self) -> Int64:
        return self._snapshot.capacity

    @property
    def free(self) -> Int64:
        return self._snapshot.free

    @property
    def gpu_capacity(self) -> Int64:
        return self._snapshot.gpu_capacity

    @property
    def gpu_free(self) -> Int64:
        return self._snapshot.gpu_free

    @property
    def gpu_model(self) -> Int64:
        return self._snapshot.gpu_model

    @property
    def gpu_models(self) -> tuple[str, ...]:
        return self._snapshot.gpu_models

    @property
    def names(self) -> Sequence[str]:
        seen = self._snapshot.spec_log.version
        if seen != self._named:
            object.__setattr__(self, "_names", tuple(self._snapshot.node_table.names))
            object.__setattr__(self, "_named", seen)
        return self._names

    @property
    def rank(self) -> Int64:
        return self._snapshot.rank

    @property
    def alive(self) -> Bool:
        return self._snapshot.alive

    @property
    def zone(self) -> Int64:
        return self._snapshot.zone

    @property
    def zones(self) -> tuple[str, ...]:
        return self._snapshot.zones

    def label(self, node: int, key: str) -> str | None:
        return self._snapshot.label(node, key)

    def labels(self, node: int) -> Mapping[str, str]:
        return self._snapshot.labels(node)

    def taints(self, node: int) -> Sequence[tuple[str, str, str]]:
        return self._snapshot.taints(node)

    def devices(self, key: str) -> tuple[int, ...]:
        return self._snapshot.devices(key)

    def placed_in_group(self, group: str) -> int:
        return self._snapshot.placed_in_group(group)

    def admits(self, pod: PodView, node: int) -> bool:
        return self._snapshot.admits(pod, node)

    def is_independent(self, pod: PodView) -> bool:
        return self._snapshot.is_independent(pod)

    def pods_on(self, node: int) -> Sequence[PodView]:
        return self._snapshot.pods_on(node)

    def feasible(self, pod: PodView) -> Bool:
        return self._snapshot.feasible(pod)

    @property
    def version(self) -> int:
        return self._snapshot.version

    def changed_since(self, version: int) -> Int64 | None:
        return self._snapshot.changed_since(version)

    @property
    def now_ns(self) -> int:
        return self._snapshot.now_ns


def what_if(cluster: ClusterView) -> Tentative:
    """See `harness.scheduling.strategy.WhatIf`. Raises TypeError for a view of something else than a snapshot."""
    snapshot = snapshot_of(cluster)
    if snapshot is None:
        raise TypeError(f"nothing can be tried on a {type(cluster).__name__}: only on what the harness hands over")
    trial = Tentative(snapshot)
    if isinstance(cluster, ReadOnlyView):
        cluster.what_ifs.append(trial)
    return trial


def snapshot_of(cluster: ClusterView) -> Snapshot | None:
    """The snapshot behind a view, for code that keeps the rules by itself; None where there is none."""
    if type(cluster) is ReadOnlyView:
        return cluster._snapshot
    return cluster if isinstance(cluster, Snapshot) else None
