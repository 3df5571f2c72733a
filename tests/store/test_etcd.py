"""Random operations on all stores and on a real etcd: every answer, and every watch, is the same.

`PODYARD_ETCD_OPERATIONS=100000 pytest -m slow tests/store/test_etcd.py` compares that many operations.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.store.codec import ObjectCodec
from harness.store.etcd import EtcdStore
from harness.store.interface import Compacted, Compare, FutureRevision, LeaseNotFound, Put, Remove, Store, StoreEntry
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore
from tests.store.etcd import Etcd, running_etcd

pytestmark = pytest.mark.skipif(
    shutil.which("etcd") is None, reason="no etcd here (Debian: apt-get install etcd-server)"
)

KEYS = ("/a/1", "/a/2", "/a/3", "/ab", "/b/1", "/b/ä", "/b/\U00010000", "/c")
PREFIXES = ("", "/", "/a", "/a/", "/b/", "/b/1", "/zz")
TTL_NS = 10**18  # leases end by being revoked alone: etcd's own clock is not ours
MARK = "/mark"


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    with running_etcd() as etcd:
        yield etcd


@pytest.fixture(scope="module")
def kept_in() -> Iterator[Etcd]:
    with running_etcd() as etcd:
        yield etcd


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_operations_answer_as_etcd_does(etcd: Etcd, kept_in: Etcd, tmp_path: Path, seed: int) -> None:
    Comparison(etcd, kept_in, tmp_path, seed).run(350)


@pytest.mark.slow
def test_many_operations_answer_as_etcd_does(etcd: Etcd, kept_in: Etcd, tmp_path: Path) -> None:
    asked = int(os.environ.get("PODYARD_ETCD_OPERATIONS", "20000"))
    done: Counter[str] = Counter()
    for seed in range(1000, 1000 + asked // 1000):
        comparison = Comparison(etcd, kept_in, tmp_path, seed)
        comparison.run(1000)
        done += comparison.done
    print(f"{sum(done.values())} operations equal to those of etcd {etcd.version}: {dict(done)}")
    assert sum(done.values()) >= asked // 1000 * 1000


class Comparison:
    """One run of operations. etcd goes on from the run before; its revisions are moved by a constant."""

    def __init__(self, etcd: Etcd, kept_in: Etcd, folder: Path, seed: int) -> None:
        """`kept_in`: where the store in an etcd keeps what it holds."""
        self.etcd, self.chance, self.done = etcd, random.Random(seed), Counter[str]()
        self.stores: list[Store] = [
            MemoryStore(ObjectCodec()),
            SqliteStore(folder / f"{seed}.db", ObjectCodec(), synchronous="NORMAL"),
            EtcdStore(kept_in.url, ObjectCodec()),
        ]
        self.kept_in = kept_in
        for entry in etcd.range(""):
            etcd.txn([], [Remove(entry[0])], [])
        self.moved = etcd.revision - 1
        self.first_lease = seed * 10_000 + 1
        self.leases: list[int] = []
        self.granted = 0

    def run(self, operations: int) -> None:
        names = ("put", "remove", "txn", "get", "page", "watch", "compact", "grant", "revoke")
        weights = (30, 10, 22, 12, 12, 4, 2, 3, 3)
        for name in self.chance.choices(names, weights, k=operations):
            self.done[name] += 1
            getattr(self, name)()
            if self.done.total() % 50 == 0:
                self.compare(lambda store: entries(store.range("")), lambda: self.etcd.range(""))
        self.compare(lambda store: entries(store.range("")), lambda: self.etcd.range(""))
        for store in self.stores:
            store.close()
        self.kept_in.empty()

    @property
    def revision(self) -> int:
        return self.stores[0].revision

    def some_revision(self) -> int:
        """Mostly one that can be read; now and then the future, the compacted one, or one before it."""
        compacted = self.stores[0].compacted
        near = (compacted - 1, compacted, compacted + 1, self.revision, self.revision + 1)
        one = self.chance.choice(near) if self.chance.random() < 0.4 else self.chance.randint(compacted, self.revision)
        return max(one, 1)

    def compare(self, ours: Callable[[Store], Any], theirs: Callable[[], Any]) -> Any:
        answers = [self.answer(lambda store=store: ours(store)) for store in self.stores]  # type: ignore[misc]
        expected = self.moved_back(self.answer(theirs))
        assert answers == [expected] * 3, f"memory, sqlite, in etcd: {answers}; etcd: {expected}"
        assert [store.revision for store in self.stores] == [self.revision] * 3
        return expected

    def answer(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (Compacted, FutureRevision, LeaseNotFound, ValueError) as error:
            return type(error)

    def moved_back(self, answer: Any) -> Any:
        """etcd's revisions as ours: those of this run begin at 1, and its leases at 1."""
        if isinstance(answer, list):
            return [self.moved_back(item) for item in answer]
        if isinstance(answer, tuple) and len(answer) == 6:  # an entry
            key, value, created, modified, version, lease = answer
            lease = lease and lease - self.first_lease + 1
            return key, value, created - self.moved, modified - self.moved, version, lease
        if isinstance(answer, tuple) and len(answer) == 4:  # a change
            return answer[0] - self.moved, answer[1], self.moved_back(answer[2]), self.moved_back(answer[3])
        if isinstance(answer, tuple):  # a transaction
            return answer[0], answer[1] - self.moved
        return answer - self.moved if isinstance(answer, int) else answer

    # -- operations ----------------------------------------------------------------------------------------------------

    def some_lease(self) -> int:
        """None, one that lives, or one that never did."""
        return self.chance.choice([0, 0, 0, *self.leases[-3:], 9_999])

    def theirs(self, lease: int) -> int:
        return lease and lease + self.first_lease - 1

    def put(self) -> None:
        key, value, lease = self.chance.choice(KEYS), str(self.chance.random()), self.some_lease()
        self.compare(
            lambda store: store.put(key, value, lease=lease), lambda: self.etcd.put(key, value, self.theirs(lease))
        )

    def remove(self) -> None:
        key = self.chance.choice(KEYS)
        self.compare(lambda store: store.txn([], [Remove(key)], []), lambda: self.etcd.txn([], [Remove(key)], []))

    def txn(self) -> None:
        compares = []
        for key in self.chance.sample(KEYS, k=self.chance.choice((0, 1, 1, 2))):
            entry = self.stores[0].get(key)
            compares.append(Compare(key, (entry.mod_revision if entry else 0) + (self.chance.random() < 0.2)))
        branches = [[self.some_write() for _ in range(self.chance.randint(0, 3))] for _ in range(2)]
        moved = [Compare(c.key, c.mod_revision and c.mod_revision + self.moved) for c in compares]
        theirs = [
            [Put(w.key, w.value, self.theirs(w.lease)) if isinstance(w, Put) else w for w in writes]
            for writes in branches
        ]
        self.compare(lambda store: store.txn(compares, *branches), lambda: self.etcd.txn(moved, *theirs))

    def some_write(self) -> Put | Remove:
        key = self.chance.choice(KEYS)
        return (
            Remove(key) if self.chance.random() < 0.4 else Put(key, str(self.chance.random()), lease=self.some_lease())
        )

    def get(self) -> None:
        key, revision = self.chance.choice(KEYS), self.chance.choice((0, self.some_revision()))
        self.compare(
            lambda store: entries([store.get(key, revision=revision)])[0],
            lambda: self.etcd.get(key, revision and revision + self.moved),
        )

    def page(self) -> None:
        prefix, after = self.chance.choice(PREFIXES), self.chance.choice(("", "/a", *KEYS))
        revision, limit = self.chance.choice((0, self.some_revision())), self.chance.choice((0, 0, 1, 2, 5))
        self.compare(
            lambda store: entries(store.range(prefix, revision=revision, start_after=after, limit=limit)),
            lambda: self.etcd.range(
                prefix, revision=revision and revision + self.moved, start_after=after, limit=limit
            ),
        )

    def watch(self) -> None:
        since = max(self.some_revision(), 2)  # etcd's first revision of this run belongs to the run before
        # etcd's answer ends when the newest change has come, so there must be one at the newest revision.
        self.compare(lambda store: store.put(MARK, "x"), lambda: self.etcd.put(MARK, "x"))
        until = self.revision
        since = min(since, until)
        compacted = self.stores[0].compacted
        keeps = self.etcd.version >= (3, 5, 15) or (3, 4, 34) <= self.etcd.version < (3, 5)

        def ours(store: Store) -> Any:
            told = [
                (c.revision, c.key, *entries([c.entry, c.before]))
                for c in store.changes("", since)
                # Before PR 18274 etcd forgot the deletions of the compacted revision.
                if keeps or c.revision > compacted or c.entry is not None
            ]
            return told

        self.compare(ours, lambda: self.etcd.changes(since + self.moved, until + self.moved))

    def compact(self) -> None:
        revision = self.some_revision()
        if revision + self.moved > 1:
            self.compare(lambda store: store.compact(revision), lambda: self.etcd.compact(revision + self.moved))

    def grant(self) -> None:
        self.granted += 1
        ids = {store.grant(TTL_NS, now_ns=0) for store in self.stores}
        assert ids == {self.granted}
        self.etcd.grant(self.theirs(self.granted))
        self.leases.append(self.granted)

    def revoke(self) -> None:
        lease = self.chance.choice([*self.leases, 9_999])
        if lease in self.leases:
            self.leases.remove(lease)
        self.compare(lambda store: store.revoke(lease), lambda: self.etcd.revoke(self.theirs(lease)))


def entries(found: list[StoreEntry] | list[StoreEntry | None]) -> list[tuple[Any, ...] | None]:
    return [
        None if e is None else (e.key, e.value, e.create_revision, e.mod_revision, e.version, e.lease) for e in found
    ]
