"""What kube-scheduler's own score tests expect, as numbers: plugins/podtopologyspread and plugins/imagelocality."""

from __future__ import annotations

import pytest

from harness.model.core import Container, ContainerImage, Node, NodeStatus, Pod, PodSpec, TopologySpreadConstraint
from harness.model.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from schedulers.kube import Kube, Profile

HOST = "kubernetes.io/hostname"
MIB = 1 << 20


def pod(name: str, *labels: str, **spec: object) -> Pod:
    spec.setdefault("containers", (Container(name="c"),))
    meta = ObjectMeta(name=name, namespace="d", labels=dict.fromkeys(labels, ""))
    return Pod(metadata=meta, spec=PodSpec(**spec))  # type: ignore[arg-type]


def scores(on: Snapshot, item: Pod, plugin: str) -> list[int]:
    """Of the nodes that take the pod, in their order."""
    column = Kube([Profile(weights={plugin: 1})]).explain(on.classes.view(item), on)[plugin]
    return [int(x) for x in column[column == column]]


def soft(key: str, label: str, skew: int = 1) -> TopologySpreadConstraint:
    expression = LabelSelectorRequirement(key=label, operator="Exists")
    return TopologySpreadConstraint(
        max_skew=skew,
        topology_key=key,
        when_unsatisfiable="ScheduleAnyway",
        label_selector=LabelSelector(match_expressions=(expression,)),
    )


BOTH = (soft("zone", "foo"), soft(HOST, "bar"))


@pytest.mark.parametrize(
    # By node: what runs there, a string of f (foo), b (bar), B (both); ! for a node that is no candidate, - for one
    # without the labels. The first half of the nodes is in one zone, the second in the other.
    ("nodes", "constraints", "expected"),
    [
        (("", ""), (soft(HOST, "foo"),), [100, 100]),
        (("ff", "f!"), (soft(HOST, "foo"),), [100]),
        (("f", "f"), (soft(HOST, "foo"),), [100, 100]),
        (("ff", "f", "", "fff"), (soft(HOST, "foo"),), [20, 60, 100, 0]),
        (("ff", "f", "", "fff"), (soft(HOST, "foo", 2),), [33, 66, 100, 16]),
        (("ffff", "fff", "ff", "f"), (soft(HOST, "foo", 3),), [44, 66, 77, 100]),
        (("ffff", "ff", "f", "fff!"), (soft(HOST, "foo"),), [33, 83, 100]),
        (("ffff", "ff-", "f", "fff!"), (soft(HOST, "foo"),), [16, 0, 100]),
        (("ffff", "ff", "f", "fff!"), (soft("zone", "foo"),), [75, 75, 100]),
        (("ff", "f!", "ff", "ffff!"), (soft("zone", "foo"), soft(HOST, "foo")), [100, 63]),
        (("f", "B", "", "fb"), BOTH, [60, 20, 100, 60]),
        (("", "b", "f", "B"), BOTH, [100, 60, 40, 0]),
    ],
)
def test_soft_spreading(
    nodes: tuple[str, ...], constraints: tuple[TopologySpreadConstraint, ...], expected: list[int]
) -> None:
    """scoring_test.go TestPodTopologySpreadScore."""
    on = Snapshot()
    labels = {"f": ("foo",), "b": ("bar",), "B": ("foo", "bar")}
    for i, there in enumerate(nodes):
        own = {} if "-" in there else {HOST: f"n{i}", "zone": f"zone{2 * i // len(nodes)}"}
        on.add_node(f"n{i}", {"cpu": 1000, "memory": 1000, "pods": 9}, labels=own, unschedulable="!" in there)
        for j, kind in enumerate(there.strip("!-")):
            on.assume(on.classes.view(pod(f"p{i}-{j}", *labels[kind])), i)
    asks = pod("p", "foo", "bar", topology_spread_constraints=constraints)
    assert scores(on, asks, "PodTopologySpread") == expected


def test_nodes_without_zones_are_spread_by_host_alone() -> None:
    """The same table: system defaulting, where a service selects the pods."""
    on = Snapshot()
    on.tables.owner_selectors.put_service("d", "svc", {"foo": ""})
    for i in range(4):
        on.add_node(f"n{i}", {"cpu": 1000, "memory": 1000, "pods": 9}, labels={HOST: f"n{i}"})
        for j in range(4 - i):
            on.assume(on.classes.view(pod(f"p{i}-{j}", "foo")), i)
    assert scores(on, pod("p", "foo"), "PodTopologySpread") == [44, 66, 77, 100]


@pytest.mark.parametrize(
    ("wanted", "bare", "expected"),
    [
        # Shares of two nodes, thresholds of two containers: 100 * (250 / 2 - 23) // (2000 - 23), and so on.
        ((40, 250), 0, [0, 5]),
        ((40, 300), 0, [7, 0]),
        ((10, 2000), 0, [49, 0]),
        ((10, 2000), 1, [32, 0, 0]),
    ],
)
def test_images(wanted: tuple[int, ...], bare: int, expected: list[int]) -> None:
    """image_locality_test.go TestImageLocalityPriority; names without a tag mean :latest."""
    on = Snapshot()
    for name, sizes in (("n0", (40, 300, 2000)), ("n1", (250, 10)), *((f"bare{i}", ()) for i in range(bare))):
        images = tuple(
            ContainerImage(names=(f"gcr.io/{size}:latest", f"gcr.io/{size}:v1"), size_bytes=size * MIB)
            for size in sizes
        )
        room = {"cpu": parse_quantity("1"), "memory": parse_quantity("1Gi"), "pods": parse_quantity("9")}
        node = Node(metadata=ObjectMeta(name=name), status=NodeStatus(allocatable=room, images=images))
        on.add_node(**node_columns(node))
    asks = pod("p", containers=tuple(Container(name=f"c{size}", image=f"gcr.io/{size}") for size in wanted))
    assert scores(on, asks, "ImageLocality") == expected
