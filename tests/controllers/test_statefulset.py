"""StatefulSets: pods with names and claims of their own, in order, through the scheduler and the kubelets."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from harness.cluster.assembly import ClusterPlan, assemble
from harness.controllers.workloads.statefulset.identity import POD_INDEX, POD_NAME, REVISION
from harness.convergence.checkers import HEAL_NS, check, converged
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import SECOND
from harness.faults.timeline import parse
from harness.model.attachments import OUT_OF_SERVICE
from harness.model.core import Node, NodeStatus, Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, StatefulSet, from_wire, to_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import least_allocated

CAPACITY = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": count_quantity(50)}
CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast"},
    "provisioner": "disk.example.com",
}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def stateful_set(image: str = "db:1", **spec: Any) -> Any:
    container: dict[str, Any] = {"name": "c", "image": image, "resources": {"requests": {"cpu": "100m"}}}
    if "volumeClaimTemplates" in spec:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return from_wire(
        {
            "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "serviceName": "db",
                "selector": {"matchLabels": {"app": "db"}},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}},
                **spec,
            },
        }
    )


class Story:
    def __init__(self, nodes: int = 2, *, faults: Sequence[dict[str, Any]] = ()) -> None:
        plan = ClusterPlan(
            nodes=[
                Node(metadata=ObjectMeta(name=f"n{index}"), status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY))
                for index in range(nodes)
            ],
            strategy=least_allocated(),
            faults=parse(list(faults)),
        )
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.server = self.cluster.server
        self.run(1)

    def run(self, seconds: float) -> None:
        self.cluster.api.flush(self.cluster.now)
        self.cluster.run(self.cluster.now + round(seconds * SECOND))

    def pods(self) -> dict[str, Pod]:
        return {pod.metadata.name: pod for pod in self.server.objects("Pod").values()}

    def ready(self) -> list[str]:
        return sorted(
            name
            for name, pod in self.pods().items()
            if pod.metadata.deletion_timestamp is None
            and any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)
        )

    def images(self) -> dict[str, str]:
        return {name: pod.spec.containers[0].image for name, pod in sorted(self.pods().items())}

    def get(self) -> StatefulSet:
        found: StatefulSet = self.server.get("StatefulSet", "default", "db")
        return found

    def change(self, **spec: Any) -> None:
        found = self.get()
        self.server.update(replace(found, spec=replace(found.spec, **spec)))

    def image(self, image: str) -> None:
        template = self.get().spec.template
        containers = tuple(replace(item, image=image) for item in template.spec.containers)
        self.change(template=replace(template, spec=replace(template.spec, containers=containers)))

    def started(self) -> list[tuple[int, str]]:
        """(creation, name), the oldest first."""
        return sorted((pod.metadata.creation_timestamp or 0, name) for name, pod in self.pods().items())

    def messages(self, reason: str) -> list[str]:
        return [event.message for event in self.server.objects("Event").values() if event.reason == reason]


def test_pods_come_in_order_with_names_and_labels_of_their_own() -> None:
    story = Story()
    story.server.create(stateful_set())
    seen: list[list[str]] = []
    for _ in range(300):
        story.run(0.1)
        names = sorted(story.pods())
        if not seen or seen[-1] != names:
            seen.append(names)
            assert set(names[:-1]) <= set(story.ready())  # all before it are ready when one comes
    assert seen[-3:] == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]]
    pod = story.pods()["db-1"]
    labels, extra = pod.metadata.labels, pod.spec.extra or {}
    assert (labels[POD_NAME], labels[POD_INDEX]) == ("db-1", "1")
    assert (extra["hostname"], extra["subdomain"]) == ("db-1", "db")
    revision = next(iter(story.server.objects("ControllerRevision").values()))
    assert labels[REVISION] == revision.metadata.name
    assert to_wire(story.get())["status"] == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": revision.metadata.name,
        "updateRevision": revision.metadata.name,
        "collisionCount": 0,
    }
    assert "create Pod db-0 in StatefulSet db successful" in story.messages("SuccessfulCreate")
    assert converged(story.cluster) == []


def test_parallel_starts_all_at_once_and_ordinals_begin_where_asked() -> None:
    story = Story()
    story.server.create(stateful_set(podManagementPolicy="Parallel", ordinals={"start": 5}))
    story.run(1)
    assert sorted(story.pods()) == ["db-5", "db-6", "db-7"]
    story.run(20)
    story.change(replicas=0)
    story.run(1)
    assert all(pod.metadata.deletion_timestamp is not None for pod in story.pods().values())
    story.run(60)
    assert story.pods() == {}
    assert story.get().status.replicas == 0


def test_the_highest_goes_first_and_the_next_when_it_is_gone() -> None:
    story = Story()
    story.server.create(stateful_set())
    story.run(30)
    story.change(replicas=1)
    left: list[list[str]] = []
    for _ in range(900):
        story.run(0.1)
        names = sorted(story.pods())
        assert sum(pod.metadata.deletion_timestamp is not None for pod in story.pods().values()) <= 1
        if not left or left[-1] != names:
            left.append(names)
    assert left == [["db-0", "db-1", "db-2"], ["db-0", "db-1"], ["db-0"]]
    assert converged(story.cluster) == []


def test_each_ordinal_has_its_claims_and_finds_them_again() -> None:
    story = Story()
    story.server.create(from_wire(CLASS))
    story.server.create(stateful_set(replicas=2, volumeClaimTemplates=[CLAIM]))
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    claims = story.server.objects("PersistentVolumeClaim")
    assert sorted(claims) == ["default/data-db-0", "default/data-db-1"]
    volume = claims["default/data-db-1"].spec.volume_name
    assert volume
    assert "create Claim data-db-1 Pod db-1 in StatefulSet db success" in story.messages("SuccessfulCreate")
    story.change(replicas=0)
    story.run(90)
    assert story.pods() == {}
    assert sorted(story.server.objects("PersistentVolumeClaim")) == ["default/data-db-0", "default/data-db-1"]
    story.change(replicas=2)
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    assert story.server.objects("PersistentVolumeClaim")["default/data-db-1"].spec.volume_name == volume
    mounted = (story.pods()["db-1"].spec.extra or {})["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}} in mounted


def test_a_new_template_rolls_from_the_highest_down_to_the_partition() -> None:
    story = Story()
    story.server.create(stateful_set(updateStrategy={"rollingUpdate": {"partition": 1}, "type": "RollingUpdate"}))
    story.run(30)
    story.image("db:2")
    order: list[str] = []
    for _ in range(1500):
        story.run(0.1)
        going = [name for name, pod in story.pods().items() if pod.metadata.deletion_timestamp is not None]
        assert len(going) <= 1
        order += [name for name in going if name not in order]
    assert order == ["db-2", "db-1"]
    assert story.images() == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:2"}
    status = story.get().status
    assert status.current_revision != status.update_revision
    assert (status.current_replicas, status.updated_replicas) == (1, 2)
    # One below the partition that goes comes back as it was.
    story.server.delete("Pod", "default", "db-0")
    story.run(60)
    assert story.images()["db-0"] == "db:1"
    strategy = story.get().spec.update_strategy
    assert strategy.rolling_update is not None
    story.change(update_strategy=replace(strategy, rolling_update=replace(strategy.rolling_update, partition=0)))
    story.run(60)
    assert set(story.images().values()) == {"db:2"}
    status = story.get().status
    assert status.current_revision == status.update_revision
    assert converged(story.cluster) == []


def test_on_delete_waits_for_somebody_to_delete_and_going_back_takes_the_old_revision() -> None:
    story = Story()
    story.server.create(stateful_set(updateStrategy={"type": "OnDelete"}))
    story.run(30)
    first = story.get().status.update_revision
    story.image("db:2")
    story.run(60)
    assert set(story.images().values()) == {"db:1"}
    story.server.delete("Pod", "default", "db-1")
    story.run(60)
    assert story.images() == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:1"}
    story.image("db:1")
    story.run(5)
    assert story.get().status.update_revision == first
    revisions = story.server.objects("ControllerRevision").values()
    assert sorted(item.revision for item in revisions) == [2, 3]


def test_history_keeps_no_more_than_its_limit() -> None:
    story = Story()
    story.server.create(stateful_set(replicas=1, revisionHistoryLimit=1))
    for version in range(2, 6):
        story.run(60)
        story.image(f"db:{version}")
    story.run(60)
    assert sorted(item.revision for item in story.server.objects("ControllerRevision").values()) == [4, 5]


def test_a_pod_on_a_lost_node_stays_and_is_not_replaced_until_it_is_gone() -> None:
    story = Story(faults=[{"at": "40s", "nodeCrash": {"select": {"names": ["n0"]}}}])
    story.server.create(stateful_set(replicas=2))
    story.run(30)
    lost = story.pods()["db-0"]
    assert lost.spec.node_name == "n0"
    story.run(600)
    still = story.pods()["db-0"]
    assert still.metadata.uid == lost.metadata.uid
    assert still.metadata.deletion_timestamp is not None
    assert converged(story.cluster, only=("stateful-sets",)) == []
    story.server.delete("Pod", "default", "db-0", grace_s=0)
    story.run(30)
    assert story.pods()["db-0"].metadata.uid != lost.metadata.uid
    assert "db-0" in story.ready()


def test_a_pod_on_a_node_that_is_out_of_service_is_replaced() -> None:
    taint = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute", "select": {"names": ["n0"]}}
    crash = {"at": "40s", "nodeCrash": {"select": {"names": ["n0"]}}}
    story = Story(faults=[crash, {"at": "2m", "nodeTaint": taint}])
    story.server.create(stateful_set(replicas=2))
    story.run(30)
    lost = story.pods()["db-0"]
    assert lost.spec.node_name == "n0"
    story.run(120)
    new = story.pods()["db-0"]
    assert new.metadata.uid != lost.metadata.uid
    assert new.spec.node_name == "n1"
    assert "db-0" in story.ready()


def test_min_ready_seconds_holds_up_the_next_one() -> None:
    story = Story()
    story.server.create(stateful_set(replicas=2, minReadySeconds=20))
    story.run(15)
    assert story.ready() == ["db-0"]
    assert sorted(story.pods()) == ["db-0"]
    assert story.get().status.available_replicas == 0
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    assert story.get().status.available_replicas == 2


def test_pods_and_revisions_left_behind_are_adopted() -> None:
    story = Story()
    story.server.create(stateful_set())
    story.run(30)
    before = {pod.metadata.uid for pod in story.pods().values()}
    story.server.delete("StatefulSet", "default", "db", propagation="Orphan")
    story.run(10)
    assert {pod.metadata.uid for pod in story.pods().values()} == before
    story.server.create(stateful_set(replicas=4))
    story.run(30)
    assert story.ready() == ["db-0", "db-1", "db-2", "db-3"]
    assert before < {pod.metadata.uid for pod in story.pods().values()}
    assert len(story.server.objects("ControllerRevision")) == 1
    story.server.delete("StatefulSet", "default", "db")
    story.run(90)
    assert story.pods() == {}
    assert not story.server.objects("ControllerRevision")


def test_a_pod_that_ended_is_replaced_under_its_name() -> None:
    story = Story()
    story.server.create(stateful_set(replicas=1))
    story.run(30)
    pod = story.pods()["db-0"]
    story.server.update(replace(pod, status=replace(pod.status, phase="Failed")), "status")
    story.run(60)
    assert story.ready() == ["db-0"]
    assert story.pods()["db-0"].metadata.uid != pod.metadata.uid


def test_a_quota_that_refuses_a_pod_is_told_and_waited_out() -> None:
    story = Story()
    quota = {"kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": 1}}}
    story.server.create(from_wire(quota))
    story.run(1)
    story.server.create(stateful_set(replicas=2))
    story.run(60)
    assert sorted(story.pods()) == ["db-0"]
    assert any("create Pod db-1 in StatefulSet db failed error:" in text for text in story.messages("FailedCreate"))
    assert story.get().status.replicas == 1
    story.server.delete("ResourceQuota", "default", "q")
    story.run(120)
    assert story.ready() == ["db-0", "db-1"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"podManagementPolicy": "Fast"}, "spec.podManagementPolicy"),
        ({"updateStrategy": {"type": "Recreate"}}, "spec.updateStrategy"),
        ({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}}, "maxUnavailable"),
        ({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Recycle"}}, "whenDeleted"),
        ({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "delete"}}, "whenScaled"),
        ({"replicas": -1}, "spec.replicas"),
        ({"ordinals": {"start": -1}}, "spec.ordinals.start"),
    ],
)
def test_what_is_wrong_or_not_modelled_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as caught:
        Story(0).server.create(stateful_set(**spec))
    assert caught.value.code == 422
    assert field in caught.value.message


def test_what_holds_a_pods_identity_cannot_change() -> None:
    story = Story(0)
    story.server.create(stateful_set())
    with pytest.raises(ApiError, match="updates to statefulset spec for fields other than"):
        story.change(service_name="other")


@pytest.mark.parametrize("bound", [{"maxUnavailable": 1}, {"minAvailable": "50%"}])
def test_a_budget_counts_against_the_replicas_of_the_set(bound: dict[str, Any]) -> None:
    story = Story()
    spec = {**bound, "selector": {"matchLabels": {"app": "db"}}}
    story.server.create(
        from_wire({"kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "default"}, "spec": spec})
    )
    story.server.create(stateful_set())
    story.run(30)
    status = story.server.get("PodDisruptionBudget", "default", "b").status
    assert (status.expected_pods, status.current_healthy, status.disruptions_allowed) == (3, 3, 1)


def test_the_checker_finds_a_pod_too_few_one_too_many_and_an_old_one() -> None:
    story = Story()
    story.server.create(stateful_set(replicas=2))
    story.run(30)
    held = {kind: dict(story.server.objects(kind)) for kind in KINDS}

    def told(**changes: Any) -> str:
        objects = {**held, **changes}
        state = ClusterState(lambda kind: objects[kind], story.cluster.now, story.cluster.backend.inspect())
        return str(check(state, ("stateful-sets",)))

    pods, item = held["Pod"], held["StatefulSet"]["default/db"]
    assert told() == "[]"
    assert "no pod of ordinal 1" in told(Pod={"default/db-0": pods["default/db-0"]})
    fewer = replace(item, spec=replace(item.spec, replicas=1))
    assert "a pod of ordinal 1, which is not wanted" in told(StatefulSet={"default/db": fewer})
    old = pods["default/db-0"]
    container = replace(old.spec.containers[0], image="db:0")
    old = replace(old, spec=replace(old.spec, containers=(container,)))
    assert "ordinal 0 is of an older template" in told(Pod={**pods, "default/db-0": old})


def _faults(rng: Random) -> list[dict[str, Any]]:
    return [
        {
            "at": f"{rng.randint(2, 200)}s",
            **rng.choice(
                (
                    {"apiServerRestart": {"downFor": rng.choice(("5s", "40s"))}},
                    {"controllerManagerOutage": {"downFor": rng.choice(("5s", "60s"))}},
                    {"nodeCrash": {"select": {"count": 1}, "downFor": rng.choice(("20s", "90s", "8m"))}},
                    {"nodeFreeze": {"select": {"count": 1}, "for": "60s"}},
                )
            ),
        }
        for _ in range(rng.randint(1, 5))
    ]


def _changes(story: Story, rng: Random, spec: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, 5)):
        story.run(rng.randint(1, 60))
        what = rng.choice(("scale", "image", "pod", "set"))
        if what == "scale":
            story.change(replicas=rng.randint(0, 5))
        elif what == "image":
            story.image(f"db:{rng.randint(1, 3)}")
        elif what == "pod" and story.pods():
            story.server.delete("Pod", "default", rng.choice(sorted(story.pods())))
        elif what == "set":
            story.server.delete("StatefulSet", "default", "db", propagation=rng.choice(("Orphan", "Background")))
            story.run(300)
            story.server.create(stateful_set(**spec))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_meanwhile_the_set_comes_to_rest(seed: int) -> None:
    rng = Random(seed)
    story = Story(3, faults=_faults(rng))
    story.server.create(from_wire(CLASS))
    spec: dict[str, Any] = {
        "replicas": rng.randint(0, 4),
        "podManagementPolicy": rng.choice(("OrderedReady", "Parallel")),
        "updateStrategy": rng.choice(({"type": "OnDelete"}, {})),
        "minReadySeconds": rng.choice((0, 10)),
        **rng.choice(({}, {"volumeClaimTemplates": [CLAIM]})),
    }
    story.server.create(stateful_set(**spec))
    _changes(story, rng, spec)
    story.run(HEAL_NS / SECOND)
    assert converged(story.cluster) == []
