"""Disruption budgets: how many pods may go, and that evictions never take more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.policy.disruption import DisruptionController
from harness.controllers.runtime.pods import owner_reference
from harness.controllers.workloads.deployment.controller import DeploymentController
from harness.controllers.workloads.job.controller import JobController
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import Update
from harness.model.core import Pod
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference, condition
from harness.model.status import ApiError
from harness.model.workloads import (
    Deployment,
    DeploymentSpec,
    Job,
    JobSpec,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    ReplicaSet,
    ReplicaSetSpec,
)
from tests.controllers.rig import Rig, selector, template
from tests.examples import examples


def budget(chosen: LabelSelector | None = None, **spec: Any) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="pdb", namespace="default"),
        spec=PodDisruptionBudgetSpec(selector=chosen or selector(app="web"), **spec),
    )


class Town(Rig):
    def __init__(self, replicas: int = 0, **kwargs: Any) -> None:
        super().__init__(
            DisruptionController(), DeploymentController(), ReplicaSetController(), JobController(), **kwargs
        )
        if replicas:
            spec = DeploymentSpec(replicas=replicas, selector=selector(app="web"), template=template(app="web"))
            self.create(Deployment(metadata=ObjectMeta(name="web", namespace="default"), spec=spec))
            self.run()
            self.ready_all()

    def ready_all(self) -> None:
        for pod in self.pods():
            if pod.metadata.deletion_timestamp is None:
                self.set_ready(pod)
        self.run()

    def status(self) -> tuple[int | None, int | None, int | None, int | None]:
        """(allowed, healthy, desired, expected)"""
        found = self.get("PodDisruptionBudget", "pdb").status
        return found.disruptions_allowed, found.current_healthy, found.desired_healthy, found.expected_pods

    def reason(self) -> str:
        found = condition(self.get("PodDisruptionBudget", "pdb").status.conditions, "DisruptionAllowed")
        return "" if found is None else f"{found.status} {found.reason}"

    def evict(self, pod: Pod) -> bool:
        self.server.now = self.now
        try:
            self.server.evict(pod.metadata.namespace, pod.metadata.name)
        except ApiError as error:
            if error.code != 429:
                raise
            return False
        self.api.flush(self.now)
        return True


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"min_available": 3}, (2, 5, 3, 5)),
        ({"max_unavailable": 1}, (1, 5, 4, 5)),
        ({"min_available": "50%"}, (2, 5, 3, 5)),  # 2.5 rounds up to 3 healthy
        ({"max_unavailable": "30%"}, (2, 5, 3, 5)),  # 1.5 rounds up to 2 away
        ({"max_unavailable": "100%"}, (5, 5, 0, 5)),
        ({"min_available": 9}, (0, 5, 9, 5)),
    ],
)
def test_counts_and_percentages(spec: dict[str, Any], expected: tuple[int, int, int, int]) -> None:
    town = Town(5)
    town.create(budget(**spec))
    town.run()
    assert town.status() == expected
    assert town.reason() == ("True SufficientPods" if expected[0] else "False InsufficientPods")


def test_an_unready_pod_uses_the_budget_up() -> None:
    town = Town(3)
    town.create(budget(max_unavailable=1))
    town.run()
    town.set_ready(town.pods()[0], False)
    town.run()
    assert town.status() == (0, 2, 2, 3)
    town.set_ready(town.pods()[0])
    town.run()
    assert town.status() == (1, 3, 2, 3)


def test_percentages_are_of_what_is_wanted_not_of_what_is_there() -> None:
    town = Town(4)
    town.create(budget(min_available="50%"))
    town.change("Deployment", "web", replicas=8)
    town.run()
    assert town.status() == (0, 4, 4, 8)
    town.ready_all()
    assert town.status() == (4, 8, 4, 8)


def test_evictions_stop_at_the_budget_and_go_on_when_others_are_ready() -> None:
    town = Town(4)
    town.create(budget(max_unavailable=1))
    town.run()
    first, second, *_ = town.pods()
    assert town.evict(first)
    assert not town.evict(second)  # before anybody has recounted
    town.run()
    assert not town.evict(second)
    assert town.get("PodDisruptionBudget", "pdb").status.disrupted_pods == {}  # it is on its way
    town.ready_all()
    assert town.evict(second)


def test_an_evicted_pod_that_stays_counts_again_after_two_minutes() -> None:
    town = Town(2)
    made = town.create(budget(max_unavailable=1))
    town.run()
    pod = town.pods()[0]
    from harness.apiserver.registry import eviction

    town.server.now = town.now
    spent = eviction.spent_budget(town.server.cache, pod, town.now)
    assert spent is not None
    town.server.update(spent, "status")  # the budget is spent, and the deletion never comes
    town.api.flush(town.now)
    town.run(100)
    assert town.status() == (0, 1, 1, 2)
    assert list(town.get("PodDisruptionBudget", "pdb").status.disrupted_pods) == [pod.metadata.name]
    town.run(25)
    assert town.status() == (1, 2, 1, 2)
    assert town.get("PodDisruptionBudget", "pdb").status.disrupted_pods == {}
    assert town.events("NotDeleted")
    assert made.metadata.name == "pdb"


def test_pods_whose_controller_has_no_scale_allow_nothing() -> None:
    town = Town()
    spec = JobSpec(template=template(restart_policy="Never", app="web"))
    town.create(Job(metadata=ObjectMeta(name="j", namespace="default"), spec=spec))
    town.run()
    town.ready_all()
    town.create(budget(max_unavailable=1))
    town.run()
    assert town.reason() == "False SyncFailed"
    assert town.status()[0] == 0
    assert len(town.events("CalculateExpectedPodCountFailed")) == 1


def test_bare_pods_count_where_a_number_is_asked_for() -> None:
    town = Town()
    for name in ("a", "b"):
        labels = {"app": "web"}
        town.create(Pod(metadata=ObjectMeta(name=name, namespace="default", labels=labels), spec=template().spec))
    town.create(budget(min_available=1))
    town.ready_all()
    assert town.status() == (1, 2, 1, 2)


def test_an_empty_selector_selects_the_whole_namespace() -> None:
    town = Town(3)
    town.create(budget(LabelSelector(), min_available=1))
    town.run()
    assert town.status() == (2, 3, 1, 3)


def test_no_pods_no_disruptions() -> None:
    town = Town()
    town.create(budget(min_available=0))
    town.run()
    assert town.status() == (0, 0, 0, 0)
    assert town.reason() == "False InsufficientPods"


@settings(max_examples=examples(40), deadline=None)
@given(
    replicas=st.integers(1, 6),
    away=st.integers(0, 3),
    story=st.lists(st.tuples(st.sampled_from(["evict", "evict", "ready", "wait", "gone"]), st.integers(0, 9)),
                   max_size=30),
    latency_ns=st.sampled_from([1_000_000, 10_000_000]),
)  # fmt: skip
def test_evictions_never_leave_fewer_healthy_than_promised(
    replicas: int, away: int, story: list[tuple[str, int]], latency_ns: int
) -> None:
    town = Town(replicas, latency_ns=latency_ns)
    town.create(budget(max_unavailable=away))
    town.run()

    def healthy() -> int:
        return sum(
            pod.metadata.deletion_timestamp is None
            and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
            for pod in town.pods()
        )

    for what, number in story:
        pods = [pod for pod in town.pods() if pod.metadata.deletion_timestamp is None]
        pod = pods[number % len(pods)] if pods else None
        if what == "evict" and pod and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions):
            town.evict(pod)
        elif what == "ready" and pod:
            town.set_ready(pod)
        elif what == "gone":
            for going in town.pods():
                if going.metadata.deletion_timestamp is not None:
                    town.kubelet_kills(going)
        town.run(number * 0.003)
        assert healthy() >= replicas - away


def test_percentages_are_of_the_deployment_not_of_its_replica_set() -> None:
    """While a rollout has scaled the old ReplicaSet down. Source: kubernetes 1.32 pkg/controller/disruption
    getPodReplicaSet, which leaves ReplicaSets of Deployments to getPodDeployment."""
    town = Rig(DisruptionController())
    labels, pods = selector(app="web"), template(app="web")
    above = town.create(
        Deployment(
            metadata=ObjectMeta(name="web", namespace="default"),
            spec=DeploymentSpec(replicas=10, selector=labels, template=pods),
        )
    )
    of = OwnerReference(api_version="apps/v1", kind="Deployment", name="web", uid=above.metadata.uid, controller=True)
    meta = ObjectMeta(name="old", namespace="default", owner_references=(of,), labels={"app": "web"})
    below = town.create(ReplicaSet(metadata=meta, spec=ReplicaSetSpec(replicas=2, selector=labels, template=pods)))
    of = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="old", uid=below.metadata.uid, controller=True)
    town.create(
        Pod(
            metadata=ObjectMeta(name="p", namespace="default", labels={"app": "web"}, owner_references=(of,)),
            spec=pods.spec,
        )
    )
    town.create(budget(min_available="50%"))
    town.run()
    found = town.get("PodDisruptionBudget", "pdb").status
    assert (found.desired_healthy, found.expected_pods) == (5, 10)


def test_a_controller_counts_as_long_as_one_of_the_pods_is_its_own() -> None:
    """And what it is asked for counts once, however many pods it has here."""
    rig = Rig(DisruptionController())
    spec = ReplicaSetSpec(replicas=5, selector=selector(app="web"), template=template(app="web"))
    owner = rig.create(ReplicaSet(metadata=ObjectMeta(name="rs", namespace="default"), spec=spec))
    mine = owner_reference(owner, "apps/v1", "ReplicaSet")
    rig.create(budget(max_unavailable=1))
    labels = {"app": "web"}
    for name in ("a", "b", "c"):
        refs = () if name == "c" else (mine,)
        meta = ObjectMeta(name=name, namespace="default", labels=labels, owner_references=refs)
        rig.create(Pod(metadata=meta, spec=template().spec))

    def expected() -> tuple[int, int]:
        rig.run(1)
        status = rig.get("PodDisruptionBudget", "pdb").status
        return status.expected_pods, status.desired_healthy

    assert expected() == (5, 4)
    for name, after in (("a", (5, 4)), ("b", (0, 0))):
        pod = rig.get("Pod", name)
        rig.do(Update(replace(pod, metadata=replace(pod.metadata, owner_references=()))))
        assert expected() == after
    pod = rig.get("Pod", "c")
    rig.do(Update(replace(pod, metadata=replace(pod.metadata, owner_references=(mine,)))))
    assert expected() == (5, 4)
    rig.kubelet_kills(rig.get("Pod", "c"))
    assert expected() == (0, 0)
