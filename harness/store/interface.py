"""etcd's semantics as one interface: revisions, compare-and-set, transactions, watches, leases, compaction.

Source of the semantics: etcd API v3 (etcd.io/docs/v3.5/learning/api). One revision counter for the whole store; every
write gets the next one, a transaction one for all that it writes. Values are opaque: what an implementation that
leaves the process needs to turn them into bytes it is given by its maker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
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
    entry: Entry | None
    before: Entry | None


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


class LeaseNotFound(Exception):
    """No such lease, or it has expired."""


class Store(Protocol):
    @property
    def revision(self) -> int:
        """Of the last write; 1 in a new store, as in etcd."""

    @property
    def compacted(self) -> int:
        """Everything up to and including this revision may be gone; 0 when nothing is."""

    def get(self, key: str, *, revision: int = 0) -> Entry | None:
        """As of `revision`, 0 for now. Raises Compacted, FutureRevision."""

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[Entry]:
        """In order of key; `start_after`: keys greater than that one; `limit` 0: all. Raises as `get`."""

    def put(self, key: str, value: Any, *, expect: int | None = None, lease: int = 0) -> int:
        """The revision of the write; 0 when `expect` (the mod_revision, 0: not there) did not hold.

        Raises LeaseNotFound.
        """

    def delete(self, key: str, *, expect: int | None = None) -> int:
        """The revision of the write; 0 when `expect` did not hold or nothing was there."""

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove] = ()
    ) -> tuple[bool, int]:
        """All of `then` when every comparison holds, else all of `otherwise`: (held, revision after).

        A key may be written once. Raises ValueError when one is written twice.
        """

    def changes(self, prefix: str, since: int) -> Iterator[Change]:
        """What was written under `prefix` at revisions >= `since`, in order. Raises Compacted when `since` is gone."""

    def compact(self, revision: int) -> None:
        """Forget what was superseded up to `revision`. Raises Compacted, FutureRevision."""

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        """A lease that ends `ttl_ns` from now unless kept alive; its id."""

    def keep_alive(self, lease: int, now_ns: int) -> None:
        """Raises LeaseNotFound."""

    def revoke(self, lease: int) -> int:
        """End it and delete its keys; the revision of that, or the present one. Raises LeaseNotFound."""

    def expire(self, now_ns: int) -> list[int]:
        """Revoke what has run out, in order of (expiry, id); their ids."""

    def next_expiry_ns(self) -> int | None: ...

    def snapshot(self) -> bytes:
        """Everything that is there now, for `restore` of any implementation."""

    def restore(self, data: bytes) -> None:
        """Replace everything; watchers must list again. The revision goes on from the snapshot's, and history before
        it is compacted. Raises ValueError on a damaged snapshot, changing nothing."""

    def close(self) -> None: ...
