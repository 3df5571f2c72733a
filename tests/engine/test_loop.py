"""The event queue: a total order, and the same one however the cluster is cut into processes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.loop import Loop, SharedLoop


def test_mailboxes_come_by_instant_then_lane_then_order_of_sending() -> None:
    loop = Loop()
    heard: list[tuple[int, int, list[Any]]] = []
    for address in (1, 2):
        loop.handlers[address] = lambda now, box, address=address: heard.append((now, address, box))  # type: ignore[misc]
    loop.post(20, 1, "d")
    loop.post(10, 2, "b")
    loop.post(10, 2, "c")
    loop.post(10, 1, "a")
    loop.run(100)
    assert heard == [(10, 1, ["a"]), (10, 2, ["b", "c"]), (20, 1, ["d"])]


def test_what_is_due_at_the_horizon_waits() -> None:
    loop = Loop()
    heard: list[int] = []
    loop.handlers[1] = lambda now, box: heard.append(now)
    loop.post(10, 1, "x")
    loop.run(10)
    assert heard == []
    assert loop.next_due == 10
    loop.run(11)
    assert heard == [10]


POSTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.lists(st.integers(), max_size=4)), max_size=12)


@pytest.mark.parametrize("kind", [Loop, SharedLoop])
@given(posts=POSTS)
def test_several_at_once_are_the_same_as_one_by_one(kind: type[Loop], posts: list[tuple[int, int, list[int]]]) -> None:
    def heard(together: bool) -> list[tuple[int, int, list[Any]]]:
        loop, out = kind(), []
        for address in (1, 2, 3):
            loop.handlers[address] = lambda now, box, address=address: out.append((now, address, box))  # type: ignore[misc]
        for at, address, messages in posts:
            if together and messages:
                loop.post_all(at, address, messages)
            else:
                for message in messages:
                    loop.post(at, address, message)
        loop.run(100)
        return out

    assert heard(True) == heard(False)


def test_several_at_once_stay_the_senders() -> None:
    loop = Loop()
    mine = ["a"]
    loop.post_all(10, 1, mine)
    loop.post(10, 1, "b")
    loop.post_all(10, 2, mine)
    assert mine == ["a"]


def test_a_message_to_the_past_lands_one_nanosecond_on() -> None:
    loop = Loop()
    heard: list[int] = []

    def handle(now: int, box: list[Any]) -> None:
        heard.append(now)
        if len(heard) < 3:
            loop.post(0, 1, "again")

    loop.handlers[1] = handle
    loop.post(5, 1, "x")
    loop.run(100)
    assert heard == [5, 6, 7]


def test_a_lane_that_is_gone_hears_nothing() -> None:
    loop = Loop()
    loop.handlers[1] = lambda now, box: None
    loop.post(5, 1, "x")
    loop.drop(1)
    loop.run(100)
    assert loop.next_due is None


LATENCY = 7


def _chatter(address: int, seed: int, post: Any, peers: list[int], log: list[Any]) -> Any:
    """An address that answers what it hears with messages to others, drawn from its own stream."""
    rng = Random(f"{seed}/{address}")

    def handle(now: int, box: list[Any]) -> None:
        log.append((now, address, list(box)))
        for _ in range(rng.randrange(3)):
            if len(log) < 200:
                post(now + LATENCY + rng.randrange(3), rng.choice(peers), (address, rng.randrange(1000)))

    return handle


def _alone(seed: int, addresses: list[int]) -> dict[int, list[Any]]:
    loop, logs = Loop(), {address: [] for address in addresses}  # type: ignore[var-annotated]
    for address in addresses:
        loop.handlers[address] = _chatter(address, seed, loop.post, addresses, logs[address])
        loop.post(1, address, "start")
    loop.run(500)
    return logs


def _apart(seed: int, addresses: list[int], parts: int) -> dict[int, list[Any]]:
    """The same addresses dealt to several loops that run window by window, as processes would."""
    loops = [SharedLoop() for _ in range(parts)]
    logs = {address: [] for address in addresses}  # type: ignore[var-annotated]
    sent: list[tuple[int, int, int, Any]] = []

    def post_from(part: int) -> Any:
        def post(at: int, address: int, message: Any) -> None:
            if address % parts == part:
                loops[part].post(at, address, message)
            else:
                sent.append((at, address, loops[part].key, message))

        return post

    for address in addresses:
        part = address % parts
        loops[part].handlers[address] = _chatter(address, seed, post_from(part), addresses, logs[address])
        loops[part].post(1, address, "start")
    while (due := [loop.next_due for loop in loops if loop.next_due is not None]) and min(due) < 500:
        horizon = min(min(due) + LATENCY, 500)
        for loop in reversed(loops):  # whatever the order in which processes get their turn
            loop.run(horizon)
        for at, address, tag, message in sent:
            loops[address % parts].post_tagged(at, address, tag, message)
        sent.clear()
    return logs


@given(seed=st.integers(0, 10**6), addresses=st.integers(1, 6), parts=st.integers(1, 4))
def test_cut_into_processes_the_same_is_heard(seed: int, addresses: int, parts: int) -> None:
    names = list(range(1, addresses + 1))
    assert _apart(seed, names, parts) == _alone(seed, names)
