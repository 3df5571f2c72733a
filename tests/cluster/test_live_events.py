"""Events that only a live cluster records, and a machine for a node that a client makes."""

from __future__ import annotations

from harness.cluster.assembly import ClusterPlan
from harness.cluster.live import LiveCluster
from harness.engine.component import SECOND
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.model.quantity import parse_quantity
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import greedy


def test_a_node_made_by_a_client_gets_a_machine_and_takes_pods() -> None:
    live = LiveCluster(MemoryStore(ObjectCodec()), ClusterPlan(strategy=greedy()), time_scale=100)
    try:
        amounts = {"cpu": parse_quantity("4"), "memory": parse_quantity("4Gi"), "pods": parse_quantity("10")}
        server = live.cluster.server
        server.create(Node(metadata=ObjectMeta(name="mine"), status=NodeStatus(capacity=amounts)))
        spec = PodSpec(containers=(Container(name="c", image="x"),))
        server.create(Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
        live.run(until=20 * SECOND)
        assert server.get("Pod", "default", "p").status.phase == "Running"
        assert any(c.type == "Ready" and c.status == "True" for c in server.get("Node", "", "mine").status.conditions)
        said = {(event.reason, event.source.component, event.source.host) for event in server.listed("Event")}
        assert {
            ("Scheduled", "default-scheduler", ""),
            ("Started", "kubelet", "mine"),
            ("RegisteredNode", "node-controller", ""),
            ("NodeReady", "kubelet", "mine"),
        } <= said
    finally:
        live.close()
