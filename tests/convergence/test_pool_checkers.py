"""Autoscaled pools at rest: what a pool should have done, and what it should have taken away."""

from __future__ import annotations

from typing import Any

from harness.autoscaling.pool import POOL_LABEL, NodePool
from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import MINUTE, SECOND
from harness.engine.latency import Constant
from harness.model.objects import KINDS, from_wire

SIZE = {"cpu": "4", "memory": "8Gi", "pods": "20"}
READY = {"type": "Ready", "status": "True"}
WAITS = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


def node(name: str, pool: str = "") -> Any:
    labels = {POOL_LABEL: pool} if pool else {}
    status = {"capacity": SIZE, "allocatable": SIZE, "conditions": [READY]}
    return from_wire({"kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status})


def pod(name: str, cpu: str, at: str = "", **meta: Any) -> Any:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "schedulerName": "default-scheduler", **({"nodeName": at} if at else {})}
    status = {"phase": "Running" if at else "Pending", "conditions": [] if at else [WAITS]}
    return from_wire(
        {"kind": "Pod", "metadata": {"name": name, "namespace": "d", **meta}, "spec": spec, "status": status}
    )


def found(*objects: Any, most: int = 2, least: int = 0) -> list[str]:
    held: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for obj in objects:
        held[type(obj).__name__][obj.metadata.key] = obj
    pool = NodePool(name="p", template=node("", "p"), least=least, most=most, provisioning=Constant(SECOND))
    state = ClusterState(lambda kind: held[kind], 60 * MINUTE, templates={"p": pool})
    return [str(item) for item in check(state, ("pools",))]


def test_who_would_fit_on_a_new_node_is_not_left_waiting() -> None:
    full = (node("n"), pod("old", "4", "n"))
    assert found(*full, pod("new", "2")) == ["pools: Pod d/new: waits, though it would fit on a new node of pool p"]
    assert found(*full, pod("huge", "6")) == []
    assert found(*full, pod("new", "2"), most=0) == []
    assert found(*full, pod("new", "2", labels={"scheduling.x-k8s.io/pod-group": "g"})) == []


def test_a_node_that_nobody_needs_is_not_left_standing() -> None:
    (text,) = found(node("p-0", "p"))
    assert text.startswith("pools: Node p-0: empty for 3600 s, though pool p has 1 nodes and needs 0")
    assert found(node("p-0", "p"), least=1) == []
    assert found(node("p-0", "p"), pod("a", "1", "p-0")) == []
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "x", "uid": "x", "controller": True}
    assert found(node("p-0", "p"), pod("daemon", "1", "p-0", ownerReferences=[owner])) != []
    busy = pod("daemon", "2", "p-0", ownerReferences=[owner])
    assert found(node("p-0", "p"), busy) == [], "seed 727: by its daemons it is in use"
    gang = pod("waits-for-its-gang", "1", labels={"scheduling.x-k8s.io/pod-group": "g"})
    assert found(node("p-0", "p"), gang) == [], "somebody would fit there, if only its gang came"


def test_an_unhealthy_cluster_is_not_judged() -> None:
    status = {"conditions": [{**READY, "status": "False"}]}
    down = from_wire({"kind": "Node", "metadata": {"name": "n"}, "status": status})
    assert found(down, node("p-0", "p")) == []
