"""What a strategy is handed: the snapshot, to look at. What would change it is named, refused and remembered."""

from __future__ import annotations

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.feasibility.tentative import Removed, Tentative
from harness.scheduling.state.read_only import ReadOnlyNodes
from harness.scheduling.strategy import Bool, ClusterView, Int64, PodView


class ReadOnlyView(ReadOnlyNodes):
    """A ClusterView over a snapshot, one for as long as the snapshot lives; also scores' NodeLists."""

    __slots__ = ("_snapshot", "capacity_of", "devices_of", "free_of", "model_of", "what_ifs")

    whom = "strategies"
    instead = "; answer with Bind"
    free_of: list[list[int]]
    capacity_of: list[list[int]]
    devices_of: list[list[int]]
    model_of: list[int]
    what_ifs: list[Tentative]
    _snapshot: Snapshot

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        put = object.__setattr__
        put(self, "_snapshot", snapshot)
        put(self, "what_ifs", [])
        for name in ("free_of", "capacity_of", "devices_of", "model_of"):
            put(self, name, getattr(snapshot, name))

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

    # -- the rest of ClusterView --------------------------------------------------------------------------------------

    def admits(self, pod: PodView, node: int) -> bool:
        return self._snapshot.admits(pod, node)

    def is_independent(self, pod: PodView) -> bool:
        return self._snapshot.is_independent(pod)

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
        own = getattr(cluster, "what_if", None)
        if callable(own):  # a view in another process, which asks for it there
            return own()  # type: ignore[no-any-return]
        raise TypeError(f"nothing can be tried on a {type(cluster).__name__}: only on what the harness hands over")
    trial = Tentative(snapshot)
    if isinstance(cluster, ReadOnlyView):
        cluster.what_ifs.append(trial)
    return trial


def shown_lists(cluster: ClusterView) -> ReadOnlyView | None:
    """`cluster` where it is the view that shows the lists of nodes too (scoring.NodeLists); None for anything else."""
    return cluster if isinstance(cluster, ReadOnlyView) else None


def snapshot_of(cluster: ClusterView) -> Snapshot | None:
    """The snapshot behind a view, for code that keeps the rules by itself; None where there is none."""
    if type(cluster) is ReadOnlyView:
        return cluster._snapshot
    return cluster if isinstance(cluster, Snapshot) else None
