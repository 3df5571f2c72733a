"""What only a file can do: be opened again, be refused, fail."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness.model.errors import RunFailed, UserError
from harness.model.objects import ObjectMeta, Pod
from harness.store.codec import ObjectCodec
from harness.store.interface import Compacted, Put
from harness.store.sqlite import SqliteStore


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, ObjectCodec(), synchronous="NORMAL")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_store_opens_where_it_was_left(path: Path) -> None:
    store = opened(path)
    lease = store.grant(10, now_ns=3)
    store.put("a", Pod(metadata=ObjectMeta(name="a")))
    store.put("b", 1, lease=lease)
    store.put("b", 2, lease=lease)
    store.delete("a")
    store.compact(3)
    before = (store.revision, store.range(""), list(store.changes("", 4)), store.get("a", revision=4))
    store.close()
    store = opened(path)
    assert (store.revision, store.range(""), list(store.changes("", 4)), store.get("a", revision=4)) == before
    with pytest.raises(Compacted):
        store.changes("", 2)
    assert store.next_expiry_ns() == 13
    assert store.put("c", 1) == 6
    assert store.grant(1, now_ns=0) == lease + 1
    assert store.expire(13) == [lease + 1, lease]
    store.close()


def test_a_closed_store_is_one_file(path: Path) -> None:
    store = opened(path)
    store.put("a", 1)
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_the_file_is_synchronised_as_asked(path: Path, synchronous: str) -> None:
    store = SqliteStore(path, ObjectCodec(), synchronous=synchronous)  # type: ignore[arg-type]
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == {"FULL": 2, "NORMAL": 1}[synchronous]
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.close()


def test_the_revision_outlives_the_row_that_told_it(path: Path) -> None:
    store = opened(path)
    store.put("a", 1)
    store.delete("a")
    store.compact(3)
    store.close()
    store = opened(path)
    assert store.put("b", 1) == 4
    saved = store.snapshot()
    store.put("b", 2)
    store.restore(saved)
    store.close()
    store = opened(path)
    assert (store.revision, store.compacted) == (7, 7)
    store.close()


def test_compaction_leaves_only_what_is_there_and_what_came_after(path: Path) -> None:
    store = opened(path)
    for round_ in range(5):
        for key in "abc":
            store.put(key, round_)
        store.delete("b")
        store.compact(store.revision - 1)
        rows = store._db.execute("SELECT key, id >> 20 FROM history ORDER BY id").fetchall()
        newest = store.revision
        assert rows == [("a", newest - 3), ("b", newest - 2), ("c", newest - 1), ("b", newest)]
        store.compact(store.revision)
        # The tombstone of the compacted revision can still be watched, and goes with the next compaction.
        assert store._db.execute("SELECT count(*) FROM history").fetchone()[0] == 3
        store.put("a", "later")
        store.compact(store.revision)
        assert store._db.execute("SELECT count(*) FROM history").fetchone()[0] == 2
        assert store._db.execute("SELECT count(*) FROM heads").fetchone()[0] == 2
    store.close()


def test_an_empty_file_is_refused_as_a_truncated_store_would_look_so(path: Path) -> None:
    path.touch()
    assert "an empty file" in refusal(path)
    assert path.stat().st_size == 0


def test_compaction_gives_room_back_to_the_file(path: Path) -> None:
    store = opened(path)
    for _ in range(20):
        for i in range(100):
            store.put(f"k{i}", "x" * 500)
        store.compact(store.revision)
    store.close()
    assert path.stat().st_size < 5 * 100 * 500


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        opened(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\n" * 200
    path.write_text(text)
    assert "not a store" in refusal(path)
    assert path.read_text() == text
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


def test_another_program_s_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    before = path.read_bytes()
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_another_schema_version_is_refused(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    message = refusal(path)
    assert "another version of podyard" in message
    assert "schema version 7" in message


def test_a_store_in_use_is_refused_until_it_is_closed(path: Path) -> None:
    store = opened(path)
    assert "in use" in refusal(path)
    store.put("a", 1)
    store.close()
    store = opened(path)
    assert store.range("")[0].value == 1
    store.close()


def test_a_store_in_use_by_another_process_is_refused(path: Path) -> None:
    hold = (
        "import sys\n"
        "from harness.store.codec import ObjectCodec\n"
        "from harness.store.sqlite import SqliteStore\n"
        "store = SqliteStore(sys.argv[1], ObjectCodec())\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        assert "in use" in refusal(path)
        other.stdin.close()
        assert other.wait() == 0
    opened(path).close()


def test_a_damaged_file_is_refused_or_fails_by_name(path: Path) -> None:
    store = opened(path)
    for i in range(2000):
        store.put(f"k{i}", "x" * 100)
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:-4096] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(UserError) as error:  # noqa: PT012
        store = opened(path)
        store.range("")
    assert str(path) in str(error.value)


def test_a_folder_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)
    assert "mkdir -p" in refusal(tmp_path / "no" / "store.db")


def test_an_unknown_way_to_synchronise_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="FULL or NORMAL"):
        SqliteStore(path, ObjectCodec(), synchronous="SOMETIMES")  # type: ignore[arg-type]
    assert not path.exists()


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_fails_the_write_and_nothing_else(path: Path) -> None:
    store = opened(path)
    store.put("a", 1)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite then says what it says of a full disk
    with pytest.raises(RunFailed, match="full"):
        store.txn([], [Put("a", 2), Put("b", "x" * 100_000)])
    assert (store.revision, [entry.value for entry in store.range("")]) == (2, [1])
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.txn([], [Put("a", 2), Put("b", "x" * 100_000)]) == (True, 3)
    store.close()


def test_a_value_that_is_no_api_object_writes_nothing(path: Path) -> None:
    store = opened(path)
    with pytest.raises(TypeError):
        store.txn([], [Put("a", 2), Put("b", object())])
    assert (store.revision, store.range("")) == (1, [])
    assert store.put("a", 1) == 2
    with pytest.raises(TypeError):
        store.txn([], [Put("b", 2), Put("c", object())])
    assert store.delete("a") == 3
    assert (store.get("a"), store.get("b")) == (None, None), "what was not written is not remembered"
    store.close()


def test_what_is_compacted_takes_no_room(path: Path) -> None:
    """Keys that came and went leave no row, but for those that went at the compacted revision itself."""
    store = opened(path)
    for number in range(20):
        store.put(f"/k/{number}", "x" * 100)
        store.put(f"/k/{number}", "y" * 100)
        store.delete(f"/k/{number}")
    store.compact(store.revision)
    store.put("/stays", "z")
    store.compact(store.revision)
    assert [entry.key for entry in store.range("")] == ["/stays"]
    store.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM history").fetchone() == (1,)
        assert file.execute("SELECT count(*) FROM heads").fetchone() == (1,)


def test_more_writes_than_a_revision_has_places_for_are_refused_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.store.sqlite._PLACES", 4)  # a million, in fact
    store = opened(path)
    store.txn([], [Put(f"/k/{number}", number) for number in range(3)])
    before = store.revision
    with pytest.raises(ValueError, match="more than 3 writes"):
        store.txn([], [Put(f"/k/{number}", "new") for number in range(5)])
    assert [entry.value for entry in store.range("")] == [0, 1, 2]
    assert store.revision == before
    store.close()


def test_a_write_of_a_batch_that_is_interrupted_never_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind its statement, before the numbers in memory know: the next write has its revision, the file is sound."""
    store = SqliteStore(tmp_path / "s.db", ObjectCodec())
    store.put("/a", 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with store.batch():
        store.put("/b", 1)
        monkeypatch.setattr(store, "_remember", interrupted)
        for key in ("/a", "/c", "/d"):
            with pytest.raises(KeyboardInterrupt):
                store.put(key, 2)
        monkeypatch.undo()
        assert store.get("/c") is None
        held = store.get("/a")
        assert held is not None
        assert (held.value, held.mod_revision, store.revision) == (1, 2, 3)
        assert store.put("/c", 3) == 4
    store.close()
    again = SqliteStore(tmp_path / "s.db", ObjectCodec())
    assert [(entry.key, entry.value, entry.mod_revision) for entry in again.range("/")] == [
        ("/a", 1, 2), ("/b", 1, 3), ("/c", 3, 4),
    ]  # fmt: skip
    again.close()
    with closing(sqlite3.connect(tmp_path / "s.db")) as file:
        assert file.execute("SELECT key FROM heads ORDER BY key").fetchall() == [("/a",), ("/b",), ("/c",)]


def test_of_what_was_read_the_latest_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.store.sqlite._CACHED", 2)
    store = opened(path)
    for key in ("/a", "/b", "/c"):
        store.put(key, [key])
    kept = [store.get(key) for key in ("/b", "/c")]
    assert [store.get(key) is entry for key, entry in zip(("/b", "/c"), kept, strict=True)] == [True, True]
    first = store.get("/a")
    assert first is not None
    assert first.value == ["/a"]  # read again, in the place of the oldest
    assert (store.get("/a") is first, store.get("/c") is kept[1]) == (True, True)
    store.close()


def test_leases_in_a_batch_go_with_their_keys(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", ObjectCodec())
    with store.batch():
        lease = store.grant(10, 0)
        store.put("/a", 1, lease=lease)
        store.put("/b", 1, lease=lease)
        store.put("/a", 2)  # without it: the key stays when the lease goes
    store.revoke(lease)
    assert [entry.key for entry in store.range("/")] == ["/a"]
    store.close()
