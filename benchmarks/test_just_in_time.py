"""What just-in-time nodes cost: a batch of pending pods, and a look at what could be disrupted, at 100 and 1,000 nodes.

The batch is 200 pods that fit nowhere that is there. The look finds nothing: every node is simulated on its own, and
the largest set that could go is searched for.
"""

from __future__ import annotations

from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.provisioning.autoscaler import JustInTimeNodes
from harness.autoscaling.provisioning.catalogue import shipped_catalogue
from harness.engine.component import SECOND, Start, Timer, Watch
from harness.model.core import Container, Node, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.karpenter import (
    CAPACITY_TYPE,
    INITIALIZED,
    NODEPOOL,
    ON_DEMAND,
    REGISTERED,
    TERMINATION,
    ZONE,
    NodeClaim,
    NodeClaimStatus,
    NodePool,
)
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.objects import from_wire
from harness.model.quantity import bytes_quantity, milli_quantity
from harness.model.wire import Time

NODES = (100, 1_000) if FULL else (100,)
UNSCHEDULABLE = (Condition(type="PodScheduled", status="False", reason="Unschedulable"),)
TYPE = shipped_catalogue().by_name["c6a.xlarge"]


def pod(name: str, node: str, cpu_milli: int) -> Pod:
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="rs", uid="u", controller=True)
    requests = {"cpu": milli_quantity(cpu_milli), "memory": bytes_quantity(1 << 30)}
    container = Container(name="c", resources=ResourceRequirements(requests=requests))
    status = PodStatus(phase="Running") if node else PodStatus(phase="Pending", conditions=UNSCHEDULABLE)
    meta = ObjectMeta(name=name, namespace="d", uid=f"u-{name}", labels={"app": "x"}, owner_references=(owner,))
    return Pod(metadata=meta, spec=PodSpec(containers=(container,), node_name=node), status=status)


def node_pool() -> NodePool:
    requirements = [
        {"key": CAPACITY_TYPE, "operator": "In", "values": [ON_DEMAND]},
        {"key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": ["c6a"]},
    ]
    spec = {
        "template": {"spec": {"requirements": requirements}},
        "disruption": {"consolidateAfter": "0s", "budgets": [{"nodes": "100%"}]},
    }
    found = from_wire({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"}, "spec": spec})
    assert isinstance(found, NodePool)
    return found


def claim_and_node(name: str, zone: str) -> tuple[NodeClaim, Node]:
    labels = {**TYPE.labels, CAPACITY_TYPE: ON_DEMAND, ZONE: zone, NODEPOOL: "p"}
    told = tuple(
        Condition(type=kind, status="True", last_transition_time=Time(0))
        for kind in ("Launched", "Registered", "Initialized")
    )
    meta = ObjectMeta(name=name, uid=name, labels=labels, finalizers=(TERMINATION,), creation_timestamp=Time(0))
    claim = NodeClaim(metadata=meta, status=NodeClaimStatus(provider_id=name, conditions=told))
    ready = (Condition(type="Ready", status="True"),)
    node = Node(
        metadata=ObjectMeta(name=name, uid=name, labels={**labels, REGISTERED: "true", INITIALIZED: "true"}),
        status=from_wire({"apiVersion": "v1", "kind": "Node", "metadata": {}}).status.__class__(
            capacity=TYPE.capacity, allocatable=TYPE.allocatable, conditions=ready
        ),
    )
    return claim, node


def cluster(nodes: int, cpu_milli: int) -> JustInTimeNodes:
    """Two pods of `cpu_milli` on each node of 3.9 CPUs."""
    component = JustInTimeNodes(Random(1))
    events: list[Start | Watch] = [Start(), Watch("ADDED", node_pool())]
    for at in range(nodes):
        claim, node = claim_and_node(f"p-{at}", f"us-east-1{'abc'[at % 3]}")
        events += [Watch("ADDED", claim), Watch("ADDED", node)]
        events += [Watch("ADDED", pod(f"p-{at}-{i}", f"p-{at}", cpu_milli)) for i in range(2)]
    component.step(0, events)
    return component


@pytest.mark.parametrize("nodes", NODES)
def test_a_batch_of_pending_pods(benchmark: BenchmarkFixture, nodes: int) -> None:
    component = cluster(nodes, 1500)
    component.step(SECOND, [Watch("ADDED", pod(f"waiting-{i}", "", 1000)) for i in range(200)])
    state, provisioner = component._state, component._provisioner

    def batch() -> int:
        fork = Fork(state.snapshot)
        try:
            return len(provisioner.simulate(fork, state.provisionable(), (), frozenset()).new)
        finally:
            fork.revert()

    assert benchmark.pedantic(batch, rounds=3, iterations=1) >= 1


@pytest.mark.parametrize("nodes", NODES)
def test_a_look_that_finds_nothing_to_disrupt(benchmark: BenchmarkFixture, nodes: int) -> None:
    """Pods of 1.9 CPUs: two fill a node, and no cheaper type holds them."""
    component = cluster(nodes, 1900)
    disruption = component._disruption

    def look() -> int:
        disruption._settled.clear()
        disruption._armed_ns = 600 * SECOND
        return len(component.step(600 * SECOND, [Timer(("disrupt", 600 * SECOND))]))

    assert benchmark.pedantic(look, rounds=1, iterations=1) >= 1
    assert len(component.reasons_to_stay()) == nodes
