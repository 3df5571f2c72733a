"""The store in an SQLite file: a write that returned is on the disk, and the file opens where it was left.

Every write is a row of `history` that never changes; `heads` says which row is a key's newest, a tombstone (value
NULL) for a deleted one until it is compacted. A row knows the key's row before it, so the past of a key is a chain,
and compaction drops the rows that are the "before" of a row at or below the compacted revision.
"""

# size: the Store protocol's methods and the transaction that they share, with what a batch saves them.

from __future__ import annotations

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.model.errors import RunFailed
from harness.store.checksums import add_up, row_checksum
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
from harness.store.snapshots import Row, pack, unpack
from harness.store.sqlite_file import State, close_file, open_file, read_state, save_state
from harness.store.tail_record import TailRecord

# A row's id is its revision and its place in it: ids ascend with revisions, and none is ever used again.
_PLACE_BITS = 20
_PLACES = 1 << _PLACE_BITS
_CACHED = 65_536  # entries kept decoded

_ROW = "h.id, h.key, h.value, h.create_revision, h.version, h.lease"


# size: one method for each of the Store protocol's, and the transaction that they share.
class SqliteStore:
    """`codec` turns values to bytes and back. `synchronous` FULL: a write that returned survives a power cut; NORMAL:
    it survives the death of the process, and a power cut may take the latest writes, in order, none of them half.

    The file belongs to one store at a time. Opening it reads and checks all of it. Raises UserError when it cannot be
    opened (no database, another program's, another schema version, in use, no permission, damaged, or short of
    acknowledged writes unless `accept_revision` is where it ends), and RunFailed when the disk fails later.
    """

    def __init__(
        self,
        path: str | Path,
        codec: Codec,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        accept_revision: int | None = None,
    ) -> None:
        self._path = Path(path)
        self._codec = codec
        self._cache: OrderedDict[int, StoreEntry] = OrderedDict()  # by row id, least recently used first
        self._heads: dict[str, _Head] = {}  # newest rows of keys, as far as they are known without asking
        self._tail = TailRecord(self._path)
        self._db = open_file(self._path, synchronous, self._tail, accept_revision)
        # A row and its head are one statement, which holds or does not: a write of a batch needs no savepoint.
        self._db.execute(
            "CREATE TEMP TRIGGER head AFTER INSERT ON main.history BEGIN"
            " INSERT OR REPLACE INTO heads VALUES (new.key, new.id, new.value IS NOT NULL); END"
        )
        self._revision = self._compacted = self._next_lease = self._total = 0
        self._saved = State(0, 0, 0, 0, 0)  # as it is in the file
        self._batching = False
        with self._reading():
            self._load_numbers()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, key: str, *, revision: int = 0) -> StoreEntry | None:
        if revision:
            check_revision(revision, self._revision, self._compacted)
        with self._reading():
            row = self._db.execute("SELECT id FROM heads WHERE key = ?", (key,)).fetchone()
            return None if row is None else self._as_of(row[0], revision)

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[StoreEntry]:
        if revision:
            check_revision(revision, self._revision, self._compacted)
        where, bounds = _within(prefix, "key")
        if start_after >= prefix:  # one lower bound, or each page would pass through those before it
            where, bounds = where.replace(">=", ">", 1), (start_after, *bounds[1:])
        # Tombstones count only for who looks back.
        alive = "" if revision else " AND live"
        query = f"SELECT id FROM heads WHERE {where}{alive} ORDER BY key"
        out: list[StoreEntry] = []
        with self._reading(), contextlib.closing(self._db.execute(query, bounds)) as heads:
            for (head,) in heads:
                entry = self._as_of(head, revision)
                if entry is not None:
                    out.append(entry)
                    if len(out) == limit:
                        break
        return out

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        if since < self._compacted:
            raise Compacted(since, self._compacted)
        where, bounds = _within(prefix, "h.key")
        query = (
            f"SELECT {_ROW}, b.id, b.key, b.value, b.create_revision, b.version, b.lease"
            f" FROM history h LEFT JOIN history b ON b.id = h.before WHERE h.id >= ? AND {where} ORDER BY h.id"
        )
        with self._reading():
            # At once, since a later write or compaction must not show.
            return iter(
                [
                    Change(row[0] >> _PLACE_BITS, row[1], self._entry(*row[:6]), self._entry(*row[6:]))
                    for row in self._db.execute(query, (since << _PLACE_BITS, *bounds))
                ]
            )

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(self, key: str, value: Any, *, expect: int | None = None, lease: int = 0) -> int:
        data = self._codec.encode(value)
        with self._reading():
            head = self._head(key)
        if self._batching and self._db.in_transaction and not lease and (head is None or not head[4]):
            return self._put_in_batch(key, value, data, expect, head)
        with self._writing():
            if expect is not None and _modified(head) != expect:
                return 0
            self._check_lease(lease)
            self._revision += 1
            self._put(self._revision << _PLACE_BITS, key, value, data, lease, head)
            return self._revision

    def _put_in_batch(self, key: str, value: Any, data: bytes, expect: int | None, head: _Head | None) -> int:
        """`put` without leases in a transaction that has begun: one statement, whole by itself."""
        if expect is not None and _modified(head) != expect:
            return 0
        before = (self._revision, self._total)
        try:
            self._revision += 1
            self._put(self._revision << _PLACE_BITS, key, value, data, 0, head)
        except BaseException as error:
            revision = self._revision
            self._revision, self._total = before
            if revision > before[0]:
                with contextlib.suppress(sqlite3.Error):
                    self._take_back(revision << _PLACE_BITS, key, head)
            self._forget_entries()
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from error
            raise
        return self._revision

    def _take_back(self, row: int, key: str, head: _Head | None) -> None:
        """A write that was interrupted behind its statement never was."""
        self._db.execute("DELETE FROM history WHERE id = ?", (row,))
        if head is None:
            self._db.execute("DELETE FROM heads WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", (key, *head[:2]))

    def delete(self, key: str, *, expect: int | None = None) -> int:
        with self._writing():
            head = self._head(key)
            if not _modified(head) or (expect is not None and _modified(head) != expect):
                return 0
            self._revision += 1
            self._remove(self._revision << _PLACE_BITS, key, head)
            return self._revision

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove] = ()
    ) -> tuple[bool, int]:
        check_put_once(then, otherwise)
        with self._writing():
            held = all(_modified(self._head(compare.key)) == compare.mod_revision for compare in compares)
            writes = then if held else otherwise
            for write in writes:
                if isinstance(write, Put):
                    self._check_lease(write.lease)
            first = row = (self._revision + 1) << _PLACE_BITS
            for write in writes:
                head = self._head(write.key)
                if isinstance(write, Put):
                    self._put(row, write.key, write.value, self._codec.encode(write.value), write.lease, head)
                elif _modified(head):
                    self._remove(row, write.key, head)
                else:
                    continue
                row = self._next_place(row)
            if row > first:
                self._revision += 1
            return held, self._revision

    def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._compacted:
            raise Compacted(revision, self._compacted + 1)
        with self._writing():
            # A tombstone of the compacted revision itself stays until the next compaction: it can be watched.
            rows = "history WHERE id >= ? AND id < ?"
            span = (self._compacted << _PLACE_BITS, (revision + 1) << _PLACE_BITS)
            below = (self._compacted << _PLACE_BITS, revision << _PLACE_BITS)
            dead = f"SELECT key, id FROM {rows} AND value IS NULL"
            self._db.execute(f"DELETE FROM heads WHERE (key, id) IN ({dead})", below)
            self._delete("history", f"id IN (SELECT before FROM {rows})", span)
            self._delete("history", "id >= ? AND id < ? AND value IS NULL", below)
            self._compacted = revision
            self._heads.clear()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        if self._batching:
            yield
            return
        self._batching = True
        try:
            yield
        finally:
            # Each write within is whole: an exception of the caller's takes none of them back.
            self._batching = False
            if self._db.in_transaction:
                try:
                    self._commit()
                except sqlite3.Error as error:
                    with contextlib.suppress(sqlite3.Error):
                        self._forget_the_unwritten()
                    raise self._failed(error) from error

    # -- leases --------------------------------------------------------------------------------------------------------

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        if ttl_ns <= 0:
            raise ValueError(f"a lease's time to live must be positive, found {ttl_ns} ns")
        with self._writing():
            lease = self._next_lease
            self._next_lease += 1
            self._add_lease(lease, ttl_ns, now_ns + ttl_ns)
            return lease

    def keep_alive(self, lease: int, now_ns: int) -> None:
        with self._writing():
            found = self._db.execute("SELECT ttl_ns FROM leases WHERE id = ?", (lease,)).fetchone()
            if found is None:
                raise LeaseNotFound(lease)
            self._delete("leases", "id = ?", (lease,))
            self._add_lease(lease, found[0], now_ns + found[0])

    def revoke(self, lease: int) -> int:
        with self._writing():
            return self._revoke(lease)

    def expire(self, now_ns: int) -> list[int]:
        query = "SELECT id FROM leases WHERE expires_ns <= ? ORDER BY expires_ns, id"
        with self._reading():
            over = [lease for (lease,) in self._db.execute(query, (now_ns,))]
        if over:
            with self._writing():
                for lease in over:
                    self._revoke(lease)
        return over

    def next_expiry_ns(self) -> int | None:
        with self._reading():
            first: int | None = self._db.execute("SELECT min(expires_ns) FROM leases").fetchone()[0]
            return first

    # -- whole ---------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        query = (
            f"SELECT h.key, h.value, h.create_revision, h.id >> {_PLACE_BITS}, h.version, h.lease"
            " FROM heads JOIN history h ON h.id = heads.id WHERE heads.live ORDER BY heads.key"
        )
        with self._reading():
            rows: Iterator[Row] = self._db.execute(query)
            leases = {lease: (ttl, expires) for lease, ttl, expires, _ in self._db.execute("SELECT * FROM leases")}
            return pack(self._revision, rows, leases, self._next_lease)

    def restore(self, data: bytes) -> None:
        saved = unpack(data)
        for row in saved.rows:
            self._codec.decode(row[1])  # a value that nobody can read must not get in
        places: dict[int, int] = {}
        with self._writing():
            self._heads.clear()
            for table in ("history", "heads", "leased", "leases"):
                self._db.execute(f"DELETE FROM {table}")
            self._total = 0
            for key, value, created, modified, version, lease in saved.rows:
                row_id = self._next_place(places[modified]) if modified in places else modified << _PLACE_BITS
                places[modified] = row_id
                self._insert(row_id, key, value, created, version, lease, None)
                if lease:
                    self._db.execute("INSERT INTO leased VALUES (?, ?)", (lease, key))
            for lease, (ttl_ns, expires_ns) in saved.leases.items():
                self._add_lease(lease, ttl_ns, expires_ns)
            self._revision = self._compacted = max(saved.revision, self._revision + 2)
            self._next_lease = saved.next_lease
        self._cache.clear()

    def close(self) -> None:
        close_file(self._db, self._tail)

    # -- within --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """All of the block or none of it; on the disk when it ends, within a batch when that ends."""
        if self._batching:
            with self._write_of_a_batch():
                yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._commit()
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._forget_the_unwritten()
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from error
            raise

    @contextlib.contextmanager
    def _write_of_a_batch(self) -> Iterator[None]:
        before = (self._revision, self._compacted, self._next_lease, self._total)
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("SAVEPOINT one")
            yield
            self._db.execute("RELEASE one")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK TO one")
                self._db.execute("RELEASE one")
            self._revision, self._compacted, self._next_lease, self._total = before
            self._forget_entries()
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from error
            raise

    def _commit(self) -> None:
        writes = self._saved.writes
        state = State(self._revision, self._compacted, self._next_lease, self._total, writes)
        if state == self._saved:  # a write that did not hold
            self._db.execute("COMMIT")
            return
        state = state._replace(writes=writes + 1)
        save_state(self._db, state)
        self._db.execute("COMMIT")
        self._tail.write(state.writes, state.revision)
        self._saved = state

    def _forget_the_unwritten(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        # An interrupt may come after the commit: the file knows, the numbers in memory do not.
        self._load_numbers()
        self._forget_entries()

    def _forget_entries(self) -> None:
        """Those behind the newest revision."""
        self._heads.clear()
        end = (self._revision + 1) << _PLACE_BITS
        while self._cache and next(reversed(self._cache)) >= end:
            self._cache.popitem()

    def _failed(self, error: sqlite3.Error) -> RunFailed:
        return RunFailed(
            "the store's file failed",
            file=self._path,
            found=str(error),
            hint="see whether the disk is full or the file was changed by another program",
        )

    def _load_numbers(self) -> None:
        self._saved = read_state(self._db)
        self._revision, self._compacted, self._next_lease, self._total, _ = self._saved

    def _check_lease(self, lease: int) -> None:
        if lease and self._db.execute("SELECT 1 FROM leases WHERE id = ?", (lease,)).fetchone() is None:
            raise LeaseNotFound(lease)

    def _head(self, key: str) -> _Head | None:
        head = self._heads.get(key)
        if head is None:
            head = self._db.execute(
                "SELECT h.id, heads.live, h.create_revision, h.version, h.lease"
                " FROM heads JOIN history h ON h.id = heads.id WHERE heads.key = ?",
                (key,),
            ).fetchone()
        return head

    def _put(self, row: int, key: str, value: Any, data: bytes, lease: int, head: _Head | None) -> None:
        created, version = row >> _PLACE_BITS, 1
        if head is not None and head[1]:
            created, version = head[2], head[3] + 1
            if head[4] and head[4] != lease:
                self._db.execute("DELETE FROM leased WHERE lease = ? AND key = ?", (head[4], key))
        self._insert(row, key, data, created, version, lease, None if head is None else head[0])
        if lease:
            self._db.execute("INSERT OR REPLACE INTO leased VALUES (?, ?)", (lease, key))
        self._remember(row, StoreEntry(key, value, created, row >> _PLACE_BITS, version, lease))

    def _remove(self, row: int, key: str, head: _Head | None) -> None:
        assert head is not None, key
        if head[4]:
            self._db.execute("DELETE FROM leased WHERE lease = ? AND key = ?", (head[4], key))
        self._insert(row, key, None, 0, 0, 0, head[0])

    def _insert(
        self, row: int, key: str, data: bytes | None, created: int, version: int, lease: int, before: int | None
    ) -> None:
        checksum = row_checksum(data, row, key, created, version, lease, before)
        self._db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (row, key, data, created, version, lease, before, checksum),
        )
        self._total = add_up(self._total, (checksum,))
        if len(self._heads) >= _CACHED:
            self._heads.clear()
        self._heads[key] = (row, int(data is not None), created, version, lease)

    def _delete(self, table: str, where: str, values: tuple[int, ...]) -> int:
        """How many rows of history or leases it deleted."""
        gone = [sum_ for (sum_,) in self._db.execute(f"SELECT checksum FROM {table} WHERE {where}", values)]
        self._db.execute(f"DELETE FROM {table} WHERE {where}", values)
        self._total = add_up(self._total, (), gone)
        return len(gone)

    def _add_lease(self, lease: int, ttl_ns: int, expires_ns: int) -> None:
        checksum = row_checksum(None, lease, ttl_ns, expires_ns)
        self._db.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (lease, ttl_ns, expires_ns, checksum))
        self._total = add_up(self._total, (checksum,))

    def _revoke(self, lease: int) -> int:
        if not self._delete("leases", "id = ?", (lease,)):
            raise LeaseNotFound(lease)
        keys = self._db.execute("SELECT key FROM leased WHERE lease = ? ORDER BY key", (lease,)).fetchall()
        if keys:
            self._revision += 1
            row = self._revision << _PLACE_BITS
            for (key,) in keys:
                self._remove(row, key, self._head(key))
                row = self._next_place(row)
        return self._revision

    def _next_place(self, row: int) -> int:
        if (row + 1) % _PLACES == 0:
            raise ValueError(f"more than {_PLACES - 1} writes at one revision")
        return row + 1

    def _as_of(self, row: int, revision: int) -> StoreEntry | None:
        """The entry of a row or, with a revision, of the newest in its chain that is not later."""
        if revision:
            end = (revision + 1) << _PLACE_BITS
            while row >= end:
                (before,) = self._db.execute("SELECT before FROM history WHERE id = ?", (row,)).fetchone()
                if before is None:
                    return None
                row = before
        entry = self._cache.get(row)
        if entry is not None:
            self._cache.move_to_end(row)
            return entry
        found = self._db.execute(f"SELECT {_ROW} FROM history h WHERE id = ?", (row,)).fetchone()
        return None if found is None else self._entry(*found)

    def _entry(
        self, row: int | None, key: str, data: bytes | None, created: int, version: int, lease: int
    ) -> StoreEntry | None:
        """None for a tombstone, and for a row that is not there."""
        if row is None or data is None:
            return None
        entry = self._cache.get(row)
        if entry is None:
            entry = StoreEntry(key, self._codec.decode(data), created, row >> _PLACE_BITS, version, lease)
            self._remember(row, entry)
        return entry

    def _remember(self, row: int, entry: StoreEntry) -> None:
        self._cache[row] = entry
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)


_Head = tuple[int, int, int, int, int]
"""A key's newest row: (row id, live, create_revision, version, lease)."""


def _modified(head: _Head | None) -> int:
    """Its mod_revision; 0 when it is not there."""
    return head[0] >> _PLACE_BITS if head is not None and head[1] else 0


def _within(prefix: str, column: str) -> tuple[str, tuple[str, ...]]:
    end = prefix_end(prefix)
    return (f"{column} >= ?", (prefix,)) if end is None else (f"{column} >= ? AND {column} < ?", (prefix, end))
