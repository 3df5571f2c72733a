"""The scheduling queue by itself: its parts, its order, its clocks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.component import MINUTE, SECOND
from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.strategy import PodView
from tests.examples import examples

CLASSES = PodClasses()


def view(name: str, priority: int = 0, cpu: int = 1, group: str | None = None) -> PodView:
    return PodView(f"default/{name}", CLASSES.intern({"cpu": cpu}, priority=priority), group=group)


def popped(queue: SchedulingQueue, most: int = 64) -> list[str]:
    return [pod.view.key.removeprefix("default/") for pod in queue.pop(most)]


def test_higher_priority_first_then_who_came_first() -> None:
    queue = SchedulingQueue()
    for at, (name, priority) in enumerate((("a", 0), ("b", 5), ("c", 0), ("d", 5))):
        queue.add(view(name, priority), name, at)
    assert popped(queue, 3) == ["b", "d", "a"]
    assert popped(queue) == ["c"]


def test_backoff_doubles_from_one_second_to_ten() -> None:
    queue = SchedulingQueue()
    queue.add(view("a"), "a", 0)
    now = 0
    waits = []
    for _ in range(6):
        (pod,) = queue.pop(1)
        queue.back_off(pod, now)
        due = queue.next_tick()
        assert due is not None
        waits.append((due - now) // SECOND)
        now = due
        queue.tick(now)
    assert waits == [1, 2, 4, 8, 10, 10]


def test_what_nothing_helps_comes_back_after_five_minutes() -> None:
    queue = SchedulingQueue()
    queue.add(view("a"), "a", 0)
    (pod,) = queue.pop(1)
    queue.put_back(pod, 7)
    queue.tick(7 + 5 * MINUTE - 1)
    assert not queue.has_active
    queue.tick(7 + 5 * MINUTE)
    assert popped(queue) == ["a"]


def test_a_change_wakes_as_many_of_a_class_as_it_helps_and_no_other_class() -> None:
    queue = SchedulingQueue()
    for at, name in enumerate(("a", "b", "c")):
        queue.add(view(name), name, at)
    queue.add(view("large", cpu=9), "large", 3)
    for pod in queue.pop(9):
        queue.put_back(pod, 10)
    queue.wake_where(lambda pod: 2 if pod.requests[0] == 1 else 0, 20 * SECOND, "NodeAdd")
    assert popped(queue) == ["a", "b"]
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 2}


def test_a_gang_takes_no_turn_from_those_behind_it() -> None:
    """Room for two: members of the gang of three were counted, and nobody else was tried for five minutes."""
    queue = SchedulingQueue()
    for at, name in enumerate(("g0", "g1", "g2")):
        queue.add(view(name, group="default/g"), name, at)
    for at, name in enumerate(("a", "b", "c")):
        queue.add(view(name), name, 3 + at)
    for pod in queue.pop(9):
        queue.put_back(pod, 10)
    queue.wake_where(lambda pod: 2, 20 * SECOND, "NodeAdd")
    assert popped(queue) == ["g0", "g1", "g2", "a", "b"]


def test_who_has_a_node_kept_is_woken_last_or_alone() -> None:
    queue = SchedulingQueue()
    for at, name in enumerate(("kept", "other")):
        queue.add(view(name), name, at)
    for pod in queue.pop(9):
        pod.nominated = pod.uid == "kept"
        queue.put_back(pod, 10)
    queue.wake_where(lambda pod: 1, 20 * SECOND, "AssignedPodDelete")
    assert popped(queue) == ["other"]
    queue.wake_where(lambda pod: 1, 20 * SECOND, "AssignedPodDelete", nominated=False)
    assert not queue.has_active
    queue.wake_pod("default/kept", 20 * SECOND, "AssignedPodDelete")
    assert popped(queue) == ["kept"]


def test_a_gang_is_not_tried_while_members_are_missing() -> None:
    queue = SchedulingQueue()

    def lacking(pod: PodView) -> int | None:
        return None if queue.waiting_in("default/g") >= 2 else 60 * SECOND

    queue.add(view("a", group="default/g"), "a", 0)
    assert queue.pop(9, lacking) == []
    assert queue.next_tick() == 60 * SECOND
    queue.add(view("b", group="default/g"), "b", 1)
    queue.gathered("default/g")
    assert [pod.uid for pod in queue.pop(9, lacking)] == ["a", "b"]
    assert queue.given_up(70 * SECOND) == []


def test_a_gang_whose_members_all_went_is_not_waited_for() -> None:
    queue = SchedulingQueue()
    queue.add(view("a", group="default/g"), "a", 0)
    assert queue.pop(9, lambda pod: 60 * SECOND) == []
    queue.remove("default/a")
    assert queue.next_tick() is None
    assert queue.given_up(60 * SECOND) == []


def test_a_gang_that_comes_again_has_its_whole_time_again() -> None:
    """All of its members went while it waited: those of the same name that come later wait for as long as anybody."""
    queue = SchedulingQueue()
    until = {"at": 60 * SECOND}

    def lacking(pod: PodView) -> int | None:
        return until["at"]

    queue.add(view("a", group="default/g"), "a", 0)
    assert queue.pop(9, lacking) == []
    queue.remove("default/a")
    until["at"] = 150 * SECOND
    queue.add(view("b", group="default/g"), "b", 90 * SECOND)
    assert queue.given_up(100 * SECOND) == []
    assert queue.pop(9, lacking) == []
    assert queue.next_tick() == 150 * SECOND
    ((group, members),) = queue.given_up(150 * SECOND)
    assert (group, [pod.uid for pod in members]) == ("default/g", ["b"])


def test_a_pod_that_changed_waits_with_its_new_class() -> None:
    """What helps it is what helps the pod as it is now, not as it was when it did not fit."""
    queue = SchedulingQueue()
    queue.add(view("a", cpu=9), "a", 0)
    (pod,) = queue.pop(9)
    queue.put_back(pod, 0)
    queue.change(view("a", cpu=1), SECOND)
    assert popped(queue) == ["a"]
    queue.put_back(pod, 2 * SECOND)
    asked = []
    queue.wake_where(lambda pod: asked.append(pod.requests[0]) or 0, 60 * SECOND, "NodeAdd")  # type: ignore[func-returns-value]
    assert asked == [1]
    assert queue.counts()["unschedulable"] == 1


def test_what_is_kept_for_all_of_a_class_wakes_none_of_it_by_the_room_of_others() -> None:
    """Room that is made where no node is kept is of use to those alone for whom none is."""
    queue = SchedulingQueue()
    for at, name in enumerate(("a", "b", "c")):
        queue.add(view(name), name, at)
    for pod in queue.pop(9):
        pod.nominated = pod.uid != "c"
        queue.put_back(pod, 0)
    queue.wake_where(lambda pod: 9, 60 * SECOND, "NodeAdd", nominated=False)
    assert popped(queue) == ["c"]
    queue.remove("default/c")
    asked = []
    queue.wake_where(lambda pod: asked.append(1) or 9, 60 * SECOND, "NodeAdd", nominated=False)  # type: ignore[func-returns-value]
    assert not queue.has_active
    queue.wake_where(lambda pod: 9, 60 * SECOND, "NodeAdd")
    assert popped(queue) == ["a", "b"]


def test_what_comes_into_each_part_is_counted_by_its_event() -> None:
    """Source: scheduler_queue_incoming_pods_total."""
    queue = SchedulingQueue()
    queue.add(view("a"), "a", 0)
    (pod,) = queue.pop(1)
    queue.put_back(pod, 0)
    queue.wake_pod("default/a", SECOND // 2, "NodeAdd")  # rests until one second is over
    queue.tick(2 * SECOND)
    (pod,) = queue.pop(1)
    queue.put_back(pod, 2 * SECOND)
    queue.wake_pod("default/a", 30 * SECOND, "AssignedPodDelete")  # has rested
    (pod,) = queue.pop(1)
    queue.put_back(pod, 30 * SECOND)
    queue.tick(30 * SECOND + 5 * MINUTE)
    assert dict(queue.incoming) == {
        ("PodAdd", "active"): 1,
        ("ScheduleAttemptFailure", "unschedulable"): 3,
        ("NodeAdd", "backoff"): 1,
        ("BackoffComplete", "active"): 1,
        ("AssignedPodDelete", "active"): 1,
        ("UnschedulableTimeout", "active"): 1,
    }


STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 9), st.integers(0, 2)),
    st.tuples(st.sampled_from(["remove", "wake", "flush", "fail", "refuse"]), st.integers(0, 9), st.integers(1, 3)),
)


@given(st.lists(STEP, max_size=40))
@settings(deadline=None, max_examples=examples(100))
def test_no_pod_is_lost_and_none_is_handed_out_twice(steps: list[tuple[str, int, int]]) -> None:
    queue = SchedulingQueue()
    there: set[str] = set()
    now = 0
    for what, number, size in steps:
        now += SECOND
        queue.tick(now)
        name = f"p{number}"
        if what == "add" and name not in there:
            there.add(name)
            queue.add(view(name, priority=size, cpu=number % 3 + 1), name, now)
        elif what == "remove" and name in there:
            there.discard(name)
            queue.remove(f"default/{name}")
        elif what == "wake":
            queue.wake_where(lambda pod, size=size: size, now, "NodeAdd")  # type: ignore[misc]
        elif what in ("fail", "refuse"):
            batch = queue.pop(size)
            keys = [pod.uid for pod in batch]
            assert len(set(keys)) == len(keys)
            assert set(keys) <= there
            for pod in batch:
                pod.nominated = number > 5
                (queue.put_back if what == "fail" else queue.back_off)(pod, now)
    assert sorted(key.removeprefix("default/") for key in list(queue.keys())) == sorted(there)
    assert sum(queue.counts().values()) == len(there)
    queue.tick(now + 5 * MINUTE)
    queue.tick(now + 6 * MINUTE)
    assert sorted(popped(queue, 99)) == sorted(there)


def test_nominated_pods_of_a_class_are_counted_as_they_come_and_go() -> None:
    """A change that helps no nominated pod wakes a class of none but those, however many of them came and went."""
    queue = SchedulingQueue()
    woken: list[str] = []

    def helps(of: PodView) -> int:
        woken.append(of.key)
        return 0

    for turn in range(3):
        queue.add(view("nominated"), "u", turn)
        (pod,) = queue.pop(1)
        pod.nominated = True
        queue.put_back(pod, turn)
        queue.wake_where(helps, turn, "e", nominated=False)
        assert woken == []
        queue.add(view("other"), "o", turn)
        (other,) = queue.pop(1)
        queue.put_back(other, turn)
        queue.wake_where(helps, turn, "e", nominated=False)
        assert len(woken) == 1
        woken.clear()
        queue.remove("default/nominated")
        queue.wake_where(helps, turn, "e", nominated=False)
        assert len(woken) == 1
        woken.clear()
        queue.add(view("nominated"), "u", turn)
        (pod,) = queue.pop(1)
        pod.nominated = True
        queue.put_back(pod, turn)
        queue.wake_pod("default/other", turn, "e")
        queue.wake_where(helps, turn, "e", nominated=False)
        assert woken == []
        queue.remove("default/other")
        queue.remove("default/nominated")
    assert len(queue) == 0


def test_a_group_is_forgotten_with_its_last_member() -> None:
    queue = SchedulingQueue()
    for name in ("a", "b"):
        queue.add(view(name, group="g"), name, 0)
    assert queue.waiting_in("g") == 2
    queue.remove("default/a")
    assert queue.waiting_in("g") == 1
    queue.remove("default/b")
    assert queue.waiting_in("g") == 0
    assert list(queue._groups) == []
