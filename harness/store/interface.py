"""etcd's semantics as one interface: revisions, compare-and-set, transactions, watches, leases, compaction.

Source of the semantics: etcd API v3 (etcd.io/docs/v3.5/learning/api). One revision counter for the whole store; every
write gets the next one, a transaction one for all that it writes. Values are opaque: what an implementation that
leaves the process needs to turn them into bytes it is given by its maker. Keys are ordered by code point, which is
the order of their UTF-8 bytes. A store is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec


class StoreEntry(msgspec.Struct, frozen=True, gc=False):
    """A key's value and its history in numbers."""

    key: str
    value: Any
    create_revision: int
    mod_revision: int
    version: int  # writes since it was created, from 1
    lease: int = 0


class Change(msgspec.Struct, frozen=True, gc=False):
    """One write. `entry` is None when the key was deleted; `before` is None when it was not there."""

    revision: int
    key: str
    entry: StoreEntry | None
    before: StoreEntry | None


class Compare(msgspec.Struct, frozen=True, gc=False):
    """`key` was last modified at `mod_revision`; 0: it is not there."""

    key: str
    mod_revision: int


class Put(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: Any
    lease: int = 0


class Remove(msgspec.Struct, frozen=True, gc=False):
    key: str


class Compacted(Exception):
    """The revision asked for is gone. `oldest`: the first that is still there."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"required revision has been compacted: asked {asked}, oldest {oldest}")
        self.asked = asked
        self.oldest = oldest

    def __reduce__(self) -> tuple[Any, ...]:
        return (Compacted, (self.asked, self.oldest))


class FutureRevision(Exception):
    """The revision asked for has not happened yet."""

    def __init__(self, asked: int, newest: int) -> None:
        super().__init__(f"required revision is a future revision: asked {asked}, newest {newest}")
        self.asked = asked
        self.newest = newest

    def __reduce__(self) -> tuple[Any, ...]:
        return (FutureRevision, (self.asked, self.newest))


def check_revision(asked: int, newest: int, oldest: int) -> None:
    """Whether the state at a revision can be read. Raises FutureRevision or Compacted."""
    if asked > newest:
        raise FutureRevision(asked, newest)
    if asked < oldest:
        raise Compacted(asked, oldest)


class LeaseNotFound(Exception):
    """No such lease, or it has been revoked."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"requested lease not found: {lease}")
        self.lease = lease

    def __reduce__(self) -> tuple[Any, ...]:
        return (LeaseNotFound, (self.lease,))


class Codec(Protocol):
    """How values become bytes, for what leaves the process. Lossless, and the same bytes for the same value."""

    def encode(self, value: Any) -> bytes:
        """Raises TypeError or ValueError for what it cannot keep exactly."""

    def decode(self, data: bytes) -> Any:
        """Raises ValueError for bytes that `encode` did not make."""


class Store(Protocol):
    @property
    def revision(self) -> int:
        """Of the last write; 1 in a new store, as in etcd."""

    @property
    def compacted(self) -> int:
        """Changes below this revision are gone, and so is what was there before those at it; 0 when nothing is."""

    def get(self, key: str, *, revision: int = 0) -> StoreEntry | None:
        """As of `revision`, 0 for now. Raises Compacted (below `compacted`), FutureRevision."""

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[StoreEntry]:
        """In order of key; `start_after`: keys greater than that one; `limit` 0: all. Raises as `get`."""

    def put(self, key: str, value: Any, *, expect: int | None = None, lease: int = 0) -> int:
        """The revision of the write; 0 when `expect` (the mod_revision, 0: not there) did not hold.

        A put without a lease detaches the key from the one it had. Raises LeaseNotFound.
        """

    def delete(self, key: str, *, expect: int | None = None) -> int:
        """The revision of the write; 0 when `expect` did not hold or nothing was there."""

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove] = ()
    ) -> tuple[bool, int]:
        """All of `then` when every comparison holds, else all of `otherwise`: (held, revision after).

        What writes nothing (no writes, or only removals of what is not there) leaves the revision as it is. Raises
        ValueError when a branch puts a key twice or puts and removes it, LeaseNotFound; either way nothing is written.
        """

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        """What was written under `prefix` at revisions >= `since`, in order, as of this call: later writes do not
        appear, a later compaction takes nothing away. Raises Compacted, at once, when `since` is below `compacted`.

        As in etcd, the compacted revision itself can still be watched, deletions included (etcd PR 18274, in 3.4.34,
        3.5.15 and 3.6); what was there before those changes is gone, so their `before` is None.
        """

    def batch(self) -> AbstractContextManager[None]:
        """Writes within may become durable together, when the block ends; each is whole by itself, and seen at once by
        who reads here. Nobody outside is to be told of one before. Raises RunFailed at the end when the disk fails."""
        ...

    def compact(self, revision: int) -> None:
        """Forget what was superseded up to `revision`. Raises Compacted, FutureRevision."""

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        """A lease that ends `ttl_ns` from now unless kept alive; its id. Raises ValueError unless `ttl_ns` > 0."""

    def keep_alive(self, lease: int, now_ns: int) -> None:
        """A lease lives until `expire` or `revoke` ends it, so a late renewal still counts. Raises LeaseNotFound."""

    def revoke(self, lease: int) -> int:
        """End it and delete its keys, in order of key, at one revision; that revision, or the present one when it had
        no keys. Raises LeaseNotFound."""

    def expire(self, now_ns: int) -> list[int]:
        """Revoke what has run out, in order of (expiry, id); their ids."""

    def next_expiry_ns(self) -> int | None:
        """When the first lease runs out; None without leases."""

    def snapshot(self) -> bytes:
        """Everything that is there now, for `restore` of any implementation; the same bytes whichever wrote them."""

    def restore(self, data: bytes) -> None:
        """Replace everything. Raises ValueError on a damaged snapshot, changing nothing.

        The revision goes on from the snapshot's, or from the second next of this store when that is later, and all
        before it is compacted: revisions never run backwards, and whoever watched this store, even one who had seen
        its last write, asks for a revision below the compacted one, is told Compacted and lists again.
        """

    def close(self) -> None:
        """Let go of files and locks; nothing else may be called afterwards."""


def check_put_once(*branches: Sequence[Put | Remove]) -> None:
    """etcd refuses a transaction when either branch, taken or not, puts a key that it also puts or removes elsewhere;
    it takes two removals of one key (checkPuts and checkIntervals in etcd 3.4 and 3.6, etcdserver/api/v3rpc/key.go).
    Raises ValueError.
    """
    for writes in branches:
        put = [write.key for write in writes if isinstance(write, Put)]
        keys = set(put)
        if len(keys) != len(put) or any(isinstance(write, Remove) and write.key in keys for write in writes):
            raise ValueError("duplicate key given in txn request")


def prefix_end(prefix: str) -> str | None:
    """The first key after all that start with `prefix`; None when there is no such key."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code <= 0x10FFFF:
            # Surrogates are no characters: they have no UTF-8, so no key can hold one in every implementation.
            return prefix[:at] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)
    return None
