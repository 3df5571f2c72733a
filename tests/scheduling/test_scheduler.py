"""The scheduler as a component: queue, cycles, bindings, events in Kubernetes' words; in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cluster.assembly import ClusterPlan, assemble
from harness.engine.component import ADDED, MS, SECOND, Start, Watch
from harness.engine.latency import Constant
from harness.model.core import (
    Affinity,
    Container,
    Node,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSchedulingGate,
    PodSpec,
    ResourceRequirements,
    Taint,
)
from harness.model.meta import LabelSelector, ObjectMeta, condition
from harness.model.objects import PriorityClass, from_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.workloads import PodGroup, PodGroupSpec
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.strategy import Bind, ClusterView, Decision, Evict, PodBatch, Strategy, Wait
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import greedy, least_allocated
from tests.examples import examples


class Story:
    def __init__(self, strategy: Strategy | None = None, **scheduling: Any) -> None:
        plan = ClusterPlan(
            strategy=strategy or least_allocated(), scheduling=SchedulerSettings(**scheduling), controllers=()
        )
        assembled = assemble(MemoryStore(ObjectCodec()), plan)
        self.cluster, self.scheduler = assembled.cluster, assembled.scheduler
        self.server = self.cluster.server
        self.bound: list[tuple[float, str, str]] = []
        self.server.listeners.append(self._write)
        self.run(0.5)

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Pod" and old is not None and obj.spec.node_name and not old.spec.node_name:
            self.bound.append((self.server.now / SECOND, obj.metadata.name, obj.spec.node_name))

    def run(self, until_s: float) -> None:
        self.cluster.run(round(until_s * SECOND))
        self.server.now = max(self.server.now, round(until_s * SECOND))

    def node(self, name: str, cpu: str = "4", labels: dict[str, str] | None = None, **spec: Any) -> None:
        capacity = {"cpu": parse_quantity(cpu), "memory": parse_quantity("8Gi"), "pods": count_quantity(20)}
        self.cluster.start_nodes(
            [
                Node(
                    metadata=ObjectMeta(name=name, labels=labels or {}),
                    spec=NodeSpec(**spec),
                    status=NodeStatus(capacity=capacity, allocatable=capacity),
                )
            ]
        )

    def pod(
        self,
        name: str,
        cpu: str = "1",
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        self.server.create(
            Pod(
                metadata=ObjectMeta(name=name, namespace="default", labels=labels or {}, annotations=annotations or {}),
                spec=PodSpec(
                    containers=(
                        Container(
                            name="c",
                            image="i:1",
                            resources=ResourceRequirements(requests={"cpu": parse_quantity(cpu)}),
                        ),
                    ),
                    **spec,
                ),
            )
        )
        self.cluster.api.flush(self.server.now)

    def delete(self, name: str) -> None:
        self.server.delete("Pod", "default", name, grace_s=0)
        self.cluster.api.flush(self.server.now)

    def where(self, name: str) -> str:
        pod: Pod = self.server.get("Pod", "default", name)
        return pod.spec.node_name

    def messages(self, name: str) -> list[str]:
        return [
            event.message
            for event in self.server.listed("Event")
            if event.involved_object.name == name and event.reason == "FailedScheduling"
        ]


def test_a_pod_is_bound_within_the_modelled_latencies() -> None:
    story = Story()
    story.node("n")
    story.run(1)
    story.pod("a")
    story.run(2)
    ((at, _, node),) = story.bound
    assert node == "n"
    # created at 1 s: watch 5 ms, a decision 1 ms, API call 5 ms
    assert round(at - 1, 6) == 0.011


def test_what_deciding_takes_is_measured_by_the_clock_that_is_given() -> None:
    readings = count(step=3)
    story = Story(clock=lambda: float(next(readings)))
    story.node("n")
    story.pod("a")
    story.run(2)
    story.pod("b")
    story.run(4)
    assert [name for _, name, _ in story.bound] == ["a", "b"]
    assert story.scheduler.tally.deciding_s == 3.0 * story.scheduler.tally.cycles >= 6.0


def test_why_a_pod_fits_nowhere_is_told_as_kube_scheduler_tells_it() -> None:
    story = Story()
    for name in ("a", "b"):
        story.node(name, cpu="1")
    story.node("c", cpu="8", taints=(Taint(key="gpu", value="only", effect="NoSchedule"),))
    story.node("d", cpu="8", unschedulable=True)
    story.run(1)
    story.pod("big", cpu="2")
    story.run(5)
    assert story.messages("big") == [
        "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: only}, 1 node(s) were unschedulable, "
        "2 Insufficient cpu."
    ]
    known = condition(story.server.get("Pod", "default", "big").status.conditions, "PodScheduled")
    assert known is not None
    assert (known.status, known.reason) == ("False", "Unschedulable")


def test_room_wakes_the_pods_that_it_helps_after_their_backoff() -> None:
    story = Story()
    story.node("n", cpu="2")
    story.run(1)
    story.pod("a", cpu="2")
    story.run(2)
    story.pod("waits", cpu="1")
    story.pod("too-big", cpu="9")
    story.run(30)
    attempts = story.scheduler.tally.unschedulable
    story.delete("a")
    story.run(31)
    assert story.where("waits") == "n"
    assert story.where("too-big") == ""
    assert story.scheduler.tally.unschedulable == attempts, "what the change cannot help is not tried"


def test_a_pod_elsewhere_helps_those_whose_affinity_or_spread_it_bears_on() -> None:
    story = Story()
    story.node("n", labels={"zone": "a"})
    story.node("m", labels={"zone": "a"})
    story.run(1)

    def beside(app: str) -> PodAffinity:
        selector = LabelSelector(match_labels={"app": app})
        term = PodAffinityTerm(topology_key="zone", label_selector=selector)
        return PodAffinity(required_during_scheduling_ignored_during_execution=(term,))

    story.pod("follows", cpu="3", affinity=Affinity(pod_affinity=beside("leader")))
    story.pod("guest", labels={"app": "guest"})
    story.run(20)
    story.pod("loner", cpu="1", affinity=Affinity(pod_anti_affinity=beside("guest")))
    story.run(30)
    assert (story.where("follows"), story.where("loner")) == ("", "")
    story.pod("leader", labels={"app": "leader"})
    story.run(40)
    assert story.where("follows") != ""
    story.delete("guest")
    story.run(60)
    assert story.where("loner") != "", "on whichever node the guest ran"


def test_what_nothing_helps_is_tried_again_after_five_minutes() -> None:
    story = Story()
    story.node("n", cpu="2")
    story.run(1)
    story.pod("too-big", cpu="9")
    story.run(290)
    assert story.scheduler.tally.unschedulable == 1
    story.run(320)
    assert story.scheduler.tally.unschedulable == 2


def test_higher_priority_goes_first() -> None:
    story = Story(greedy(), batch_size=1)
    story.server.create(PriorityClass(metadata=ObjectMeta(name="high"), value=1000))
    story.run(1)
    for index in range(3):
        story.pod(f"low-{index}")
    story.pod("high", priority_class_name="high")
    story.run(3)
    story.node("n", cpu="1")
    story.run(30)
    assert [name for _, name, _ in story.bound] == ["high"]


def test_a_binding_that_somebody_else_was_quicker_with_costs_nothing() -> None:
    story = Story()
    story.node("n", cpu="4")
    story.node("m", cpu="4")
    story.run(1)
    story.pod("a", cpu="4")
    uid = story.server.get("Pod", "default", "a").metadata.uid
    story.run(1.007)  # decided, not yet bound
    story.server.bind("default", "a", uid, "m", {})
    story.cluster.api.flush(story.server.now)
    story.run(2)
    assert story.where("a") == "m"
    story.pod("b", cpu="4")
    story.run(5)
    assert story.where("b") == "n"


def test_gated_pods_and_other_schedulers_pods_are_left_alone() -> None:
    story = Story()
    story.node("n")
    story.run(1)
    story.pod("gated", scheduling_gates=(PodSchedulingGate(name="wait"),))
    story.pod("other", scheduler_name="my-scheduler")
    story.run(5)
    assert story.bound == []


def test_a_gang_is_bound_together_or_not_at_all() -> None:
    story = Story()
    story.server.create(
        PodGroup(metadata=ObjectMeta(name="ring", namespace="default"), spec=PodGroupSpec(min_member=3))
    )
    story.node("n", cpu="2")
    story.run(1)
    for index in range(3):
        story.pod(f"g{index}", labels={"scheduling.x-k8s.io/pod-group": "ring"})
    story.run(20)
    assert story.bound == []
    story.node("m", cpu="2")
    story.run(60)
    assert len(story.bound) == 3
    assert len({at for at, _, _ in story.bound}) == 1


def pod_group(story: Story, least: int, **spec: Any) -> None:
    story.server.create(
        from_wire({"kind": "PodGroup", "metadata": {"name": "ring"}, "spec": {"minMember": least, **spec}})
    )


def test_a_gang_waits_for_its_members_and_gives_up_when_its_time_is_over() -> None:
    story = Story()
    pod_group(story, 3, scheduleTimeoutSeconds=20)
    story.node("n", cpu="4")
    story.run(1)
    member = {"scheduling.x-k8s.io/pod-group": "ring"}
    for index in range(2):
        story.pod(f"g{index}", labels=member)
    story.run(20)
    assert story.messages("g0") == [], "nothing is wrong yet"
    assert story.scheduler.tally.cycles == 0
    story.run(25)
    told = "pod group default/ring: 2 of at least 3 pods are there after 20 s"
    assert story.messages("g0") == story.messages("g1") == [told]
    known = condition(story.server.get("Pod", "default", "g0").status.conditions, "PodScheduled")
    assert known is not None
    assert (known.reason, known.message) == ("Unschedulable", told)
    story.pod("g2", labels=member)
    story.run(30)
    assert sorted(name for _, name, _ in story.bound) == ["g0", "g1", "g2"]
    assert len({at for at, _, _ in story.bound}) == 1


def test_a_gated_pod_enters_when_its_gates_are_gone_and_never_counts_before() -> None:
    story = Story()
    story.node("n")
    story.run(1)
    story.pod("gated", cpu="9", scheduling_gates=(PodSchedulingGate(name="a"), PodSchedulingGate(name="b")))

    def gates(*names: str) -> None:
        pod: Pod = story.server.get("Pod", "default", "gated")
        left = tuple(PodSchedulingGate(name=name) for name in names)
        story.server.update(msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, scheduling_gates=left)))
        story.cluster.api.flush(story.server.now)

    story.run(400)
    gates("b")
    story.run(800)
    assert story.scheduler.tally.cycles == 0
    assert not len(story.scheduler.queue)
    assert story.messages("gated") == []
    gates()
    story.run(801)
    assert story.messages("gated") == ["0/1 nodes are available: 1 Insufficient cpu."]
    assert len(story.scheduler.queue) == 1


def test_without_retry_a_pod_that_does_not_fit_is_left_out_for_good() -> None:
    story = Story(retry=False)
    story.node("n", cpu="2")
    story.run(1)
    story.pod("a", cpu="2")
    story.pod("b", cpu="2")
    story.run(5)
    story.delete("a")
    story.run(400)
    assert story.where("b") == ""
    assert len(story.scheduler.queue) == 0
    assert "default/b" not in story.scheduler.queue


class Liar:
    """Answers with whatever it was given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            for answer in self.answers:
                yield answer(pod, cluster)


def test_what_is_no_decision_is_counted_and_told() -> None:
    story = Story(Liar(lambda pod, cluster: "anywhere", lambda pod, cluster: Bind(pod, 99)))
    story.node("n")
    story.run(1)
    story.pod("a")
    story.run(3)
    kinds = [(kind, reason) for _, kind, _, reason in story.scheduler.tally.violations]
    assert kinds[0] == ("no decision", "a strategy answers with decisions, not 'anywhere'")
    assert kinds[1][0] == "illegal bind"
    assert "unknown node" in kinds[1][1]


def test_the_reason_of_a_wait_reaches_the_event() -> None:
    story = Story(Liar(lambda pod, cluster: Wait(pod, "saving it for later")))
    story.node("n")
    story.run(1)
    story.pod("a")
    story.run(3)
    (message,) = story.messages("a")
    assert "saving it for later" in message


def test_an_eviction_is_carried_out_through_the_api() -> None:
    story = Story(
        Liar(lambda pod, cluster: Evict("default/old", "for the new one") if pod.key == "default/new" else Bind(pod, 0))
    )
    story.node("n")
    story.run(1)
    story.pod("old")
    story.run(5)
    story.pod("new")
    story.run(60)
    assert "default/old" not in story.server.objects("Pod")


HAPPENING = st.one_of(
    st.tuples(st.just("pod"), st.integers(0, 15), st.integers(1, 4)),
    st.tuples(st.just("delete"), st.integers(0, 15), st.just(0)),
    st.tuples(st.just("node"), st.integers(0, 4), st.integers(1, 6)),
)


@given(st.lists(HAPPENING, max_size=30))
@settings(deadline=None, max_examples=examples(40))
def test_whatever_comes_and_goes_the_view_equals_the_store_and_nothing_is_overfull(
    happenings: list[tuple[str, int, int]],
) -> None:
    story = Story()
    at = 1.0
    for what, number, size in happenings:
        at += 0.7
        story.run(at)
        if what == "pod" and f"default/p{number}" not in story.server.objects("Pod"):
            story.pod(f"p{number}", cpu=str(size))
        elif what == "delete" and f"default/p{number}" in story.server.objects("Pod"):
            story.delete(f"p{number}")
        elif what == "node" and f"n{number}" not in story.server.objects("Node"):
            story.node(f"n{number}", cpu=str(size))
    story.run(at + 60)
    snapshot = story.scheduler.snapshot
    pods = story.server.listed("Pod")
    for pod in pods:
        node = snapshot.where(pod.metadata.key)
        assert (snapshot.node_table.names[node] if node is not None else "") == pod.spec.node_name
    assert (snapshot.free[:, snapshot.alive] >= 0).all()
    for pod in pods:  # work-conserving: what waits fits nowhere
        if not pod.spec.node_name:
            assert not snapshot.feasible(snapshot.classes.view(pod)).any()


def test_what_a_small_batch_leaves_over_is_not_forgotten() -> None:
    """Seed 469 of podyard simulate: a batch that placed nothing left no timer for the rest of the queue, which waited
    until something else happened, minutes later."""
    story = Story(batch_size=1, latency=Constant(100 * MS))
    story.node("n", cpu="2")
    story.run(1)
    for index in range(5):
        story.pod(f"large{index}", "8")
    story.pod("small", "1")
    story.run(2)
    assert [name for _, name, _ in story.bound] == ["small"]


def test_a_pod_group_that_went_while_the_scheduler_was_down_holds_nobody() -> None:
    """Seed 1442 of podyard simulate: the scheduler that came back still asked for three members of it."""
    story = Story()
    pod_group(story, 3)
    story.node("n", cpu="4")
    story.run(1)
    story.pod("a", "1", labels={"scheduling.x-k8s.io/pod-group": "ring"})
    story.run(3)
    assert story.bound == []
    story.server.delete("PodGroup", "default", "ring")  # nobody tells the scheduler
    story.scheduler.step(story.cluster.now, [Start(), *(Watch(ADDED, obj) for obj in story.server.listed("Node"))])
    story.scheduler.step(story.cluster.now, [Watch(ADDED, obj) for obj in story.server.listed("Pod")])
    assert story.scheduler.tally.decisions == 1
