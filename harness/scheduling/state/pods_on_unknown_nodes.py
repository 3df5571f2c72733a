"""Pods that are bound to nodes which are not known (yet), kept until the node comes or the pod goes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scheduling.strategy import PodView


class PodsOnUnknownNodes:
    """With the devices that they have; None where they are not known."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, tuple[PodView, tuple[int, ...] | None]]] = {}
        self._at: dict[str, str] = {}

    def copy(self) -> PodsOnUnknownNodes:
        twin = PodsOnUnknownNodes()
        twin._by_node = {name: dict(pods) for name, pods in self._by_node.items()}
        twin._at = dict(self._at)
        return twin

    def __len__(self) -> int:
        return len(self._at)

    def add(self, name: str, pod: PodView, devices: tuple[int, ...] | None) -> None:
        self._by_node.setdefault(name, {})[pod.key] = (pod, devices)
        self._at[pod.key] = name

    def take_of_node(self, name: str) -> Sequence[tuple[PodView, tuple[int, ...] | None]]:
        """Those of a node that came; they are here no longer."""
        here = tuple(self._by_node.pop(name, {}).values())
        for pod, _ in here:
            del self._at[pod.key]
        return here

    def remove(self, key: str) -> None:
        name = self._at.pop(key, None)
        if name is not None:
            pods = self._by_node[name]
            del pods[key]
            if not pods:
                del self._by_node[name]

    def all(self) -> tuple[tuple[str, PodView, tuple[int, ...] | None], ...]:
        """Node name, pod, devices."""
        return tuple((name, *held) for name, pods in self._by_node.items() for held in pods.values())
