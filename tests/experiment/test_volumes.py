"""Volumes in a whole cluster: claims wait for the scheduler, volumes are made where it chose, pods stay with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cluster.assembly import ClusterPlan, assemble
from harness.engine.component import SECOND
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, from_wire, to_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import IS_DEFAULT_CLASS, ZONE
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import least_allocated


class Story:
    def __init__(self, *nodes: Node) -> None:
        assembled = assemble(MemoryStore(ObjectCodec()), ClusterPlan(nodes=nodes, strategy=least_allocated()))
        self.cluster, self.scheduler = assembled.cluster, assembled.scheduler
        self.server = self.cluster.server
        self.now_s = 0.0
        self.run(5)

    def run(self, seconds: float) -> None:
        self.now_s += seconds
        at = round(self.now_s * SECOND)
        self.cluster.run(at)
        self.server.now = max(self.server.now, at)

    def create(self, obj: Any) -> None:
        self.server.create(from_wire(obj) if isinstance(obj, dict) else obj)
        self.cluster.api.flush(self.server.now)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.server.delete(kind, namespace, name, grace_s=0)
        self.cluster.api.flush(self.server.now)

    def where(self, name: str) -> str:
        pod: Pod = self.server.get("Pod", "default", name)
        return pod.spec.node_name

    def zone(self, node: str) -> str:
        found: Node = self.server.get("Node", "", node)
        return found.metadata.labels[ZONE]

    def claim(self, name: str) -> PersistentVolumeClaim:
        found: PersistentVolumeClaim = self.server.get("PersistentVolumeClaim", "default", name)
        return found

    def volume(self, name: str) -> PersistentVolume:
        found: PersistentVolume = self.server.get("PersistentVolume", "", name)
        return found

    def told(self, name: str, reason: str) -> list[str]:
        return [
            event.message
            for event in self.server.listed("Event")
            if event.involved_object.name == name and event.reason == reason
        ]


def node(name: str, zone: str, cpu: str = "4") -> Node:
    capacity = {"cpu": parse_quantity(cpu), "memory": parse_quantity("8Gi"), "pods": count_quantity(20)}
    return Node(
        metadata=ObjectMeta(name=name, labels={ZONE: zone, "kubernetes.io/hostname": name}),
        status=NodeStatus(capacity=capacity, allocatable=capacity),
    )


def storage_class(name: str, provisioner: str = "disk.csi", mode: str = "WaitForFirstConsumer", **more: Any) -> Any:
    return {
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **more,
    }


def claim(name: str, storage_class: str | None = "late", storage: str = "1Gi", **spec: Any) -> Any:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}, **spec}
    if storage_class is not None:
        asked["storageClassName"] = storage_class
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"}, "spec": asked}


def volume(name: str, storage_class: str = "", storage: str = "1Gi", zone: str = "", **spec: Any) -> Any:
    made: dict[str, Any] = {
        "capacity": {"storage": storage},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "csi": {"driver": "d", "volumeHandle": name},
        **spec,
    }
    if zone:
        expression = {"key": ZONE, "operator": "In", "values": [zone]}
        made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {"kind": "PersistentVolume", "metadata": {"name": name}, "spec": made}


def pod(name: str, *claims: str, cpu: str = "1", **spec: Any) -> Pod:
    volumes = [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": name}} for i, name in enumerate(claims)]
    requests = {"cpu": parse_quantity(cpu)}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels={"app": "db"}),
        spec=PodSpec(
            containers=(Container(name="c", image="i:1", resources=ResourceRequirements(requests=requests)),),
            extra={"volumes": volumes},
            **spec,
        ),
    )


def test_a_volume_is_made_where_the_scheduler_chose_and_the_pod_comes_after_it() -> None:
    story = Story(node("a1", "a"), node("b1", "b"))
    story.create(storage_class("late"))
    story.create(claim("data"))
    story.run(2)
    assert story.claim("data").status.phase == "Pending"
    assert story.told("data", "WaitForFirstConsumer") == ["waiting for first consumer to be created before binding"]
    story.create(pod("db", "data"))
    story.run(2)
    assert story.where("db") == "", "it is bound after its claim, and a volume takes three seconds to make"
    chosen = story.claim("data").metadata.annotations["volume.kubernetes.io/selected-node"]
    story.run(5)
    assert story.where("db") == chosen
    bound = story.claim("data")
    made = story.volume(bound.spec.volume_name)
    assert (bound.status.phase, made.status.phase) == ("Bound", "Bound")
    assert made.spec.node_affinity is not None
    assert made.spec.node_affinity.required is not None
    (expression,) = made.spec.node_affinity.required.node_selector_terms[0].match_expressions
    assert (expression.key, expression.values) == (ZONE, (story.zone(chosen),))
    assert story.told("db", "FailedScheduling") == []
    story.run(20)
    assert story.server.get("Pod", "default", "db").status.phase == "Running"


def test_a_lost_zone_keeps_its_pods_waiting_until_it_is_back() -> None:
    story = Story(node("a1", "a"), node("b1", "b"))
    story.create(storage_class("late"))
    story.create(claim("data"))
    story.create(pod("db", "data"))
    story.run(20)
    home = story.where("db")
    zone = story.zone(home)
    story.delete("Pod", "db")
    story.delete("Node", home, "")
    story.create(pod("db", "data"))
    story.run(20)
    assert story.where("db") == ""
    assert story.told("db", "FailedScheduling")[-1].startswith(
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict."
    )
    story.cluster.start_nodes([node("new", zone)])
    story.run(20)
    assert story.where("db") == "new"


def test_a_missing_claim_and_an_unbound_one_are_told_and_waited_for() -> None:
    story = Story(node("a1", "a"))
    story.create(pod("db", "data"))
    story.run(3)
    assert story.told("db", "FailedScheduling")[-1].startswith(
        '0/1 nodes are available: persistentvolumeclaim "data" not found.'
    )
    story.create(claim("data", ""))
    story.run(12)
    assert story.told("db", "FailedScheduling")[-1].startswith("0/1 nodes are available: persistentvolumeclaim"), (
        "nothing that helps has happened: the pod is not tried again"
    )
    story.create(volume("pv"))
    story.run(30)
    assert story.where("db") == "a1"
    assert story.claim("data").spec.volume_name == "pv"


def test_immediate_claims_take_the_smallest_volume_that_fits() -> None:
    story = Story(node("a1", "a"))
    for name, size in (("large", "10Gi"), ("small", "1Gi"), ("right", "3Gi")):
        story.create(volume(name, "now", size))
    story.create(storage_class("now", "kubernetes.io/no-provisioner", "Immediate"))
    story.run(2)
    story.create(claim("data", "now", "2Gi"))
    story.run(2)
    assert story.claim("data").spec.volume_name == "right"
    assert str(story.claim("data").status.capacity["storage"]) == "3Gi"
    assert {name: story.volume(name).status.phase for name in ("large", "small", "right")} == {
        "large": "Available",
        "small": "Available",
        "right": "Bound",
    }
    story.delete("PersistentVolumeClaim", "data")
    story.run(2)
    assert story.volume("right").status.phase == "Released"


def test_local_volumes_are_chosen_with_the_node() -> None:
    story = Story(node("a1", "a"), node("b1", "b"))
    story.create(storage_class("late", "kubernetes.io/no-provisioner"))
    story.create(volume("in-b", "late", zone="b"))
    story.run(2)
    for name in ("one", "two"):
        story.create(claim(name))
        story.create(pod(f"pod-{name}", name))
    story.run(30)
    placed = sorted((story.where("pod-one"), story.where("pod-two")))
    assert placed == ["", "b1"], "one volume serves one claim"
    waits = "pod-one" if not story.where("pod-one") else "pod-two"
    assert story.told(waits, "FailedScheduling")[-1].startswith(
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    )
    story.create(volume("in-a", "late", zone="a"))
    story.run(30)
    assert story.where(waits) == "a1"


def test_one_pod_alone_uses_a_claim_that_says_so() -> None:
    story = Story(node("a1", "a"), node("a2", "a"))
    story.create(storage_class("late"))
    story.create(claim("data", accessModes=["ReadWriteOncePod"]))
    story.create(pod("first", "data"))
    story.run(10)
    story.create(pod("second", "data"))
    story.run(10)
    assert story.where("first")
    assert not story.where("second")
    assert story.told("second", "FailedScheduling")[-1].startswith(
        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod"
        " access mode."
    )
    story.delete("Pod", "first")
    story.run(15)
    assert story.where("second")


def test_claims_of_a_set_go_round_the_zones_when_bound_at_once_and_their_volumes_go_with_them() -> None:
    story = Story(*(node(f"{zone}1", zone) for zone in "abc"))
    story.create(
        storage_class("now", mode="Immediate", metadata={"name": "now", "annotations": {IS_DEFAULT_CLASS: "true"}})
    )
    for index in range(3):
        story.create(claim(f"data-db-{index}", None))
        story.create(pod(f"db-{index}", f"data-db-{index}"))
    story.run(30)
    assert sorted(story.zone(story.where(f"db-{index}")) for index in range(3)) == ["a", "b", "c"]
    made = story.claim("data-db-0").spec.volume_name
    story.delete("Pod", "db-0")
    story.delete("PersistentVolumeClaim", "data-db-0")
    story.run(5)
    assert made in story.server.objects("PersistentVolume"), "its kubelet has not told that it is unmounted"
    story.run(10)
    assert made not in story.server.objects("PersistentVolume"), "reclaimPolicy Delete"


@pytest.mark.parametrize("after_s", [0.2, 1.0, 3.0, 3.6])
def test_whoever_starts_anew_finishes_what_was_begun(after_s: float) -> None:
    """Controllers, provisioner and scheduler start again with nothing but the store, in the middle of a binding."""
    story = Story(node("a1", "a"), node("b1", "b"))
    story.create(storage_class("late"))
    for index in range(4):
        story.create(claim(f"c{index}"))
        story.create(pod(f"p{index}", f"c{index}"))
    story.run(after_s)
    begin = round(story.now_s * SECOND)
    plan = ClusterPlan(nodes=(node("a1", "a"), node("b1", "b")), strategy=least_allocated())
    again = assemble(story.server.store, plan, begin).cluster
    again.run(begin + 60 * SECOND)
    assert {pod.status.phase for pod in again.server.objects("Pod").values()} == {"Running"}
    assert {found.status.phase for found in again.server.objects("PersistentVolumeClaim").values()} == {"Bound"}
    assert len(again.server.objects("PersistentVolume")) == 4


def test_an_ephemeral_volume_comes_and_goes_with_its_pod() -> None:
    story = Story(node("a1", "a"))
    story.create(storage_class("late"))
    story.run(1)
    made = pod("db")
    asked = claim("")["spec"]
    source = {"volumeClaimTemplate": {"metadata": {"labels": {"of": "db"}}, "spec": asked}}
    spec = PodSpec(containers=made.spec.containers, extra={"volumes": [{"name": "scratch", "ephemeral": source}]})
    story.create(Pod(metadata=made.metadata, spec=spec))
    story.run(15)
    assert story.where("db") == "a1"
    found = story.claim("db-scratch")
    assert (found.status.phase, found.metadata.labels) == ("Bound", {"of": "db"})
    story.delete("Pod", "db")
    story.run(15)
    assert not story.server.objects("PersistentVolumeClaim")
    assert not story.server.objects("PersistentVolume")


def test_a_node_that_goes_while_its_volume_is_made_is_given_up() -> None:
    story = Story(node("a1", "a"), node("b1", "b", cpu="2"))
    story.create(storage_class("late"))
    story.create(claim("data"))
    story.create(pod("db", "data"))
    story.run(1)
    chosen = story.claim("data").metadata.annotations["volume.kubernetes.io/selected-node"]
    story.delete("Node", chosen, "")
    story.cluster.start_nodes([node("c1", "c", cpu="8")])
    story.run(60)
    assert story.where("db") not in ("", chosen)
    assert any("binding volumes" in text for text in story.told("db", "FailedScheduling"))


def test_a_record_explains_its_volumes(tmp_path: Path) -> None:
    """Scenario, record and explanation; the volume is in one zone of two."""
    objects: list[Any] = [
        storage_class("late", "kubernetes.io/no-provisioner"),
        volume("pv", "late", zone="b"),
        claim("data"),
        {"kind": "Pod", **to_wire(pod("db", "data"))},
    ]
    for obj in objects:
        obj["apiVersion"] = KINDS[obj["kind"]].api_version
    (tmp_path / "storage.yaml").write_text(yaml.safe_dump_all(objects))
    spec = {
        "duration": "1m",
        "nodes": [{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "16Gi", "zones": ["a", "b"]}}],
        "workload": [{"manifests": ["storage.yaml"]}],
    }
    scenario = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "zonal"}, "spec": spec}
    (tmp_path / "zonal.yaml").write_text(yaml.safe_dump(scenario))
    words = ["--scheduler", "kube", "--nodes", "inline", "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, ["run", str(tmp_path / "zonal.yaml"), *words])
    assert ran.exit_code == 0, ran.output
    (record,) = (tmp_path / "out" / "zonal" / "kube").iterdir()
    told = CliRunner().invoke(app, ["explain", str(record), "db"])
    assert told.exit_code == 0, told.output
    assert "default/db went to n-1" in told.stdout
    assert "1 node(s) didn't find available persistent volumes to bind" in told.stdout
