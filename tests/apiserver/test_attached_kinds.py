"""Kinds that nothing here acts on, and that a scheduler or a chart from outside lists and writes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.objects import KINDS, from_wire, to_wire
from tests.controllers.test_statefulset import Story

PLAIN = (
    "CSINode",
    "CSIDriver",
    "CSIStorageCapacity",
    "VolumeAttachment",
    "PodTemplate",
    "IngressClass",
    "RuntimeClass",
    "DeviceClass",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceSlice",
)


def wire(kind: str, **more: Any) -> dict[str, Any]:
    known = KINDS[kind]
    namespace = {"namespace": "default"} if known.namespaced else {}
    return {"apiVersion": known.api_version, "kind": kind, "metadata": {"name": "x", **namespace}, **more}


@pytest.mark.parametrize("kind", PLAIN)
def test_an_object_is_kept_whole(kind: str) -> None:
    server = Story(0).server
    server.create(from_wire(wire(kind, spec={"driver": "d", "any": [1, {"a": "b"}]})))
    namespace = "default" if KINDS[kind].namespaced else ""
    assert to_wire(server.get(kind, namespace, "x"))["spec"] == {"driver": "d", "any": [1, {"a": "b"}]}
    server.delete(kind, namespace, "x")
    assert not server.objects(kind)


def test_a_node_takes_as_many_volumes_as_its_csi_node_says() -> None:
    story = Story(1)
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    drivers = [{"name": "disk.example.com", "nodeID": "n0", "allocatable": {"count": 1}}]
    node = wire("CSINode", spec={"drivers": drivers})
    node["metadata"]["name"] = "n0"
    story.server.create(from_wire(node))
    fast = wire("StorageClass", provisioner="disk.example.com", volumeBindingMode="Immediate")
    fast["metadata"]["name"] = "fast"
    story.server.create(from_wire(fast))
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {
        "replicas": 2,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    story.server.create(from_wire(wire("StatefulSet", spec=spec)))
    story.run(60)
    assert len(story.ready()) == 1
