"""Watches over HTTP: what is written on the driver's thread, queued for each watcher, streamed by the HTTP thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import msgspec

from harness.apiserver.http.selectors import Selector
from harness.apiserver.http.verbs import too_new
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.model.objects import Kind

BACKLOG = 100_000
"""Events that may wait for one slow client; beyond, its watch ends with 410 and it lists again."""


class Happened(msgspec.Struct, frozen=True, gc=False):
    """One event as a watcher sees it."""

    type: str
    obj: Any
    revision: int
    now: int


class Feed:
    """One watch. `push` and `end` are called on the driver's thread, `take` on the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kind: Kind, namespace: str, selector: Selector) -> None:
        self.kind = kind
        self.selector = selector
        self.overrun = False  # events were lost
        self.ended = False
        self._prefix = f"{namespace}/" if namespace else ""
        self._loop = loop
        self._items: deque[Happened] = deque()
        self._ready = asyncio.Event()
        self._signalled = False

    def push(self, change: str, obj: Any, old: Any, revision: int, now: int) -> None:
        if self._prefix and not obj.metadata.key.startswith(self._prefix):
            return
        selector = self.selector
        if not selector.empty:
            fits = change != DELETED and selector.matches(self.kind, obj)
            fitted = old is not None and selector.matches(self.kind, old)
            if fits:
                change = MODIFIED if fitted else ADDED
            elif fitted:
                change = DELETED  # it is gone from this watcher's view
            else:
                return
        if len(self._items) >= BACKLOG:
            self.overrun = True
            self.end()
            return
        self._items.append(Happened(change, obj, revision, now))
        self._signal()

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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), timeout_s)
        self._ready.clear()
        self._signalled = False
        out = []
        while self._items:
            out.append(self._items.popleft())
        return out


class Hub:
    """The API server's listener that feeds all watches. Lives on the driver's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._server: ApiServer | None = None
        self._feeds: dict[str, list[Feed]] = {}

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
                feed.push(change, obj, old, at, now)
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

    def _written(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        feeds = self._feeds.get(kind.kind)
        if feeds:
            assert self._server is not None
            now = self._server.now
            for feed in feeds[:]:
                feed.push(change, obj, old, revision, now)
                if feed.ended:
                    feeds.remove(feed)


def at_revision(obj: Any, revision: int) -> Any:
    """What has left a view is told at the revision of its leaving."""
    if obj.metadata.resource_version == str(revision):
        return obj
    return replaced(obj, metadata=replaced(obj.metadata, resource_version=str(revision)))
