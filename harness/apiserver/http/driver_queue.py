"""The only way from other threads to the API server: calls queue here and run on the driver's thread, between events.

The API server is single-threaded and belongs to its driver. Whoever else wants something of it hands over a function;
the driver runs what has piled up when it is between two events.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from harness.model.status import unavailable

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

T = TypeVar("T")

AWAY = "the API server does not run (a fault stopped it)"


class DriverQueue:
    """`submit` and `close` from any thread; `run_pending` and `wait` from the driver's alone."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._queue: deque[tuple[Future[Any], Callable[[ApiServer], Any]]] = deque()
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self.away = False
        """The API server's process is away: nobody is answered."""
        self.on_away: Callable[[], None] | None = None
        """Called when it goes, on the driver's thread."""
        self.restoring: Callable[[], AbstractContextManager[None]] = nullcontext
        """Around a restore of the store, on the driver's thread: what is no part of a cluster's state is kept."""

    def submit(self, fn: Callable[[ApiServer], T]) -> Future[T]:
        """`fn(server)` on the driver's thread. The future carries what it returns or raises; after `close`,
        ApiError ServiceUnavailable."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed or self.away:
                told = "the cluster is shutting down" if self._closed else AWAY
                future.set_exception(unavailable(told))
                return future
            self._queue.append((future, fn))
        self._arrived.set()
        return future

    def set_away(self, away: bool) -> None:
        """On the driver's thread. What waits is refused, as by a server that is gone."""
        with self._lock:
            self.away = away
            left = list(self._queue) if away else []
            if away:
                self._queue.clear()
        for future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(unavailable(AWAY))
        if away and self.on_away is not None:
            self.on_away()

    def run_pending(self) -> int:
        """Run what has arrived so far, in order of arrival; how many. What arrives meanwhile waits for the next call.

        An exception of a call goes to its future, never to the driver.
        """
        self._arrived.clear()
        queue, done = self._queue, 0
        for _ in range(len(queue)):
            future, fn = queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue  # the client has gone away
            try:
                result = fn(self.server)
            except BaseException as error:
                future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                future.set_result(result)
            done += 1
        return done

    def wait(self, timeout_s: float) -> bool:
        """Until a call is pending, at most `timeout_s`; whether one is."""
        return bool(self._queue) or self._arrived.wait(timeout_s)

    def wake(self) -> None:
        """End a `wait` from another thread, as a driver does that wants to stop."""
        self._arrived.set()

    def close(self) -> None:
        """Calls that have not run fail with ServiceUnavailable, and so does every later one."""
        with self._lock:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
        for future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(unavailable("the cluster is shutting down"))
        self._arrived.set()
