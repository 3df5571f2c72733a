"""Pods with a claim each, through API server, binder, provisioner, scheduler and kubelets: from creation to running.

PODYARD_BENCH=full for 5000 nodes and 5000 pods. Every pod is a class of its own, as its claim is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.notes import FULL, note
from benchmarks.rig import SPEC, cluster, nodes, running
from harness.cluster.cluster import Cluster
from harness.cluster.workload_driver import WorkloadDriver
from harness.engine.component import SECOND
from harness.model.core import (
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    Pod,
    ResourceRequirements,
)
from harness.model.meta import ObjectMeta
from harness.model.quantity import bytes_quantity
from harness.model.storage import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    StorageClass,
    VolumeNodeAffinity,
)
from harness.model.volumes import NO_PROVISIONER, WAIT_FOR_FIRST_CONSUMER, ZONE

ZONES = ("a", "b", "c")
SIZE = {"storage": bytes_quantity(1 << 30)}
MODES = ("ReadWriteOnce",)


def volume(number: int, reserved: bool) -> PersistentVolume:
    zone = NodeSelectorRequirement(key=ZONE, operator="In", values=(ZONES[number % 3],))
    needed = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(zone,)),))
    return PersistentVolume(
        metadata=ObjectMeta(name=f"volume-{number:06}"),
        spec=PersistentVolumeSpec(
            capacity=SIZE,
            access_modes=MODES,
            claim_ref=ObjectReference(namespace="default", name=f"claim-{number}") if reserved else None,
            storage_class_name="disk",
            node_affinity=VolumeNodeAffinity(required=needed),
            extra={"csi": {"driver": "disk.example.com", "volumeHandle": str(number)}},
        ),
    )


def claim(number: int) -> PersistentVolumeClaim:
    spec = PersistentVolumeClaimSpec(
        access_modes=MODES, resources=ResourceRequirements(requests=SIZE), storage_class_name="disk"
    )
    return PersistentVolumeClaim(metadata=ObjectMeta(name=f"claim-{number}", namespace="default"), spec=spec)


def pods(count: int) -> Iterator[Pod]:
    for number in range(count):
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": f"claim-{number}"}}]
        spec = replace(SPEC, extra={"volumes": volumes})
        yield Pod(metadata=ObjectMeta(name=f"measured-{number}", namespace="default"), spec=spec)


def storage(kind: str, count: int) -> Iterable[Any]:
    """bound: volumes that are bound before; static: zonal volumes to choose from; dynamic: volumes to be made."""
    yield StorageClass(
        metadata=ObjectMeta(name="disk"),
        provisioner="disk.example.com" if kind == "dynamic" else NO_PROVISIONER,
        volume_binding_mode="Immediate" if kind == "bound" else WAIT_FOR_FIRST_CONSUMER,
    )
    for number in range(count):
        if kind != "dynamic":
            yield volume(number, kind == "bound")
        yield claim(number)


@pytest.mark.benchmark(group="volumes")
@pytest.mark.parametrize("strategy", ["greedy", "kube"])
@pytest.mark.parametrize("kind", ["bound", "static", "dynamic"])
def test_pods_with_claims(benchmark: Any, kind: str, strategy: str) -> None:
    count, machines = (5000, 5000) if FULL else (100, 100)

    def setup() -> tuple[tuple[Cluster], dict[str, Any]]:
        made = cluster(nodes(machines, ZONES), strategy)
        at = made.now + 1
        before = WorkloadDriver((at, obj) for obj in storage(kind, count))
        before.name = "storage"
        made.add(before)
        made.run(made.now + 60 * SECOND)
        at = made.now + 1
        made.add(WorkloadDriver((at, pod) for pod in pods(count)))
        return (made,), {}

    def play(made: Cluster) -> None:
        latest = made.now + (count // 100 + 120) * SECOND
        while running(made) < count:
            assert made.now < latest, "some pod does not run"
            made.run(made.now + max(count // 1000, 1) * SECOND)

    benchmark.pedantic(play, setup=setup, rounds=3 if FULL else 1)
    note(benchmark, pods_per_second=lambda s: round(count / s))
    benchmark.extra_info.update(pods=count, nodes=machines)
