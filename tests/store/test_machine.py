"""Both stores and a model of a few lines do the same random things; after each step all three agree."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.store.codec import ObjectCodec
from harness.store.interface import Change, Compacted, Compare, FutureRevision, LeaseNotFound, Put, Remove, Store
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore
from tests.examples import examples

NAMES = ("/a", "/a/1", "/a/10", "/a/2", "/a0", "/b/1", "/b/é")
KEYS = st.sampled_from(NAMES)
PREFIXES = ("", "/", "/a", "/a/", "/a/1", "/b/", "/c")
VALUES = st.integers(0, 99)
LEASES = st.integers(0, 5)
HELD_BY = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 4])  # most keys hang on no lease
WRITES = st.lists(st.builds(Put, KEYS, VALUES, HELD_BY) | st.builds(Remove, KEYS), max_size=4)


def played(store: Store, prefix: str, since: int) -> list[Change]:
    return list(store.changes(prefix, since))


class Stores(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store.db"
        self.sqlite = SqliteStore(self.path, ObjectCodec(), synchronous="NORMAL")
        self.memory = MemoryStore(ObjectCodec())
        # The model: the state at every revision that can still be read, as {key: (value, created, modified, version)}.
        self.past: dict[int, dict[str, tuple[Any, int, int, int]]] = {1: {}}
        self.now_ns = 0
        for ttl_ns in (25, 40, 15):
            self.grant(ttl_ns)

    def teardown(self) -> None:
        if hasattr(self, "sqlite"):
            self.sqlite.close()
            self.folder.cleanup()

    def both(self, do: Callable[[Store], Any]) -> Any:
        answers = []
        for store in (self.memory, self.sqlite):
            try:
                answers.append(do(store))
            except (Compacted, FutureRevision, LeaseNotFound, ValueError) as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    def follow(self, writes: list[tuple[str, Any]], revision: int) -> None:
        """The model writes; a value of None deletes."""
        before = self.past[max(self.past)]
        state = dict(before)
        for key, value in writes:
            if value is None:
                state.pop(key, None)
            elif key in before:
                _, created, _, version = before[key]
                state[key] = (value, created, revision, version + 1)
            else:
                state[key] = (value, revision, revision, 1)
        if state != before:
            assert revision == max(self.past) + 1
            self.past[revision] = state

    @rule(key=KEYS, value=VALUES, lease=HELD_BY, stale=st.sampled_from([None, 0, 1]))
    def put(self, key: str, value: int, lease: int, stale: int | None) -> None:
        at = self.past[max(self.past)].get(key, (0, 0, 0, 0))[2]
        expect = None if stale is None else at + stale
        answer = self.both(lambda store: store.put(key, value, expect=expect, lease=lease))
        assert (answer == 0) == (stale == 1)
        if isinstance(answer, int) and answer:
            self.follow([(key, value)], answer)

    @rule(key=KEYS, stale=st.sampled_from([None, 0, 1]))
    def delete(self, key: str, stale: int | None) -> None:
        there = self.past[max(self.past)].get(key)
        expect = None if stale is None else (there or (0, 0, 0, 0))[2] + stale
        answer = self.both(lambda store: store.delete(key, expect=expect))
        assert (answer > 0) == (there is not None and stale != 1)
        if answer:
            self.follow([(key, None)], answer)

    @rule(compares=st.lists(st.tuples(KEYS, st.integers(0, 1)), max_size=2), then=WRITES, otherwise=WRITES)
    def txn(self, compares: list[tuple[str, int]], then: list[Put | Remove], otherwise: list[Put | Remove]) -> None:
        state = self.past[max(self.past)]
        asked = [Compare(key, state.get(key, (0, 0, 0, 0))[2] + stale) for key, stale in compares]
        held, revision = self.both(lambda store: store.txn(asked, then, otherwise))
        if isinstance(held, bool):
            assert held == (not any(stale for _, stale in compares))
            writes = then if held else otherwise
            self.follow([(w.key, w.value if isinstance(w, Put) else None) for w in writes], revision)

    @rule(ttl=st.integers(0, 20))
    def grant(self, ttl: int) -> None:
        self.both(lambda store: store.grant(ttl, self.now_ns))

    @rule(lease=LEASES)
    def keep_alive(self, lease: int) -> None:
        self.both(lambda store: store.keep_alive(lease, self.now_ns))

    @rule(lease=LEASES)
    def revoke(self, lease: int) -> None:
        self.lose(lambda store: store.revoke(lease))

    @rule(later=st.integers(0, 15))
    def expire(self, later: int) -> None:
        self.now_ns += later
        self.lose(lambda store: store.expire(self.now_ns))

    def lose(self, do: Callable[[Store], Any]) -> None:
        """What leases delete the model learns from the watch, which is so checked against the state after."""
        since = max(self.past) + 1
        self.both(do)
        for change in self.memory.changes("", since):
            assert change.entry is None
            state = dict(self.past.get(change.revision, self.past[max(self.past)]))
            assert state.pop(change.key)
            self.past[change.revision] = state

    @rule(back=st.integers(-1, 12))
    def compact(self, back: int) -> None:
        revision = max(self.past) - back
        if self.both(lambda store: store.compact(revision)) is None:
            self.past = {at: state for at, state in self.past.items() if at >= revision}

    @rule(back=st.integers(-1, 8), limit=st.integers(0, 4))
    def read(self, back: int, limit: int) -> None:
        revision = max(1, max(self.past) - back)
        self.both(lambda store: [store.get(name, revision=revision) for name in NAMES])
        for prefix, after in itertools.product(PREFIXES, ("", "/a/", *NAMES)):

            def page(store: Store, prefix: str = prefix, after: str = after) -> Any:
                return store.range(prefix, revision=revision, start_after=after, limit=limit)

            found = self.both(page)
            if revision not in self.past:
                assert found[0] in (Compacted, FutureRevision)
                continue
            state = self.past[revision]
            expected = sorted((key, *rest) for key, rest in state.items() if key.startswith(prefix) and key > after)
            numbers = [(e.key, e.value, e.create_revision, e.mod_revision, e.version) for e in found]
            assert numbers == (expected[:limit] if limit else expected)

    @rule(back=st.integers(-1, 12))
    def watch(self, back: int) -> None:
        """Playing the changes on the state of then gives the state of now."""
        since = max(self.past) - back
        now = self.past[max(self.past)]
        for prefix in PREFIXES:
            changes = self.both(partial(played, prefix=prefix, since=since))
            if isinstance(changes, tuple):
                assert changes[0] is Compacted
                continue
            if since - 1 not in self.past:  # the compacted revision has no state before it
                assert since < 2 or since > max(self.past) or since == self.memory.compacted
                continue
            state = {key: rest[0] for key, rest in self.past[since - 1].items() if key.startswith(prefix)}
            for change in changes:
                assert (change.before.value if change.before else None) == state.get(change.key)
                if change.entry is None:
                    del state[change.key]
                else:
                    state[change.key] = change.entry.value
            assert state == {key: rest[0] for key, rest in now.items() if key.startswith(prefix)}

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = SqliteStore(self.path, ObjectCodec(), synchronous="NORMAL")

    @precondition(lambda self: len(self.past) > 8)  # or there would be no past to speak of
    @rule(cross=st.booleans())
    def restore(self, cross: bool) -> None:
        """Each from its own snapshot, or from the other's."""
        saved = [self.memory.snapshot(), self.sqlite.snapshot()]
        assert saved[0] == saved[1]
        self.memory.restore(saved[cross])
        self.sqlite.restore(saved[not cross])
        self.past = {max(self.past) + 2: self.past[max(self.past)]}

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "sqlite"):
            newest = max(self.past)
            assert self.memory.revision == self.sqlite.revision == newest
            assert self.memory.compacted == self.sqlite.compacted
            assert self.memory.next_expiry_ns() == self.sqlite.next_expiry_ns()
            entries = self.memory.range("")
            assert entries == self.sqlite.range("")
            assert {e.key: (e.value, e.create_revision, e.mod_revision, e.version) for e in entries} == self.past[
                newest
            ]


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=examples(80), stateful_step_count=50, deadline=None)
