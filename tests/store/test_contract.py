"""etcd's semantics, held against every store."""

from __future__ import annotations

import pickle

import pytest

from harness.model.objects import Container, ObjectMeta, Pod, PodSpec
from harness.store.interface import (
    Change,
    Compacted,
    Compare,
    FutureRevision,
    LeaseNotFound,
    Put,
    Remove,
    Store,
    StoreEntry,
    prefix_end,
)


def keys(entries: list[StoreEntry]) -> list[str]:
    return [entry.key for entry in entries]


def told(changes: list[Change]) -> list[tuple[int, str, object, object]]:
    """(revision, key, value now, value before)"""
    return [(c.revision, c.key, c.entry and c.entry.value, c.before and c.before.value) for c in changes]


# -- revisions ---------------------------------------------------------------------------------------------------------


def test_a_new_store_is_at_revision_1_and_empty(store: Store) -> None:
    assert (store.revision, store.compacted) == (1, 0)
    assert store.get("a") is None
    assert store.range("") == []
    assert list(store.changes("", 1)) == []


def test_every_write_gets_the_next_revision_and_counts_the_key_s_versions(store: Store) -> None:
    assert [store.put("a", 1), store.put("b", 2), store.put("a", 3)] == [2, 3, 4]
    assert store.get("a") == StoreEntry("a", 3, create_revision=2, mod_revision=4, version=2)
    assert store.delete("a") == 5
    assert store.get("a") is None
    assert store.put("a", 4) == 6
    assert store.get("a") == StoreEntry("a", 4, create_revision=6, mod_revision=6, version=1)


def test_what_changes_nothing_leaves_the_revision(store: Store) -> None:
    store.put("a", 1)
    assert store.delete("b") == 0
    assert store.put("a", 2, expect=9) == 0
    assert store.delete("a", expect=9) == 0
    assert store.put("a", 1) == 3, "the same value again is a write all the same"
    assert store.revision == 3


def compare_and_set(store: Store) -> None:
    assert store.put("a", 1, expect=0) == 2
    assert store.put("a", 2, expect=0) == 0, "it is there already"
    assert store.put("a", 2, expect=2) == 3
    assert store.put("a", 3, expect=2) == 0, "somebody was faster"
    assert store.delete("a", expect=2) == 0
    assert store.delete("a", expect=3) == 4
    assert store.delete("a", expect=0) == 0, "nothing there to delete"
    assert store.put("a", 4, expect=3) == 0
    assert store.put("a", 4, expect=0) == 5


def test_compare_and_set(store: Store) -> None:
    compare_and_set(store)


def test_compare_and_set_within_a_batch(store: Store) -> None:
    with store.batch():
        compare_and_set(store)
    assert store.get("a") == StoreEntry("a", 4, create_revision=5, mod_revision=5, version=1)


def test_api_objects_come_back_as_they_went(store: Store) -> None:
    pod = Pod(
        metadata=ObjectMeta(name="a", namespace="default", creation_timestamp=1_234_567_891),  # type: ignore[arg-type]
        spec=PodSpec(containers=(Container(name="c", extra={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),)),
        extra={"unheard": {"of": [1, 2.5, None, True, "x"]}},
    )
    store.put("/pods/a", pod)
    entry = store.get("/pods/a")
    assert entry is not None
    assert entry.value == pod


# -- ranges ------------------------------------------------------------------------------------------------------------


def test_a_range_is_in_order_of_key_whatever_the_order_of_writing(store: Store) -> None:
    for key in ("/b/2", "/a/1", "/b/10", "/c", "/b/1", "/b", "/b0", "/é", "/b/\U0001f680"):
        store.put(key, key)
    assert keys(store.range("")) == ["/a/1", "/b", "/b/1", "/b/10", "/b/2", "/b/\U0001f680", "/b0", "/c", "/é"]
    assert keys(store.range("/b/")) == ["/b/1", "/b/10", "/b/2", "/b/\U0001f680"]
    assert keys(store.range("/b/1")) == ["/b/1", "/b/10"]
    assert keys(store.range("/d")) == []
    store.delete("/b/10")
    store.put("/b/11", 0)
    assert keys(store.range("/b/1")) == ["/b/1", "/b/11"]


@pytest.mark.parametrize("revision", ["now", "then"])
def test_a_range_goes_in_pages(store: Store, revision: str) -> None:
    for i in range(25):
        store.put(f"/p/{i:02}", i)
    store.put("/q", 0)
    at = 0
    if revision == "then":
        at = store.revision
        for i in range(0, 25, 2):
            store.delete(f"/p/{i:02}")
        store.put("/p/035", "between")
        store.put("/p/99", "after")
    seen: list[str] = []
    while page := store.range("/p/", revision=at, start_after=seen[-1] if seen else "", limit=10):
        assert len(page) == min(10, 25 - len(seen))
        seen += keys(page)
    assert seen == [f"/p/{i:02}" for i in range(25)]


def test_a_page_can_start_outside_the_prefix(store: Store) -> None:
    for key in ("/a", "/b/1", "/b/2", "/c"):
        store.put(key, 0)
    for at in (0, store.revision):
        assert keys(store.range("/b/", start_after="/a", revision=at)) == ["/b/1", "/b/2"]
        assert keys(store.range("/b/", start_after="/b/", revision=at)) == ["/b/1", "/b/2"]
        assert keys(store.range("/b/", start_after="/c", revision=at)) == []
        assert keys(store.range("/b/1", start_after="/b/1", revision=at)) == []


@pytest.mark.thousands_of_writes
def test_the_order_holds_through_thousands_of_keys_written_and_deleted_between_ranges(store: Store) -> None:
    """Enough of them to split and empty whatever the keys lie in."""
    there: set[str] = set()
    for stride in (7, 11, 13):
        for i in range(3000):
            key = f"/k/{i * stride % 4001:05}"
            if key in there and i % 3:
                store.delete(key)
                there.remove(key)
            elif key not in there:
                store.put(key, i)
                there.add(key)
            if i % 500 == 0:
                assert keys(store.range("/k/02")) == sorted(k for k in there if k.startswith("/k/02"))
        assert keys(store.range("")) == sorted(there)
    for key in sorted(there):
        store.delete(key)
    assert store.range("") == []


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("", None), ("a", "b"), ("a/", "a0"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("\ud7ff", "\ue000")],
)
def test_where_a_prefix_ends(prefix: str, end: str | None) -> None:
    assert prefix_end(prefix) == end


# -- the past ----------------------------------------------------------------------------------------------------------


def test_the_past_can_be_read_until_it_is_compacted(store: Store) -> None:
    store.put("a", "a2")
    store.put("b", "b3")
    store.put("a", "a4")
    store.delete("b")
    store.put("c", "c6")
    store.put("b", "b7")

    def at(revision: int) -> dict[str, object]:
        entries = {entry.key: entry for entry in store.range("", revision=revision)}
        assert entries == {key: entry for key in "abc" if (entry := store.get(key, revision=revision))}
        return {key: entry.value for key, entry in entries.items()}

    assert at(1) == {}
    assert at(2) == {"a": "a2"}
    assert at(3) == {"a": "a2", "b": "b3"}
    assert at(4) == {"a": "a4", "b": "b3"}
    assert at(5) == {"a": "a4"}
    assert at(7) == {"a": "a4", "b": "b7", "c": "c6"}
    with pytest.raises(FutureRevision):
        store.get("a", revision=8)
    with pytest.raises(FutureRevision):
        store.range("", revision=8)
    store.compact(4)
    assert store.compacted == 4
    assert at(4) == {"a": "a4", "b": "b3"}, "the compacted revision itself can still be read"
    assert at(5) == {"a": "a4"}
    for read in (store.get, store.range):
        with pytest.raises(Compacted) as gone:
            read("a", revision=3)
        assert (gone.value.asked, gone.value.oldest) == (3, 4)


def test_compaction_has_its_limits(store: Store) -> None:
    store.put("a", 1)
    store.put("a", 2)
    with pytest.raises(FutureRevision):
        store.compact(4)
    store.compact(2)
    for again in (1, 2):
        with pytest.raises(Compacted):
            store.compact(again)
    store.compact(3)
    assert store.get("a") == StoreEntry("a", 2, 2, 3, 2)
    assert store.put("a", 3) == 4, "the revision goes on"


def test_the_revision_survives_the_compaction_of_its_tombstone(store: Store) -> None:
    store.put("a", 1)
    store.delete("a")
    store.compact(3)
    assert store.revision == 3
    assert store.put("a", 2) == 4
    assert told(list(store.changes("", 4))) == [(4, "a", 2, None)]


# -- watching ----------------------------------------------------------------------------------------------------------


def test_changes_tell_what_was_written_since_with_what_was_there_before(store: Store) -> None:
    store.put("/a/1", "x")
    store.put("/b/1", "y")
    store.put("/a/1", "z")
    store.delete("/a/1")
    store.put("/a/1", "w")
    every = [
        (2, "/a/1", "x", None),
        (3, "/b/1", "y", None),
        (4, "/a/1", "z", "x"),
        (5, "/a/1", None, "z"),
        (6, "/a/1", "w", None),
    ]
    for since in range(1, 8):
        assert told(list(store.changes("", since))) == [change for change in every if change[0] >= since]
    assert told(list(store.changes("/a/", 3))) == every[2:]
    assert list(store.changes("/a/", 99)) == []
    (change,) = store.changes("", 4 + 2)
    assert change.entry == StoreEntry("/a/1", "w", 6, 6, 1)


def test_changes_are_those_of_the_moment_of_asking(store: Store) -> None:
    store.put("a", 1)
    store.put("a", 2)
    waiting = store.changes("", 1)
    store.put("a", 3)
    store.compact(4)
    assert told(list(waiting)) == [(2, "a", 1, None), (3, "a", 2, 1)]


def test_changes_of_compacted_revisions_are_refused_at_once(store: Store) -> None:
    for value in range(5):
        store.put("a", value)
    store.compact(4)
    for since in (0, 1, 3):
        with pytest.raises(Compacted) as gone:
            store.changes("", since)
        assert gone.value.oldest == 4
    assert told(list(store.changes("", 5))) == [(5, "a", 3, 2), (6, "a", 4, 3)]


def test_the_compacted_revision_itself_can_be_watched_without_what_was_before(store: Store) -> None:
    store.put("a", 1)
    store.put("b", 2)
    store.put("a", 3)
    store.txn([], [Put("a", 4), Remove("b")])
    store.compact(5)
    assert told(list(store.changes("", 5))) == [(5, "a", 4, None), (5, "b", None, None)]
    store.put("b", 6)
    assert told(list(store.changes("", 5)))[2:] == [(6, "b", 6, None)]
    store.compact(6)
    assert told(list(store.changes("", 6))) == [(6, "b", 6, None)]
    assert [entry.key for entry in store.range("", revision=6)] == ["a", "b"]


def test_a_change_after_compaction_knows_what_was_alive_then(store: Store) -> None:
    store.put("alive", 1)
    store.put("dead", 2)
    store.delete("dead")
    store.compact(4)
    store.put("alive", 5)
    store.put("dead", 6)
    assert told(list(store.changes("", 5))) == [(5, "alive", 5, 1), (6, "dead", 6, None)]


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_transaction_writes_all_at_one_revision(store: Store) -> None:
    store.put("b", "old")
    held, revision = store.txn([Compare("a", 0), Compare("b", 2)], [Put("c", 1), Remove("b"), Put("a", 2)])
    assert (held, revision) == (True, 3)
    assert told(list(store.changes("", 3))) == [(3, "c", 1, None), (3, "b", None, "old"), (3, "a", 2, None)]
    assert [(e.key, e.mod_revision) for e in store.range("")] == [("a", 3), ("c", 3)]


def test_a_transaction_that_does_not_hold_does_the_other_thing(store: Store) -> None:
    store.put("a", 1)
    assert store.txn([Compare("a", 2), Compare("b", 1)], [Put("a", 2)], [Put("z", 3)]) == (False, 3)
    assert [(e.key, e.value) for e in store.range("")] == [("a", 1), ("z", 3)]
    assert store.txn([Compare("b", 1)], [Put("a", 2)]) == (False, 3)


def test_a_transaction_that_writes_nothing_leaves_the_revision(store: Store) -> None:
    assert store.txn([], []) == (True, 1)
    assert store.txn([], [Remove("a"), Remove("b")]) == (True, 1)
    assert store.txn([], [Remove("a"), Put("b", 1)]) == (True, 2)


@pytest.mark.parametrize("writes", [[Put("a", 1), Put("a", 2)], [Put("a", 1), Remove("a")], [Remove("a"), Put("a", 1)]])
@pytest.mark.parametrize("taken", [True, False])
def test_a_transaction_may_put_a_key_once(store: Store, writes: list[Put | Remove], taken: bool) -> None:
    store.put("a", 0)
    with pytest.raises(ValueError, match="duplicate key"):
        store.txn([], writes if taken else [], [] if taken else writes)
    assert store.revision == 2


def test_a_transaction_may_remove_a_key_twice(store: Store) -> None:
    store.put("a", 0)
    assert store.txn([], [Remove("a"), Remove("a")]) == (True, 3)
    assert told(list(store.changes("", 3))) == [(3, "a", None, 0)]
    assert store.txn([], [Remove("a"), Remove("a")]) == (True, 3)


def test_a_transaction_with_an_unknown_lease_writes_nothing(store: Store) -> None:
    with pytest.raises(LeaseNotFound, match="requested lease not found"):
        store.txn([], [Put("a", 1), Put("b", 2, lease=7)])
    assert (store.revision, store.range("")) == (1, [])
    assert store.put("a", 1) == 2


# -- leases ------------------------------------------------------------------------------------------------------------


def test_a_lease_takes_its_keys_along_at_one_revision(store: Store) -> None:
    lease = store.grant(10, now_ns=0)
    other = store.grant(50, now_ns=0)
    for key in ("c", "a", "b"):
        store.put(key, key, lease=lease)
    store.put("d", "d", lease=other)
    store.put("b", "moved", lease=other)
    store.put("c", "free")
    store.put("e", "e", lease=lease)
    entry = store.get("a")
    assert entry is not None
    assert entry.lease == lease
    assert store.next_expiry_ns() == 10
    assert store.expire(9) == []
    assert store.expire(10) == [lease]
    assert told(list(store.changes("", 9))) == [(9, "a", None, "a"), (9, "e", None, "e")]
    assert keys(store.range("")) == ["b", "c", "d"]
    assert store.next_expiry_ns() == 50
    assert store.revoke(other) == 10
    assert keys(store.range("")) == ["c"]
    assert store.next_expiry_ns() is None


def test_a_lease_kept_alive_goes_on(store: Store) -> None:
    first, second = store.grant(10, now_ns=0), store.grant(15, now_ns=0)
    store.keep_alive(first, 8)
    assert store.next_expiry_ns() == 15
    store.keep_alive(second, 1)
    assert store.next_expiry_ns() == 16
    assert store.expire(17) == [second]
    assert store.expire(18) == [first]
    for ask in (store.revoke, lambda lease: store.keep_alive(lease, 20), lambda lease: store.put("a", 1, lease=lease)):
        with pytest.raises(LeaseNotFound):
            ask(first)
    assert store.revision == 1, "leases without keys write nothing"


def test_leases_run_out_in_order_of_time_then_id(store: Store) -> None:
    leases = [store.grant(ttl, now_ns=0) for ttl in (30, 10, 20, 10)]
    assert len(set(leases)) == 4
    for lease in leases:
        store.put(f"k{lease}", lease, lease=lease)
    assert store.expire(100) == [leases[1], leases[3], leases[2], leases[0]]
    assert [c.revision for c in store.changes("", 6)] == [6, 7, 8, 9], "each at a revision of its own"
    assert store.grant(1, now_ns=0) not in leases, "an id is used once"


def test_a_lease_s_keys_go_in_order_of_key(store: Store) -> None:
    lease = store.grant(10, now_ns=0)
    for i in range(40):
        store.put(f"k{i * 7 % 40:02}", i, lease=lease)
    revision = store.revoke(lease)
    assert [change.key for change in store.changes("", revision)] == [f"k{i:02}" for i in range(40)]


def test_a_renewal_on_a_clock_that_went_back_ends_earlier(store: Store) -> None:
    lease, other = store.grant(10, now_ns=100), store.grant(50, now_ns=0)
    store.keep_alive(lease, 20)
    assert store.next_expiry_ns() == 30
    store.keep_alive(lease, 25)
    assert store.expire(40) == [lease]
    assert store.next_expiry_ns() == 50
    assert store.expire(200) == [other]


@pytest.mark.parametrize("ttl_ns", [0, -5])
def test_a_lease_must_last(store: Store, ttl_ns: int) -> None:
    with pytest.raises(ValueError, match="time to live"):
        store.grant(ttl_ns, now_ns=0)


def test_a_deleted_key_has_left_its_lease(store: Store) -> None:
    lease = store.grant(10, now_ns=0)
    store.put("a", 1, lease=lease)
    store.delete("a")
    store.put("a", 2)
    assert store.revoke(lease) == store.revision == 4
    assert keys(store.range("")) == ["a"]


def test_a_prefix_ends_before_the_next_character_that_there_is(store: Store) -> None:
    """Between U+D7FF and U+E000 there are surrogates, which are no characters."""
    for key in ("/a\ud7ff", "/a\ud7ff/x", "/a\ue000", "/a\ue000/y", "/b"):
        store.put(key, key)
    assert [entry.key for entry in store.range("/a\ud7ff")] == ["/a\ud7ff", "/a\ud7ff/x"]
    assert [entry.key for entry in store.range("/a\ue000")] == ["/a\ue000", "/a\ue000/y"]


# -- errors cross processes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Compacted(3, 5), FutureRevision(9, 5), LeaseNotFound(4)])
def test_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Compacted(3, 5), "required revision has been compacted: asked 3, oldest 5"),
        (FutureRevision(9, 5), "required revision is a future revision: asked 9, newest 5"),
    ],
)
def test_errors_say_what_was_asked_for_and_what_is_there(error: Exception, words: str) -> None:
    """The first words are etcd's. Source: etcd 3.5 server/storage/mvcc ErrCompacted, ErrFutureRev."""
    assert str(error) == words
