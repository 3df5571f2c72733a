"""Snapshots and restores: what holds for every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.model.objects import ObjectMeta, Pod
from harness.store.interface import (
    Compacted,
    Put,
    Store,
    StoreEntry,
)
from harness.store.snapshots import pack
from tests.store.test_contract import keys, told


def fill(store: Store) -> None:
    lease = store.grant(10, now_ns=5)
    store.put("a", 1)
    store.txn([], [Put("b", {"x": [1.5, None]}, lease=lease), Put("c", "y"), Put("a", 2)])
    store.delete("c")
    store.put("d", Pod(metadata=ObjectMeta(name="d")))


def test_a_snapshot_restored_is_all_that_was_there_and_the_past_is_compacted(new_store: Callable[[], Store]) -> None:
    old, new = new_store(), new_store()
    fill(old)
    new.restore(old.snapshot())
    assert new.range("") == old.range("")
    assert (new.revision, new.compacted) == (old.revision, old.revision)
    assert new.range("", revision=new.revision) == old.range("")
    assert new.snapshot() == old.snapshot()
    assert new.next_expiry_ns() == 15
    assert new.expire(15) == old.expire(15)
    assert new.range("") == old.range("")
    assert new.grant(1, now_ns=0) == old.grant(1, now_ns=0)
    assert told(list(new.changes("", new.revision))) == [(6, "b", None, {"x": [1.5, None]})]
    with pytest.raises(Compacted):
        new.changes("", 4)
    with pytest.raises(Compacted):
        new.get("a", revision=2)


def test_a_restore_never_goes_back_in_time_so_watchers_notice(store: Store) -> None:
    fill(store)
    saved = store.snapshot()
    there = store.range("")
    store.put("a", "later")
    seen = store.put("later", 1)
    store.restore(saved)
    assert store.range("") == there
    assert store.revision > seen
    with pytest.raises(Compacted):
        store.changes("", seen + 1)
    after = store.put("a", "again")
    assert told(list(store.changes("", after))) == [(after, "a", "again", 2)]
    store.compact(after)
    assert keys(store.range("")) == ["a", "b", "d"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"something else entirely",
        lambda data: data[:-1],
        lambda data: data[:30],
        lambda data: data + b"\0",
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    ],
)
def test_a_damaged_snapshot_changes_nothing(store: Store, damage: Callable[[bytes], bytes]) -> None:
    fill(store)
    saved = store.snapshot()
    before = (store.revision, store.range(""), store.next_expiry_ns(), list(store.changes("", 1)))
    with pytest.raises(ValueError, match="snapshot"):
        store.restore(damage(saved))
    assert (store.revision, store.range(""), store.next_expiry_ns(), list(store.changes("", 1))) == before
    assert store.snapshot() == saved


GOOD: tuple[str, bytes, int, int, int, int] = ("b", b"\n\x01", 3, 5, 2, 0)


@pytest.mark.parametrize(
    "rows",
    [
        [("b", b"\n\x01", 3, 9, 2, 0)],  # changed after the snapshot
        [("b", b"\n\x01", 6, 5, 2, 0)],  # changed before it was made
        [("b", b"\n\x01", 3, 5, 0, 0)],  # never written
        [("b", b"\n\x01", 3, 5, 2, 2)],  # on a lease that is not there
        [GOOD, ("a", b"\n\x01", 3, 5, 2, 0)],  # out of order
        [GOOD, GOOD],
        [GOOD, ("c", b"Teapot\n\x80", 3, 5, 2, 0)],  # of a kind that nobody knows
    ],
)
def test_a_snapshot_that_cannot_be_true_changes_nothing(
    store: Store, rows: list[tuple[str, bytes, int, int, int, int]]
) -> None:
    store.restore(pack(8, [GOOD], {1: (10, 20)}, 2))
    there = (store.revision, store.range(""), store.next_expiry_ns())
    assert there == (8, [StoreEntry("b", 1, 3, 5, 2)], 20)
    with pytest.raises(ValueError, match=r"contradicts|known kind"):
        store.restore(pack(8, rows, {1: (10, 20)}, 2))
    with pytest.raises(ValueError, match="future"):
        store.restore(pack(8, [GOOD], {1: (10, 20)}, 1))
    assert (store.revision, store.range(""), store.next_expiry_ns()) == there
