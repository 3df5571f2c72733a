"""A watch as a chunked answer: lines of JSON until its time is up, it falls behind, or the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from harness.apiserver.http import options
from harness.apiserver.http.answers import AT_ONCE, Encoder
from harness.apiserver.http.auth import rbac
from harness.apiserver.http.call import Call
from harness.apiserver.http.connections import WRITER, ChunkWriter
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.verbs import check_allowed, number, selector
from harness.apiserver.http.watch import Feed, Happened, Hub
from harness.apiserver.server import ApiServer
from harness.model.status import ApiError, gone

LONGEST_S = 1800
"""Of a watch that names no timeout. Source: kube-apiserver --min-request-timeout."""

BOOKMARK_S = 60
"""Between bookmarks. Source: apiserver pkg/storage/cacher/cacher.go defaultBookmarkFrequency."""

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class WatchSettings(msgspec.Struct, frozen=True):
    """`since`: revision after which to begin; 0: with all that is there; None: from now on."""

    since: int | None
    seconds: int
    bookmarks: bool
    initial: bool  # a bookmark says where the initial events end

    @classmethod
    def of(cls, call: Call) -> WatchSettings:
        """Raises ApiError BadRequest, Invalid."""
        options.refuse("ListOptions", options.list_causes(call.query, watch=True))
        initial = options.is_true(call.query, "sendInitialEvents")
        since: int | None = number(call, "resourceVersion")
        if initial:
            since = 0
        elif since == 0 and "sendInitialEvents" in call.query:
            since = None  # a client that wants no initial events, and names no revision
        return cls(
            since=since,
            seconds=number(call, "timeoutSeconds") or LONGEST_S,
            bookmarks=options.is_true(call.query, "allowWatchBookmarks"),
            initial=initial,
        )

    def open(self, server: ApiServer, hub: Hub, call: Call) -> tuple[Feed | ApiError, list[Happened]]:
        """On the driver's thread. An expired revision is told in the stream, everything else is raised."""
        rbac.check(server, call.user, call.action())
        check_allowed(call)
        chosen = selector(call)
        try:
            return hub.open(server, call.resource.kind, call.target.namespace, chosen, self.since)
        except ApiError as error:
            if error.code == 410:
                return error, []
            raise


class WatchResponse(StreamingResponse):
    """Closes its feed however it ends. What happens is written where the event loop is told of it, as long as the
    client keeps up and nothing else is being sent; `_lines` does all the rest."""

    def __init__(
        self,
        driver: DriverQueue,
        hub: Hub,
        feed: Feed | ApiError,
        initial: list[Happened],
        settings: WatchSettings,
        encoder: Encoder,
    ) -> None:
        self._driver = driver
        self._hub = hub
        self._feed = feed
        self._encoder = encoder
        lines = _failed(feed, encoder) if isinstance(feed, ApiError) else self._lines(feed, initial, settings, encoder)
        super().__init__(lines, media_type=encoder.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        feed = self._feed
        writer: ChunkWriter | None = scope.get("extensions", {}).get(WRITER)
        if isinstance(feed, Feed) and writer is not None:
            feed.deliver = partial(_delivered, writer, self._encoder)
        try:
            await super().__call__(scope, receive, send)
        finally:
            if isinstance(feed, Feed):
                feed.deliver = None
                self._driver.submit(lambda _: self._hub.close(feed))

    async def _lines(
        self, feed: Feed, initial: list[Happened], settings: WatchSettings, encoder: Encoder
    ) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        end = clock() + settings.seconds
        for start in range(0, len(initial), AT_ONCE):
            yield b"".join(map(encoder.event, initial[start : start + AT_ONCE]))
            await asyncio.sleep(0)
        if settings.initial:
            yield await self._bookmark(feed, encoder, {INITIAL_EVENTS_END: "true"})
        next_bookmark = clock() + BOOKMARK_S
        while (left := end - clock()) > 0:
            wait = min(left, max(next_bookmark - clock(), 0.001)) if settings.bookmarks else left
            happened = await feed.take(wait)
            for start in range(0, len(happened), AT_ONCE):
                yield b"".join(map(encoder.event, happened[start : start + AT_ONCE]))
                await asyncio.sleep(0)
            if happened:
                continue
            if feed.ended:
                if feed.overrun:
                    yield encoder.error(gone("too old resource version: the watch fell behind"))
                return
            if settings.bookmarks and clock() >= next_bookmark:
                yield await self._bookmark(feed, encoder)
                next_bookmark = clock() + BOOKMARK_S

    async def _bookmark(self, feed: Feed, encoder: Encoder, annotations: dict[str, str] | None = None) -> bytes:
        """Behind everything that had happened when its revision was read."""
        revision = await asyncio.wrap_future(self._driver.submit(lambda server: server.revision))
        late = await feed.take(0) if feed.waiting else []
        return b"".join(map(encoder.event, late)) + encoder.bookmark(revision, annotations)


def _delivered(writer: ChunkWriter, encoder: Encoder, feed: Feed) -> bool:
    """Whether everything that waits has been written."""
    if not writer.ready or feed.backlog > AT_ONCE or feed.ended:
        return False
    if happened := feed.taken():
        writer.write(b"".join(map(encoder.event, happened)))
    return True


async def _failed(error: ApiError, encoder: Encoder) -> AsyncIterator[bytes]:
    yield encoder.error(error)
