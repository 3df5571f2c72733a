"""ReplicationControllers: a ReplicaSet's behaviour behind a selector that is a map of labels."""

from __future__ import annotations

from typing import Any

import pytest

from harness.autoscaling.horizontal.controller import HorizontalController
from harness.controllers.objects.garbage_collector import GarbageCollector
from harness.controllers.policy.disruption import DisruptionController
from harness.controllers.workloads.replicaset import replication_controllers
from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from tests.controllers.rig import Rig, selector


def controller(name: str = "web", **spec: Any) -> Any:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return from_wire(
        {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"app": name}, "template": template, **spec},
        }
    )


@pytest.fixture
def rig() -> Rig:
    return Rig(replication_controllers())


def test_labels_and_selector_are_the_templates_where_it_does_not_say(rig: Rig) -> None:
    made = to_wire(rig.create(controller(selector=None, replicas=None)))
    assert made["metadata"]["labels"] == {"app": "web"}
    assert made["spec"]["selector"] == {"app": "web"}
    assert made["spec"]["replicas"] == 1


def test_it_makes_pods_that_it_owns_and_counts(rig: Rig) -> None:
    made = rig.create(controller())
    rig.run()
    pods = rig.pods(app="web")
    owner = pods[0].metadata.owner_references[0]
    assert len(pods) == 2
    assert (owner.api_version, owner.kind, owner.uid) == ("v1", "ReplicationController", made.metadata.uid)
    assert [event.message for event in rig.events("SuccessfulCreate")] == [
        f"Created pod: {pod.metadata.name}" for pod in pods
    ]
    rig.set_ready(pods[0])
    rig.run()
    status = rig.get("ReplicationController", "web").status
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (2, 1, 1)
    assert (status.fully_labeled_replicas, status.observed_generation) == (2, 1)


def test_it_is_scaled_and_replaces_what_is_lost(rig: Rig) -> None:
    rig.create(controller())
    rig.run()
    rig.change("ReplicationController", "web", replicas=4)
    rig.run()
    assert len(rig.pods(app="web")) == 4
    rig.delete("Pod", rig.pods(app="web")[0].metadata.name, grace_s=0)
    rig.run()
    assert len(rig.pods(app="web")) == 4
    rig.change("ReplicationController", "web", replicas=0)
    rig.run()
    assert not rig.pods(app="web")


def test_its_selector_may_change_and_pods_are_released_and_adopted(rig: Rig) -> None:
    rig.create(controller())
    rig.run()
    before = {pod.metadata.uid for pod in rig.pods(app="web")}
    template = rig.get("ReplicationController", "web").spec.template
    labels = {"app": "web", "tier": "new"}
    changed = template.__class__(metadata=template.metadata.__class__(labels=labels), spec=template.spec)
    rig.change("ReplicationController", "web", selector={"tier": "new"}, template=changed)
    rig.run()
    mine = rig.pods(tier="new")
    assert len(mine) == 2
    assert len(rig.pods(app="web")) == 4
    assert all(not pod.metadata.owner_references for pod in rig.pods(app="web") if pod.metadata.uid in before)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"minReadySeconds": -1}, "spec.minReadySeconds"),
        ({"selector": {"app": "other"}}, "`selector` does not match template `labels`"),
        ({"template": None}, "spec.template: Required value"),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
                }
            },
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"activeDeadlineSeconds": 5, "containers": [{"name": "c", "image": "i"}]},
                }
            },
            "activeDeadlineSeconds in ReplicationController is not Supported",
        ),
    ],
)
def test_what_it_refuses(rig: Rig, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError) as refused:
        rig.create(controller(**spec))
    assert said in refused.value.message


def test_a_delete_that_does_not_say_leaves_the_pods() -> None:
    """Source: pkg/registry/core/replicationcontroller/strategy.go DefaultGarbageCollectionPolicy (1.32)."""
    rig = Rig(replication_controllers(), GarbageCollector())
    rig.create(controller())
    rig.run()
    rig.delete("ReplicationController", "web")
    rig.run(5)
    assert not rig.server.objects("ReplicationController")
    pods = rig.pods(app="web")
    assert len(pods) == 2
    assert not any(pod.metadata.owner_references for pod in pods)


def test_it_is_scaled_by_an_autoscaler() -> None:
    """No metrics: it is brought within its bounds, and its pods are found by the map."""
    rig = Rig(replication_controllers(), HorizontalController())
    rig.create(controller(replicas=5))
    ref = {"apiVersion": "v1", "kind": "ReplicationController", "name": "web"}
    meta = {"name": "web", "namespace": "default"}
    spec = {"scaleTargetRef": ref, "minReplicas": 1, "maxReplicas": 3}
    api = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta}
    rig.create(from_wire({**api, "spec": spec}))
    rig.run(60)
    assert len(rig.pods(app="web")) == 3
    assert rig.get("HorizontalPodAutoscaler", "web").status.desired_replicas == 3


def test_a_budget_counts_by_its_replicas() -> None:
    rig = Rig(replication_controllers(), DisruptionController())
    rig.create(controller(replicas=4))
    budget = {"maxUnavailable": "50%", "selector": {"matchLabels": selector(app="web").match_labels}}
    meta = {"name": "b", "namespace": "default"}
    rig.create(from_wire({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": budget}))
    rig.run()
    for pod in rig.pods(app="web"):
        rig.set_ready(pod)
    rig.run()
    status = rig.get("PodDisruptionBudget", "b").status
    assert (status.expected_pods, status.desired_healthy, status.disruptions_allowed) == (4, 2, 2)
