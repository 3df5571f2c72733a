"""A machine beside a real API server, stepped in virtual time; nothing else of a cluster."""

from __future__ import annotations

from typing import Any

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.engine.component import SECOND, FaultInjected, InjectFault
from harness.engine.latency import Latencies
from harness.model.core import Container, ContainerImage, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from harness.model.faults import NodeFault
from harness.model.meta import ObjectMeta
from harness.model.quantity import count_quantity, parse_quantity
from harness.node.backend import FIRST_NODE_ADDRESS
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

IMAGE = "registry.k8s.io/pause:3.10"


class Rig:
    """One node (or some), no controllers, no scheduler: pods are bound by hand."""

    def __init__(self, *, nodes: int = 1, cpu: str = "4", cached: bool = True, **settings: Any) -> None:
        capacity = {"cpu": parse_quantity(cpu), "memory": parse_quantity("8Gi"), "pods": count_quantity(10)}
        self.observed: list[tuple[int, str, str, tuple[Any, ...]]] = []
        self.statuses: list[tuple[float, str, str]] = []
        images = (ContainerImage(names=(IMAGE,), size_bytes=1000),) if cached else ()
        machines = tuple(
            Node(
                metadata=ObjectMeta(name=f"n{i}"),
                status=NodeStatus(capacity=capacity, allocatable=capacity, images=images),
            )
            for i in range(nodes)
        )
        plan = ClusterPlan(settings=ClusterSettings(latencies=Latencies(), **settings), nodes=machines, controllers=())
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.server = self.cluster.server
        self.cluster.api.observers.append(lambda *fact: self.observed.append(fact))
        self.server.listeners.append(self._write)
        self.run(1)

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Pod":
            said = change if change == "DELETED" else obj.status.phase
            self.statuses.append((self.server.now / SECOND, obj.metadata.name, said))

    def run(self, until_s: float) -> None:
        self.cluster.run(round(until_s * SECOND))
        self.server.now = max(self.server.now, round(until_s * SECOND))

    def pod(self, name: str = "a", *, node: str = "n0", cpu: str = "1", annotations: dict[str, str] | None = None,
            restart: str = "Never", deadline_s: int | None = None, finalizers: tuple[str, ...] = (),
            **container: Any) -> Pod:  # fmt: skip
        made = self.server.create(
            Pod(
                metadata=ObjectMeta(
                    name=name, namespace="default", annotations=annotations or {}, finalizers=finalizers
                ),
                spec=PodSpec(
                    restart_policy=restart,
                    active_deadline_seconds=deadline_s,
                    containers=(
                        Container(
                            name="main",
                            image=IMAGE,
                            resources=ResourceRequirements(requests={"cpu": parse_quantity(cpu)}),
                            **container,
                        ),
                    ),
                ),
            )
        )
        bound: Pod = self.server.bind("default", name, made.metadata.uid, node, {})
        self.cluster.api.flush(self.server.now)
        return bound

    def get(self, name: str = "a") -> Pod | None:
        found: Pod | None = self.server.objects("Pod").get(f"default/{name}")
        return found

    def delete(self, name: str = "a", grace_s: int | None = None) -> None:
        self.server.delete("Pod", "default", name, grace_s=grace_s)
        self.cluster.api.flush(self.server.now)

    def disturb(self, fault: NodeFault, node: int = 0) -> None:
        """As the driver does, lease and watch included."""

        self.cluster._machines(self.cluster.now, InjectFault((f"n{node}",), fault))

    def hit(self, fault: NodeFault, node: int = 0) -> None:
        self.cluster.backend.post(self.cluster.now + 1, FIRST_NODE_ADDRESS + node, FaultInjected(fault))

    def ready(self, name: str = "a") -> bool:
        pod = self.get(name)
        assert pod is not None
        return any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)

    def events(self) -> list[str]:
        return [event.reason for event in self.server.listed("Event")]
