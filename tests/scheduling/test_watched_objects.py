"""What scheduling learns of namespaces, services and controllers, and forgets when they go."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.objects import from_wire
from harness.scheduling.cycle.watched_objects import observe
from harness.scheduling.matching.owner_selectors import CONTROLLERS
from harness.scheduling.pods.pod_classes import PodClasses


def obj(kind: str, **body: Any) -> Any:
    meta = {"name": "o", "namespace": "default", **body.pop("metadata", {})}
    return from_wire({"kind": kind, "metadata": meta, **body})


def selector_of_pods(classes: PodClasses, owner: str = "") -> dict[str, str]:
    """What a pod with the labels app=x and tier=t is spread by, where it says nothing of spreading itself."""
    labels = {"app": "x", "tier": "t"}
    api = CONTROLLERS.get(owner, "")
    owners = [{"apiVersion": api, "kind": owner, "name": "o", "uid": "u", "controller": True}] if owner else []
    made = obj("Pod", metadata={"labels": labels, "ownerReferences": owners}, spec={"containers": [{"name": "c"}]})
    found = classes.tables.owner_selectors.requirements_of(classes.view(made))
    assert all(operator == "In" for _, operator, _ in found)
    return {key: values[0] for key, _, values in found}


LABELS = {"app": "x"}
OWNERS: dict[str, Any] = {
    "Service": {"selector": LABELS},
    "ReplicationController": {"selector": LABELS, "template": {"metadata": {"labels": LABELS}}},
    "ReplicaSet": {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}}},
    "StatefulSet": {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}}},
}


@pytest.mark.parametrize("kind", OWNERS)
def test_pods_are_spread_by_the_selector_of_their_service_or_controller_until_it_goes(kind: str) -> None:
    classes = PodClasses()
    owner = "" if kind == "Service" else kind
    assert selector_of_pods(classes, owner) == {}
    assert observe(classes, obj(kind, spec=OWNERS[kind]))
    assert selector_of_pods(classes, owner) == {"app": "x"}
    assert observe(classes, obj(kind, spec=OWNERS[kind]), gone=True)
    assert selector_of_pods(classes, owner) == {}


def test_a_replication_controller_without_selector_selects_nothing() -> None:
    classes = PodClasses()
    assert observe(classes, obj("ReplicationController", spec={"template": {}}))
    assert not classes.tables.owner_selectors


def test_a_namespace_is_known_by_its_labels_until_it_goes() -> None:
    classes = PodClasses()
    wanted = (("team", "In", ("a",)),)
    space = obj("Namespace", metadata={"labels": {"team": "a"}})
    assert not classes.tables.namespaces.meets("o", wanted)
    assert observe(classes, space)
    assert classes.tables.namespaces.meets("o", wanted)
    assert observe(classes, space, gone=True)
    assert not classes.tables.namespaces.meets("o", wanted)


def test_other_kinds_are_none_of_its_business() -> None:
    assert not observe(PodClasses(), obj("ConfigMap", data={"a": "b"}))
