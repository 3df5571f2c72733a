"""A controller whose process starts again knows nothing of its life before: it does what a new one does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from benchmarks.outage_scenarios import SCENARIOS
from harness.cluster.cluster import Cluster
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Effect, Event, Start

Tape = list[tuple[int, list[Event]]]
"""(now, events) of each step of a component."""


@cache
def tapes(number: int) -> dict[str, Tape]:
    """What each controller hears while the scenario is played."""
    scenario = SCENARIOS[number]
    cluster = scenario.cluster()
    heard: dict[str, Tape] = {name: [] for name in controllers(cluster)}
    for name, component in controllers(cluster).items():
        component.step = recorded(component, heard[name])  # type: ignore[method-assign]
    scenario.play(cluster)
    return heard


def recorded(component: Reconciler, tape: Tape) -> Any:
    step = component.step

    def taken(now: int, events: Sequence[Event]) -> Any:
        tape.append((now, list(events)))
        return step(now, events)

    return taken


def controllers(cluster: Cluster) -> dict[str, Reconciler]:
    return {name: item for name, item in cluster.components.items() if isinstance(item, Reconciler)}


def played(component: Reconciler, tape: Tape) -> list[tuple[int, list[Effect]]]:
    return [(now, list(component.step(now, events))) for now, events in tape]


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
def test_a_second_life_is_like_a_first(number: int, share: float) -> None:
    """The first ends at some point of one scenario; the second is that scenario again, or another one, where other
    objects have the same names and uids."""
    for before, after in ((number, number), (number, number - 1)):
        one, two = SCENARIOS[before], SCENARIOS[after]
        first, second = tapes(before), tapes(after % len(SCENARIOS))
        new, old = controllers(two.cluster()), controllers(two.cluster())
        for name in sorted(old):
            tape = second[name]
            assert isinstance(tape[0][1][0], Start)
            expected = played(new[name], tape)
            played(old[name], first[name][: round(share * len(first[name]))])
            assert played(old[name], tape) == expected, f"{name}, {two.name} after {share:.0%} of {one.name}"
