"""A fork of the snapshot takes back whatever was done to it."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from harness.autoscaling.cluster.fork import Fork
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from harness.model.gpu import GPU_COUNT
from harness.model.meta import ObjectMeta
from harness.model.quantity import count_quantity, milli_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns


def node(name: str, devices: int) -> Node:
    resources = {"cpu": milli_quantity(4000), "pods": count_quantity(20)}
    if devices:
        resources[GPU_COUNT] = count_quantity(devices)
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(capacity=resources, allocatable=resources))


def pod(name: str, gpus: int) -> Pod:
    requests = {"cpu": milli_quantity(500)}
    if gpus:
        requests["nvidia.com/gpu"] = count_quantity(gpus)
    container = Container(name="c", resources=ResourceRequirements(requests=requests))
    return Pod(metadata=ObjectMeta(name=name, namespace="d"), spec=PodSpec(containers=(container,)))


def seen(snapshot: Snapshot) -> Any:
    out = {}
    for name, index in snapshot.node_table.index.items():
        placed = {view.key: snapshot.devices(view.key) for view in snapshot.pods_on(index)}
        out[name] = (snapshot.free[:, index].tolist(), list(snapshot.devices_of[index]), placed)
    return out


@given(
    devices=st.lists(st.sampled_from([0, 1, 4]), min_size=2, max_size=5),
    pods=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2])), max_size=8),
    steps=st.lists(st.tuples(st.sampled_from(["remove", "add", "place", "forget"]), st.integers(0, 9)), max_size=12),
)
@example(
    # Nodes that are removed in order come back at each other's index: pods went back to the wrong one.
    devices=[4, 0],
    pods=[(0, 2)],
    steps=[("remove", 0), ("remove", 1)],
)
def test_what_is_taken_back_was_never_there(
    devices: list[int], pods: list[tuple[int, int]], steps: list[tuple[str, int]]
) -> None:
    snapshot = Snapshot()
    nodes = [node(f"n{i}", count) for i, count in enumerate(devices)]
    for item in nodes:
        snapshot.add_node(**node_columns(item))
    views = []
    for i, (at, gpus) in enumerate(pods):
        view = snapshot.classes.view(pod(f"p{i}", gpus))
        target = at % len(nodes)
        if snapshot.feasible(view)[target]:
            snapshot.assume(view, target)
            views.append(view)
    before = seen(snapshot)
    fork = Fork(snapshot)
    for number, (what, which) in enumerate(steps):
        match what:
            case "remove":
                item = nodes[which % len(nodes)]
                index = snapshot.node_table.index.get(item.metadata.name)
                if index is not None:
                    for view in tuple(snapshot.pods_on(index)):
                        fork.forget(view)
                    fork.remove_node(item)
            case "add":
                fork.add_node(node(f"new-{number}", which % 3))
            case "place":
                fork.place(snapshot.classes.view(pod(f"new-{number}", which % 3)))
            case "forget" if views:
                fork.forget(views[which % len(views)])
    fork.revert()
    assert seen(snapshot) == before
