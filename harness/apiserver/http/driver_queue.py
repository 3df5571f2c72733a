"""The only way from other threads to the API server: calls queue here and run on the driver's thread, between events.

The API server is single-threaded and belongs to its driver. Whoever else wants something of it hands over a function;
the driver runs what has piled up when it is between two events. A read that changes nothing runs on the caller's own
thread while the driver sleeps: handing it over would cost more than the read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from harness.model.status import unavailable

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

T = TypeVar("T")

AWAY = "the API server does not run (a fault stopped it)"


class Busy:
    """The driver is at work: what was to be read must be submitted."""


BUSY = Busy()


class DriverQueue:
    """`submit`, `read` and `close` from any thread; `run_pending` and `wait` from the driver's alone."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._queue: deque[tuple[Future[Any], Callable[[ApiServer], Any]]] = deque()
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """Who holds it may use the server: the driver, except while it sleeps in `wait`."""
        self._turn.acquire()
        self._closed = False
        self._answers: list[tuple[Future[Any], Any, BaseException | None]] = []  # that wait for the end of a batch
        self.batching = False
        """A batch goes on: what is written is not durable yet, and nobody outside may hear of it."""
        self.on_durable: Callable[[], None] | None = None
        """Called when what was written in a batch is durable, on the driver's thread."""
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

    def read(self, fn: Callable[[ApiServer], T]) -> T | Busy:
        """`fn(server)` here and now, while the driver sleeps; it reads objects in memory and nothing else. What is not
        durable yet is never seen: the driver does not sleep before it is. Raises what `fn` does."""
        if self.away or self._closed or not self._turn.acquire(blocking=False):
            return BUSY
        try:
            return fn(self.server)
        finally:
            self._turn.release()

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

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is written within becomes durable together; then its answers go out, and its watch events."""
        if self.batching:
            yield
            return
        self.batching = True
        try:
            with self.server.store.batch():
                yield
        except BaseException as error:
            self.batching = False
            told = unavailable(f"the cluster fails: {error}")
            answers, self._answers = self._answers, []
            for future, _, refused in answers:
                future.set_exception(refused or told)
            raise
        self.batching = False
        if self.on_durable is not None:
            self.on_durable()
        answers, self._answers = self._answers, []
        for future, result, refused in answers:
            if refused is None:
                future.set_result(result)
            else:
                future.set_exception(refused)

    def run_pending(self) -> int:
        """Run what has arrived so far, in order of arrival; how many. What arrives meanwhile waits for the next call.

        An exception of a call goes to its future, never to the driver. Futures are done when the batch is.
        """
        self._arrived.clear()
        queue, done = self._queue, 0
        with self.batch():
            for _ in range(len(queue)):
                future, fn = queue.popleft()
                if not future.set_running_or_notify_cancel():
                    continue  # the client has gone away
                try:
                    result = fn(self.server)
                except BaseException as error:
                    self._answers.append((future, None, error))
                    if not isinstance(error, Exception):
                        raise
                else:
                    self._answers.append((future, result, None))
                done += 1
        return done

    def wait(self, timeout_s: float) -> bool:
        """Until a call is pending, at most `timeout_s`; whether one is."""
        if self._queue:
            return True
        self._turn.release()
        try:
            return self._arrived.wait(timeout_s)
        finally:
            self._turn.acquire()

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
