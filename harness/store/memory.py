"""The store in this process's memory: typed values as they are, nothing copied, nothing encoded."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any

from harness.store.interface import (
    Change,
    Codec,
    Compacted,
    Compare,
    FutureRevision,
    LeaseNotFound,
    Put,
    Remove,
    StoreEntry,
    check_put_once,
    check_revision,
    prefix_end,
)
from harness.store.leases import Leases
from harness.store.ordered import OrderedKeys
from harness.store.snapshots import entries, pack, unpack

_revision_of = attrgetter("revision")


class MemoryStore:
    """`codec` turns values to bytes and back, for `snapshot` and `restore` only."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._now: dict[str, StoreEntry] = {}
        self._log: list[Change] = []  # since `_compacted`, ascending
        self._keys: OrderedKeys | None = None  # made when somebody ranges
        self._revision = 1
        self._compacted = 0
        self._leases = Leases()
        self._leased: dict[int, set[str]] = {}

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    def get(self, key: str, *, revision: int = 0) -> StoreEntry | None:
        entry = self._now.get(key)
        if not revision:
            return entry
        check_revision(revision, self._revision, self._compacted)
        if entry is not None and entry.mod_revision <= revision:
            return entry
        for change in self._since(revision + 1):
            if change.key == key:
                return change.before
        return entry

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[StoreEntry]:
        if revision:
            check_revision(revision, self._revision, self._compacted)
        if self._keys is None:
            self._keys = OrderedKeys(self._now)
        after = start_after >= prefix
        high = prefix_end(prefix)
        if after and high is not None and start_after >= high:
            return []
        pieces = self._keys.stretch(start_after if after else prefix, high, after=after)
        if revision and revision < self._revision:
            return self._range_then(pieces, prefix, revision, start_after, limit)
        out: list[StoreEntry] = []
        for keys in pieces:
            out += map(self._now.__getitem__, keys)
            if limit and len(out) >= limit:
                return out[:limit]
        return out

    def put(self, key: str, value: Any, *, expect: int | None = None, lease: int = 0) -> int:
        before = self._now.get(key)
        if expect is not None and (before.mod_revision if before is not None else 0) != expect:
            return 0
        if lease and lease not in self._leases:
            raise LeaseNotFound(lease)
        self._revision = revision = self._revision + 1
        self._put(key, value, before, revision, lease)
        return revision

    def delete(self, key: str, *, expect: int | None = None) -> int:
        before = self._now.get(key)
        if before is None or (expect is not None and before.mod_revision != expect):
            return 0
        self._revision = revision = self._revision + 1
        self._remove(key, before, revision)
        return revision

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove] = ()
    ) -> tuple[bool, int]:
        check_put_once(then, otherwise)
        now = self._now
        held = all(
            (entry.mod_revision if (entry := now.get(compare.key)) is not None else 0) == compare.mod_revision
            for compare in compares
        )
        writes = then if held else otherwise
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise LeaseNotFound(write.lease)
        revision = self._revision + 1
        for write in writes:
            before = now.get(write.key)
            if isinstance(write, Put):
                self._put(write.key, write.value, before, revision, write.lease)
                self._revision = revision
            elif before is not None:
                self._remove(write.key, before, revision)
                self._revision = revision
        return held, self._revision

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        if since < self._compacted:
            raise Compacted(since, self._compacted)
        log = self._since(since)
        return iter([change for change in log if change.key.startswith(prefix)] if prefix else log)

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._compacted:
            raise Compacted(revision, self._compacted + 1)
        log = self._log
        del log[: bisect_left(log, revision, key=_revision_of)]
        for at, change in enumerate(log):
            if change.revision > revision:
                break
            log[at] = Change(revision, change.key, change.entry, None)
        self._compacted = revision

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        return self._leases.grant(ttl_ns, now_ns)

    def keep_alive(self, lease: int, now_ns: int) -> None:
        self._leases.keep_alive(lease, now_ns)

    def revoke(self, lease: int) -> int:
        self._leases.end(lease)
        keys = sorted(self._leased.pop(lease, ()))
        if keys:
            self._revision += 1
            for key in keys:
                self._remove(key, self._now[key], self._revision)
        return self._revision

    def expire(self, now_ns: int) -> list[int]:
        over = []
        while (first := self._leases.first()) is not None and first[0] <= now_ns:
            self.revoke(first[1])
            over.append(first[1])
        return over

    def next_expiry_ns(self) -> int | None:
        first = self._leases.first()
        return None if first is None else first[0]

    def snapshot(self) -> bytes:
        encode = self._codec.encode
        rows = (
            (entry.key, encode(entry.value), entry.create_revision, entry.mod_revision, entry.version, entry.lease)
            for entry in self.range("")
        )
        return pack(self._revision, rows, self._leases.times, self._leases.next_id)

    def restore(self, data: bytes) -> None:
        saved = unpack(data)
        self._now = {entry.key: entry for entry in entries(self._codec, saved)}
        self._keys = None
        self._log = []
        self._revision = self._compacted = max(saved.revision, self._revision + 2)
        self._leases = Leases(saved.leases, saved.next_lease)
        self._leased = {}
        for entry in self._now.values():
            if entry.lease:
                self._leased.setdefault(entry.lease, set()).add(entry.key)

    def close(self) -> None:
        pass

    # -- within --------------------------------------------------------------------------------------------------------

    def _put(self, key: str, value: Any, before: StoreEntry | None, revision: int, lease: int) -> None:
        if before is None:
            entry = StoreEntry(key, value, revision, revision, 1, lease)
            if self._keys is not None:
                self._keys.add(key)
        else:
            key = before.key  # one string a key, however many writes
            entry = StoreEntry(key, value, before.create_revision, revision, before.version + 1, lease)
            if before.lease and before.lease != lease:
                self._leased[before.lease].discard(key)
        if lease:
            self._leased.setdefault(lease, set()).add(key)
        self._now[key] = entry
        self._log.append(Change(revision, key, entry, before))

    def _remove(self, key: str, before: StoreEntry, revision: int) -> None:
        del self._now[key]
        if self._keys is not None:
            self._keys.discard(key)
        if before.lease and before.lease in self._leased:
            self._leased[before.lease].discard(key)
        self._log.append(Change(revision, before.key, None, before))

    def _since(self, revision: int) -> list[Change]:
        log = self._log
        if not log or log[-1].revision < revision:
            return []
        return log[bisect_left(log, revision, key=_revision_of) :]

    def _range_then(
        self, pieces: Iterator[list[str]], prefix: str, revision: int, start_after: str, limit: int
    ) -> list[StoreEntry]:
        """What has changed since is taken from before its first change, merged with what has not."""
        then: dict[str, StoreEntry | None] = {}
        for change in self._since(revision + 1):
            if change.key.startswith(prefix) and change.key > start_after:
                then.setdefault(change.key, change.before)
        out: list[StoreEntry] = []
        old = iter(sorted(key for key, entry in then.items() if entry is not None))
        waiting = next(old, None)
        for keys in pieces:
            for key in keys:
                while waiting is not None and waiting <= key:
                    entry = then[waiting]
                    assert entry is not None, waiting
                    out.append(entry)
                    waiting = next(old, None)
                if key not in then:
                    out.append(self._now[key])
            if limit and len(out) >= limit:
                return out[:limit]
        if waiting is not None:
            out += (entry for key in (waiting, *old) if (entry := then[key]) is not None)
        return out[:limit] if limit else out
