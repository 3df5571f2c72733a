"""The event queue: mailboxes in the total order (instant, address), each mailbox in order of sending.

An address is a component's number. A message is sent at one instant and lands at a later one, so when a mailbox comes
due it is complete; and as mailboxes are emptied in ascending order, each fills in the order of (instant of sending,
address of the sender, sequence of the sender) by itself. Nothing depends on a hash or on arrival races.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, TypeAlias

ADDRESS_BITS = 24
ADDRESS_MASK = (1 << ADDRESS_BITS) - 1
"""An instant and an address make one integer: the key of a mailbox in the heap. 24 bits: 16 million machines."""

Handler: TypeAlias = Callable[[int, list[Any]], None]
"""(now, the mailbox); sends by posting."""


class Loop:
    """One process's part of the cluster, on virtual time."""

    __slots__ = ("_boxes", "_heap", "handlers", "key", "mailboxes", "messages", "now")

    def __init__(self) -> None:
        self.now = 0
        self.key = 0  # (instant, address) being handled: the tag of what is sent meanwhile
        self.mailboxes = 0  # handled so far
        self.messages = 0  # handled so far
        self.handlers: dict[int, Handler] = {}
        self._heap: list[int] = []
        self._boxes: dict[int, list[Any]] = {}

    def post(self, at: int, address: int, message: Any) -> None:
        """`message` lands in `address` at `at`, at the earliest one nanosecond from now."""
        if at <= self.now:
            at = self.now + 1
        key = at << ADDRESS_BITS | address
        box = self._boxes.get(key)
        if box is None:
            self._boxes[key] = [message]
            heappush(self._heap, key)
        else:
            box.append(message)

    def post_all(self, at: int, address: int, messages: list[Any]) -> None:
        """The same for several at once, in order."""
        if at <= self.now:
            at = self.now + 1
        key = at << ADDRESS_BITS | address
        box = self._boxes.get(key)
        if box is None:
            self._boxes[key] = messages.copy()
            heappush(self._heap, key)
        else:
            box += messages

    @property
    def next_due(self) -> int | None:
        """The instant of the first mailbox."""
        return self._heap[0] >> ADDRESS_BITS if self._heap else None

    def run(self, horizon: int) -> None:
        """Handle every mailbox before `horizon`."""
        heap, boxes, handlers = self._heap, self._boxes, self.handlers
        limit = horizon << ADDRESS_BITS
        while heap and heap[0] < limit:
            key = heappop(heap)
            box = boxes.pop(key)
            self.now = now = key >> ADDRESS_BITS
            self.key = key
            self.mailboxes += 1
            self.messages += len(box)
            handler = handlers.get(key & ADDRESS_MASK)
            if handler is not None:  # an address that is gone: nobody listens
                handler(now, box)
        self.now = max(self.now, horizon - 1)  # whoever looks in between finds the clock where it stands

    def drop(self, address: int) -> None:
        """Nobody listens in `address` any more."""
        self.handlers.pop(address, None)


class SharedLoop(Loop):
    """A part of a cluster whose other parts run in other processes: mailboxes are sorted by the tag of sending.

    What another process sent arrives when its window ends, after what was sent here meanwhile; sorting by tag puts
    it where one process alone would have had it.
    """

    __slots__ = ("_limit",)

    def __init__(self) -> None:
        super().__init__()
        self._limit = 0

    def post(self, at: int, address: int, message: Any) -> None:
        super().post(at, address, (self.key, message))

    def post_all(self, at: int, address: int, messages: list[Any]) -> None:
        tag = self.key
        super().post_all(at, address, [(tag, message) for message in messages])

    def post_tagged(self, at: int, address: int, tag: int, message: Any) -> None:
        """From another process."""
        super().post(at, address, (tag, message))

    def stop_before(self, at: int) -> None:
        """`run` under way ends before `at`: another process may answer by then what was just sent to it."""
        limit = at << ADDRESS_BITS
        if limit < self._limit:
            self._limit = limit

    def run(self, horizon: int) -> None:
        heap, boxes, handlers = self._heap, self._boxes, self.handlers
        self._limit = horizon << ADDRESS_BITS
        while heap and heap[0] < self._limit:
            key = heappop(heap)
            box = boxes.pop(key)
            box.sort(key=_tag)
            self.now = now = key >> ADDRESS_BITS
            self.key = key
            self.mailboxes += 1
            self.messages += len(box)
            handler = handlers.get(key & ADDRESS_MASK)
            if handler is not None:
                handler(now, [message for _, message in box])
        self.now = max(self.now, (self._limit >> ADDRESS_BITS) - 1)


def _tag(tagged: tuple[int, Any]) -> int:
    return tagged[0]
