"""Opening a store's SQLite file: made when it is not there, refused in plain words when it is not ours or not whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple

from harness.model.errors import UserError
from harness.store.checksums import add_up, row_checksum
from harness.store.tail_record import DamagedTail, TailRecord

# Marks the file as ours (SQLite's PRAGMA application_id; `file` shows it). "pody" in ASCII.
APPLICATION_ID = 0x706F6479
SCHEMA_VERSION = 2  # raised when the tables change: an older file is then refused in plain words

_TABLES = (
    """CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        value BLOB,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        before INTEGER,
        checksum INTEGER NOT NULL
    )""",
    "CREATE TABLE heads (key TEXT PRIMARY KEY, id INTEGER NOT NULL, live INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE leases (
        id INTEGER PRIMARY KEY,
        ttl_ns INTEGER NOT NULL,
        expires_ns INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    "CREATE INDEX leases_by_expiry ON leases (expires_ns)",
    "CREATE TABLE leased (lease INTEGER, key TEXT, PRIMARY KEY (lease, key)) WITHOUT ROWID",
    # One row. `total`: the sum of the checksums of history and leases. `writes`: how many transactions wrote, a
    # compaction or a renewed lease included. `closed`: all of it is in the main file, and nobody has it open.
    """CREATE TABLE state (
        revision INTEGER NOT NULL,
        compacted INTEGER NOT NULL,
        next_lease INTEGER NOT NULL,
        total INTEGER NOT NULL,
        writes INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    )""",
)
_NEW = (1, 0, 1, 0, 0, 1)  # revision (etcd begins at 1), compacted, next_lease, total, writes, closed
_SNAPSHOT = "restore the newest snapshot into a new file"


class NotWhole(Exception):
    """What is wrong with a file that can be read: its reason for a person."""


def open_file(
    path: Path, synchronous: Literal["FULL", "NORMAL"], tail: TailRecord, accept_revision: int | None = None
) -> sqlite3.Connection:
    """Locked for this connection alone, in WAL mode, everything in it checked. Raises UserError, leaving what is there
    as it is. `accept_revision`: go on with a file that ends at this revision though later ones were acknowledged."""
    if synchronous not in ("FULL", "NORMAL"):
        raise UserError("unknown way to synchronise a store", found=repr(synchronous), expected="FULL or NORMAL")
    if not path.parent.is_dir():
        raise UserError("no such folder for a store", file=path, hint=f"make it: mkdir -p {path.parent}")
    if path.is_dir():
        raise UserError(
            "a store is a file, this is a folder", file=path, hint=f"name a file in it: {path / 'store.db'}"
        )
    new = not path.exists()
    if not new and path.stat().st_size == 0:
        raise UserError(
            "the store is damaged",
            file=path,
            found="an empty file",
            expected="a store, or no file yet",
            hint=f"remove it to begin anew, or {_SNAPSHOT}",
        )
    for left in (tail.path, path.with_name(path.name + "-wal")):
        if new and left.exists():
            raise UserError(
                "the store is gone, but not what stood beside it",
                file=path,
                found=f"{left.name} without {path.name}",
                hint=f"put the store's file back; or remove {left} to begin anew",
            )
    if new:
        # It holds Secrets: its owner's alone, as are the logs that SQLite puts beside it.
        with contextlib.suppress(OSError):  # SQLite says better why there can be no file
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256)
    except sqlite3.Error as error:
        raise refusal(path, error) from error
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(db.close)
            # Kept until the store is closed or its process dies.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            _make_or_identify(db, path, new)
            if not new:
                _check_whole(db, path, tail, accept_revision)
            db.execute(f"PRAGMA synchronous = {synchronous}")
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise UserError("a store needs SQLite's WAL, which this place does not allow", file=path, found=mode)
            # Takes the lock now, not at the first write.
            db.execute("BEGIN IMMEDIATE")
            db.execute("COMMIT")
            state = read_state(db)
            tail.write(state.writes, state.revision)
            # In the main file, so that a lost log does not make the store look closed.
            save_state(db, state, closed=False)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            undo.pop_all()
    except sqlite3.Error as error:
        raise refusal(path, error) from error
    return db


def close_file(db: sqlite3.Connection, tail: TailRecord) -> None:
    """Everything into the main file, marked as closed; then the tail record can go."""
    try:
        save_state(db, read_state(db), closed=True)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = True
    except sqlite3.Error:
        whole = False  # a failed disk: the next opening checks against the tail record
    db.close()
    tail.close(remove=whole)


class State(NamedTuple):
    """The numbers of a store, as its file holds them."""

    revision: int
    compacted: int
    next_lease: int
    total: int
    writes: int


def read_state(db: sqlite3.Connection) -> State:
    return State(*db.execute("SELECT revision, compacted, next_lease, total, writes FROM state").fetchone())


def save_state(db: sqlite3.Connection, state: State, *, closed: bool = False) -> None:
    row = (*state, int(closed))
    db.execute(
        "UPDATE state SET revision = ?, compacted = ?, next_lease = ?, total = ?, writes = ?, closed = ?, checksum = ?",
        (*row, row_checksum(None, *row)),
    )


def _make_or_identify(db: sqlite3.Connection, path: Path, new: bool) -> None:
    db.execute("BEGIN EXCLUSIVE")
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if new:
        for statement in _TABLES:
            db.execute(statement)
        db.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", (*_NEW, row_checksum(None, *_NEW)))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif application != APPLICATION_ID:
        raise UserError(
            "this SQLite database belongs to another program",
            file=path,
            found=f"application id {application:#x}",
            expected=f"{APPLICATION_ID:#x}",
            hint="give the store a file of its own",
        )
    elif version != SCHEMA_VERSION:
        raise UserError(
            "this store was written by another version of podyard",
            file=path,
            found=f"schema version {version}",
            expected=SCHEMA_VERSION,
            hint="open it with that version, take a snapshot, and restore it here",
        )
    db.execute("COMMIT")


def _check_whole(db: sqlite3.Connection, path: Path, tail: TailRecord, accept_revision: int | None) -> None:
    try:
        told = tail.read()
        tail_damaged = False
    except DamagedTail:
        told, tail_damaged = None, True
    try:
        db.execute("BEGIN")
        closed = _check_rows(db)
        state = read_state(db)
        db.execute("COMMIT")
    except NotWhole as error:
        raise UserError("the store is damaged", file=path, found=str(error), hint=_SNAPSHOT) from None
    revision = state.revision
    if accept_revision == revision:
        return
    accept = f"{_SNAPSHOT}, or go on without the rest: sqlite:{path}?accept-revision={revision}"
    if tail_damaged:
        raise UserError("the record of the store's newest write is damaged", file=tail.path, hint=accept)
    if told is None and not closed:
        raise UserError(
            "the store was not closed, and the record of its newest write is gone",
            file=path,
            found=f"revision {revision}, no {tail.path.name}",
            expected=f"{tail.path.name} beside it: the two belong together, with {path.name}-wal",
            hint=accept,
        )
    if told is not None and told[0] > state.writes:
        raise UserError(
            "the store ends before its newest acknowledged write: its write-ahead log is lost or damaged, or power "
            "failed while synchronous was NORMAL",
            file=path,
            found=f"revision {revision} after {state.writes} writes",
            expected=f"revision {told[1]} after {told[0]} writes",
            hint=accept,
        )


def _check_rows(db: sqlite3.Connection) -> bool:
    """Whether it was closed. Raises NotWhole, sqlite3.Error."""
    tables = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if tables != set(_TABLES):
        raise NotWhole("its tables are not those of a store")
    for (problem,) in db.execute("PRAGMA integrity_check(1)"):
        if problem != "ok":
            raise NotWhole(str(problem).splitlines()[-1])
    states = db.execute("SELECT * FROM state").fetchall()
    if len(states) != 1 or states[0][-1] != row_checksum(None, *states[0][:-1]):
        raise NotWhole("the checksum of its numbers does not match")
    _, _, _, total, _, closed, _ = states[0]
    checksums = []
    query = "SELECT value, id, key, create_revision, version, lease, before, checksum FROM history"
    for value, *columns, checksum in db.execute(query):
        if not isinstance(value, bytes | None) or checksum != row_checksum(value, *columns):
            raise NotWhole(f"the checksum of a row does not match (revision {columns[0] >> 20}, key {columns[1]!r})")
        checksums.append(checksum)
    for *columns, checksum in db.execute("SELECT id, ttl_ns, expires_ns, checksum FROM leases"):
        if checksum != row_checksum(None, *columns):
            raise NotWhole(f"the checksum of lease {columns[0]} does not match")
        checksums.append(checksum)
    if add_up(0, checksums) != total:
        raise NotWhole("rows are missing, or older than the rest")
    newest = "SELECT key, max(id) AS id, value IS NOT NULL AS live, lease FROM history GROUP BY key"
    # Both ways, as EXCEPT is one-sided.
    for here, there in (
        ("SELECT key, id, live FROM heads", f"SELECT key, id, live FROM ({newest})"),
        ("SELECT lease, key FROM leased", f"SELECT lease, key FROM ({newest}) WHERE live AND lease"),
    ):
        for one, other in ((here, there), (there, here)):
            if db.execute(f"{one} EXCEPT {other} LIMIT 1").fetchone() is not None:
                raise NotWhole("its indexes of keys or leases do not match its history")
    return bool(closed)


def refusal(path: Path, error: sqlite3.Error) -> UserError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return UserError(
            "the store is in use",
            file=path,
            found=str(error),
            hint="stop the other process that has it open, or choose another file",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return UserError(
            "not a store", file=path, found=str(error), expected="an SQLite file made by podyard, or none yet"
        )
    if code == sqlite3.SQLITE_CORRUPT or not isinstance(error, sqlite3.OperationalError):
        return UserError("the store is damaged", file=path, found=str(error), hint=_SNAPSHOT)
    return UserError(
        "the store cannot be opened", file=path, found=str(error), hint=f"see who may write there, or {_SNAPSHOT}"
    )
