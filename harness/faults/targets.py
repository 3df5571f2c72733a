"""What faults see of the cluster when they choose whom to hit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from harness.engine.component import DELETED, Relist, Watch
from harness.model.core import Node, Pod
from harness.model.objects import kind_of

T = TypeVar("T", str, tuple[str, str])

ZONE = "topology.kubernetes.io/zone"
GATEWAY = "node-role.kubernetes.io/gateway"
"""Nodes with this label are clients', and never drawn."""


class Targets:
    """Nodes and what runs on them, as the watch tells; and objects of the kinds that a fault names in `watches`."""

    def __init__(self) -> None:
        self._short: tuple[int, int] | None = None
        self._left: set[str] = set()  # names of Nodes that were deleted: their machines may still run
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, dict[str, Pod]] = {}  # running ones, by node, by key
        self._bound: dict[str, dict[str, Pod]] = {}  # all that have a node, likewise
        self.objects: dict[str, dict[str, Any]] = {}  # others that a fault watches, by kind, by key

    def observe(self, event: Watch | Relist) -> None:
        if isinstance(event, Relist):
            if event.kind == "Node":
                self._left.update(self.nodes)
                self.nodes.clear()
            elif event.kind == "Pod":
                self.pods.clear()
                self._bound.clear()
            else:
                self.objects.pop(event.kind, None)
            for obj in event.objects:
                self.observe(Watch("ADDED", obj))
            return
        obj = event.obj
        if isinstance(obj, Node):
            if event.type == DELETED:
                self.nodes.pop(obj.metadata.name, None)
                self._left.add(obj.metadata.name)
            else:
                self.nodes[obj.metadata.name] = obj
        elif isinstance(obj, Pod) and obj.spec.node_name:
            bound = self._bound.setdefault(obj.spec.node_name, {})
            if event.type == DELETED:
                bound.pop(obj.metadata.key, None)
            else:
                bound[obj.metadata.key] = obj
            held = self.pods.setdefault(obj.spec.node_name, {})
            if event.type == DELETED or obj.status.phase != "Running":
                held.pop(obj.metadata.key, None)
            else:
                held[obj.metadata.key] = obj
        elif not isinstance(obj, Pod):
            others = self.objects.setdefault(kind_of(obj), {})
            if event.type == DELETED:
                others.pop(obj.metadata.key, None)
            else:
                others[obj.metadata.key] = obj

    def named(self, names: Iterable[str]) -> list[str]:
        """Also where somebody has deleted the Node."""
        return [name for name in names if name in self.nodes or name in self._left]

    def in_zone(self, zone: str) -> list[str]:
        return sorted(n for n, node in self.nodes.items() if node.metadata.labels.get(ZONE) == zone)

    def labelled(self, labels: Mapping[str, str]) -> list[str]:
        return sorted(
            name
            for name, node in self.nodes.items()
            if all(node.metadata.labels.get(key) == value for key, value in labels.items())
        )

    def bound_to(self, node: str) -> list[Pod]:
        """All pods of a node, those that have ended and those that are going too, in order of their keys."""
        held = self._bound.get(node, {})
        return [held[key] for key in sorted(held)]

    def zones(self) -> list[str]:
        return sorted({zone for node in self.nodes.values() if (zone := node.metadata.labels.get(ZONE, ""))})

    def apps(self) -> list[str]:
        pods = (pod for held in self.pods.values() for pod in held.values())
        return sorted({app for pod in pods if (app := pod.metadata.labels.get("app", ""))})

    def running(self, app: str) -> list[str]:
        """Nodes by how many pods of the app they run, most first."""
        counts = {
            name: sum(pod.metadata.labels.get("app") == app for pod in self.pods.get(name, {}).values())
            for name in self.nodes
        }
        return sorted((name for name, count in counts.items() if count), key=lambda name: (-counts[name], name))

    def to_draw(self) -> list[str]:
        """All nodes but clients', in order."""
        return sorted(n for n, node in self.nodes.items() if GATEWAY not in node.metadata.labels)

    def drawn(self, count: int, rng: Random) -> list[str]:
        """Any nodes but clients'."""
        return self.sample(self.to_draw(), count, rng)

    def sample(self, found: Sequence[T], count: int, rng: Random) -> list[T]:
        """`count` of `found`, at random, in order; fewer where there are not so many, which `take_short` tells."""
        return self.first(sorted(rng.sample(found, min(count, len(found)))), count)

    def first(self, found: Sequence[T], count: int) -> list[T]:
        """The first `count`, or as many as there are; likewise."""
        if len(found) < count:
            self._short = (count, len(found))
        return list(found[:count])

    def take_short(self) -> tuple[int, int] | None:
        """(how many were asked for, how many there were) where fewer were found than asked for, since the last call."""
        short, self._short = self._short, None
        return short

    def pods_of(self, app: str) -> list[tuple[str, str]]:
        """(node, key of the pod), in order."""
        return sorted(
            (name, key)
            for name, held in self.pods.items()
            for key, pod in held.items()
            if pod.metadata.labels.get("app") == app
        )
