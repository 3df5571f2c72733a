"""A cluster that a story is told with: manifests in, a transcript out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from msgspec.structs import replace

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.engine.component import SECOND
from harness.faults.timeline import parse
from harness.measure.journal import Journal
from harness.model.core import Node, NodeStatus
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.report.transcript import Line, text, transcript
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ZONE = "topology.kubernetes.io/zone"


def node(name: str, zone: str = "a", cpu: str = "4") -> Node:
    amounts = {"cpu": parse_quantity(cpu), "memory": parse_quantity("8Gi"), "pods": count_quantity(20)}
    labels = {ZONE: zone, "kubernetes.io/hostname": name}
    return Node(metadata=ObjectMeta(name=name, labels=labels), status=NodeStatus(capacity=amounts, allocatable=amounts))


def named(lines: Sequence[Line], uids: Mapping[str, str]) -> list[Line]:
    """With what a UID is of in the UID's place: UIDs count the writes before them, and say nothing to a reader."""

    def put(words: str) -> str:
        return UID.sub(lambda found: uids.get(found.group(), found.group()), words)

    return [replace(line, name=put(line.name), message=put(line.message)) for line in lines]


class Story:
    """Kubernetes' own controllers, greedy as the scheduler; `faults` as in a scenario."""

    def __init__(self, *nodes: Node, faults: Sequence[dict[str, Any]] = (), scheduler: str = "least-allocated") -> None:
        plan = ClusterPlan(
            settings=ClusterSettings(seed=1), nodes=nodes, strategy=load(scheduler)(), faults=parse(list(faults))
        )
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.server = self.cluster.server
        self.journal = Journal(lambda: self.server.now)
        self.server.listeners.append(self.journal.written)
        self.cluster.api.observers.append(self.journal.observed)
        self.uids: dict[str, str] = {}
        self.server.listeners.append(self._written)

    def until(self, at_s: float) -> None:
        """Time passes, up to this instant."""
        at = round(at_s * SECOND)
        self.cluster.run(at)
        self.server.now = max(self.server.now, at)

    def apply(self, manifests: str) -> None:
        """`kubectl create -f -` now: YAML documents."""
        for document in yaml.safe_load_all(manifests):
            document["metadata"].setdefault("namespace", "default")
            self.server.create(from_wire(document))
        self._heard()

    def edit(self, kind: str, name: str, namespace: str = "default", **spec: Any) -> None:
        """`kubectl edit` now: fields of the spec."""
        there = self.server.get(kind, namespace, name)
        self.server.update(replace(there, spec=replace(there.spec, **spec)))
        self._heard()

    def set_image(self, name: str, image: str) -> None:
        """`kubectl set image deployment/NAME *=IMAGE` now."""
        template = self.server.get("Deployment", "default", name).spec.template
        containers = tuple(replace(item, image=image) for item in template.spec.containers)
        self.edit("Deployment", name, template=replace(template, spec=replace(template.spec, containers=containers)))

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.server.delete(kind, namespace, name)
        self._heard()

    def evict(self, name: str) -> str:
        """The eviction subresource, as `kubectl drain` asks for it; the refusal's words, or nothing."""
        from harness.model.status import ApiError

        try:
            self.server.evict("default", name)
        except ApiError as error:
            return str(error)
        finally:
            self._heard()
        return ""

    def pods_on(self, name: str) -> list[str]:
        return sorted(pod.metadata.name for pod in self.server.listed("Pod") if pod.spec.node_name == name)

    def text(self) -> str:
        return text(named(transcript(self.journal), self.uids))

    def _written(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        self.uids.setdefault(obj.metadata.uid, f"UID({kind.kind.lower()}/{obj.metadata.name})")

    def _heard(self) -> None:
        self.cluster.api.flush(self.server.now)
