"""ReplicaSets: as many pods as wanted, never created twice, and the right ones deleted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import MINUTE, SECOND, Create, Delete, Update
from harness.model.core import Pod
from harness.model.meta import LabelSelector, ObjectMeta, condition
from harness.model.status import ApiError, forbidden
from harness.model.workloads import ReplicaSet, ReplicaSetSpec
from tests.controllers.rig import Rig, selector, template
from tests.examples import examples


def replica_set(replicas: int, name: str = "web", **spec: Any) -> ReplicaSet:
    spec.setdefault("selector", selector(app=name))
    spec.setdefault("template", template(app=name))
    return ReplicaSet(
        metadata=ObjectMeta(name=name, namespace="default"), spec=ReplicaSetSpec(replicas=replicas, **spec)
    )


@pytest.fixture
def rig() -> Rig:
    return Rig(ReplicaSetController())


def test_pods_are_created_from_the_template_and_owned(rig: Rig) -> None:
    made = rig.create(replica_set(3))
    rig.run()
    pods = rig.pods()
    assert len(pods) == 3
    owner = pods[0].metadata.owner_references[0]
    assert (owner.kind, owner.name, owner.uid) == ("ReplicaSet", "web", made.metadata.uid)
    assert owner.controller
    assert owner.block_owner_deletion
    assert all(pod.metadata.name.startswith("web-") and len(pod.metadata.name) == 9 for pod in pods)
    assert rig.get("ReplicaSet", "web").status.replicas == 3
    assert rig.get("ReplicaSet", "web").status.observed_generation == 1
    assert rig.get("ReplicaSet", "web").status.ready_replicas is None


def test_pods_of_one_template_share_spec_and_labels(rig: Rig) -> None:
    rig.create(replica_set(40))
    rig.run()
    assert len({id(pod.spec) for pod in rig.pods()}) == 1
    assert len({id(pod.metadata.labels) for pod in rig.pods()}) == 1


def test_creations_start_slowly_and_double(rig: Rig) -> None:
    rig.create(replica_set(20))
    rig.run()
    times: dict[int, int] = {}
    for pod in rig.pods():
        at = pod.metadata.creation_timestamp or 0
        times[at] = times.get(at, 0) + 1
    assert [times[at] for at in sorted(times)] == [1, 2, 4, 8, 5]


def test_a_refused_pod_costs_one_request_and_is_tried_again_ever_later(rig: Rig) -> None:
    quota = forbidden("pods", "", "exceeded quota")
    rig.refuse = lambda name, effect: quota if isinstance(effect, Create) else None
    rig.create(replica_set(100))
    rig.run(10)
    tries = [effect for _, effect in rig.sent if isinstance(effect, Create)]
    assert len(tries) <= 12  # 5 ms, doubled each time, reaches 10 s after 11 failures
    failure = condition(rig.get("ReplicaSet", "web").status.conditions, "ReplicaFailure")
    assert failure is not None
    assert failure.reason == "FailedCreate"
    assert "exceeded quota" in failure.message
    rig.refuse = lambda name, effect: None
    rig.run(60)
    assert len(rig.pods()) == 100
    assert condition(rig.get("ReplicaSet", "web").status.conditions, "ReplicaFailure") is None


def test_a_deleted_pod_is_replaced(rig: Rig) -> None:
    rig.create(replica_set(2))
    rig.run()
    gone = rig.pods()[0]
    rig.delete("Pod", gone.metadata.name)
    rig.run()
    assert len(rig.pods()) == 2
    assert gone.metadata.name not in [pod.metadata.name for pod in rig.pods()]


def test_a_terminating_or_failed_pod_is_replaced_at_once(rig: Rig) -> None:
    rig.create(replica_set(2))
    rig.run()
    first, second = (rig.set_ready(pod) for pod in rig.pods())
    rig.run()
    rig.delete("Pod", first.metadata.name)  # 30 s of grace
    rig.finish(second, "Failed")
    rig.run()
    assert len(rig.pods()) == 4
    assert rig.get("ReplicaSet", "web").status.replicas == 2
    assert rig.get("ReplicaSet", "web").status.ready_replicas is None


def test_ready_and_available_are_counted_and_min_ready_seconds_waited_for(rig: Rig) -> None:
    rig.create(replica_set(3, min_ready_seconds=10))
    rig.run()
    first, second, _ = rig.pods()
    rig.set_ready(first)
    rig.run(4)
    rig.set_ready(second)
    rig.run(1)
    status = rig.get("ReplicaSet", "web").status
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (3, 2, None)
    rig.run(6)
    assert rig.get("ReplicaSet", "web").status.available_replicas == 1
    rig.set_ready(first, False)
    rig.run(4)
    status = rig.get("ReplicaSet", "web").status
    assert (status.ready_replicas, status.available_replicas) == (1, 1)
    rig.set_ready(first)
    rig.run(1)
    rig.change("ReplicaSet", "web", min_ready_seconds=0)
    rig.run(1)
    assert rig.get("ReplicaSet", "web").status.available_replicas == 2


def test_scaling_down_takes_unassigned_then_unready_then_cheap_then_crowded_then_young(rig: Rig) -> None:
    rig.create(replica_set(7))
    rig.run()
    pods = rig.pods()
    names = [pod.metadata.name for pod in pods]
    old, crowded_a, crowded_b, young, cheap, unready, unassigned = pods
    rig.do(Update(replace(cheap, metadata=replace(cheap.metadata, annotations={
        "controller.kubernetes.io/pod-deletion-cost": "-5"}))))  # fmt: skip
    for pod, node in ((old, "a"), (crowded_a, "c"), (crowded_b, "c"), (cheap, "d")):
        rig.set_ready(pod, node=node)
    rig.run(100)
    rig.set_ready(young, node="b")
    rig.set_ready(unready, False, node="e")
    rig.run(1)
    gone = []
    for left in range(6, -1, -1):
        rig.change("ReplicaSet", "web", replicas=left)
        rig.run(1)
        kept = [pod.metadata.name for pod in rig.pods() if pod.metadata.deletion_timestamp is None]
        gone += [name for name in names if name not in kept and name not in gone]
    assert gone[:3] == [unassigned.metadata.name, unready.metadata.name, cheap.metadata.name]
    assert gone[3] in (crowded_a.metadata.name, crowded_b.metadata.name)
    assert gone[4] == young.metadata.name
    assert set(gone[5:]) == {old.metadata.name, *({crowded_a.metadata.name, crowded_b.metadata.name} - {gone[3]})}


def test_orphans_are_adopted_and_what_is_no_longer_selected_released(rig: Rig) -> None:
    bare = rig.create(Pod(metadata=ObjectMeta(name="bare", namespace="default", labels={"app": "web"}),
                          spec=template(app="web").spec))  # fmt: skip
    rig.create(Pod(metadata=ObjectMeta(name="other", namespace="default", labels={"app": "other"}),
                   spec=bare.spec))  # fmt: skip
    made = rig.create(replica_set(2))
    rig.run()
    assert len(rig.pods(app="web")) == 2
    adopted = rig.get("Pod", "bare")
    assert adopted.metadata.owner_references[0].uid == made.metadata.uid
    rig.do(Update(replace(adopted, metadata=replace(adopted.metadata, labels={"app": "quarantine"}))))
    rig.run()
    assert rig.get("Pod", "bare").metadata.owner_references == ()
    assert len(rig.pods(app="web")) == 2
    assert rig.get("Pod", "other").metadata.owner_references == ()


def test_an_orphan_that_comes_later_is_adopted_and_one_too_many_deleted(rig: Rig) -> None:
    rig.create(replica_set(1))
    rig.run()
    rig.create(Pod(metadata=ObjectMeta(name="late", namespace="default", labels={"app": "web"}),
                   spec=template(app="web").spec))  # fmt: skip
    rig.run()
    assert len(rig.pods()) == 1


def test_a_selector_by_expression_selects(rig: Rig) -> None:
    from harness.model.meta import LabelSelectorRequirement

    wanted = LabelSelector(
        match_expressions=(LabelSelectorRequirement(key="app", operator="In", values=("web", "api")),)
    )
    rig.create(Pod(metadata=ObjectMeta(name="bare", namespace="default", labels={"app": "api"}),
                   spec=template(app="web").spec))  # fmt: skip
    rig.create(replica_set(3, selector=wanted))
    rig.run()
    assert len(rig.pods()) == 3
    assert rig.get("Pod", "bare").metadata.owner_references[0].name == "web"


def test_status_is_written_at_most_once_a_step_whatever_happens_in_it(rig: Rig) -> None:
    rig.create(replica_set(50))
    rig.run()
    rig.sent.clear()
    for pod in rig.pods():
        rig.set_ready(pod)
    rig.run()
    assert len([effect for _, effect in rig.sent if isinstance(effect, Update)]) == 1
    assert rig.get("ReplicaSet", "web").status.ready_replicas == 50


def test_after_a_restart_nothing_is_created_twice() -> None:
    controller = ReplicaSetController()
    rig = Rig(controller)
    rig.create(replica_set(30))
    rig.run(0.033)
    assert 0 < len(rig.pods()) < 30
    rig.run()
    assert len(rig.pods()) == 30
    rig.start(controller)
    rig.run()
    assert len(rig.pods()) == 30
    rig.delete("Pod", rig.pods()[0].metadata.name)
    rig.run()
    assert len(rig.pods()) == 30


def test_a_replica_set_being_deleted_does_nothing_more(rig: Rig) -> None:
    made = rig.create(replace(replica_set(2), metadata=replace(replica_set(2).metadata, finalizers=("x/y",))))
    rig.run()
    rig.delete("ReplicaSet", "web")
    rig.run()
    rig.delete("Pod", rig.pods()[0].metadata.name)
    rig.run()
    assert len(rig.pods()) == 1
    assert rig.get("ReplicaSet", "web").status.replicas == 1
    assert rig.get("ReplicaSet", "web").metadata.uid == made.metadata.uid


def test_created_again_under_its_name_it_has_its_own_pods(rig: Rig) -> None:
    rig.create(replica_set(2))
    rig.run()
    old = {pod.metadata.name for pod in rig.pods()}
    rig.delete("ReplicaSet", "web")
    made = rig.create(replica_set(2))
    rig.run()
    mine = [pod for pod in rig.pods() if pod.metadata.owner_references[0].uid == made.metadata.uid]
    assert len(mine) == 2
    assert old.isdisjoint(pod.metadata.name for pod in mine)


def test_events_tell_what_was_done_without_flooding(rig: Rig) -> None:
    rig.create(replica_set(100))
    rig.run()
    created = rig.events("SuccessfulCreate")
    assert 1 <= len(created) <= 25
    assert created[0].message.startswith("Created pod: web-")


def test_what_was_expected_and_never_seen_is_given_up_after_five_minutes() -> None:
    from harness.controllers.runtime.expectations import Expectations

    expected = Expectations()
    expected.expect_creations("u", 2, 0)
    expected.created("u")
    assert not expected.satisfied("u", 5 * MINUTE)
    assert expected.satisfied("u", 5 * MINUTE + 1)
    expected.created("u")
    assert expected.satisfied("u", SECOND)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("scale"), st.integers(0, 12)),
            st.tuples(st.just("kill"), st.integers(0, 11)),
            st.tuples(st.just("ready"), st.integers(0, 11)),
            st.tuples(st.just("fail"), st.integers(0, 11)),
            st.tuples(st.just("wait_ms"), st.integers(0, 30)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=25,
    ),
    st.sampled_from([1_000_000, 5_000_000, 12_000_000]),
)
def test_whatever_happens_it_ends_with_as_many_as_wanted(story: list[tuple[str, int]], latency_ns: int) -> None:
    controller = ReplicaSetController()
    rig = Rig(controller, latency_ns=latency_ns)
    rig.create(replica_set(5))
    wanted = 5
    for what, number in story:
        pods = [pod for pod in rig.pods() if pod.metadata.deletion_timestamp is None and pod.status.phase != "Failed"]
        pod = pods[number % len(pods)] if pods else None
        match what:
            case "scale":
                wanted = number
                rig.change("ReplicaSet", "web", replicas=number)
            case "kill" if pod:
                rig.delete("Pod", pod.metadata.name)
            case "ready" if pod:
                rig.set_ready(pod)
            case "fail" if pod:
                rig.finish(pod, "Failed")
            case "wait_ms":
                rig.run(number / 1000)
            case "restart":
                rig.run(0.05)  # its last writes are answered
                rig.start(controller)
    rig.settle()
    active = [pod for pod in rig.pods() if pod.metadata.deletion_timestamp is None and pod.status.phase != "Failed"]
    assert len(active) == wanted
    status = rig.get("ReplicaSet", "web").status
    ready = sum(any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions) for pod in active)
    assert status.replicas == wanted
    assert (status.ready_replicas or 0) == (status.available_replicas or 0) == ready
    assert (status.fully_labeled_replicas or 0) == wanted


def test_a_pod_that_could_not_be_deleted_is_told_and_deleted_later(rig: Rig) -> None:
    rig.create(replica_set(2))
    rig.run()
    rig.refuse = lambda name, effect: ApiError(500, "InternalError", "no") if isinstance(effect, Delete) else None
    rig.change("ReplicaSet", "web", replicas=0)
    rig.run(0.5)
    assert len(rig.pods()) == 2
    assert {event.message for event in rig.events("FailedDelete")} == {"Error deleting: no"}
    rig.refuse = lambda name, effect: None
    rig.run(30)
    assert rig.pods() == []
    assert rig.get("ReplicaSet", "web").status.replicas in (0, None)


def test_in_a_namespace_that_goes_nothing_is_tried_again(rig: Rig) -> None:
    going = forbidden("pods", "", "unable to create new content in namespace default because it is being terminated")
    rig.refuse = lambda name, effect: going if isinstance(effect, Create) else None
    rig.create(replica_set(2))
    rig.run(5)
    assert rig.events("FailedCreate") == []
    rig.sent.clear()
    rig.run(600)
    assert [effect for _, effect in rig.sent if isinstance(effect, Create)] == []


def test_a_deletion_cost_that_is_no_number_counts_as_none(rig: Rig) -> None:
    rig.create(replica_set(3))
    rig.run()
    costs = ("1", "many", "-5")
    pods = rig.pods()
    for pod, cost in zip(pods, costs, strict=True):
        pod = rig.set_ready(pod)
        meta = replace(pod.metadata, annotations={"controller.kubernetes.io/pod-deletion-cost": cost})
        rig.do(Update(replace(pod, metadata=meta)))
    rig.run()
    for left in (2, 1):
        rig.change("ReplicaSet", "web", replicas=left)
        rig.run()
        for pod in rig.pods():
            if pod.metadata.deletion_timestamp is not None:
                rig.kubelet_kills(pod)
        rig.run()
        assert [pod.metadata.uid for pod in rig.pods()] == [pod.metadata.uid for pod in pods[:left]]


def test_events_come_again_one_in_five_minutes(rig: Rig) -> None:
    no = forbidden("pods", "", "exceeded quota")
    rig.refuse = lambda name, effect: no if isinstance(effect, Create) else None
    rig.create(replica_set(1))
    told = []
    for _ in range(12):
        for turn in range(10):
            rig.change("ReplicaSet", "web", replicas=2 + turn % 2)
            rig.run(30)
        told.append(sum(event.count or 1 for event in rig.events("FailedCreate")))
    assert told[1] >= 25
    grown = [later - earlier for earlier, later in pairwise(told[3:])]
    assert set(grown) == {1}
