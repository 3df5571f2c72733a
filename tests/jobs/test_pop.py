"""POP against shares worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.jobs.protocol import Boundary, JobView
from harness.jobs.registry import load
from harness.model.errors import UserError
from schedulers.rounds.gavel import Shares
from schedulers.rounds.linear import policy_of
from schedulers.rounds.pop import _POP


def view(id: int, gang: int = 1) -> JobView:
    return JobView(id, gang, 0.0, 1000, 10.0)


class ByThree(_POP):
    """Jobs go to parts in turn, instead of at random."""

    def _part(self, job: int) -> int:
        return job % len(self._policies)


def shares(jobs: Sequence[JobView], gpus: int, parts: int) -> Shares:
    policy = ByThree(lambda: policy_of("max-min-fairness", "ortools"), parts, 0)
    return policy.shares(0.0, jobs, gpus, {})


def test_each_part_has_its_part_of_the_gpus() -> None:
    """Max-min of gang times share. Five jobs of one GPU on 4 GPUs: 4/5 each. In two parts of 2 GPUs, three jobs have
    2/3 each and the other two a whole GPU each: the least share falls from 4/5 to 2/3, which is what POP costs.
    """
    jobs = [view(at) for at in range(5)]
    assert shares(jobs, 4, 1) == pytest.approx(dict.fromkeys(range(5), 0.8))
    assert shares(jobs, 4, 2) == pytest.approx({0: 2 / 3, 2: 2 / 3, 4: 2 / 3, 1: 1.0, 3: 1.0})


def test_parts_lose_what_another_part_would_have_done_better() -> None:
    """Max-sum of speed times share, 4 GPUs. Steps a second and GPU: 2 has 30, 4 20, 0 10, 3 6, and 1 2.5 (5 with two).
    All together: a GPU each for 2, 4, 0 and 3, which is 66. In two parts of 2 GPUs: 2 and 4 have theirs and 0 has
    none; 3 has one, and what is left is half of the gang of 1. 30 + 20 + 6 + 2.5 = 58.5.
    """
    speeds = {0: 10.0, 1: 5.0, 2: 30.0, 3: 6.0, 4: 20.0}
    jobs = [JobView(at, 2 if at == 1 else 1, 0.0, 10**6, speed) for at, speed in speeds.items()]

    def shares(parts: int) -> Shares:
        return ByThree(lambda: policy_of("max-sum-throughput", "ortools"), parts, 0).shares(0.0, jobs, 4, {})

    assert shares(1) == pytest.approx({0: 1.0, 1: 0.0, 2: 1.0, 3: 1.0, 4: 1.0})
    assert shares(2) == pytest.approx({0: 0.0, 1: 0.5, 2: 1.0, 3: 1.0, 4: 1.0})


def test_gpus_are_divided_rounded_down() -> None:
    """Five GPUs in two parts: two each, as in the authors' code, and one is in no part."""
    assert shares([view(0), view(2), view(4), view(6)], 5, 2) == pytest.approx(dict.fromkeys((0, 2, 4, 6), 0.5))


def test_a_gang_wider_than_its_part_has_what_the_part_has() -> None:
    """A gang of 4 in a part of 2 GPUs: 4 x <= 2."""
    assert shares([view(0, 4)], 4, 2) == pytest.approx({0: 0.5})


def test_one_part_is_the_policy_itself() -> None:
    jobs = [view(0, 2), view(1), view(2, 4)]
    boundary = Boundary(0, 100.0, 4, (), (0, 1, 2), jobs)
    assert load("pop?parts=1")().schedule(boundary) == load("max-min-fairness")().schedule(boundary)


@pytest.mark.parametrize("wrong", ["policy=fifo", "parts=0"])
def test_parameters_that_are_none(wrong: str) -> None:
    with pytest.raises(UserError):
        load(f"pop?{wrong}")()
