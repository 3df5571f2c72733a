"""Deployments: rollouts that keep what they promise, revisions, scaling in proportion, and what the status says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.workloads.deployment.controller import DeploymentController
from harness.controllers.workloads.deployment.rollout import fenceposts, scaling_sizes
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import SECOND, Create, Delete, Update
from harness.model.core import Pod
from harness.model.meta import Condition, ObjectMeta, condition
from harness.model.status import ApiError, forbidden
from harness.model.workloads import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    RollingUpdateDeployment,
)
from tests.controllers.rig import Rig, selector, template

REVISION = "deployment.kubernetes.io/revision"


def deployment(replicas: int, image: str = "i:1", **spec: Any) -> Deployment:
    surge, unavailable = spec.pop("surge", None), spec.pop("unavailable", None)
    if surge is not None or unavailable is not None:
        spec["strategy"] = DeploymentStrategy(
            type="RollingUpdate",
            rolling_update=RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable),
        )
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=DeploymentSpec(
            replicas=replicas, selector=selector(app="web"), template=template(image, app="web"), **spec
        ),
    )


class Stage(Rig):
    """Deployments and ReplicaSets, and a kubelet by hand."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(DeploymentController(), ReplicaSetController(), **kwargs)

    def roll_to(self, image: str) -> None:
        self.change("Deployment", "web", template=template(image, app="web"))

    def sets(self) -> list[ReplicaSet]:
        """By revision."""
        found = self.server.listed("ReplicaSet")
        return sorted(found, key=lambda item: int(item.metadata.annotations.get(REVISION, 0)))

    def sizes(self) -> list[int]:
        return [item.spec.replicas or 0 for item in self.sets()]

    def live(self) -> list[Pod]:
        return [pod for pod in self.pods() if pod.metadata.deletion_timestamp is None]

    def all_ready(self, rounds: int = 30) -> None:
        """Whatever starts becomes ready, whatever is told to go goes, until nothing changes any more."""
        for _ in range(rounds):
            self.run(0.2)
            todo = [pod for pod in self.pods() if not is_ready(pod) or pod.metadata.deletion_timestamp is not None]
            if not todo:
                break
            for pod in todo:
                if pod.metadata.deletion_timestamp is None:
                    self.set_ready(pod)
                else:
                    self.kubelet_kills(pod)
        self.run(0.2)

    @property
    def web(self) -> Deployment:
        found: Deployment = self.get("Deployment", "web")
        return found

    def reason(self, kind: str = "Progressing") -> str:
        found = condition(self.web.status.conditions, kind)
        return "" if found is None else f"{found.status} {found.reason}"


def is_ready(pod: Pod) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_deployment_makes_a_replica_set_named_by_its_template(stage: Stage) -> None:
    stage.create(deployment(3))
    stage.run()
    (made,) = stage.sets()
    digest = made.metadata.labels["pod-template-hash"]
    assert made.metadata.name == f"web-{digest}"
    assert made.spec.selector.match_labels == {"app": "web", "pod-template-hash": digest}
    assert made.metadata.owner_references[0].name == "web"
    assert stage.web.metadata.annotations[REVISION] == "1"
    assert stage.web.metadata.generation == 1
    assert all(pod.metadata.labels["pod-template-hash"] == digest for pod in stage.pods())
    status = stage.web.status
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (3, 3, None)
    assert status.unavailable_replicas == 3
    assert stage.reason("Available") == "False MinimumReplicasUnavailable"
    stage.all_ready()
    status = stage.web.status
    assert (status.ready_replicas, status.available_replicas, status.unavailable_replicas) == (3, 3, None)
    assert status.observed_generation == 1
    assert stage.reason() == "True NewReplicaSetAvailable"
    assert stage.reason("Available") == "True MinimumReplicasAvailable"
    assert stage.events("ScalingReplicaSet")[0].message == f"Scaled up replica set {made.metadata.name} from 0 to 3"


def test_pods_of_a_deployment_share_their_spec(stage: Stage) -> None:
    stage.create(deployment(5))
    stage.run()
    assert len({id(pod.spec) for pod in stage.pods()}) == 1


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # surge rounds up, unavailable down
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),  # both nothing would never move
        (3, "0%", "10%", (0, 1)),
        (2, 1, 5, (1, 2)),
    ],
)
def test_percentages_round_so_that_availability_wins(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert fenceposts(deployment(replicas, surge=surge, unavailable=unavailable)) == expected


def test_a_rolling_update_goes_step_by_step(stage: Stage) -> None:
    stage.create(deployment(4, surge=1, unavailable=1))
    stage.all_ready()
    stage.roll_to("i:2")
    stage.run()
    # One more than wanted; one old one fewer makes room for a second new one.
    assert stage.sizes() == [3, 2]
    new = [pod for pod in stage.live() if pod.spec.containers[0].image == "i:2"]
    stage.set_ready(new[0])
    stage.run()
    assert stage.sizes() == [2, 3]
    stage.all_ready()
    assert stage.sizes() == [0, 4]
    assert {pod.spec.containers[0].image for pod in stage.pods()} == {"i:2"}
    assert stage.web.metadata.annotations[REVISION] == "2"
    assert stage.reason() == "True NewReplicaSetAvailable"


def test_a_rollout_that_does_not_start_keeps_the_old_pods(stage: Stage) -> None:
    stage.create(deployment(4, surge=1, unavailable=0, progress_deadline_seconds=30))
    stage.all_ready()
    stage.roll_to("broken")
    stage.run(20)
    assert stage.sizes() == [4, 1]
    assert stage.reason() == "True ReplicaSetUpdated"
    stage.run(20)
    assert stage.reason() == "False ProgressDeadlineExceeded"
    assert stage.reason("Available") == "True MinimumReplicasAvailable"
    assert stage.sizes() == [4, 1]
    stage.roll_to("i:1")  # kubectl rollout undo
    stage.all_ready()
    assert [item.metadata.annotations[REVISION] for item in stage.sets()] == ["2", "3"]
    assert stage.sizes() == [0, 4]
    assert stage.sets()[1].metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert stage.reason() == "True NewReplicaSetAvailable"
    assert stage.web.metadata.annotations[REVISION] == "3"


def test_unhealthy_old_pods_go_first(stage: Stage) -> None:
    stage.create(deployment(4, surge=1, unavailable=1))
    stage.all_ready()
    for pod in stage.pods()[:2]:
        stage.set_ready(pod, False)
    stage.run()
    stage.roll_to("i:2")
    stage.run()
    old = [pod for pod in stage.live() if pod.spec.containers[0].image == "i:1"]
    assert stage.sizes() == [3, 2]
    assert sum(map(is_ready, old)) == 2


def test_recreate_waits_for_the_last_old_pod(stage: Stage) -> None:
    stage.create(deployment(3, strategy=DeploymentStrategy(type="Recreate")))
    stage.all_ready()
    stage.roll_to("i:2")
    stage.run()
    assert stage.sizes() == [0]
    going = stage.pods()
    assert [pod.spec.containers[0].image for pod in going] == ["i:1"] * 3  # 30 s of grace
    stage.kubelet_kills(going[0])
    stage.kubelet_kills(going[1])
    stage.run()
    assert len(stage.sets()) == 1
    stage.kubelet_kills(going[2])
    stage.run()
    assert stage.sizes() == [0, 3]
    stage.all_ready()
    assert stage.reason() == "True NewReplicaSetAvailable"


def test_scaled_in_the_middle_of_a_rollout_it_spreads_in_proportion(stage: Stage) -> None:
    # The example of the documentation: 10 replicas, maxSurge 3, maxUnavailable 2, an image that cannot start; 8 + 5
    # pods. Scaled to 15 replicas the 5 more go 3 to the old and 2 to the new ReplicaSet: 11 + 7.
    stage.create(deployment(10, surge=3, unavailable=2))
    stage.all_ready()
    stage.roll_to("unresolvable")
    stage.run()
    assert stage.sizes() == [8, 5]
    stage.change("Deployment", "web", replicas=15)
    stage.run()
    assert stage.sizes() == [11, 7]


def test_scaling_changes_no_revision(stage: Stage) -> None:
    stage.create(deployment(2))
    stage.all_ready()
    stage.change("Deployment", "web", replicas=5)
    stage.all_ready()
    assert stage.sizes() == [5]
    assert stage.sets()[0].metadata.annotations["deployment.kubernetes.io/desired-replicas"] == "5"
    assert stage.sets()[0].metadata.annotations["deployment.kubernetes.io/max-replicas"] == "7"
    assert stage.web.metadata.annotations[REVISION] == "1"
    stage.change("Deployment", "web", replicas=0)
    stage.all_ready()
    assert stage.pods() == []
    assert stage.web.status.replicas is None


def test_paused_changes_wait_scaling_does_not(stage: Stage) -> None:
    stage.create(deployment(2))
    stage.all_ready()
    stage.change("Deployment", "web", paused=True)
    stage.run()
    assert stage.reason() == "Unknown DeploymentPaused"
    stage.roll_to("i:2")
    stage.run()
    assert len(stage.sets()) == 1
    stage.change("Deployment", "web", replicas=3)
    stage.all_ready()
    assert stage.sizes() == [3]
    stage.change("Deployment", "web", paused=False)
    stage.all_ready()
    assert stage.sizes() == [0, 3]
    assert stage.reason() == "True NewReplicaSetAvailable"


def test_old_revisions_are_kept_up_to_the_limit(stage: Stage) -> None:
    stage.create(deployment(1, revision_history_limit=2))
    stage.all_ready()
    for number in range(2, 7):
        stage.roll_to(f"i:{number}")
        stage.all_ready()
    assert [item.metadata.annotations[REVISION] for item in stage.sets()] == ["4", "5", "6"]


def test_a_name_taken_by_another_template_is_avoided(stage: Stage) -> None:
    stage.create(deployment(1))
    stage.run()
    name = stage.sets()[0].metadata.name
    other = Stage()
    taken = ReplicaSet(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ReplicaSetSpec(replicas=0, selector=selector(app="x"), template=template("j", app="x")),
    )
    other.create(taken)
    other.create(deployment(1))
    other.all_ready()
    assert other.web.status.collision_count == 1
    assert len(other.sets()) == 2
    assert len(other.pods()) == 1


def test_a_replica_set_that_cannot_be_created_is_told(stage: Stage) -> None:
    quota = forbidden("replicasets", "web", "exceeded quota")
    stage.refuse = lambda name, effect: (
        quota if isinstance(effect, Create) and isinstance(effect.obj, ReplicaSet) else None
    )
    stage.create(deployment(1))
    stage.run()
    assert stage.reason() == "False ReplicaSetCreateError"
    stage.refuse = lambda name, effect: None
    stage.run(5)
    stage.all_ready()
    assert stage.reason() == "True NewReplicaSetAvailable"


def test_a_refused_pod_shows_up_in_the_deployment(stage: Stage) -> None:
    quota = forbidden("pods", "", "exceeded quota: pods=1")
    stage.refuse = lambda name, effect: quota if isinstance(effect, Create) and isinstance(effect.obj, Pod) else None
    stage.create(deployment(1))
    stage.run()
    assert stage.reason("ReplicaFailure") == "True FailedCreate"
    stage.refuse = lambda name, effect: None
    stage.run(5)
    stage.all_ready()
    assert stage.reason("ReplicaFailure") == ""


def test_an_orphaned_replica_set_is_adopted(stage: Stage) -> None:
    stage.create(
        ReplicaSet(
            metadata=ObjectMeta(name="older", namespace="default", labels={"app": "web"}),
            spec=ReplicaSetSpec(replicas=2, selector=selector(app="web"), template=template("i:0", app="web")),
        )
    )
    stage.all_ready()
    made = stage.create(deployment(2))
    stage.all_ready()
    older = stage.get("ReplicaSet", "older")
    assert older.metadata.owner_references[0].uid == made.metadata.uid
    assert older.spec.replicas == 0
    assert [pod.spec.containers[0].image for pod in stage.live()] == ["i:1", "i:1"]


def test_a_replica_set_deleted_behind_its_back_comes_again(stage: Stage) -> None:
    stage.create(deployment(2))
    stage.all_ready()
    stage.delete("ReplicaSet", stage.sets()[0].metadata.name)
    stage.all_ready()
    (made,) = stage.sets()
    assert len([pod for pod in stage.live() if pod.metadata.owner_references[0].uid == made.metadata.uid]) == 2


def test_annotations_travel_to_the_new_replica_set(stage: Stage) -> None:
    stage.create(deployment(1))
    stage.all_ready()
    web = stage.web
    cause = {**web.metadata.annotations, "kubernetes.io/change-cause": "why"}
    stage.do(Update(replace(web, metadata=replace(web.metadata, annotations=cause))))
    stage.run()
    assert stage.sets()[0].metadata.annotations["kubernetes.io/change-cause"] == "why"


def test_when_all_is_done_nothing_is_written_any_more(stage: Stage) -> None:
    stage.create(deployment(3))
    stage.all_ready()
    stage.sent.clear()
    stage.run(3600)
    assert stage.sent == []


def test_proportional_scaling_gives_what_is_left_over_to_the_largest() -> None:
    web = deployment(10, surge=0, unavailable=1)
    sets = [
        ReplicaSet(
            metadata=ObjectMeta(name=name, annotations={"deployment.kubernetes.io/max-replicas": "4"}),
            spec=ReplicaSetSpec(replicas=size),
        )
        for name, size in (("a", 1), ("b", 1), ("c", 2))
    ]
    sizes = scaling_sizes(web, sets[:2], sets[2])
    assert sum(sizes.values()) == 10
    assert sizes == {"a": 3, "b": 2, "c": 5}


amount = st.one_of(st.integers(0, 4), st.sampled_from(["0%", "10%", "25%", "50%", "100%"]))


@settings(max_examples=60, deadline=None)
@given(
    replicas=st.integers(1, 9),
    surge=amount,
    unavailable=amount,
    min_ready=st.sampled_from([0, 0, 3]),
    order=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), min_size=5, max_size=40),
    latency_ns=st.sampled_from([1_000_000, 7_000_000]),
    second=st.one_of(st.none(), st.integers(0, 20)),
)
def test_a_rolling_update_never_leaves_its_bounds(
    replicas: int,
    surge: int | str,
    unavailable: int | str,
    min_ready: int,
    order: list[tuple[int, int]],
    latency_ns: int,
    second: int | None,
) -> None:
    """Whatever order pods become ready in, and even when a third template comes in the middle."""
    assume(surge not in (0, "0%") or unavailable not in (0, "0%"))
    assume({surge, unavailable} - {0, "0%"})  # nothing could ever move: the API server refuses both being 0
    stage = Stage(latency_ns=latency_ns)
    web = deployment(replicas, surge=surge, unavailable=unavailable, min_ready_seconds=min_ready)
    stage.create(web)
    stage.all_ready()
    stage.run(min_ready + 1)
    most, least = fenceposts(web)
    checked = 0

    def check(*_: Any) -> None:
        nonlocal checked
        checked += 1
        assert sum(stage.sizes()) <= replicas + most
        ready = [c for pod in stage.live() for c in pod.status.conditions if c.type == "Ready" and c.status == "True"]
        available = [c for c in ready if (c.last_transition_time or 0) + min_ready * SECOND <= stage.server.now]
        assert len(available) >= replicas - least

    stage.server.listeners.append(check)
    stage.roll_to("i:2")
    for turn, (which, wait) in enumerate(order):
        stage.run(wait * 0.03)
        if turn == second:
            stage.roll_to("i:3")
        waiting = [pod for pod in stage.live() if not is_ready(pod)]
        if waiting:
            stage.set_ready(waiting[which % len(waiting)])
        for pod in stage.pods():
            if pod.metadata.deletion_timestamp is not None and which % 2:
                stage.kubelet_kills(pod)
    for _ in range(40):
        stage.all_ready(1)
        stage.run(min_ready)
    assert checked
    assert stage.sizes()[-1] == replicas
    assert sum(stage.sizes()) == replicas
    assert stage.reason() == "True NewReplicaSetAvailable"


def test_conditions_keep_their_transition_time_when_only_the_reason_changes(stage: Stage) -> None:
    stage.create(deployment(1))
    stage.run(10)
    first: Condition | None = condition(stage.web.status.conditions, "Progressing")
    stage.all_ready()
    last = condition(stage.web.status.conditions, "Progressing")
    assert first is not None
    assert last is not None
    assert first.reason != last.reason
    assert first.last_transition_time == last.last_transition_time
    assert (first.last_update_time or 0) < (last.last_update_time or 0)


def test_deleted_with_finalizers_it_only_tells_its_status(stage: Stage) -> None:
    web = deployment(2)
    stage.create(replace(web, metadata=replace(web.metadata, finalizers=("x/y",))))
    stage.all_ready()
    stage.delete("Deployment", "web")
    stage.run()
    stage.sent.clear()
    stage.set_ready(stage.pods()[0], False)
    stage.run()
    assert stage.web.status.available_replicas == 1
    assert not [effect for _, effect in stage.sent if isinstance(effect, (Create, Delete))]


def test_in_a_namespace_that_goes_no_replica_set_is_tried_again(stage: Stage) -> None:
    going = forbidden("replicasets", "web", "because it is being terminated")
    stage.refuse = lambda name, effect: going if isinstance(effect, Create) else None
    stage.create(deployment(1))
    stage.run(2)
    assert stage.events("ReplicaSetCreateError") == []
    assert stage.reason() != "False ReplicaSetCreateError"
    stage.sent.clear()
    stage.run(600)
    assert [effect for _, effect in stage.sent if isinstance(effect, Create)] == []


def test_a_write_that_failed_is_made_again(stage: Stage) -> None:
    stage.create(deployment(2))
    stage.all_ready()
    stage.refuse = lambda name, effect: ApiError(500, "InternalError", "no") if isinstance(effect, Update) else None
    stage.change("Deployment", "web", replicas=4)
    stage.run(3)
    assert stage.sizes() == [2]
    stage.refuse = lambda name, effect: None
    stage.run(30)
    assert stage.sizes() == [4]


def test_progress_of_any_kind_moves_the_deadline(stage: Stage) -> None:
    """One pod more that is ready, or one old one fewer, each 20 s: never late at a deadline of 30 s."""
    stage.create(deployment(3, surge=1, unavailable=0, progress_deadline_seconds=30))
    stage.all_ready()
    stage.roll_to("i:2")
    for _ in range(3):
        stage.run(20)
        assert stage.reason() == "True ReplicaSetUpdated"
        fresh = [pod for pod in stage.live() if pod.spec.containers[0].image == "i:2" and not is_ready(pod)]
        stage.set_ready(fresh[0])
        stage.run(5)
        for pod in stage.pods():
            if pod.metadata.deletion_timestamp is not None:
                stage.kubelet_kills(pod)
    stage.run(5)
    assert stage.reason() == "True NewReplicaSetAvailable"
    stage.run(600)
    assert stage.reason() == "True NewReplicaSetAvailable"
