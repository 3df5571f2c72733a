"""Which pods run on which node, and on which of its GPU devices."""

from __future__ import annotations

from harness.scheduling.state.pods_on_unknown_nodes import PodsOnUnknownNodes
from harness.scheduling.strategy import PodView


class Placements:
    """`pods`: by node, in order of coming. `node_of`, `devices_of` (of pods with GPUs): by pod key.

    `in_group`: placed pods by group. `on_unknown_nodes`: bound to nodes that are not known (yet), and in none of these.
    """

    def __init__(self) -> None:
        self.pods: list[list[PodView]] = []
        self.node_of: dict[str, int] = {}
        self.devices_of: dict[str, tuple[int, ...]] = {}
        self.in_group: dict[str, int] = {}
        self.on_unknown_nodes = PodsOnUnknownNodes()

    def copy(self) -> Placements:
        twin = Placements()
        twin.pods = [list(pods) for pods in self.pods]
        twin.node_of, twin.devices_of = dict(self.node_of), dict(self.devices_of)
        twin.in_group, twin.on_unknown_nodes = dict(self.in_group), self.on_unknown_nodes.copy()
        return twin

    def add(self, pod: PodView, node: int) -> None:
        self.node_of[pod.key] = node
        self.pods[node].append(pod)
        group = pod.group
        if group is not None:
            self.in_group[group] = self.in_group.get(group, 0) + 1

    def remove(self, key: str, node: int) -> PodView:
        """`node` is where it is; its devices are still to be given back."""
        del self.node_of[key]
        pod = self.pods[node].pop(self._position(key, node))
        group = pod.group
        if group is not None:
            left = self.in_group[group] - 1
            if left:
                self.in_group[group] = left
            else:
                del self.in_group[group]
        return pod

    def get(self, key: str, node: int) -> PodView:
        return self.pods[node][self._position(key, node)]

    def replace(self, pod: PodView, node: int) -> None:
        """`pod` in place of the one with the same key; its group is the same."""
        self.pods[node][self._position(pod.key, node)] = pod

    def _position(self, key: str, node: int) -> int:
        return next(i for i, pod in enumerate(self.pods[node]) if pod.key == key)
