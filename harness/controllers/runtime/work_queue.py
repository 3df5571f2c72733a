"""The keys that a component has to look at again, and when after a failure.

Source: k8s.io/client-go util/workqueue (queue, rate limiter).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from harness.engine.component import MS, SECOND, Instant, WakeAt

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 5 * MS, 1000 * SECOND
"""Source: client-go util/workqueue DefaultTypedItemBasedRateLimiter."""


class WorkQueue(Generic[K]):
    """Keys to look at, each once however often it was added, in order of first adding.

    Timers come from here, too: a key is its own Timer token. A step hands each Timer to `fired`, empties the queue
    with `drain`, and returns `wakes` among its effects.
    """

    def __init__(self, first_ns: int = BACKOFF_FIRST_NS, most_ns: int = BACKOFF_MOST_NS) -> None:
        self._first_ns = first_ns
        self._most_ns = most_ns
        self.keys: dict[K, None] = {}
        self._failures: dict[K, int] = {}
        self._due: dict[K, Instant] = {}
        self.asked_wakes: list[WakeAt] = []

    def limit(self, first_ns: int, most_ns: int) -> None:
        """Delays after failures from now on."""
        self._first_ns, self._most_ns = first_ns, most_ns

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: K) -> bool:
        return key in self.keys

    def add(self, key: K) -> None:
        self.keys[key] = None

    def add_at(self, key: K, at: Instant) -> None:
        """Add it then; of several such times the earliest counts, so whoever is woken asks again for the next."""
        due = self._due.get(key)
        if due is None or at < due:
            self._due[key] = at
            self.asked_wakes.append(WakeAt(at, key))

    def retry(self, key: K, now: Instant) -> Instant:
        """Add it after a delay that doubles with each failure since `forget`; says when."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 5 ms doubled 18 times is beyond 1000 s; shifting on would only make large numbers.
        at = now + min(self._first_ns << min(failures, 40), self._most_ns)
        self.add_at(key, at)
        return at

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """It went well: the next failure begins with the shortest delay."""
        self._failures.pop(key, None)

    def fired(self, key: K, now: Instant) -> None:
        """A Timer whose token is `key` came due."""
        if self._due.get(key, now + 1) <= now:
            del self._due[key]
        self.keys[key] = None

    def drain(self) -> list[K]:
        """All keys; the queue is empty then."""
        keys = list(self.keys)
        self.keys.clear()
        return keys

    def wakes(self) -> list[WakeAt]:
        """The timers asked for since the last call: effects for the step to return."""
        wakes, self.asked_wakes = self.asked_wakes, []
        return wakes

    def clear(self) -> None:
        self.keys.clear()
        self._failures.clear()
        self._due.clear()
        self.asked_wakes.clear()
