"""Keys in order, in chunks: one more costs a short insertion however many there are, a stretch costs its length."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

# Shorter chunks make more of them to bisect, longer ones more to move at an insertion; 200 to 2000 measure alike.
_LOAD = 512


class OrderedKeys:
    """New keys wait, unordered, until somebody asks: who only writes pays next to nothing for the order."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._waiting: dict[str, None] = {}
        self._build(sorted(keys))

    def add(self, key: str) -> None:
        """A key that is not there yet."""
        self._waiting[key] = None

    def discard(self, key: str) -> None:
        """A key that is there."""
        if key in self._waiting:
            del self._waiting[key]
            return
        at = bisect_left(self._lasts, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        self._size -= 1
        if not chunk:  # else its last key may be gone from it, and still tells where it ends
            del self._chunks[at], self._lasts[at]

    def stretch(self, low: str, high: str | None, *, after: bool = False) -> Iterator[list[str]]:
        """Keys k in order, in pieces: low <= k < high (low < k with `after`); `high` None: to the end."""
        if self._waiting:
            self._settle()
        bisect = bisect_right if after else bisect_left
        at = bisect(self._lasts, low)
        while at < len(self._chunks):
            chunk = self._chunks[at]
            first = bisect(chunk, low)
            if high is not None and chunk[-1] >= high:
                yield chunk[first : bisect_left(chunk, high)]
                return
            yield chunk[first:] if first else chunk
            at += 1

    def _settle(self) -> None:
        waiting = self._waiting
        self._waiting = {}
        if len(waiting) * 8 > self._size:
            keys = [key for chunk in self._chunks for key in chunk]
            keys += sorted(waiting)
            keys.sort()  # two ascending runs: a merge
            self._build(keys)
            return
        for key in waiting:
            at = min(bisect_left(self._lasts, key), len(self._chunks) - 1)
            chunk = self._chunks[at]
            insort(chunk, key)
            if len(chunk) > 2 * _LOAD:
                self._chunks[at : at + 1] = [chunk[:_LOAD], chunk[_LOAD:]]
                self._lasts[at : at + 1] = [chunk[_LOAD - 1], chunk[-1]]
            else:
                self._lasts[at] = chunk[-1]
        self._size += len(waiting)

    def _build(self, keys: list[str]) -> None:
        self._chunks = [keys[at : at + _LOAD] for at in range(0, len(keys), _LOAD)]
        self._lasts = [chunk[-1] for chunk in self._chunks]
        self._size = len(keys)
