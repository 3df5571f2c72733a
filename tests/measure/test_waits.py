"""Waits for a node: whom the scheduler takes away goes on waiting, and what never came counts to the end of the run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.measure.pods import NEVER, Wait, waits_of

END = 100


def told(*pods: Wait) -> tuple[list[int], list[int]]:
    came, late = waits_of(pods, END)
    return came.tolist(), late.tolist()


def test_a_pod_that_is_taken_away_waits_on_in_the_next_one() -> None:
    first = Wait("job", 0, 10, 40, evicted_ns=30)
    assert told(first, Wait("job", 31, 50, END, NEVER)) == ([10 + 20], [])
    assert told(first, Wait("job", 31, 50, 70, evicted_ns=60), Wait("job", 61, 61, END, NEVER)) == ([10 + 20 + 1], [])
    assert told(first, Wait("job", 31, NEVER, END, NEVER)) == ([], [10 + 70])
    assert told(first, Wait("other", 31, 50, END, NEVER)) == ([19], [10 + 70])


def test_what_nobody_makes_anew_waits_to_the_end() -> None:
    assert told(Wait("d/a", 0, 10, 30, evicted_ns=30)) == ([], [10 + 70])
    assert told(Wait("d/a", 0, NEVER, 30, evicted_ns=30)) == ([], [30 + 70])  # on its way to a node


def test_of_several_the_first_that_went_is_made_anew_first() -> None:
    pods = (Wait("set", 0, 1, 50, evicted_ns=50), Wait("set", 0, 2, 20, evicted_ns=20))
    new = (Wait("set", 21, 25, END, NEVER), Wait("set", 51, 59, END, NEVER))
    assert told(*pods, *new) == ([2 + 5, 1 + 9], [])


PODS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.booleans()), max_size=12)


@given(PODS)
def test_without_evictions_each_pod_waits_for_itself(pods: list[tuple[int, int, bool]]) -> None:
    rows = [Wait("set", at, at + took if bound else NEVER, END, NEVER) for at, took, bound in sorted(pods)]
    came, late = told(*rows)
    assert came == [took for _, took, bound in sorted(pods) if bound]
    assert late == [END - at for at, _, bound in sorted(pods) if not bound]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_who_evicts_makes_nobody_wait_for_less(turns: list[int]) -> None:
    """One task whose pod is taken away after each turn of a second: its waits add up."""
    rows, at = [], 0
    for index, wait in enumerate(turns):
        gone = at + wait + 1
        rows.append(Wait("job", at, at + wait, gone, NEVER if index == len(turns) - 1 else gone))
        at = gone
    assert told(*rows) == ([sum(turns)], [])
