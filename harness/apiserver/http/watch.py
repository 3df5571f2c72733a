"""Watches over HTTP: what is written on the driver's thread, queued for each watcher, streamed by the HTTP thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.selectors import Selector
from harness.apiserver.http.verbs import too_new
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.model.meta import ApiObject
from harness.model.objects import Kind

log = logging.getLogger("podyard.apiserver")

BACKLOG = 100_000
"""Events that may wait for one slow client; beyond, its watch ends with 410 and it lists again."""

GATHER_S = 0.01
"""What comes so soon after the last events waits that long, and goes out with what follows: to send costs more than to
make a line, and a client that is told a hundred times a second misses nothing."""

FEEDS_AT_ONCE = 200
"""Watchers told before others get their turn on the HTTP thread."""


class Happened(msgspec.Struct, frozen=True):
    """One event as a watcher sees it; the same object for all who see it alike. `lines`: what has been sent of it, by
    version and form, made for the first of them on the HTTP thread."""

    type: str
    obj: ApiObject
    revision: int
    now: int
    lines: dict[Any, bytes] = msgspec.field(default_factory=dict)


class Feed:
    """One watch. `push` and `end` are called on the driver's thread, `take` on the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kind: Kind, namespace: str, selector: Selector) -> None:
        self.kind = kind
        self.selector = selector
        self.overrun = False  # events were lost
        self.ended = False
        self.since = 0  # the revision that it was opened at
        self._prefix = f"{namespace}/" if namespace else ""
        self._loop = loop
        self._items: deque[Happened] = deque()
        self._ready = asyncio.Event()
        self._signalled = False
        self._waits = False  # for what happens next, and has sent what happened before
        self.deliver: Callable[[Feed], bool] | None = None
        """Sends what waits at once, and says whether it could; on the loop's thread."""

    def push(self, happened: Happened, old: ApiObject) -> bool:
        """Whether the loop is to be told that something waits: `woken` does it."""
        if self._prefix and not happened.obj.metadata.key.startswith(self._prefix):
            return False
        selector = self.selector
        if not selector.empty:
            change, obj = happened.type, happened.obj
            fits = change != DELETED and selector.matches(self.kind, obj)
            fitted = old is not None and selector.matches(self.kind, old)
            if fits:
                change = MODIFIED if fitted else ADDED
            elif fitted:
                change = DELETED  # it is gone from this watcher's view
            else:
                return False
            if change != happened.type:
                happened = Happened(change, obj, happened.revision, happened.now)
        if len(self._items) >= BACKLOG:
            self.overrun = True
            self.end()
            return False
        self._items.append(happened)
        wakes, self._signalled = not self._signalled, True
        return wakes

    def woken(self) -> None:
        """On the loop's thread."""
        try:
            done = self._waits and self.deliver is not None and self.deliver(self)
        except Exception:
            log.exception("an event of %s could not be sent", self.kind.kind)
            self.overrun = self.ended = True  # its client lists again
            done = False
        if not done:
            self._ready.set()

    def end(self) -> None:
        """What has been pushed is still delivered."""
        self.ended = True
        self._signal()

    def _signal(self) -> None:
        if not self._signalled:
            self._signalled = True
            # The loop may have closed while the driver still runs: then there is nobody to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ready.set)

    @property
    def waiting(self) -> bool:
        return bool(self._items)

    async def take(self, timeout_s: float) -> list[Happened]:
        """What has happened since the last call; empty after `timeout_s` or at the end."""
        if not self._items and not self.ended:
            self._waits = True
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._ready.wait()
            finally:
                self._waits = False
        self._ready.clear()
        return self.taken()

    def taken(self) -> list[Happened]:
        """What has happened since the last call, on the loop's thread."""
        self._signalled = False
        out = []
        while self._items:
            out.append(self._items.popleft())
        return out

    @property
    def backlog(self) -> int:
        return len(self._items)


class Hub:
    """The API server's listener that feeds all watches. Lives on the driver's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, driver: DriverQueue) -> None:
        self._loop = loop
        self._driver = driver
        self._staged: list[tuple[str, Happened, Any]] = []  # written, and not durable yet
        self._server: ApiServer | None = None
        self._feeds: dict[str, list[Feed]] = {}
        self._woken: deque[Feed] = deque()  # on the loop's thread, as all about waking
        self._waking = False
        self._woke = 0.0

    def attach(self, server: ApiServer) -> None:
        self._server = server
        server.listeners.append(self._written)

    def detach(self) -> None:
        """Ends every watch."""
        if self._server is not None:
            self._server.listeners.remove(self._written)
            self._server = None
        self.end_all()

    def end_all(self) -> None:
        feeds, self._feeds = self._feeds, {}
        for held in feeds.values():
            for feed in held:
                feed.end()

    def open(
        self,
        server: ApiServer,
        kind: Kind,
        namespace: str,
        selector: Selector,
        since: int | None,
    ) -> tuple[Feed, list[Happened]]:
        """From `since` on, or from now when it is None; with it, everything that is there, as ADDED, when it is 0.

        Raises ApiError Expired (410), Timeout (a revision that has not happened).
        """
        feed = Feed(self._loop, kind, namespace, selector)
        feed.since = server.revision
        initial: list[Happened] = []
        now, revision = server.now, server.revision
        if since == 0:
            initial = [
                Happened(ADDED, obj, revision, now)
                for obj in server.listed(kind.kind, namespace)
                if selector.empty or selector.matches(kind, obj)
            ]
        elif since is not None:
            if since > revision:
                raise too_new(since, revision)
            for change, obj, old, at in server.changes_since(kind, since):
                feed.push(Happened(change, obj, at, now), old)
            feed._signalled = False
            initial = list(feed._items)
            feed._items.clear()
        self._feeds.setdefault(kind.kind, []).append(feed)
        return feed, initial

    def close(self, feed: Feed) -> None:
        held = self._feeds.get(feed.kind.kind)
        if held is not None and feed in held:
            held.remove(feed)

    @property
    def watches(self) -> int:
        return sum(map(len, self._feeds.values()))

    def release(self) -> None:
        """What has been written is durable: tell it."""
        staged, self._staged = self._staged, []
        self._push_events(staged)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if kind.kind in self._feeds:
            assert self._server is not None
            happened = Happened(change, obj, revision, self._server.now)
            if self._driver.batching:
                self._staged.append((kind.kind, happened, old))
            else:
                self._push_events([(kind.kind, happened, old)])

    def _push_events(self, staged: list[tuple[str, Happened, Any]]) -> None:
        woken: list[Feed] = []
        for kind, happened, old in staged:
            feeds = self._feeds.get(kind, [])
            for feed in feeds[:]:
                if happened.revision > feed.since:
                    if feed.push(happened, old):
                        woken.append(feed)
                    if feed.ended:
                        feeds.remove(feed)
        if woken:
            # The loop may have closed while the driver still runs: then there is nobody to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, woken)

    def _wake(self, feeds: list[Feed]) -> None:
        """Now, or together with what comes soon."""
        self._woken += feeds
        if not self._waking:
            self._waking = True
            self._loop.call_at(self._woke + GATHER_S, self._wake_all)

    def _wake_all(self) -> None:
        woken = self._woken
        for _ in range(min(len(woken), FEEDS_AT_ONCE)):
            woken.popleft().woken()
        if woken:
            self._loop.call_soon(self._wake_all)
        else:
            self._waking = False
            self._woke = self._loop.time()


def at_revision(obj: ApiObject, revision: int) -> Any:
    """What has left a view is told at the revision of its leaving."""
    if obj.metadata.resource_version == str(revision):
        return obj
    return replaced(obj, metadata=replaced(obj.metadata, resource_version=str(revision)))
