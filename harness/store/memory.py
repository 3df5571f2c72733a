"""The store in this process's memory: typed values as they are, nothing copied, nothing encoded."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from harness.store.interface import Change, Compacted, Compare, Entry, FutureRevision, LeaseNotFound, Put, Remove
from harness.store.snapshots import Codec, pack, unpack


class MemoryStore:
    """`codec` turns values to bytes and back, for `snapshot` and `restore` only."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._now: dict[str, Entry] = {}
        self._log: deque[Change] = deque()  # since `_compacted`, ascending
        self._sorted: list[str] | None = None  # keys in order, made when somebody ranges
        self._revision = 1
        self._compacted = 0
        self._leases: dict[int, tuple[int, int]] = {}  # id: (ttl, expires at)
        self._leased: dict[int, dict[str, None]] = {}
        self._next_lease = 1

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    def get(self, key: str, *, revision: int = 0) -> Entry | None:
        if not revision:
            return self._now.get(key)
        self._check(revision)
        return self._then(self._now.get(key), key, revision)

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[Entry]:
        keys = self._keys()
        first = bisect_right(keys, start_after) if start_after > prefix else bisect_left(keys, prefix)
        if revision:
            return self._range_then(prefix, revision, start_after, limit)
        out: list[Entry] = []
        for index in range(first, len(keys)):
            key = keys[index]
            if not key.startswith(prefix) or (limit and len(out) == limit):
                break
            out.append(self._now[key])
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
        held = all(
            (entry.mod_revision if (entry := self._now.get(compare.key)) is not None else 0) == compare.mod_revision
            for compare in compares
        )
        writes = then if held else otherwise
        if len({write.key for write in writes}) != len(writes):
            raise ValueError("duplicate key given in txn request")
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise LeaseNotFound(write.lease)
        effective = [write for write in writes if isinstance(write, Put) or write.key in self._now]
        if effective:
            self._revision += 1
            for write in effective:
                before = self._now.get(write.key)
                if isinstance(write, Put):
                    self._put(write.key, write.value, before, self._revision, write.lease)
                elif before is not None:
                    self._remove(write.key, before, self._revision)
        return held, self._revision

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        if since <= self._compacted:
            raise Compacted(since, self._compacted + 1)
        log = list(self._log)
        first = bisect_left(log, since, key=lambda change: change.revision)
        return (change for change in log[first:] if change.key.startswith(prefix))

    def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision)
        if revision <= self._compacted:
            raise Compacted(revision, self._compacted + 1)
        while self._log and self._log[0].revision <= revision:
            self._log.popleft()
        self._compacted = revision

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        lease = self._next_lease
        self._next_lease += 1
        self._leases[lease] = (ttl_ns, now_ns + ttl_ns)
        self._leased[lease] = {}
        return lease

    def keep_alive(self, lease: int, now_ns: int) -> None:
        if lease not in self._leases:
            raise LeaseNotFound(lease)
        ttl = self._leases[lease][0]
        self._leases[lease] = (ttl, now_ns + ttl)

    def revoke(self, lease: int) -> int:
        if lease not in self._leases:
            raise LeaseNotFound(lease)
        keys = list(self._leased.pop(lease))
        del self._leases[lease]
        if keys:
            self._revision += 1
            for key in keys:
                before = self._now[key]
                self._remove(key, before, self._revision)
        return self._revision

    def expire(self, now_ns: int) -> list[int]:
        over = sorted((expires, lease) for lease, (_, expires) in self._leases.items() if expires <= now_ns)
        for _, lease in over:
            self.revoke(lease)
        return [lease for _, lease in over]

    def next_expiry_ns(self) -> int | None:
        return min((expires for _, expires in self._leases.values()), default=None)

    def snapshot(self) -> bytes:
        return pack(
            self._codec,
            self._revision,
            [self._now[key] for key in self._keys()],
            self._leases,
            self._next_lease,
        )

    def restore(self, data: bytes) -> None:
        saved = unpack(self._codec, data)
        self._now = {entry.key: entry for entry in saved.entries}
        self._sorted = None
        self._log.clear()
        self._revision = self._compacted = saved.revision
        self._leases = dict(saved.leases)
        self._next_lease = saved.next_lease
        self._leased = {lease: {} for lease in self._leases}
        for entry in saved.entries:
            if entry.lease:
                self._leased[entry.lease][entry.key] = None

    def close(self) -> None:
        pass

    # -- within --------------------------------------------------------------------------------------------------------

    def _put(self, key: str, value: Any, before: Entry | None, revision: int, lease: int) -> None:
        if before is None:
            entry = Entry(key, value, revision, revision, 1, lease)
            if self._sorted is not None:
                insort(self._sorted, key)
        else:
            entry = Entry(key, value, before.create_revision, revision, before.version + 1, lease)
        if before is not None and before.lease and before.lease != lease:
            self._leased[before.lease].pop(key, None)
        if lease:
            self._leased[lease][key] = None
        self._now[key] = entry
        self._log.append(Change(revision, key, entry, before))

    def _remove(self, key: str, before: Entry, revision: int) -> None:
        del self._now[key]
        if self._sorted is not None:
            del self._sorted[bisect_left(self._sorted, key)]
        if before.lease and before.lease in self._leased:
            self._leased[before.lease].pop(key, None)
        self._log.append(Change(revision, key, None, before))

    def _keys(self) -> list[str]:
        if self._sorted is None:
            self._sorted = sorted(self._now)
        return self._sorted

    def _check(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision)
        if revision < self._compacted:
            raise Compacted(revision, self._compacted)

    def _then(self, entry: Entry | None, key: str, revision: int) -> Entry | None:
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.key == key:
                entry = change.before
        return entry

    def _range_then(self, prefix: str, revision: int, start_after: str, limit: int) -> list[Entry]:
        self._check(revision)
        then: dict[str, Entry | None] = {key: entry for key, entry in self._now.items() if key.startswith(prefix)}
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.key.startswith(prefix):
                then[change.key] = change.before
        keys = sorted(key for key, entry in then.items() if entry is not None and key > start_after)
        kept = keys[:limit] if limit else keys
        return [entry for key in kept if (entry := then[key]) is not None]
