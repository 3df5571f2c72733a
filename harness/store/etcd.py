"""The store in an etcd of its own: a write that returned is in etcd, and the cluster goes on where it was left.

A mirror in memory answers reads; every write goes to etcd first, in one transaction with a record of the store that
nobody else may have written. Leases run by the cluster's clock, so that they stand in that record and are none of
etcd's. Keys in etcd: "s" and the key, with the entry's numbers before its value; "m" the record.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from harness.model.errors import RunFailed, UserError
from harness.store.etcd_client import EtcdClient, Event, KeyValue, Refused, delete_of, put_of
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
)
from harness.store.leases import Leases
from harness.store.memory import MemoryStore
from harness.store.snapshots import entries, unpack

RECORD, KEYS, END = b"m", b"s", b"t"

LOCK = 0x706F6479
"""Id of the etcd lease that whoever has the store open keeps alive ("pody")."""
LOCK_S, KEPT_ALIVE_S = 6, 2.0
"""A store whose process was killed can be opened so much later."""

AGAIN_S, PATIENCE_S = 0.2, 30.0
"""A write waits so long for an etcd that does not answer."""

PAGE = 1000
RESTORED_AT_ONCE = 100
"""Keys of a snapshot that are written in one transaction. Source: etcd's default of --max-txn-ops is 128."""


_PASSING = ("no leader", "leader changed", "timed out", "too many requests", "not capable")
"""What an etcd says that has just been started. Source: etcd api/v3rpc/rpctypes/error.go."""


class Record(msgspec.Struct, array_like=True):
    """`offset`: what this store's revisions are ahead of etcd's. `restoring`: a restore has begun and not ended."""

    offset: int = 0
    leases: dict[int, tuple[int, int]] = {}
    next_lease: int = 1
    restoring: bool = False


class _Row(msgspec.Struct, array_like=True):
    """What stands in etcd under a key."""

    created: int
    modified: int
    version: int
    lease: int
    value: bytes


# size: one method for each of the Store protocol's that writes, and how a write gets to etcd.
class EtcdStore(MemoryStore):
    """`url`: of an etcd that nobody else uses. Raises UserError when it cannot be opened (not reached, in use,
    another's), RunFailed when it fails later or somebody else writes there, ValueError for what is too large for it."""

    def __init__(self, url: str, codec: Codec) -> None:
        super().__init__(codec)
        self._etcd = EtcdClient(url)
        self._record = Record()
        self._record_at = 0  # etcd's revision of the record
        self._at: int  # etcd's revision
        self._kept_alive = 0.0
        self._opened_at = 0  # changes at this revision cannot be told whole
        try:
            self._lock()
            self._load()
        except (OSError, http.client.HTTPException) as error:
            self._etcd.close()
            raise UserError(
                "etcd cannot be reached",
                found=f"{url}: {error}",
                hint="etcd --data-dir DIR starts one on http://127.0.0.1:2379",
            ) from None
        except Refused as refused:
            self._etcd.close()
            raise UserError("etcd refused", found=f"{url}: {refused}", expected="an etcd 3.4 or later") from None
        except UserError:
            self._etcd.close()
            raise

    # -- opening -------------------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        deadline = time.monotonic() + LOCK_S + 2
        while not self._etcd.grant(LOCK, LOCK_S):
            if time.monotonic() > deadline:
                raise UserError(
                    "the store is in use",
                    found=f"another process keeps its lease at {self._etcd.url}",
                    hint="stop it: a store belongs to one process at a time",
                )
            time.sleep(AGAIN_S)
        self._kept_alive = time.monotonic()

    def _load(self) -> None:
        etcd = self._etcd
        self._at, found = etcd.get(RECORD)
        if found is None:
            if etcd.count():
                self._unlock()
                what = f"{etcd.count()} keys that are not Podyard's"
                raise UserError("the etcd is another's", found=what, expected="one that holds nothing")
            self._record.offset = 1 - self._at
            return
        self._record_at = found.mod_revision
        self._record = record = msgspec.msgpack.decode(found.value, type=Record)
        if record.restoring:
            self._unlock()
            hint = f'empty it (etcdctl del "" --from-key --endpoints {etcd.url}) and restore the snapshot again'
            raise UserError("a restore of this store was interrupted", found=etcd.url, hint=hint)
        self._leases = Leases(record.leases, record.next_lease)
        self._revision = self._at + record.offset
        for kv in etcd.range(KEYS, END, PAGE):
            entry = self._entry(kv)
            assert entry is not None
            self._now[entry.key] = entry
            if entry.lease:
                self._leased.setdefault(entry.lease, set()).add(entry.key)
        compacted = etcd.compacted()
        if compacted + record.offset > 0:  # else it is of a time before this store
            self._compacted = self._opened_at = compacted + record.offset
        if compacted < self._at:
            self._log = [
                self._change(event) for event in etcd.history(compacted + 1, self._at) if event.kv.key != RECORD
            ]

    def _change(self, event: Event) -> Change:
        revision = event.kv.mod_revision + self._record.offset
        key = event.kv.key.removeprefix(KEYS).decode()
        return Change(revision, key, None if event.deleted else self._entry(event.kv), self._entry(event.before))

    def _entry(self, kv: KeyValue | None) -> StoreEntry | None:
        if kv is None:
            return None
        row = msgspec.msgpack.decode(kv.value, type=_Row)
        key = kv.key.removeprefix(KEYS).decode()
        return StoreEntry(key, self._codec.decode(row.value), row.created, row.modified, row.version, row.lease)

    def _unlock(self) -> None:
        with contextlib.suppress(Refused, OSError, http.client.HTTPException):
            self._etcd.revoke(LOCK)

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(self, key: str, value: Any, *, expect: int | None = None, lease: int = 0) -> int:
        before = self._now.get(key)
        if expect is not None and (before.mod_revision if before is not None else 0) != expect:
            return 0
        if lease and lease not in self._leases:
            raise LeaseNotFound(lease)
        self._commit([Put(key, value, lease)])
        return super().put(key, value, lease=lease)

    def delete(self, key: str, *, expect: int | None = None) -> int:
        before = self._now.get(key)
        if before is None or (expect is not None and before.mod_revision != expect):
            return 0
        self._commit([Remove(key)])
        return super().delete(key)

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove] = ()
    ) -> tuple[bool, int]:
        check_put_once(then, otherwise)
        held = all(
            (entry.mod_revision if (entry := self._now.get(compare.key)) is not None else 0) == compare.mod_revision
            for compare in compares
        )
        writes = then if held else otherwise
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise LeaseNotFound(write.lease)
        if any(isinstance(write, Put) or write.key in self._now for write in writes):
            self._commit(writes)
        return super().txn(compares, then, otherwise)

    def revoke(self, lease: int) -> int:
        if lease not in self._leases:
            raise LeaseNotFound(lease)
        keys = sorted(self._leased.get(lease, ()))
        if keys:
            self._commit([Remove(key) for key in keys], without_lease=lease)
        return super().revoke(lease)

    def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._compacted:
            raise Compacted(revision, self._compacted + 1)
        self._asked(lambda: self._etcd.compact(revision - self._record.offset), done="has been compacted")
        super().compact(revision)

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        if since and since == self._opened_at:
            raise Compacted(since, since + 1)  # what was deleted at it is not known any more
        return super().changes(prefix, since)

    def restore(self, data: bytes) -> None:
        saved = unpack(data)
        entries(self._codec, saved)  # refused before anything is written
        after = max(saved.revision, self._revision + 2)
        record = Record(self._record.offset, saved.leases, saved.next_lease, restoring=True)
        self._send([delete_of(KEYS, END)], record)
        rows = saved.rows
        for start in range(0, len(rows), RESTORED_AT_ONCE):
            made = [(row[0], _Row(*row[2:], row[1])) for row in rows[start : start + RESTORED_AT_ONCE]]
            self._send([put_of(KEYS + key.encode(), msgspec.msgpack.encode(row)) for key, row in made], record)
        record = Record(after - self._at - 1, saved.leases, saved.next_lease)
        self._send([], record)
        at = self._at
        self._asked(lambda: self._etcd.compact(at), done="has been compacted")
        super().restore(data)
        self._opened_at = 0

    def close(self) -> None:
        self._unlock()
        self._etcd.close()

    # -- within --------------------------------------------------------------------------------------------------------

    def _commit(self, writes: Sequence[Put | Remove], *, without_lease: int = 0) -> None:
        """At the next revision, which the mirror then writes too."""
        revision = self._revision + 1
        operations: list[dict[str, Any]] = []
        removed = set()
        for write in writes:
            key = KEYS + write.key.encode()
            before = self._now.get(write.key)
            if isinstance(write, Put):
                created, version = (revision, 1) if before is None else (before.create_revision, before.version + 1)
                row = _Row(created, revision, version, write.lease, self._codec.encode(write.value))
                operations.append(put_of(key, msgspec.msgpack.encode(row)))
            elif before is not None and write.key not in removed:
                removed.add(write.key)
                operations.append(delete_of(key))
        leases = {lease: times for lease, times in self._leases.times.items() if lease != without_lease}
        self._send(operations, Record(self._record.offset, leases, self._leases.next_id))

    def _send(self, operations: list[dict[str, Any]], record: Record) -> None:
        """One transaction, with the record."""
        data = msgspec.msgpack.encode([*msgspec.structs.astuple(record), self._at])  # never the same twice
        wanted = self._at + 1

        def attempt() -> None:
            held, at = self._etcd.txn((RECORD, self._record_at), [*operations, put_of(RECORD, data)])
            if held and at == wanted:
                return
            if not held and self._etcd.get(RECORD)[1] == KeyValue(RECORD, data, wanted):
                return  # it was taken when nobody could tell us so
            raise RunFailed(
                "somebody else writes to the store's etcd",
                found=f"revision {at} instead of {wanted} at {self._etcd.url}",
                hint="a store needs an etcd of its own",
            )

        self._asked(attempt)
        self._record, self._record_at, self._at = record, wanted, wanted

    def _asked(self, ask: Callable[[], None], done: str = "") -> None:
        """Until etcd answers, for some time. `done`: words of a refusal that says that it was done before."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._keep_lock()
                ask()
            except Refused as refused:
                if done and done in str(refused):
                    return
                if any(words in str(refused) for words in _PASSING) and time.monotonic() < deadline:
                    time.sleep(AGAIN_S)
                    continue
                if "too large" in str(refused) or "too many operations" in str(refused):
                    raise ValueError(f"etcd takes no such write: {refused}") from None
                raise RunFailed("etcd refused", found=f"{self._etcd.url}: {refused}") from None
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise RunFailed("etcd does not answer", found=f"{self._etcd.url}: {error}") from None
                time.sleep(AGAIN_S)
                self._etcd.reconnect()
                continue
            return

    def _keep_lock(self) -> None:
        now = time.monotonic()
        if now - self._kept_alive > KEPT_ALIVE_S:
            if not self._etcd.keep_alive(LOCK) and not self._etcd.grant(LOCK, LOCK_S):
                raise RunFailed("the store was opened by another process", found=self._etcd.url)
            self._kept_alive = now
