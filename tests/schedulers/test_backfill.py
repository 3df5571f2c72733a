"""Backfilling against schedules worked out by hand: a node is a processor, a job asks for some of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.scheduling.strategy import ClusterView
from schedulers.backfill import Backfill, conservative, easy
from schedulers.backfill.jobs import Job
from schedulers.backfill.plans import Admits
from schedulers.backfill.promises import ConservativePlan, Promises
from schedulers.backfill.running import RunningPods
from schedulers.greedy import greedy
from tests.examples import examples
from tests.schedulers.jobs_over_time import SECOND, Machine


def test_easy_lets_one_go_before_that_ends_by_the_shadow_time() -> None:
    """4 processors. A has 2 until 4. B wants all 4: its shadow time is 4. C (2, for 3 s) ends at 4: it goes at 1.
    D (1, for 5 s) finds nothing free until B is done at 6.
    """
    machine = Machine(4).job("a", 2, 4).job("b", 4, 2, 1).job("c", 2, 3, 1).job("d", 1, 5, 1)
    assert machine.starts(easy()) == {"a": 0, "c": 1, "b": 4, "d": 6}


def test_easy_lets_one_go_before_on_processors_that_the_first_does_not_need() -> None:
    """A has 2 until 4; B wants 3, so that one of 4 is spare at its shadow time. D takes it for 10 s.
    E would delay B.
    """
    machine = Machine(4).job("a", 2, 4).job("b", 3, 2, 1).job("d", 1, 10, 1).job("e", 1, 10, 1)
    assert machine.starts(easy()) == {"a": 0, "d": 1, "b": 4, "e": 6}


def second_in_the_queue() -> Machine:
    """A: 3 processors for 4 s. B: 3 for 2. C: all 4 for 3. D: 1 for 7, which delays C, not B, if it starts at once."""
    return Machine(4).job("a", 3, 4).job("b", 3, 2, 1).job("c", 4, 3, 1).job("d", 1, 7, 1)


def test_easy_may_delay_the_second_and_conservative_does_not() -> None:
    """EASY: D runs from 1 to 8, and C waits for it. Conservative: C is promised 6, and D comes after it at 9."""
    assert second_in_the_queue().starts(easy()) == {"a": 0, "d": 1, "b": 4, "c": 8}
    assert second_in_the_queue().starts(conservative()) == {"a": 0, "b": 4, "c": 6, "d": 9}
    assert second_in_the_queue().starts(conservative(reservations=1)) == {"a": 0, "d": 1, "b": 4, "c": 8}


def test_who_ends_early_lets_the_first_start_early() -> None:
    """A says 10 s and takes 3: B is promised 10 and starts at 3. C, which may go before B by 10, is done by then."""
    machine = Machine(2).job("a", 1, 3, says_s=10).job("b", 2, 1, 1).job("c", 1, 2, 1)
    assert machine.starts(easy()) == {"a": 0, "c": 1, "b": 3}


def test_conservative_compresses_the_schedule_and_keeps_its_promises() -> None:
    """4 processors. X has 2, says 10 s and takes 4; Y has 2 until 6. B wants 3 for 5 s and is promised 10, C wants 2
    for 4 s and is promised 6. When X ends at 4, B cannot come before 10, since C has 2 from 6 on; C moves to 4. When Y
    ends at 6, B moves to 8, where C ends. Were all promised anew in the queue's order, B would have 6, and C 11.
    """
    machine = Machine(4).job("x", 2, 4, says_s=10).job("y", 2, 6).job("b", 3, 5, 1).job("c", 2, 4, 2)
    assert machine.starts(conservative()) == {"x": 0, "y": 0, "c": 4, "b": 8}


def test_conservative_changes_the_nodes_of_a_promise_for_another() -> None:
    """2 processors. A has the first, says 13 s and takes 7; B has the second from 2 to 10. C, for 10 s, is promised the
    second at 10, D, for 3 s, the first at 13. When A ends at 7, C would be in D's way on the first processor: D is
    promised the second, at the same instant, and C starts. D moves to 10, where B ends.
    """
    machine = Machine(2).job("a", 1, 7, says_s=13).job("b", 1, 8, 2).job("c", 1, 10, 2).job("d", 1, 3, 4)
    assert machine.starts(conservative()) == {"a": 0, "b": 2, "c": 7, "d": 10}


def test_who_lasts_longer_than_it_says_counts_as_ending_now() -> None:
    """A says 2 s and takes 6. At 3 its end is overdue, and B is expected at any instant: C does not start."""
    machine = Machine(2).job("a", 1, 6, says_s=2).job("b", 2, 1, 1).job("c", 1, 5, 3)
    assert machine.starts(easy()) == {"a": 0, "b": 6, "c": 7}
    machine = Machine(2).job("a", 1, 6, says_s=2).job("b", 2, 1, 1).job("c", 1, 5, 3)
    assert machine.starts(conservative()) == {"a": 0, "b": 6, "c": 7}


@pytest.mark.parametrize("strategy", [easy, conservative])
def test_who_says_nothing_is_not_waited_for_and_does_not_go_before(strategy: type) -> None:
    """A never says that it ends: B cannot be promised anything, so C is not held back. D says nothing: it would be in
    E's way for ever and waits, though it fits.
    """
    machine = Machine(2).job("a", 1, 5, says_s=None).job("b", 2, 1, 1).job("c", 1, 3, 1)
    assert machine.starts(strategy()) == {"a": 0, "c": 1, "b": 5}
    machine = Machine(2).job("a", 1, 5).job("e", 2, 1, 1).job("d", 1, 3, 1, says_s=None)
    assert machine.starts(strategy()) == {"a": 0, "e": 5, "d": 6}


def test_pods_share_nodes() -> None:
    """2 nodes of 2 CPUs. A has 1 CPU of n0 until 4; B wants 2 pods of 2 CPUs; C (1 CPU, 2 s) fits beside A until then,
    D (1 CPU, 9 s) does not, though the other node is empty.
    """
    machine = Machine(2, 2000).job("a", 1, 4).job("b", 2, 2, 1, cpu=2000).job("d", 1, 9, 1).job("c", 1, 2, 1)
    assert machine.starts(easy()) == {"a": 0, "c": 1, "b": 4, "d": 6}


MORE = st.integers(0, 5)
JOBS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=12
)


@settings(max_examples=examples(40), deadline=None)
@given(JOBS)
def test_with_conservative_nobody_starts_later_than_promised_first(rows: list[tuple[int, int, int, int]]) -> None:
    """Jobs last as long as they say. In a queue without any backfilling each job starts no earlier than the one before
    it; conservative never makes a job later than that queue would.
    """
    names = [f"j{at}" for at in range(len(rows))]

    def machine() -> Machine:
        out = Machine(4)
        for name, (pods, takes, at, _) in zip(names, rows, strict=True):
            out.job(name, pods, takes, at)
        return out

    found = machine().starts(conservative())
    assert set(found) == set(names)
    ends: list[tuple[float, int]] = []
    last = 0.0
    for name, (pods, takes, at, _) in sorted(zip(names, rows, strict=True), key=lambda each: each[1][2]):
        start = max(last, float(at))
        while sum(held for end, held in ends if end > start) + pods > 4:
            start = min(end for end, _ in ends if end > start)
        ends.append((start + takes, pods))
        last = start
        assert found[name] <= start, (name, found)


WIDE_AND_NARROW = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([500, 1000, 2000]), st.integers(1, 9), st.integers(0, 12), MORE),
    min_size=1,
    max_size=12,
)  # members, CPU of each, how long they run, when they come, by how much they say more


@settings(max_examples=examples(60), deadline=None)
@given(WIDE_AND_NARROW)
def test_conservative_never_makes_a_promise_later(rows: list[tuple[int, int, int, int, int]]) -> None:
    """Jobs take as long as they say, or less; two may share a node of 2 CPUs. All start, by what they were promised."""
    machine, promises = Machine(3, 2000), Promises()
    for at, (pods, cpu, takes, arrival, more) in enumerate(rows):
        machine.job(f"j{at}", min(pods, 3 * (2000 // cpu)), takes, arrival, says_s=takes + more, cpu=cpu)
    promised: dict[str, int] = {}

    def plan(cluster: ClusterView, running: RunningPods, admits: Admits, waiting: Sequence[Job]) -> ConservativePlan:
        before = {key: kept.start_ns for key, kept in promises.of.items()}
        made = ConservativePlan(cluster, running, admits, waiting, promises)
        for key, kept in promises.of.items():
            assert kept.start_ns <= max(before.get(key, kept.start_ns), cluster.now_ns)
            promised.setdefault(key.removeprefix("default/").removeprefix("group default/"), kept.start_ns)
        return made

    found = machine.starts(Backfill(plan, 256, promises=promises))
    assert len(found) == len(rows)
    for key, start_ns in promised.items():
        name = key if key in found else key.rpartition("-")[0]
        assert found[name] * SECOND <= start_ns, (key, found)


@settings(max_examples=examples(40), deadline=None)
@given(JOBS)
def test_all_start_and_the_first_that_waits_is_not_delayed(rows: list[tuple[int, int, int, int]]) -> None:
    """Jobs say as much as they take, or more. Every job starts; two jobs that come together: the first goes no later
    than with nobody behind it.
    """
    machine, alone = Machine(4), Machine(4)
    machine.job("running", 2, 5)
    alone.job("running", 2, 5)
    machine.job("head", 4, 2, 1)
    alone.job("head", 4, 2, 1)
    for at, (pods, takes, arrival, more) in enumerate(rows):
        machine.job(f"j{at}", pods, takes, arrival + 2, says_s=takes + more)
    found = machine.starts(easy())
    assert len(found) == len(rows) + 2
    assert found["head"] == alone.starts(easy())["head"] == 5


def test_backfilling_beats_a_queue_that_lets_anybody_pass() -> None:
    """A wide job starves under greedy while narrow ones keep coming; under EASY it starts when the first has ended."""

    def machine() -> Machine:
        out = Machine(2).job("a", 1, 4).job("wide", 2, 1, 1)
        for at in range(10):
            out.job(f"n{at}", 1, 4, 2 * at + 2)
        return out

    assert machine().starts(easy())["wide"] == 4
    assert machine().starts(greedy())["wide"] > 20


def test_parameters() -> None:
    assert load("easy?batch_size=7")().batch_size == 7  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="reservations"):
        load("conservative?reservations=0")()
