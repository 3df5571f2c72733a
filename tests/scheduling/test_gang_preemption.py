"""Gangs as preemptors: pods go for a gang only when enough of its members then fit, and its members come together."""

from __future__ import annotations

from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.quantity import count_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.gang_victims import GangPlan, plan
from harness.scheduling.preemption.victims import NoPreemption, Preemption
from harness.scheduling.strategy import PodView
from tests.examples import examples
from tests.scheduling.test_preemption import Priorities
from tests.scheduling.test_scheduler import pod_group

MEMBER = {"scheduling.x-k8s.io/pod-group": "ring"}


def test_pods_go_for_a_whole_gang_and_its_members_come_together() -> None:
    story = Priorities()
    pod_group(story, 3)
    for name in ("a", "b"):
        story.node(name, cpu="2")
    story.run(1)
    for index in range(4):
        story.ranked(f"old{index}", stops_after_s=3 + index)
    story.run(5)
    for index in range(3):
        story.ranked(f"g{index}", priority="high", labels=MEMBER)
    story.run(6)
    gang = [story.get(f"g{index}") for index in range(3)]
    assert all(pod.status.nominated_node_name for pod in gang)
    going = [pod for pod in story.server.listed("Pod") if pod.metadata.deletion_timestamp is not None]
    assert len(going) == 3, "one pod more than is needed would be one too many"
    story.run(40)
    bound = {name: at for at, name, _ in story.bound if name.startswith("g")}
    assert sorted(bound) == ["g0", "g1", "g2"]
    assert len(set(bound.values())) == 1, "together"
    assert len(story.there()) == 4
    assert story.scheduler.tally.violations == []


def test_a_gang_that_lost_a_member_keeps_no_node_from_others() -> None:
    """Seed 1573 of podyard simulate: what was left of the gang waited for members that nobody makes anew, and its
    nominated node stood empty for good while others waited."""
    story = Priorities()
    pod_group(story, 2, scheduleTimeoutSeconds=20)
    story.node("n", cpu="2")
    story.run(1)
    for index in range(2):
        story.ranked(f"old{index}", stops_after_s=10)
    story.run(5)
    for index in range(2):
        story.ranked(f"g{index}", priority="high", labels=MEMBER)
    story.run(6)
    assert story.get("g0").status.nominated_node_name == "n"
    story.server.delete("Pod", "default", "g1")
    story.ranked("late", cpu="2")
    story.run(20)
    assert story.get("late").spec.node_name == "", "the node is kept as long as the gang may come"
    story.run(60)
    assert story.get("late").spec.node_name == "n"
    assert story.get("g0").status.nominated_node_name == ""


def test_nobody_goes_for_a_gang_that_still_would_not_fit() -> None:
    story = Priorities()
    pod_group(story, 3)
    story.node("n", cpu="2")
    story.run(1)
    for index in range(2):
        story.ranked(f"old{index}")
    story.run(5)
    for index in range(3):
        story.ranked(f"g{index}", priority="high", labels=MEMBER)
    story.run(30)
    assert story.there() == {"old0", "old1", "g0", "g1", "g2"}
    assert story.messages("g0")[-1].endswith("preemption: gang default/ring: 2 of at least 3 would fit.")
    assert all(not story.get(f"g{index}").status.nominated_node_name for index in range(3))


def test_a_gang_waits_for_what_it_evicted_rather_than_evicting_more() -> None:
    story = Priorities()
    pod_group(story, 2)
    for name in ("a", "b", "c"):
        story.node(name, cpu="2")
    story.run(1)
    for index in range(3):
        story.ranked(f"old{index}", cpu="2", stops_after_s=25)
    story.run(5)
    for index in range(2):
        story.ranked(f"g{index}", cpu="2", priority="high", labels=MEMBER)
    story.run(15)
    story.node("d", cpu="1")  # something changes: the gang is looked at again
    story.run(20)
    going = [pod for pod in story.server.listed("Pod") if pod.metadata.deletion_timestamp is not None]
    assert len(going) == 2
    story.run(60)
    assert len([name for _, name, _ in story.bound if name.startswith("g")]) == 2
    assert story.scheduler.tally.violations == []


def test_a_member_beyond_the_least_preempts_for_itself() -> None:
    story = Priorities()
    pod_group(story, 2)
    story.node("n", cpu="3")
    story.run(1)
    story.ranked("old")
    story.run(3)
    for index in range(2):
        story.ranked(f"g{index}", priority="high", labels=MEMBER)
    story.run(8)
    assert len(story.bound) == 3
    story.ranked("g2", priority="high", labels=MEMBER)
    story.run(30)
    assert story.there() == {"g0", "g1", "g2"}


def pod(name: str, cpu: int, priority: int, group: str = "") -> Pod:
    amount = ResourceRequirements(requests={"cpu": count_quantity(cpu)})
    labels = {"scheduling.x-k8s.io/pod-group": group} if group else {}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", uid=name, labels=labels),
        spec=PodSpec(containers=(Container(name="c", resources=amount),), priority=priority),
    )


@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 3)), min_size=4, max_size=14),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=2, max_size=4),
    st.data(),
)
@settings(max_examples=examples(300), deadline=None)
def test_a_plan_fits_whole_without_its_victims_and_each_of_them_is_lower(
    sizes: list[int], running: list[tuple[int, int, int]], gang: list[tuple[int, int]], data: st.DataObject
) -> None:
    on = Snapshot()
    for index, size in enumerate(sizes):
        on.add_node(f"n{index}", {"cpu": size * 1000, "pods": 10})
    preemption = Preemption(on, Random(0), {})
    for index, (cpu, priority, at) in enumerate(running):
        node = at % len(sizes)
        item = pod(f"p{index}", cpu, priority)
        view = on.classes.view(item)
        if on.verdicts.holds(view.cls, node):
            on.assume(view, node)
            preemption.update_pod(item)
    least = data.draw(st.integers(2, len(gang)))
    items = [pod(f"g{index}", cpu, priority, "ring") for index, (cpu, priority) in enumerate(gang)]
    members: list[PodView] = [on.classes.view(item, group_min=least) for item in items]
    free, before = on.free.copy(), [tuple(on.pods_on(node)) for node in range(len(sizes))]
    found = plan(on, preemption, members, {item.metadata.key: item for item in items})
    assert (on.free == free).all(), "trying leaves no trace"
    assert [tuple(on.pods_on(node)) for node in range(len(sizes))] == before
    event(type(found).__name__)
    if isinstance(found, NoPreemption):
        assert not found.keep
        return
    assert isinstance(found, GangPlan)
    event(f"victims: {min(len(found.victims), 3)}")
    assert len(found.places) == least
    assert len({victim.key for victim, _ in found.victims}) == len(found.victims)
    for victim, member in found.victims:
        assert victim.priority < member.priority
        on.forget(victim.key)
    for member, node in found.places:
        assert on.verdicts.holds(member.cls, node), "all of them, side by side"
        on.assume(member, node)
    assert int(on.free.min()) >= 0
