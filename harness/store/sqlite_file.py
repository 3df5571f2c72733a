"""Opening a store's SQLite file: made when it is not there, refused in plain words when it is not ours to use."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Literal

from harness.model.errors import UserError

# Marks the file as ours (SQLite's PRAGMA application_id; `file` shows it). "pody" in ASCII.
APPLICATION_ID = 0x706F6479
SCHEMA_VERSION = 1

_SCHEMA = (
    """CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        value BLOB,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        before INTEGER
    )""",
    "CREATE TABLE heads (key TEXT PRIMARY KEY, id INTEGER NOT NULL, live INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL)",
    "CREATE INDEX leases_by_expiry ON leases (expires_ns)",
    "CREATE TABLE leased (lease INTEGER, key TEXT, PRIMARY KEY (lease, key)) WITHOUT ROWID",
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO numbers VALUES ('revision', 1), ('compacted', 0), ('next_lease', 1)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def open_file(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Locked for this connection alone, in WAL mode. Raises UserError, leaving what is there as it is."""
    if synchronous not in ("FULL", "NORMAL"):
        raise UserError("unknown way to synchronise a store", found=repr(synchronous), expected="FULL or NORMAL")
    if not path.parent.is_dir():
        raise UserError("no such folder for a store", file=path, hint=f"make it: mkdir -p {path.parent}")
    if path.is_dir():
        raise UserError(
            "a store is a file, this is a folder", file=path, hint=f"name a file in it: {path / 'store.db'}"
        )
    try:
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256)
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(db.close)
            # Kept until the store is closed or its process dies.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            _make_or_check(db, path)
            db.execute(f"PRAGMA synchronous = {synchronous}")
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise UserError("a store needs SQLite's WAL, which this place does not allow", file=path, found=mode)
            # Takes the lock now, not at the first write.
            db.execute("BEGIN IMMEDIATE")
            db.execute("COMMIT")
            undo.pop_all()
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    return db


def _make_or_check(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN EXCLUSIVE")
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _SCHEMA:
            db.execute(statement)
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


def _refusal(path: Path, error: sqlite3.Error) -> UserError:
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
    if code == sqlite3.SQLITE_CORRUPT:
        return UserError("the store is damaged", file=path, found=str(error), hint="restore a snapshot to a new file")
    return UserError("the store cannot be opened", file=path, found=str(error), hint="see who may write there")
