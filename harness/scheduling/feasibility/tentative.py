"""Binds and removals tried on the snapshot itself and undone: what a gang, a migration or a preemption would leave.

While they stand every view of the snapshot tells of them, and its log says which nodes changed, so that whatever is
kept by the log stays right. The order of a node's pods is restored as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from harness.scheduling.feasibility.legality import Refused, apply_alone
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.volume_reservations import VolumeReservation
from harness.scheduling.strategy import Bind, PodView


@dataclass(frozen=True, slots=True)
class Removed:
    """A running pod that was taken away, with all that it takes to put it back. `node`: by name."""

    pod: PodView
    node: str
    devices: tuple[int, ...]
    promise: VolumeReservation | None


class Tentative:
    """A context manager: at the end of the `with`, or by `undo`, the snapshot is as it was before."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._before: dict[int, tuple[PodView, ...]] = {}
        self._bound: dict[str, None] = {}
        self.removed: dict[str, Removed] = {}
        self.open = True

    def __enter__(self) -> Tentative:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.undo()

    def bind(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> Bind | str:
        """The bind as it would be carried out, devices filled in; or why it is not legal. Gangs aside."""
        self._check_open()
        snapshot = self._snapshot
        here = tuple(snapshot.pods_on(node)) if 0 <= int(node) < len(snapshot.node_table) else ()
        done = apply_alone(snapshot, Bind(snapshot.classes.current(pod), node, devices))
        if isinstance(done, Refused):
            return done.reason
        self._before.setdefault(done.node, here)
        self._bound[pod.key] = None
        return Bind(pod, done.node, done.devices)

    def remove(self, key: str) -> bool:
        """Take a pod off its node, as an eviction would in the end; False where no such pod runs."""
        self._check_open()
        snapshot = self._snapshot
        node = snapshot.where(key)
        if node is None:
            return False
        here = tuple(snapshot.pods_on(node))
        self._before.setdefault(node, here)
        if key in self._bound:
            del self._bound[key]
        else:
            pod = next(pod for pod in here if pod.key == key)
            devices, promise = snapshot.devices(key), snapshot.volumes.reservation_of(key)
            self.removed[key] = Removed(pod, snapshot.node_table.names[node], devices, promise)
        snapshot.forget(key)
        snapshot.nominations.note_placement(key)
        return True

    def undo(self) -> None:
        """Once; what is undone already stays so."""
        if not self.open:
            return
        self.open = False
        snapshot = self._snapshot
        for key in self._bound:
            snapshot.forget(key)
            snapshot.nominations.note_placement(key)
        for item in self.removed.values():
            put_back(snapshot, item)
        for node, pods in self._before.items():
            snapshot.rewind(node, pods, snapshot.log.version)  # only the order: the log tells of what was tried

    def _check_open(self) -> None:
        if not self.open:
            raise RuntimeError("this what-if is over: its changes are undone")


def put_back(snapshot: Snapshot, item: Removed) -> None:
    """The pod where it was, on its devices, with its claims' promises."""
    node = snapshot.node_table.index[item.node]
    snapshot.assume(item.pod, node, item.devices if item.pod.cls.gpu.count else None)
    if item.promise is not None:
        snapshot.volumes.reserve(item.pod.key, item.promise)
