"""Preemption through the API: who goes, who stays, what is written, and when the preemptor gets its place."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine.component import SECOND
from harness.model.core import Pod
from harness.model.meta import LabelSelector, ObjectMeta, condition
from harness.model.objects import PodDisruptionBudget, PriorityClass
from harness.model.status import ApiError
from harness.model.workloads import PodDisruptionBudgetSpec
from schedulers.greedy import greedy
from tests.scheduling.test_scheduler import Story


class Priorities(Story):
    """With classes low, middle and high; `pods(name, cpu, priority)`."""

    def __init__(self, **scheduling: Any) -> None:
        super().__init__(greedy(), **scheduling)
        self.moves: list[tuple[float, str, str]] = []  # (s, what, pod)
        for name, value in (("low", 1), ("middle", 50), ("high", 100)):
            self.server.create(PriorityClass(metadata=ObjectMeta(name=name), value=value))
        never = PriorityClass(metadata=ObjectMeta(name="polite"), value=100, preemption_policy="Never")
        self.server.create(never)

    def ranked(self, name: str, cpu: str = "1", priority: str = "low", stops_after_s: int = 5, **spec: Any) -> None:
        annotations = {"podyard.dev/stop-after": f"{stops_after_s}s"}
        self.pod(name, cpu, annotations=annotations, priority_class_name=priority, **spec)

    def get(self, name: str) -> Pod:
        pod: Pod = self.server.get("Pod", "default", name)
        return pod

    def there(self) -> set[str]:
        return {pod.metadata.name for pod in self.server.listed("Pod")}


def test_a_pod_of_higher_priority_takes_the_place_of_a_lower_one() -> None:
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2")
    story.run(5)
    assert story.get("old").status.phase == "Running"
    story.ranked("new", cpu="2", priority="high")
    story.run(5.1)
    old, new = story.get("old"), story.get("new")
    assert old.metadata.deletion_timestamp is not None
    target = condition(old.status.conditions, "DisruptionTarget")
    assert target is not None
    assert (target.status, target.reason) == ("True", "PreemptionByScheduler")
    assert target.message == "default-scheduler: preempting to accommodate a higher priority pod"
    assert new.status.nominated_node_name == "n"
    assert story.messages("new") == ["0/1 nodes are available: 1 Insufficient cpu."]
    told = [e for e in story.server.listed("Event") if e.reason == "Preempted"]
    assert [(e.type, e.involved_object.name, e.message) for e in told] == [
        ("Normal", "old", f"Preempted by pod {new.metadata.uid} on node n")
    ]
    story.run(9)
    assert story.where("new") == "", "the victim has 5 s of grace"
    story.run(15)
    assert story.there() == {"new"}
    assert story.where("new") == "n"


def test_what_does_not_help_is_told_as_kube_scheduler_tells_it() -> None:
    story = Priorities(preemption=True)
    story.node("n", cpu="2")
    story.node("m", cpu="2", unschedulable=True)
    story.run(1)
    story.ranked("old", cpu="2", priority="high")
    story.run(5)
    story.ranked("equal", cpu="2", priority="high")
    story.ranked("polite", cpu="2", priority="polite")
    story.run(6)
    head = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable."
    assert story.messages("equal") == [
        f"{head} preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    ]
    assert story.messages("polite") == [f"{head} preemption: not eligible due to preemptionPolicy=Never."]
    assert story.there() == {"old", "equal", "polite"}


def test_a_node_kept_for_one_is_not_given_to_an_equal() -> None:
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2", stops_after_s=20)
    story.run(5)
    story.ranked("first", cpu="2", priority="high")
    story.run(6)
    story.ranked("second", cpu="2", priority="high")
    story.run(7)
    assert story.get("second").status.nominated_node_name == ""
    story.run(40)
    assert (story.where("first"), story.where("second")) == ("n", "")


def test_a_higher_one_takes_a_node_that_was_kept_for_a_lower_one() -> None:
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2", stops_after_s=20)
    story.run(5)
    story.ranked("first", cpu="2", priority="middle")
    story.run(6)
    assert story.get("first").status.nominated_node_name == "n"
    story.ranked("second", cpu="2", priority="high")
    story.run(7)
    assert story.get("first").status.nominated_node_name == ""
    assert story.get("second").status.nominated_node_name == "n"
    story.run(60)
    assert (story.where("first"), story.where("second")) == ("", "n")


def test_nobody_goes_without_need() -> None:
    story = Priorities()
    story.node("n", cpu="4")
    story.run(1)
    for name, cpu, priority in (("a", "1", "middle"), ("b", "2", "low"), ("c", "1", "low")):
        story.ranked(name, cpu=cpu, priority=priority)
        story.run(story.server.now / SECOND + 1)
    story.ranked("new", cpu="2", priority="high")
    story.run(20)
    assert story.there() == {"a", "c", "new"}, "b alone makes enough room; a and c are reprieved before it"


def test_the_earlier_of_equals_stays() -> None:
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("earlier")
    story.run(4)
    story.ranked("later")
    story.run(8)
    story.ranked("new", priority="high")
    story.run(20)
    assert story.there() == {"earlier", "new"}


def test_a_budget_decides_between_nodes_and_yields_where_it_must() -> None:
    story = Priorities()
    for name in ("n", "m"):
        story.node(name, cpu="1")
    story.run(1)
    for name in ("guarded", "free"):
        story.ranked(name, labels={"app": name})
    story.server.create(
        PodDisruptionBudget(
            metadata=ObjectMeta(name="b", namespace="default"),
            spec=PodDisruptionBudgetSpec(min_available=1, selector=LabelSelector(match_labels={"app": "guarded"})),
        )
    )
    story.cluster.api.flush(story.server.now)
    story.run(5)
    story.ranked("new", priority="high")
    story.run(20)
    assert story.there() == {"guarded", "new"}
    story.ranked("newer", priority="high")
    story.run(40)
    assert story.there() == {"newer", "new"}, "a budget is kept where possible, no further"


def test_off_means_off_and_without_priorities_nothing_is_said() -> None:
    story = Priorities(preemption=False)
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2")
    story.run(5)
    story.ranked("new", cpu="2", priority="high")
    story.run(60)
    assert story.where("old") == "n"
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2")
    story.ranked("new", cpu="2")
    story.run(5)
    assert [m for name in ("old", "new") for m in story.messages(name)] == [
        "0/1 nodes are available: 1 Insufficient cpu."
    ]


def test_a_victim_that_goes_makes_a_preemptor_fit_on_another_node_too() -> None:
    story = Priorities()
    story.node("n", cpu="2")
    story.run(1)
    story.ranked("old", cpu="2", stops_after_s=30)
    story.run(5)
    story.ranked("new", cpu="2", priority="high")
    story.run(6)
    story.node("m", cpu="2")
    story.run(12)
    assert story.where("new") == "m"
    assert story.get("old").metadata.deletion_timestamp is not None
    story.ranked("third", cpu="2")
    story.run(60)
    assert story.where("third") == "n", "the node is no longer kept"


def test_priority_is_the_classs_and_no_one_elses() -> None:
    story = Priorities()
    story.server.create(PriorityClass(metadata=ObjectMeta(name="usual"), value=7, global_default=True))
    story.pod("plain")
    spec = story.get("plain").spec
    assert (spec.priority, spec.priority_class_name, spec.preemption_policy) == (7, "usual", "PreemptLowerPriority")
    story.ranked("vital", priority="system-node-critical")
    assert story.get("vital").spec.priority == 2_000_001_000
    story.ranked("polite", priority="polite")
    assert story.get("polite").spec.preemption_policy == "Never"
    with pytest.raises(ApiError, match="no PriorityClass with name nobody was found"):
        story.ranked("x", priority="nobody")
    with pytest.raises(ApiError, match=r"the integer value of priority \(9\) must not be provided in pod spec"):
        story.pod("y", priority=9)
    with pytest.raises(ApiError, match=r"PreemptionPolicy \(PreemptLowerPriority\) must not be provided"):
        story.ranked("z", priority="polite", preemption_policy="PreemptLowerPriority")
