"""What would pass the filters of one node if other pods ran there: tried on the state, leaving no trace."""

from __future__ import annotations

from types import TracebackType

from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.volume_reservations import VolumeReservation
from harness.scheduling.strategy import PodClass, PodView


class DryRun:
    """Inside the `with`, pods are added to `node` and removed from it; at its end the state and its log are as before.

    Within it only `passes` may be asked: what caches by the log must not look while the log does not tell.
    """

    def __init__(self, state: ClusterState, node: int) -> None:
        self._state = state
        self._node = node
        self._version = state.log.version
        self._before = tuple(state.pods_on(node))
        self._added: dict[str, PodView] = {}
        self._removed: dict[str, tuple[PodView, tuple[int, ...], VolumeReservation | None]] = {}

    def __enter__(self) -> DryRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for key in tuple(self._added):
            self.remove(self._added[key])
        for pod, *_ in tuple(self._removed.values()):
            self.add(pod)
        self._state.rewind(self._node, self._before, self._version)

    def add(self, pod: PodView) -> None:
        """A newcomer, or one of those that were removed, on the devices that it had."""
        had = self._removed.pop(pod.key, None)
        if had is None:
            self._added[pod.key] = pod
        self._state.assume(pod, self._node, had[1] if had is not None and pod.cls.gpu.count else None)
        if had is not None and had[2] is not None:
            self._state.volumes.reserve(pod.key, had[2])

    def remove(self, pod: PodView) -> None:
        if self._added.pop(pod.key, None) is None:
            self._removed[pod.key] = (pod, self._state.devices(pod.key), self._state.volumes.reservation_of(pod.key))
        self._state.forget(pod.key)

    def passes(self, cls: PodClass) -> bool:
        """Whether what runs here and elsewhere would let in a pod of `cls`; the node's own spec aside."""
        state, node, needs = self._state, self._node, constraints_of(cls)
        return all(item.holds(state, node) for item in (*needs.node_usage, *needs.cluster))
