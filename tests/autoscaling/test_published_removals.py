"""Rows of cluster-autoscaler's own tables about nodes: what is requested of them, which may go, how many are needed.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37, the file beside each table.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.autoscaling.cluster.cluster_state import TO_BE_DELETED, ClusterState
from harness.autoscaling.cluster.eligibility import Eligibility
from harness.autoscaling.cluster.estimator import estimate
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.removals import Removals
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, parse_flags
from harness.autoscaling.pool import NodePool
from harness.engine.component import MINUTE, SECOND, Watch
from harness.engine.latency import Constant
from harness.model.core import Node
from tests.autoscaling.published_objects import ANNOTATION, NOW, made, node, pod, with_meta

# -- what is requested of a node, and whether it may go ----------------------------------------------------------------


class Cluster:
    """Nodes of a pool p, which may be empty, and their pods."""

    def __init__(self, *nodes: Node, flags: dict[str, str] | None = None, least: int = 0) -> None:
        template = node(labels={"podyard.dev/pool": "p"})
        made_of = NodePool(name="p", template=template, least=least, most=10, provisioning=Constant(SECOND))
        self.state = ClusterState((made_of,), parse_flags(flags or {}))
        for item in nodes:
            self.state.observe(0, Watch("ADDED", item))

    def runs(self, name: str, *objects: dict[str, Any], deleted: int | None = None) -> Cluster:
        for obj in objects:
            placed = {**obj, "spec": {**obj["spec"], "nodeName": name}}
            self.state.observe(0, Watch("ADDED", made(placed, deleted=deleted)))
        return self

    def used(self, name: str = "n") -> float:
        return Eligibility(self.state).utilization(NOW, name)[0]

    def goes(self, name: str) -> bool:
        return not isinstance(Removals(self.state, set()).remove(NOW, name), str)


def of_pool(name: str, cpu: str = "2000m", memory: Any = 2000000, **more: Any) -> Node:
    labels = {"podyard.dev/pool": "p", "kubernetes.io/hostname": name, **more.pop("labels", {})}
    return node(cpu, memory, name, labels, **more)


def asks(name: str, cpu: int, memory: int, owner: str = "ReplicaSet", **spec: Any) -> dict[str, Any]:
    return pod(name, owner=owner, requests={"cpu": f"{cpu}m", "memory": str(memory)}, **spec)


PLAIN, OTHER, NOTHING = asks("p1", 100, 200000), asks("p2", 100, 200000), pod("p0")
OF_DAEMON, OF_OTHER_DAEMON = (
    asks("p3", 100, 200000, "DaemonSet"),
    with_meta(asks("p4", 100, 200000, "CustomDaemonSet"), annotations={f"{ANNOTATION}daemonset-pod": "true"}),
)
MIRROR = with_meta(asks("p5", 100, 200000), annotations={"kubernetes.io/config.mirror": ""})
NO_DAEMONS, NO_MIRRORS = {"ignore-daemonsets-utilization": "true"}, {"ignore-mirror-pods-utilization": "true"}


def init(cpu: int, memory: int, **more: Any) -> dict[str, Any]:
    requests = {"cpu": f"{cpu}m", "memory": str(memory)}
    return {"name": f"i{cpu}", "image": "x", "resources": {"requests": requests}, **more}


@pytest.mark.parametrize(
    ("flags", "pods", "used"),
    [
        ({}, (PLAIN, OTHER, NOTHING), 2 / 10),
        (
            {},
            (
                PLAIN,
                asks("s", 100, 200000, initContainers=[init(50, 100000, restartPolicy="Always"), init(5, 100)]),
                asks("l", 100, 200000, initContainers=[init(50000, 100000000)]),
            ),
            50.25,
        ),
        (NO_DAEMONS, (PLAIN, OTHER, NOTHING, OF_DAEMON, OF_OTHER_DAEMON), 2.5 / 10),
        ({}, (PLAIN, NOTHING, OF_DAEMON), 2 / 10),
        (NO_MIRRORS, (PLAIN, OTHER, NOTHING, MIRROR), 2 / 9),
        ({}, (PLAIN, NOTHING, MIRROR), 2 / 10),
        (NO_DAEMONS | NO_MIRRORS, (PLAIN, MIRROR, OF_DAEMON), 1 / 8),
    ],
)
def test_what_is_requested_of_a_node(flags: dict[str, str], pods: tuple[dict[str, Any], ...], used: float) -> None:
    """simulator/utilization/info_test.go TestCalculate. Left out: nodes without memory, which no kubelet registers, and
    devices of dynamic resources."""
    found = Cluster(of_pool("n"), flags=flags).runs("n", *pods).used()
    assert found == pytest.approx(used, rel=0.01)


def test_pods_that_should_have_ended_are_not_requested() -> None:
    cluster = Cluster(of_pool("n")).runs("n", PLAIN, OTHER)
    assert cluster.runs("n", asks("gone", 100, 200000), deleted=NOW - 10 * MINUTE).used() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("flags", "more", "pods", "reason"),
    [
        ({}, {}, (), ""),
        ({}, {"taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]}, (), "CurrentlyBeingDeleted"),
        ({}, {"annotations": {f"{ANNOTATION}scale-down-disabled": "true"}}, (), "ScaleDownDisabledAnnotation"),
        ({}, {}, (asks("big", 600, 0),), "NotUnderutilized"),
        ({}, {}, (asks("small", 100, 0),), ""),
        (NO_DAEMONS, {}, (asks("small", 100, 0), asks("ds", 500, 0, "DaemonSet")), ""),
        ({}, {}, (asks("small", 100, 0), asks("ds", 500, 0, "DaemonSet")), "NotUnderutilized"),
        (NO_DAEMONS | {"scale-down-utilization-threshold": "0"}, {}, (asks("ds", 500, 0, "DaemonSet"),), ""),
    ],
)  # fmt: skip
def test_which_nodes_are_candidates(
    flags: dict[str, str], more: dict[str, Any], pods: tuple[dict[str, Any], ...], reason: str
) -> None:
    """core/scaledown/eligibility/eligibility_test.go TestFilterOutUnremovable."""
    cluster = Cluster(of_pool("n", "1000m", **more), flags=flags).runs("n", *pods)
    found = Eligibility(cluster.state)
    assert found.against_all(NOW, set())["n"] == found.against(NOW, "n") == reason


def spread(**more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "topo-app"}}
    hosts = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**hosts, "minDomains": 2, "labelSelector": selector, **more}]}


@pytest.mark.parametrize(
    ("constraints", "goes"),
    [(spread(), False), (spread(nodeTaintsPolicy="Ignore"), False), (spread(nodeTaintsPolicy="Honor"), True)],
)
def test_a_node_that_goes_is_a_domain_as_long_as_it_is_there(constraints: dict[str, Any], goes: bool) -> None:
    """simulator/cluster_test.go TestSimulateNodeRemoval, 'topology spread constraint test'."""
    cluster = Cluster(*(of_pool(f"n{at}") for at in (1, 2, 3)))
    for at in (1, 2, 3):
        cluster.runs(f"n{at}", with_meta(asks(f"t{at}", 100, 100000, **constraints), labels={"app": "topo-app"}))
        cluster.runs(f"n{at}", asks(f"b{at}", 100, 100000)) if at > 1 else None
    before = cluster.state.snapshot.free.copy()
    removals = Removals(cluster.state, set())
    assert (not isinstance(removals.remove(NOW, "n1"), str)) == goes
    removals.undo()
    index = cluster.state.snapshot.node_table.index
    assert [cluster.state.snapshot.free[0, index[f"n{at}"]] for at in (1, 2, 3)] == [before[0, at] for at in (0, 1, 2)]


@pytest.mark.parametrize(
    ("name", "nodes", "goes"),
    [
        ("empty", ("empty",), True),
        ("drainable", ("drainable",), False),
        ("drainable", ("drainable", "bare"), True),
        ("drainable", ("drainable", "full"), False),
        ("bare", ("bare", "empty"), False),
        ("empty", ("empty", "drainable", "full", "bare"), True),
    ],
)
def test_which_nodes_can_be_removed(name: str, nodes: tuple[str, ...], goes: bool) -> None:
    """simulator/cluster_test.go TestSimulateNodeRemoval."""
    pods = {
        "drainable": (asks("d1", 100, 100000), asks("d2", 100, 100000)),
        "bare": (asks("b", 100, 100000, ""),),
        "full": (asks("f", 1000, 100000),),
        "empty": (),
    }
    cluster = Cluster(*(of_pool(item, "1000m") for item in nodes))
    for item in nodes:
        cluster.runs(item, *pods[item])
    assert cluster.goes(name) == goes


# -- how many nodes are needed -----------------------------------------------------------------------------------------


def hosts(skew: int, key: str = "kubernetes.io/hostname", least: int = 1) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "estimatee"}}
    one = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    return {"topologySpreadConstraints": [{**one, "minDomains": least}]}


PORT = {"ports": [{"containerPort": 80, "hostPort": 5555}]}


@pytest.mark.parametrize(
    ("cpu", "memory", "most", "pods", "nodes", "placed"),
    [
        (1000, 2000, 0, [(350, 1000, 10, {})], 5, 10),
        (10000, 20000, 0, [(10, 100, 20, {})], 2, 20),
        (1000, 5000, 0, [(200, 1000, 8, PORT)], 8, 8),
        (1000, 5000, 5, [(500, 1000, 20, {})], 5, 10),
        (1000, 5000, 5, [(50, 1000, 10, {}), (500, 1000, 10, {})], 5, 10),
        (1000, 5000, 0, [(200, 200, 8, hosts(2))], 4, 8),
        (1000, 5000, 0, [(20, 100, 8, hosts(2, "topology.kubernetes.io/zone"))], 1, 2),
        (1000, 5000, 0, [(20, 100, 12, hosts(1, least=3))], 3, 12),
    ],
)
def test_how_many_nodes_some_pods_need(
    cpu: int, memory: int, most: int, pods: list[tuple[int, int, int, dict[str, Any]]], nodes: int, placed: int
) -> None:
    """estimator/binpacking_estimator_test.go TestBinpackingEstimate. In the fifth only the larger pods are taken; in
    the last the node that is there takes its share, and is counted there as here."""
    labels = {"podyard.dev/pool": "p", "topology.kubernetes.io/zone": "zone-mars"}
    template = node(f"{cpu}m", memory << 20, labels=labels, devices={"pods": "10"})
    one = NodePool(name="p", template=template, most=100, provisioning=Constant(SECOND))
    state = ClusterState((one,), ClusterAutoscalerSettings())
    old = {"topology.kubernetes.io/zone": "zone-jupiter", "kubernetes.io/hostname": "oldnode"}
    state.observe(0, Watch("ADDED", node("100m", 100 << 20, "oldnode", old, devices={"pods": "10"})))
    groups: dict[int, list[Any]] = {}
    for kind, (asked, of_memory, count, spec) in enumerate(pods):
        for number in range(count):
            obj = with_meta(asks(f"e{kind}-{number}", asked, of_memory), labels={"app": "estimatee"})
            if "ports" in spec:
                obj["spec"]["containers"][0] |= spec
            else:
                obj["spec"] |= spec
            view = state.view(made(obj))
            groups.setdefault(view.cls.id, []).append(view)
    fork = Fork(state.snapshot)
    count, found = estimate(fork, one, groups, most or 1000, state.daemon_pods)
    assert (count, len(found)) == (nodes, placed)
    if len(pods) > 1:
        assert {view.cls.amounts[0] for view in found} == {500}
    assert list(state.snapshot.node_table.index) == ["oldnode"]
