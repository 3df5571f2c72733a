"""Strategies that misbehave, and the harness around them: each named, none of them more than a line in the books."""

from __future__ import annotations

import gc
import operator
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.scheduling.feasibility.legality import apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.sandbox.guard import OVERRUNS, Guard
from harness.scheduling.sandbox.rebuild import rebuild_snapshot
from harness.scheduling.strategy import Bind, BindTogether, Evict, PodView, StrategyFault, Wait
from schedulers.greedy import greedy

Place = Callable[[Any, Any, Any], Any]


class From:
    """A strategy from a function."""

    def __init__(self, place: Place) -> None:
        self.place = place


def world(pods: int = 3) -> tuple[Snapshot, list[PodView]]:
    on = Snapshot()
    for i in range(3):
        on.add_node(f"n{i}", {"cpu": 2000, "memory": 1 << 30, "pods": 9}, gpu_devices=i)
    cls = on.classes.intern({"cpu": 500})
    return on, [PodView(f"default/p{i}", cls) for i in range(pods)]


def asked(place: Place, deadline_s: float | None = 5.0, pods: int = 3) -> list[Any]:
    on, views = world(pods)
    return list(Guard(From(place), deadline_s).place(views, on, np.random.default_rng(0)))


def faults(answers: list[Any]) -> list[tuple[str, str]]:
    return [(answer.kind, answer.reason) for answer in answers if isinstance(answer, StrategyFault)]


def kinds(place: Place, **how: Any) -> list[str]:
    return [kind for kind, _ in faults(asked(place, **how))]


def raises(pods: Any, cluster: Any, rng: Any) -> Iterator[Any]:
    yield Bind(pods[0], 0)
    raise ZeroDivisionError("oh")


def test_an_exception_is_told_with_its_place_and_what_was_said_before_it_counts() -> None:
    answers = asked(raises)
    assert isinstance(answers[0], Bind)
    ((kind, reason),) = faults(answers)
    assert kind == "raised"
    assert reason.startswith("ZeroDivisionError: oh (test_guard.py:")


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class UnspeakableError(Exception):
    __str__ = Unspeakable.__repr__


def test_exits_and_unprintable_errors_are_contained() -> None:
    def leave(*_: Any) -> None:
        sys.exit(3)

    def unprintable(*_: Any) -> None:
        raise UnspeakableError

    assert kinds(leave) == ["raised"]
    assert faults(asked(unprintable))[0][1].startswith("UnspeakableError: <UnspeakableError>")


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        7,
        "bind everything",
        [7],
        [None],
        [("default/p0", 0)],
        [Unspeakable()],
        [Wait("default/p0", "why")],  # type: ignore[arg-type]
        [Evict(7, "why")],  # type: ignore[arg-type]
        [BindTogether(7)],  # type: ignore[arg-type]
        [BindTogether((7,))],  # type: ignore[arg-type]
        [Bind("default/p0", 0)],  # type: ignore[arg-type]
        {"default/p0": 0},
    ],
)
def test_garbage_is_named(garbage: Any) -> None:
    assert set(kinds(lambda *_: garbage)) <= {"no decision", "raised", "illegal bind"}
    assert kinds(lambda *_: garbage)


@pytest.mark.parametrize("node", ["n0", 1.5, None, np.array([1, 2]), Unspeakable(), float("nan")])
def test_a_node_that_is_no_index_is_refused(node: Any) -> None:
    assert kinds(lambda pods, *_: [Bind(pods[0], node)]) == ["illegal bind"]


def test_numpys_integers_are_fine() -> None:
    (bind,) = asked(lambda pods, *_: [Bind(pods[0], np.int32(2), (np.int64(1),))])  # type: ignore[arg-type]
    assert (type(bind.node), bind.devices) == (int, (1,))


def test_a_pod_that_was_not_handed_over_or_was_made_smaller_is_refused() -> None:
    stranger = PodView("default/x", world()[0].classes.intern({"cpu": 1}))
    assert kinds(lambda *_: [Bind(stranger, 0)]) == ["illegal bind"]

    def smaller(pods: Any, *_: Any) -> Any:
        return [Bind(replace(pods[0], cls=stranger.cls), 0)]

    ((kind, reason),) = faults(asked(smaller))
    assert kind == "illegal bind"
    assert "asks for something else" in reason


def test_an_endless_stream_of_answers_ends() -> None:
    def endless(pods: Any, *_: Any) -> Iterator[Any]:
        while True:
            yield Wait(pods[0], "not yet")

    assert kinds(endless, deadline_s=None) == ["no decision"]


def writes(cluster: Any) -> dict[str, Callable[[], Any]]:
    pod = PodView("default/new", world()[0].classes.intern({"cpu": 1}))
    return {
        "column": lambda: cluster.free.__setitem__((0, 0), 0),
        "in place": lambda: np.add(cluster.free, 1, out=cluster.free),
        "write flag": lambda: setattr(cluster.free.flags, "writeable", True),
        "sort": lambda: cluster.gpu_free.sort(),
        "rank": lambda: cluster.rank.fill(0),
        "alive": lambda: cluster.alive.__setitem__(0, False),
        "attribute": lambda: setattr(cluster, "now_ns", 9),
        "other attribute": lambda: setattr(cluster, "free", cluster.capacity),
        "assume": lambda: cluster.assume(pod, 0),
        "forget": lambda: cluster.forget("default/running"),
        "add_node": lambda: cluster.add_node("mine", {"cpu": 9}),
        "remove_node": lambda: cluster.remove_node("n0"),
    }


@pytest.mark.parametrize("how", list(writes(None)))
def test_the_view_cannot_be_written(how: str) -> None:
    on, pods = world()
    on.assume(PodView("default/running", pods[0].cls), 0)
    before = (on.free.tolist(), on.version, on.placements.node_of, on.rank.tolist(), on.alive.tolist())

    def place(pods: Any, cluster: Any, rng: Any) -> Iterator[Any]:
        yield Bind(pods[0], 0)
        writes(cluster)[how]()
        yield Bind(pods[1], 0)

    answers = list(Guard(From(place)).place(pods, on, np.random.default_rng(0)))
    assert [kind for kind, _ in faults(answers)] == ["mutation"]
    assert before == (on.free.tolist(), on.version, on.placements.node_of, on.rank.tolist(), on.alive.tolist())


def test_a_write_whose_error_is_swallowed_counts_too() -> None:
    def place(pods: Any, cluster: Any, rng: Any) -> Iterator[Any]:
        try:
            cluster.forget("default/p9")
        except AttributeError:
            yield Bind(pods[0], 0)

    assert kinds(place) == ["mutation"]


@pytest.mark.parametrize(
    "write",
    [
        lambda pod: operator.setitem(pod.labels, "a", "b"),
        lambda pod: setattr(pod, "created_ns", 1),
        lambda pod: pod.requests.fill(0),
        lambda pod: pod.requests.setflags(write=True),
    ],
)
def test_pods_cannot_be_written_either(write: Callable[[PodView], None]) -> None:
    def place(pods: Any, *_: Any) -> None:
        write(pods[0])

    assert kinds(place) == ["mutation"]


def test_lists_that_were_changed_are_found_and_put_right() -> None:
    on, pods = world(pods=200)
    truth = [list(row) for row in on.free_of]

    def cheat(pods: Any, cluster: Any, rng: Any) -> list[Any]:
        cluster.free_of[1][0] = 10**9
        return []

    guard = Guard(From(cheat))
    ((kind, reason),) = faults(list(guard.place(pods, on, np.random.default_rng(0))))
    assert (kind, "node n1" in reason, guard.interrupted) == ("mutation", True, True)
    assert rebuild_snapshot(on, ()).free_of == truth


# -- deadlines ---------------------------------------------------------------------------------------------------------


def forever(*_: Any) -> None:
    while True:
        pass


def forever_and_deaf(*_: Any) -> None:
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            continue


def asleep(*_: Any) -> None:
    time.sleep(3600)


def forever_between(pods: Any, *_: Any) -> Iterator[Any]:
    yield Bind(pods[0], 0)
    forever()


@pytest.mark.parametrize("place", [forever, forever_and_deaf, asleep, forever_between])
def test_a_call_that_never_ends_is_ended(place: Place) -> None:
    assert kinds(place, deadline_s=0.1) == ["deadline"]


@pytest.mark.parametrize("place", [forever, forever_and_deaf, forever_between])
def test_in_another_thread_too(place: Place) -> None:
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(kinds(place, deadline_s=0.1)))
    thread.start()
    thread.join(20)
    assert found == [["deadline"]]


def test_slow_between_answers_is_late_at_the_next() -> None:
    def slow(pods: Any, *_: Any) -> Iterator[Any]:
        for pod in pods:
            yield Bind(pod, 0)

    on, pods = world()
    got = []
    for answer in Guard(From(slow), 0.05).place(pods, on, np.random.default_rng(0)):
        got.append(answer)
        time.sleep(0.4)  # the harness at work: nothing is broken off in here
    assert isinstance(got[0], Bind)
    assert isinstance(got[-1], StrategyFault)
    assert got[-1].kind == "deadline"


def test_what_cleans_up_runs_and_cannot_hang_either() -> None:
    cleaned = []

    def place(pods: Any, *_: Any) -> Iterator[Any]:
        try:
            while True:
                yield Wait(pods[0], "later")
        finally:
            cleaned.append(True)
            forever()

    assert kinds(place, deadline_s=0.1)[0] in ("no decision", "deadline")
    gc.collect()
    assert cleaned == [True]


def test_after_some_overruns_the_strategy_is_asked_no_more() -> None:
    calls = []

    def place(*_: Any) -> None:
        calls.append(True)
        forever()

    on, pods = world()
    guard = Guard(From(place), 0.05)
    found = [faults(list(guard.place(pods, on, np.random.default_rng(0)))) for _ in range(OVERRUNS + 3)]
    assert [len(each) for each in found] == [1] * (OVERRUNS + 1) + [0, 0]
    assert len(calls) == OVERRUNS


def test_broken_off_anywhere_the_books_can_be_made_anew() -> None:
    """A gang is tried on the live snapshot; broken off there, what it left behind goes."""
    on, pods = world(pods=40)
    running = PodView("default/running", pods[0].cls)
    on.assume(running, 2)
    gang = [replace(pod, group="default/g", group_min=30) for pod in pods]

    def score(pod: PodView, cluster: Any) -> Any:
        if len([1 for node in range(3) for _ in cluster.pods_on(node)]) > 3:
            forever()
        return np.zeros(3)

    from harness.scheduling.scoring import Scored

    guard = Guard(Scored(score), 0.1)
    assert [kind for kind, _ in faults(list(guard.place(gang, on, np.random.default_rng(0))))] == ["deadline"]
    assert guard.interrupted
    new = rebuild_snapshot(on, without=[pod.key for pod in gang])
    assert list(new.placements.node_of) == ["default/running"]
    assert new.free[0].tolist() == [2000, 2000, 1500]
    assert new.gpu_free.tolist() == on.gpu_capacity.tolist()


def test_a_snapshot_made_anew_is_the_same() -> None:
    on, pods = world(pods=8)
    on.add_node("gone", {"cpu": 1})
    on.remove_node("gone")
    for pod in pods[:6]:
        for bind in greedy().place([pod], on, np.random.default_rng(0)):
            assert isinstance(bind, Bind)
            apply(on, bind)
    on.assume_on(pods[7], "unknown")
    new = rebuild_snapshot(on, ())
    here = np.flatnonzero(on.alive)
    assert new.free.tolist() == on.free[:, here].tolist()
    assert [new.where(pod.key) for pod in pods] == [on.where(pod.key) for pod in pods]
    assert [key for _, key, _ in new.placements.on_unknown_nodes.all()] == [pods[7]]


def test_the_guarded_answers_are_the_strategys_own() -> None:
    on, pods = world()
    twin = on.copy()
    rng = np.random.default_rng(0)
    plain = []
    for decision in greedy().place(pods, twin, rng):
        assert isinstance(decision, Bind)
        apply(twin, decision)
        plain.append(decision.node)
    guarded = []
    for answer in Guard(greedy()).place(pods, on, rng):
        assert isinstance(answer, Bind)
        apply(on, answer)
        guarded.append(answer.node)
    assert guarded == plain
