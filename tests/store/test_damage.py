"""A store's files are damaged in every way a disk can: the store opens whole, or refuses and says why. Never less.

`PODYARD_DAMAGED_FILES=300 pytest -m slow tests/store/test_damage.py` damages that many.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import RunFailed, UserError
from harness.store.codec import ObjectCodec
from harness.store.interface import Put, Remove
from harness.store.sqlite import SqliteStore
from harness.store.sqlite_file import refusal

NAMES = ("store.db", "store.db-wal", "store.db-tail")


def opened(path: Path, accept_revision: int | None = None) -> SqliteStore:
    return SqliteStore(path, ObjectCodec(), synchronous="NORMAL", accept_revision=accept_revision)


def contents(store: SqliteStore) -> Any:
    leases = store._db.execute("SELECT id, ttl_ns, expires_ns FROM leases ORDER BY id").fetchall()
    return store.revision, store.compacted, store.range(""), list(store.changes("", store.compacted)), leases


class World:
    """One history of a store, as copies of its files: early and late, of a killed process and closed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        live = folder / "live"
        live.mkdir()
        store = opened(live / "store.db")
        store._db.execute("PRAGMA wal_autocheckpoint = 20")
        for name, writes in (("early", 40), ("late", 60)):
            for _ in range(writes):
                self.write(store)
            self.expected = contents(store)
            self.copy(live, name)
        store.close()
        self.copy(live, "closed")

    def write(self, store: SqliteStore) -> None:
        chance = self.chance
        key = f"/k/{chance.randrange(30)}"
        match chance.randrange(8):
            case 0:
                store.delete(key)
            case 1:
                store.txn([], [Put(f"{key}/a", chance.random()), Put(f"{key}/b", "x" * chance.randrange(5000))])
            case 2:
                store.put(key, "leased", lease=store.grant(chance.randrange(1, 9), now_ns=0))
            case 3 if store.revision - 5 > store.compacted:
                store.compact(store.revision - 5)
            case 4:
                store.txn([], [Remove(key), Put(f"{key}/a", 1)])
            case _:
                store.put(key, "x" * chance.randrange(1500))

    def copy(self, source: Path, name: str) -> None:
        (self.folder / name).mkdir()
        for file in NAMES:
            if (source / file).exists():
                shutil.copy(source / file, self.folder / name / file)


def flip(chance: random.Random, file: Path, _old: Path) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def blank(chance: random.Random, file: Path, _old: Path) -> None:
    data = bytearray(file.read_bytes())
    size = chance.choice((512, 4096))
    at = chance.randrange(0, max(len(data) - size, 1), 512)
    data[at : at + size] = bytes(len(data[at : at + size]))
    file.write_bytes(data)


def truncate(chance: random.Random, file: Path, _old: Path) -> None:
    os.truncate(file, chance.choice((0, chance.randrange(file.stat().st_size), file.stat().st_size // 4096 * 2048)))


def remove(_chance: random.Random, file: Path, _old: Path) -> None:
    file.unlink()


def take_from_the_past(_chance: random.Random, file: Path, old: Path) -> None:
    """A write that never reached the disk."""
    if old.exists():
        shutil.copy(old, file)
    else:
        file.unlink()


def page_from_the_past(chance: random.Random, file: Path, old: Path) -> None:
    data, before = bytearray(file.read_bytes()), old.read_bytes() if old.exists() else b""
    pages = len(before) // 4096
    if pages:
        at = chance.randrange(pages) * 4096
        data[at : at + 4096] = before[at : at + 4096]
    file.write_bytes(data)


def swap(chance: random.Random, file: Path, _old: Path) -> None:
    data = bytearray(file.read_bytes())
    pages = max(len(data) // 4096, 1)
    a, b = chance.randrange(pages) * 4096, chance.randrange(pages) * 4096
    data[a : a + 4096], data[b : b + 4096] = data[b : b + 4096], data[a : a + 4096]
    file.write_bytes(data)


DAMAGES: tuple[Callable[[random.Random, Path, Path], None], ...] = (
    flip,
    blank,
    truncate,
    remove,
    take_from_the_past,
    page_from_the_past,
    swap,
)


def damage(tmp_path: Path, seed: int) -> tuple[str, str]:
    """(how, what came of it). Fails when the store opened with anything but all that was acknowledged."""
    folder = tmp_path / str(seed)
    folder.mkdir()
    world = World(folder, seed)
    chance = random.Random(f"damage/{seed}")
    state = folder / chance.choice(("late", "late", "closed"))
    file = state / chance.choice([name for name in NAMES if (state / name).exists()])
    how = DAMAGES[seed % len(DAMAGES)]
    how(chance, file, folder / "early" / file.name)
    told = f"{how.__name__} {state.name}/{file.name}"
    if not any((state / name).exists() for name in NAMES):
        return told, "nothing left"
    try:
        store = opened(state / "store.db")
    except UserError as error:
        shutil.rmtree(folder)
        reason = f"refused: {error.what}" if error.found or error.hint else "refused without a reason"
        return told, reason
    try:
        found = contents(store)
    except RunFailed as error:
        raise AssertionError(f"seed {seed}, {told}: opened, and failed later: {error}") from error
    finally:
        store.close()
    assert found == world.expected, f"seed {seed}, {told}: opened with something else"
    shutil.rmtree(folder)
    return told, "whole"


@pytest.mark.parametrize("seed", range(28))
def test_a_damaged_store_opens_whole_or_refuses(tmp_path: Path, seed: int) -> None:
    damage(tmp_path, seed)


@pytest.mark.slow
def test_many_damaged_stores_open_whole_or_refuse(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(1000, 1000 + int(os.environ.get("PODYARD_DAMAGED_FILES", "300"))):
        outcomes[damage(tmp_path, seed)[1]] += 1
    print(dict(outcomes))
    assert "refused without a reason" not in outcomes
    assert outcomes["whole"] > 0
    assert sum(outcomes.values()) - outcomes["whole"] > 0


def test_undamaged_copies_of_a_killed_and_of_a_closed_store_open_whole(tmp_path: Path) -> None:
    world = World(tmp_path, seed=7)
    for name in ("late", "closed"):
        store = opened(tmp_path / name / "store.db")
        assert contents(store) == world.expected
        store.close()


WAL_HEADER, FRAME_HEADER, FRAME = 32, 24, 24 + 4096  # https://www.sqlite.org/fileformat2.html#the_write_ahead_log


def of_each_frame(begin: int, end: int) -> list[int]:
    """Between any two frames, within a frame's header, after it, and within its page: early, in the middle, late."""
    within = (0, 1, FRAME_HEADER - 1, FRAME_HEADER, FRAME_HEADER + 512, FRAME // 2, FRAME - 1)
    cuts = {start + at for start in range(WAL_HEADER, end, FRAME) for at in within}
    return sorted(at for at in cuts | {begin} if begin <= at < end)


def of_every_128_bytes(begin: int, end: int) -> list[int]:
    return list(range(begin, end, 128))


@pytest.mark.parametrize("cuts", [of_each_frame, pytest.param(of_every_128_bytes, marks=pytest.mark.slow)])
def test_a_crash_within_any_write_leaves_every_write_before_it(
    tmp_path: Path, cuts: Callable[[int, int], list[int]]
) -> None:
    """The log is cut; the tail record is that of the last write which the cut leaves whole. What opens is exactly that
    write's state."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    store = opened(live / "store.db")
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    main = (live / "store.db").read_bytes()
    writes: list[Callable[[], Any]] = [
        lambda: store.put("a", "x" * 9000),
        lambda: store.grant(5, now_ns=0),
        lambda: store.put("b", 1, lease=1),
        lambda: store.txn([], [Put("c", 1), Remove("a"), Put("d", "y" * 3000)]),
        lambda: store.keep_alive(1, now_ns=3),
        lambda: store.compact(3),
        lambda: store.put("a", 2),
        lambda: store.delete("d"),
        lambda: store.revoke(1),
    ]
    moments = []
    for write in writes:
        size = (live / "store.db-wal").stat().st_size
        moments.append((size, (live / "store.db-tail").read_bytes(), contents(store)))
        write()
    log = (live / "store.db-wal").read_bytes()
    store.close()
    assert (len(log) - WAL_HEADER) % FRAME == 0
    for cut in cuts(moments[0][0], len(log)):
        _, tail, expected = [moment for moment in moments if moment[0] <= cut][-1]
        copy.mkdir()
        for name, data in (("store.db", main), ("store.db-wal", log[:cut]), ("store.db-tail", tail)):
            (copy / name).write_bytes(data)
        left = opened(copy / "store.db")
        assert contents(left) == expected, f"cut at {cut}"
        left.close()
        shutil.rmtree(copy)


def test_a_lost_log_is_told_and_what_is_there_can_be_accepted(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = opened(path)
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    store.put("a", 1)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("store.db", "store.db-tail"):
        shutil.copy(tmp_path / name, copy / name)
    store.close()
    with pytest.raises(UserError, match="ends before its newest acknowledged write") as error:
        opened(copy / "store.db")
    assert (error.value.found, error.value.expected) == (
        "revision 1 after 0 writes",
        "revision 2 after 1 writes",
    )
    assert "accept-revision=1" in str(error.value)
    accepted = opened(copy / "store.db", accept_revision=1)
    assert accepted.revision == 1
    accepted.close()
    opened(copy / "store.db").close()


def test_a_value_changed_by_another_program_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = opened(path)
    store.put("a", 1)
    store.put("b", 2)
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE history SET value = (SELECT value FROM history WHERE key = 'b') WHERE key = 'a'")
    db.close()
    with pytest.raises(UserError, match="checksum of a row does not match"):
        opened(path)


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (sqlite3.OperationalError, sqlite3.SQLITE_CANTOPEN, "the store cannot be opened"),
        (sqlite3.OperationalError, sqlite3.SQLITE_CORRUPT, "the store is damaged"),
        (sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT, "the store is damaged"),
        (sqlite3.DatabaseError, sqlite3.SQLITE_FORMAT, "the store is damaged"),
        (sqlite3.DatabaseError, sqlite3.SQLITE_NOTADB, "not a store"),
        (sqlite3.OperationalError, sqlite3.SQLITE_LOCKED, "the store is in use"),
    ],
)
def test_what_sqlite_says_is_told_in_the_words_of_a_store(
    tmp_path: Path, kind: type[sqlite3.DatabaseError], code: int, said: str
) -> None:
    error = kind("sqlite's own words")
    error.sqlite_errorcode = code
    assert str(refusal(tmp_path, error)).startswith(f"{tmp_path}: {said}")
