"""Snapshots as files: written, read and judged, and restored into a store's file. All of it or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.model.errors import UserError
from harness.model.loading import check_regular
from harness.store.codec import ObjectCodec
from harness.store.interface import Store
from harness.store.private_file import sync_folder, write_private
from harness.store.snapshots import Saved, entries, pack, unpack
from harness.store.sqlite import SqliteStore

MOST_BUMP = 10**12
"""Of a restore's revision; far below where the store's numbers end."""

_OTHERS = (
    (
        0,
        b"SQLite format 3\x00",
        "an SQLite database",
        "podyard snapshot --store sqlite:FILE makes a snapshot of a store",
    ),
    (16, b"\xed\xda\x0c\xed", "a database of etcd (bbolt)", "etcdutl restores etcd's snapshots"),
    (0, b"\x1f\x8b", "a gzip file", "gunzip it first"),
)
"""What is taken for a snapshot: (offset, bytes there, what it is, what to do)."""


def write_snapshot(path: Path, data: bytes) -> Saved:
    """`data` in a new file, readable by its owner alone. Raises UserError: the file is there, or cannot be written."""
    saved = _unpacked(path, data)
    try:
        write_private(path, data, "the snapshot", new=True)
    except FileExistsError:
        raise _taken(path) from None
    return saved


def check_new(path: Path) -> None:
    """Raises UserError where `write_snapshot` would."""
    if os.path.lexists(path):
        raise _taken(path)
    if not path.parent.is_dir():
        raise UserError("no such folder for a snapshot", file=path, hint=f"make it: mkdir -p {path.parent}")


def read_snapshot(path: Path) -> Saved:
    """Checked whole: its checksum, its numbers, and that each value is an object that this version knows. Raises
    UserError."""
    try:
        check_regular(path)
        data = path.read_bytes()
    except OSError as error:
        raise UserError("the snapshot cannot be read", file=path, found=error.strerror or str(error)) from None
    saved = _unpacked(path, data)
    try:
        entries(ObjectCodec(), saved)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise _refusal(path, f"a value that this version cannot read: {error}", None) from None
    return saved


def snapshot_file(store: Path) -> bytes:
    """Of a store that nobody has open. Raises UserError."""
    if not os.path.lexists(store):
        raise UserError("no such store", file=store, expected="a file that podyard up --store sqlite:FILE made")
    return snapshot_store(SqliteStore(store, ObjectCodec()))


def snapshot_store(opened: Store) -> bytes:
    """It is closed."""
    try:
        return opened.snapshot()
    finally:
        opened.close()


def restore_store(
    saved: Saved, opened: Store, bump: int, keep: Callable[[Store], Callable[[], None]]
) -> tuple[int, int]:
    """As `restore_file`, of a store that is there; it is closed."""
    try:
        before = opened.revision
        put_back = keep(opened)
        opened.restore(pack(saved.revision + bump, saved.rows, saved.leases, saved.next_lease))
        put_back()
        return before, opened.revision
    finally:
        opened.close()


def restore_file(saved: Saved, store: Path, bump: int, keep: Callable[[Store], Callable[[], None]]) -> tuple[int, int]:
    """Everything in `store`, a new file or one that nobody has open, replaced; (its revision before, after).

    In an existing file revisions go on from its own, so that whoever watched it lists again. A new file knows nothing
    of what clients have seen: `bump` is added to the snapshot's revision. `keep` is called with an
    existing store as it is; what it returns, after the restore. Raises UserError, changing nothing.
    """
    if os.path.lexists(store):
        return restore_store(saved, SqliteStore(store, ObjectCodec()), bump, keep)
    data = pack(saved.revision + bump, saved.rows, saved.leases, saved.next_lease)
    if not store.parent.is_dir():
        raise UserError("no such folder for a store", file=store, hint=f"make it: mkdir -p {store.parent}")
    for left in (store.with_name(store.name + "-tail"), store.with_name(store.name + "-wal")):
        if left.exists():
            raise UserError(
                "the store is gone, but not what stood beside it",
                file=store,
                found=f"{left.name} without {store.name}",
                hint=f"put the store's file back, or remove {left}",
            )
    return 0, _restored_anew(data, store)


def _restored_anew(data: bytes, store: Path) -> int:
    """Made whole in a folder of its own beside it, and then given its name."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{store.name}.", dir=store.parent))
    except OSError as error:
        raise UserError("cannot write the store", file=store, found=error.strerror or str(error)) from None
    try:
        opened = SqliteStore(folder / "store", ObjectCodec())
        try:
            opened.restore(data)
            revision = opened.revision
        finally:
            opened.close()
        os.link(folder / "store", store)
        sync_folder(store.parent)
        return revision
    except FileExistsError:
        raise UserError("the store was made by another process at the same time", file=store) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked(path: Path, data: bytes) -> Saved:
    try:
        return unpack(data)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        if not data:
            raise _refusal(path, "an empty file", None) from None
        for at, mark, what, hint in _OTHERS:
            if data[at : at + len(mark)] == mark:
                raise _refusal(path, what, hint) from None
        raise _refusal(path, str(error), "take another snapshot; nothing was changed") from None


def _refusal(path: Path, found: str, hint: str | None) -> UserError:
    return UserError("not a snapshot that can be restored", file=path, found=found, hint=hint)


def _taken(path: Path) -> UserError:
    return UserError("a snapshot never replaces a file", file=path, found="a file of that name", hint="name another")
