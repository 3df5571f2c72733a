"""The watchdog of calls into strangers' code: it outlives whatever is begun while it looks."""

from __future__ import annotations

from harness.scheduling.sandbox.deadline import _DOG, Call


def test_what_the_watchdog_goes_through_does_not_change_under_it() -> None:
    """It had gone through a set that others added to, and died of 'Set changed size during iteration': a call that
    overran after that was never ended."""
    first = Call(30.0)
    first.run(lambda: None)
    looking = iter(_DOG._calls)
    next(looking)
    others = [Call(30.0) for _ in range(3)]
    for other in others:
        other.run(lambda: None)
    assert all(known() not in others for known in looking)
    assert {known() for known in _DOG._calls} >= {first, *others}


def test_calls_that_are_gone_are_not_kept() -> None:
    for _ in range(50):
        Call(30.0).run(lambda: None)
    assert len([known for known in _DOG._calls if known() is not None]) < 50
