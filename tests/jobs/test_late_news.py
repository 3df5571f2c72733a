"""A gang was broken in a round that is over, and it becomes known only now."""

from __future__ import annotations

from typing import Any

import pytest

from harness.jobs.book import RoundRules
from harness.jobs.protocol import Boundary, Schedule
from harness.jobs.rounds import RoundLoop
from harness.model.training import Speeds, TrainingJob

SPEEDS = Speeds({("LM", 10, 1): 10.0}, {})


class Alone:
    """One GPU, the first job; what it was shown is kept."""

    def __init__(self) -> None:
        self.shown: list[Boundary] = []

    def schedule(self, boundary: Boundary) -> Schedule:
        self.shown.append(boundary)
        return {boundary.active[0].id: (0,)} if boundary.active else {}


def loop(steps: int, checkpoint_s: int = 0, **settings: Any) -> tuple[RoundLoop, Alone]:
    strategy = Alone()
    made = RoundLoop(SPEEDS, 1, strategy, RoundRules(checkpoint_s=checkpoint_s), revisable=True, **settings)
    made.submit(TrainingJob(0, "LM", 10, 1, "static", steps, 0.0))
    return made, strategy


@pytest.mark.parametrize(("checkpoint_s", "kept_s"), [(0, 0.0), (20, 20.0)])
def test_rounds_after_the_loss_count_for_nothing(checkpoint_s: int, kept_s: float) -> None:
    """Three rounds of 120 s are settled; the gang was broken 30 s into the second one."""
    rounds, strategy = loop(6000, checkpoint_s)
    for _ in range(4):
        rounds.step()
    assert rounds.book.active[0].done == 3600
    found = rounds.revise(0, 150.0, 150.0, 400.0)
    assert found is not None
    told, anew = found
    assert (told.elapsed_s, told.lost_s, told.completed) == (kept_s - 240.0, 30.0 - kept_s, False)
    assert [each.settlement.elapsed_s for each in anew] == [kept_s, 0.0]
    assert rounds.book.active[0].done == 1200 + 10 * kept_s
    assert rounds.record.busy_s == {0: 120.0 + kept_s}
    assert rounds.record.lost_s == {0: 30.0 - kept_s}
    assert rounds.revise(0, 150.0, 150.0, 401.0) is None, "the same news once more"
    rounds.interrupt(0, 150.0)  # the gang does not run in this round either
    rounds.step()
    assert strategy.shown[-1].settlements[0] == told
    assert strategy.shown[-1].active[0].steps_left == 6000 - 1200 - 10 * kept_s


def test_earlier_news_take_more_away() -> None:
    rounds, _ = loop(6000)
    for _ in range(4):
        rounds.step()
    rounds.revise(0, 300.0, 300.0, 400.0)
    assert (rounds.book.active[0].done, rounds.record.lost_s[0]) == (2400, 60.0)
    rounds.revise(0, 130.0, 130.0, 401.0)
    assert (rounds.book.active[0].done, rounds.record.lost_s[0]) == (1200, 10.0)


def test_a_node_that_was_silent_costs_what_was_done_since_it_was_heard_of() -> None:
    """Its pods are not known to be gone: the time is spent, and nothing of it is known to be written."""
    rounds, _ = loop(6000, checkpoint_s=50)
    for _ in range(4):
        rounds.step()
    rounds.revise(0, 400.0, 230.0, 400.0)
    assert rounds.book.active[0].done == 1200 + 1000
    assert rounds.record.lost_s[0] == 20.0 + 120.0


def test_a_job_that_was_told_as_complete_is_active_again() -> None:
    rounds, strategy = loop(1800)
    for _ in range(3):
        rounds.step()
    assert rounds.next_s is None
    assert rounds.book.completed_s == {0: 180.0}
    rounds.revise(0, 60.0, 60.0, 500.0)
    assert rounds.book.completed_s == rounds.record.completed_s == {}
    assert rounds.next_s == 500.0
    while rounds.step():
        pass
    assert strategy.shown[-2].arrived == [0]
    assert rounds.record.completed_s[0] == pytest.approx(500.0 + 180.0 + 20.0), "and a restart"


def test_what_a_gang_did_before_another_was_seen_to_run_is_certain() -> None:
    rounds, _ = loop(6000)
    for _ in range(3):
        rounds.step()
    rounds.confirm(0)
    rounds.step()
    assert rounds.revise(0, 130.0, 130.0, 400.0) is not None
    assert rounds.book.active[0].done == 2400, "of the third round alone"


def test_a_job_that_was_withdrawn_and_comes_again_begins_anew() -> None:
    """News of its first life took the second one back to where the first one had been."""
    rounds, _ = loop(6000)
    for _ in range(3):
        rounds.step()
    rounds.withdraw(0)
    rounds.submit(TrainingJob(0, "LM", 10, 1, "static", 600, 300.0))
    assert rounds.revise(0, 130.0, 130.0, 300.0) is None
    while rounds.step():
        pass
    assert rounds.record.completed_s.keys() == {0}
