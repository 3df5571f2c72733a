"""Just-in-time nodes at rest: each state is wrong in one way, and that is what is found."""

from __future__ import annotations

from typing import Any

from harness.autoscaling.provisioning.catalogue import shipped_catalogue
from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import MINUTE
from harness.model.karpenter import INITIALIZED, NODEPOOL
from harness.model.objects import KINDS, from_wire
from tests.autoscaling.just_in_time import node_pool, on
from tests.convergence.test_pool_checkers import READY, SIZE, pod


def node(name: str = "p-1", *, ready: str = "True", **labels: str) -> Any:
    labels = {NODEPOOL: "p", INITIALIZED: "true", **labels}
    status = {"capacity": SIZE, "allocatable": SIZE, "conditions": [{**READY, "status": ready}]}
    return from_wire({"kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status})


def claim(name: str = "p-1", **meta: Any) -> Any:
    status = {"capacity": SIZE}
    return from_wire(
        {"kind": "NodeClaim", "metadata": {"name": name, "labels": {NODEPOOL: "p"}, **meta}, "status": status}
    )


def pool(**spec: Any) -> Any:
    return from_wire(node_pool("p", [on("karpenter.k8s.aws/instance-family", "m7i")], **spec))


def found(*objects: Any, at: int = 60 * MINUTE) -> list[str]:
    held: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for obj in objects:
        held[type(obj).__name__][obj.metadata.key] = obj
    state = ClusterState(lambda kind: held[kind], at, catalogue=shipped_catalogue())
    return [str(item) for item in check(state, ("node-claims",))]


def test_each_claim_has_a_node_in_time_and_each_node_its_claim() -> None:
    assert found(claim()) == ["node-claims: NodeClaim p-1: without a node for 3600 s"]
    assert found(claim(), at=10 * MINUTE) == []
    assert found(node()) == ["node-claims: Node p-1: its NodeClaim is gone"]
    assert found(node(), claim()) == []


def test_what_is_deleted_goes_unless_a_budget_holds_a_pod() -> None:
    going = claim(deletionTimestamp="2020-01-01T00:00:00Z", finalizers=["karpenter.sh/termination"])
    (text,) = found(node(), going)
    assert text.startswith("node-claims: NodeClaim p-1: is going for")
    held = pod("a", "1", "p-1", labels={"app": "a"})
    spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "a"}}}
    budget = from_wire({"kind": "PodDisruptionBudget", "metadata": {"name": "a", "namespace": "d"}, "spec": spec})
    assert found(node(), going, held, budget) == []
    assert len(found(node(), going, held)) == 1


def test_who_would_fit_on_a_new_node_is_not_left_waiting() -> None:
    waits = "node-claims: Pod d/a: waits, though it would fit on a new node of NodePool p"
    assert found(pool(), pod("a", "4")) == [waits]
    assert found(pool(), pod("a", "400")) == []
    assert found(pool(limits={"cpu": "1"}), pod("a", "2")) == []
    assert found(pool(limits={"cpu": "6"}), claim(), node(), pod("busy", "4", "p-1"), pod("a", "1")) == [waits]
    assert found(pool(limits={"cpu": "5"}), claim(), node(), pod("busy", "4", "p-1"), pod("a", "1")) == []
    taints = {"template": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}
    assert found(pool(**taints), pod("a", "2")) == []
    assert found(pool(), pod("a", "2", labels={"scheduling.x-k8s.io/pod-group": "g"})) == []


def test_a_node_that_nobody_needs_is_not_left_standing() -> None:
    after = {"disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m"}}
    assert found(pool(**after), node(), claim()) == [
        "node-claims: Node p-1: empty for 3000 s longer than consolidateAfter"
    ]
    assert found(pool(**after), node(), claim(), at=14 * MINUTE) == []
    assert found(pool(**after), node(), claim(), pod("a", "1", "p-1")) == []
    assert found(pool(**after), node(ready="Unknown"), claim()) == []
    never = {"disruption": {"consolidateAfter": "Never"}}
    assert found(pool(**never), node(), claim()) == []
    none = {"disruption": {**after["disruption"], "budgets": [{"nodes": "0"}]}}
    assert found(pool(**none), node(), claim()) == []
