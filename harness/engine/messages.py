"""What reaches the API server besides API calls, and the address that it has: messages between components' mailboxes.

An address is a number that a driver gives to whatever receives messages: the API server, a component, a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.engine.component import LazyWatch, Observe

API_ADDRESS = 0
"""Of the API server. Components and machines get the numbers after it."""

Post: TypeAlias = Callable[[int, int, Any], None]
"""(instant, address, message): deliver it there and then."""
PostAll: TypeAlias = Callable[[int, int, list[Any]], None]
"""Several messages to one address, in order; the list stays the sender's."""
Delay: TypeAlias = Callable[[int, int], int]
"""(now, address) -> the instant at which a message to that address arrives."""
Observer: TypeAlias = Callable[[int, str, str, tuple[Any, ...]], None]
"""(instant, source, topic, data)."""


class Observed:
    """A fact on its way to the journal. `at`: when it was seen, not when it arrived."""

    __match_args__ = ("at", "source", "topic", "data")
    __slots__ = __match_args__

    def __init__(self, at: int, source: str, effect: Observe) -> None:
        self.at = at
        self.source = source
        self.topic = effect.topic
        self.data = effect.data


class FellSilent:
    """`node` renews no lease from `at` on."""

    __match_args__ = ("node", "at")
    __slots__ = __match_args__

    def __init__(self, node: str, at: int) -> None:
        self.node = node
        self.at = at


class ComeBack:
    """The API server's process has started again, from a `snapshot` of its store where one is named, because of the
    fault `cause`."""

    __match_args__ = ("snapshot", "cause")
    __slots__ = __match_args__

    def __init__(self, snapshot: str = "", cause: int = 0) -> None:
        self.snapshot = snapshot
        self.cause = cause


class Resubscribe:
    """The kubelet at `address` has forgotten its pods and lists them again."""

    __match_args__ = ("address", "node")
    __slots__ = __match_args__

    def __init__(self, address: int, node: str) -> None:
        self.address = address
        self.node = node


class BeginWatches:
    """The process at `address` has started: it lists and watches these kinds, those in `lazy` when they are of use."""

    __match_args__ = ("address", "kinds", "lazy")
    __slots__ = __match_args__

    def __init__(self, address: int, kinds: tuple[str, ...], lazy: tuple[LazyWatch, ...] = ()) -> None:
        self.address = address
        self.kinds = kinds
        self.lazy = lazy


class ResumeWatches:
    """The watches of `address` were broken, and are made again now."""

    __match_args__ = ("address",)
    __slots__ = __match_args__

    def __init__(self, address: int) -> None:
        self.address = address
