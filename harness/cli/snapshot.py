"""podyard snapshot and podyard restore: a cluster's state as a file, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.stores import file_of, open_store

_BUMP = 1_000_000_000
"""Of a new file beside the keys of a cluster that clients know. Source: etcd.io/docs/v3.6/op-guide/recovery,
"Restoring with revision bump", whose example it is: more than any cluster writes in between."""

_ETCD = "etcd:"


def snapshot(
    into: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    store: Annotated[str | None, typer.Option(help="sqlite:FILE or etcd:URL of a cluster that does not run.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Of a cluster that runs.")] = None,
) -> None:
    """Save everything that a cluster holds, as of one revision: objects and leases, no keys or tokens."""
    from harness.model.errors import UserError
    from harness.store.snapshot_files import check_new, snapshot_file, snapshot_store, write_snapshot

    if (store is None) == (kubeconfig is None):
        raise UserError("which cluster?", expected="one of --store sqlite:FILE and --kubeconfig FILE")
    check_new(into)
    if store is not None and store.startswith(_ETCD):
        data = snapshot_store(open_store(store))
    elif store is not None:
        data = snapshot_file(_file(store))
    else:
        from harness.apiserver.http.snapshot_door import PATH
        from harness.cli.remote import call

        assert kubeconfig is not None
        data = call(kubeconfig, "GET", PATH)
    saved = write_snapshot(into, data)
    print(f"{len(saved.rows)} keys at revision {saved.revision} in {into}", file=sys.stderr)


def restore(
    snapshot: Annotated[Path, typer.Argument(help="A file that podyard snapshot wrote.")],
    store: Annotated[
        str | None, typer.Option(help="sqlite:FILE or etcd:URL of a cluster that does not run, or a new file.")
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Of a cluster that runs.")] = None,
    bump_revision: Annotated[
        int | None, typer.Option(min=0, help="Added to the snapshot's revision; a new file beside kept keys: 10^9.")
    ] = None,
) -> None:
    """Replace everything that a cluster's store holds by a snapshot.

    Revisions move forward, and the past is compacted: every watcher is told to list again, as after a restore of etcd.
    The cluster's keys and port stay.
    """
    from harness.cluster.live import keep_clock
    from harness.model.errors import UserError
    from harness.store.snapshot_files import MOST_BUMP, read_snapshot, restore_file, restore_store

    if (store is None) == (kubeconfig is None):
        raise UserError("which cluster?", expected="one of --store sqlite:FILE and --kubeconfig FILE")
    saved = read_snapshot(snapshot)
    if kubeconfig is not None:
        _restore_running(kubeconfig, snapshot, len(saved.rows))
        return
    assert store is not None
    if store.startswith(_ETCD):
        before, after = restore_store(saved, open_store(store), bump_revision or 0, keep_clock)
        print(f"{len(saved.rows)} keys in {store}: revision {before} before, {after} now", file=sys.stderr)
        return
    path = _file(store)
    if bump_revision is None:
        beside = path.with_name(path.name + "-identity")
        bump_revision = _BUMP if beside.exists() and not path.exists() else 0
    if saved.revision + bump_revision > MOST_BUMP:
        raise UserError("--bump-revision is out of range", found=bump_revision, expected=f"at most {MOST_BUMP}")
    before, after = restore_file(saved, path, bump_revision, keep_clock)
    was = f"revision {before} before, " if before else ""
    print(f"{len(saved.rows)} keys in {path}: {was}{after} now", file=sys.stderr)


def _restore_running(kubeconfig: Path, snapshot: Path, keys: int) -> None:
    import json

    from harness.apiserver.http.snapshot_door import MEDIA_TYPE, PATH
    from harness.cli.remote import call

    told = json.loads(call(kubeconfig, "PUT", PATH, snapshot.read_bytes(), MEDIA_TYPE))
    print(f"{keys} keys: revision {told['before']} before, {told['revision']} now", file=sys.stderr)


def _file(store: str) -> Path:
    from harness.model.errors import UserError

    path = file_of(store)
    if path is None or "?" in store:
        raise UserError("--store is not understood", found=store, expected="sqlite:FILE or etcd:URL")
    return path
