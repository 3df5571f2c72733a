"""Small clusters with their pending pods, generated: for Hypothesis (`worlds()`), or from a seed (`seeded`).

A World is plain data; it becomes a snapshot to place on, or a scenario file that `podyard run` plays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.model.core import Container, Node, NodeSpec, NodeStatus, Pod, PodSpec, ResourceRequirements, Taint
from harness.model.gpu import GPU_COUNT, GPU_MILLI, GPU_MODEL
from harness.model.meta import ObjectMeta
from harness.model.objects import to_wire
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView

if TYPE_CHECKING:
    from hypothesis import strategies as st

MIB = 1 << 20
ZONE = "topology.kubernetes.io/zone"
RANK = "podyard.dev/rank"
TAINT = Taint(key="kept", value="free", effect="NoSchedule")

Pick: TypeAlias = Callable[[int, int], int]
"""An integer of lo..hi, both included; the lower, the simpler the world."""


@dataclass(frozen=True, slots=True)
class WorldNode:
    name: str
    cpu_milli: int = 1000
    memory_mib: int = 1024
    pods: int = 110
    gpus: int = 0
    gpu_model: str = ""
    zone: str = ""
    tainted: bool = False

    def object(self, rank: int) -> Node:
        amounts = {
            "cpu": milli_quantity(self.cpu_milli),
            "memory": bytes_quantity(self.memory_mib * MIB),
            "pods": count_quantity(self.pods),
            **({GPU_COUNT: count_quantity(self.gpus)} if self.gpus else {}),
        }
        labels = {"kubernetes.io/hostname": self.name}
        if self.zone:
            labels[ZONE] = self.zone
        if self.gpus and self.gpu_model:
            labels[GPU_MODEL] = self.gpu_model
        return Node(
            metadata=ObjectMeta(name=self.name, labels=labels, annotations={RANK: str(rank)}),
            spec=NodeSpec(taints=(TAINT,) if self.tainted else ()),
            status=NodeStatus(capacity=amounts, allocatable=amounts),
        )


@dataclass(frozen=True, slots=True)
class WorldPod:
    """`group`: the gang that it is of, with `group_min` of it to run together."""

    name: str
    cpu_milli: int = 100
    memory_mib: int = 0
    gpus: int = 0
    gpu_milli: int = 1000
    zone: str = ""
    priority: int = 0
    group: str = ""
    group_min: int = 0

    def object(self) -> Pod:
        requests = {"cpu": milli_quantity(self.cpu_milli)}
        if self.memory_mib:
            requests["memory"] = bytes_quantity(self.memory_mib * MIB)
        gpus = {GPU_COUNT: str(self.gpus), GPU_MILLI: str(self.gpu_milli)} if self.gpus else {}
        container = Container(
            name="c", image="registry.k8s.io/pause:3.10", resources=ResourceRequirements(requests=requests)
        )
        return Pod(
            metadata=ObjectMeta(
                name=self.name,
                namespace="default",
                labels={GROUP_LABEL: self.group} if self.group else {},
                annotations=gpus,
            ),
            spec=PodSpec(
                containers=(container,),
                node_selector={ZONE: self.zone} if self.zone else {},
                priority=self.priority,
            ),
        )


@dataclass(frozen=True, slots=True)
class World:
    """`pods` in queue order; a node's rank is its place in `nodes`."""

    nodes: tuple[WorldNode, ...]
    pods: tuple[WorldPod, ...] = field(default=())

    def snapshot(self, order: Sequence[int] | None = None) -> Snapshot:
        """Empty nodes, added in `order` (indices into `nodes`); their ranks are the same in any order."""
        on = Snapshot()
        for index in order if order is not None else range(len(self.nodes)):
            columns = node_columns(self.nodes[index].object(index))
            columns["rank"] = index
            on.add_node(**columns)
        return on

    def views(self, on: Snapshot) -> list[PodView]:
        return [on.classes.view(pod.object(), group_min=pod.group_min) for pod in self.pods]

    def text(self) -> str:
        """In one line."""
        nodes = ", ".join(_said(node) for node in self.nodes)
        pods = ", ".join(_said(pod) for pod in self.pods)
        return f"nodes: {nodes}; pods: {pods}"

    def write(self, file: Path, name: str, why: str) -> None:
        """A scenario at `file`, its objects beside it, playable by `podyard run FILE --scheduler X`."""
        import yaml

        machines, beside = (file.with_name(f"{file.stem}-{part}.yaml") for part in ("nodes", "pods"))
        objects: list[dict[str, Any]] = []
        priorities = sorted({pod.priority for pod in self.pods} - {0})
        objects += [
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": f"p{value}"},
                "value": value,
            }
            for value in priorities
        ]
        for group, least in dict.fromkeys((pod.group, pod.group_min) for pod in self.pods if pod.group):
            objects.append(
                {
                    "apiVersion": "scheduling.x-k8s.io/v1alpha1",
                    "kind": "PodGroup",
                    "metadata": {"name": group, "namespace": "default"},
                    "spec": {"minMember": least},
                }
            )
        for pod in self.pods:
            made = _manifest(pod.object())
            made["spec"].pop("priority", None)
            if pod.priority:
                made["spec"]["priorityClassName"] = f"p{pod.priority}"
            objects.append(made)
        scenario = {
            "apiVersion": "podyard.dev/v1",
            "kind": "Scenario",
            "metadata": {"name": name, "description": why},
            "spec": {
                "nodes": [{"manifests": [machines.name]}],
                "workload": [{"manifests": [beside.name]}],
                "duration": "30s",
            },
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        nodes = [_manifest(node.object(rank)) for rank, node in enumerate(self.nodes)]
        machines.write_text(yaml.safe_dump_all(nodes, sort_keys=False), encoding="utf-8")
        beside.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
        file.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")


def _manifest(value: Any) -> dict[str, Any]:
    return {key: item for key, item in to_wire(value).items() if key != "status" or item.get("allocatable")}


def _said(item: WorldNode | WorldPod) -> str:
    kind = type(item)
    plain = kind(item.name)
    parts = [
        f"{name}={getattr(item, name)}"
        for name in kind.__dataclass_fields__
        if name != "name" and (name == "cpu_milli" or getattr(item, name) != getattr(plain, name))
    ]
    return f"{item.name}({', '.join(parts)})"


def make(pick: Pick, *, gangs: bool = True, nodes: int = 5, pods: int = 8) -> World:
    """A world by a series of picks: some nodes of unlike size, some with GPUs, taints and zones, and pods for them."""
    made = []
    for i in range(1 + pick(0, nodes - 1)):
        gpus = pick(0, 3)
        made.append(
            WorldNode(
                f"n{i}",
                cpu_milli=500 * (1 + pick(0, 7)),
                memory_mib=512 * (1 + pick(0, 3)),
                pods=110 if pick(0, 4) else 2,
                gpus=gpus,
                gpu_model=("", "A", "B")[pick(0, 2)] if gpus else "",
                zone=("", "a", "b")[pick(0, 2)],
                tainted=pick(0, 5) == 5,
            )
        )
    waiting = []
    for i in range(1 + pick(0, pods - 1)):
        gang = pick(0, 4) == 4 if gangs else False
        group = ("g", "h")[pick(0, 1)] if gang else ""
        gpus = pick(0, 2)
        waiting.append(
            WorldPod(
                f"p{i}",
                cpu_milli=250 * pick(0, 6),
                memory_mib=256 * pick(0, 3),
                gpus=gpus,
                gpu_milli=(1000, 500, 300)[pick(0, 2)] if gpus == 1 else 1000,
                zone=("", "a")[pick(0, 1)],
                priority=100 * (2 - pick(0, 2)) if pick(0, 3) == 3 else 0,
                group=group,
                group_min={"": 0, "g": 2, "h": 3}[group],
            )
        )
    waiting.sort(key=lambda pod: -pod.priority)  # stable: then in order of entry
    return World(tuple(made), tuple(waiting))


def seeded(seed: int, **sizes: Any) -> World:
    return make(Random(f"world/{seed}").randint, **sizes)


def worlds(**sizes: Any) -> st.SearchStrategy[World]:
    """Hypothesis: any World. `sizes`: as of `make` (gangs, nodes, pods)."""
    from hypothesis import strategies as st

    @st.composite
    def drawn(draw: st.DrawFn) -> World:
        return make(lambda lo, hi: draw(st.integers(lo, hi)), **sizes)

    return drawn()
