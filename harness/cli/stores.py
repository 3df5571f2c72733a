"""--store of the command line: which store, and its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.store.interface import Store


def open_store(text: str) -> Store:
    """Raises UserError: not understood, in use, damaged."""
    from harness.model.errors import UserError
    from harness.model.whole_numbers import whole_number
    from harness.store.codec import ObjectCodec

    kind, _, rest = text.partition(":")
    if kind == "memory" and not rest:
        from harness.store.memory import MemoryStore

        return MemoryStore(ObjectCodec())
    if kind == "sqlite" and rest:
        from harness.store.sqlite import SqliteStore

        _, _, option = rest.partition("?accept-revision=")
        revision = whole_number(option)
        if option and revision is None:
            raise UserError("--store is not understood", found=text, expected="sqlite:FILE?accept-revision=NUMBER")
        return SqliteStore(_resolved(rest), ObjectCodec(), accept_revision=revision)
    if kind == "etcd" and rest:
        from harness.store.etcd import EtcdStore

        return EtcdStore(rest, ObjectCodec())
    raise UserError("--store is not understood", found=text, expected="memory, sqlite:FILE or etcd:URL")


def file_of(text: str) -> Path | None:
    """The file of a store that has one."""
    kind, _, rest = text.partition(":")
    return _resolved(rest) if kind == "sqlite" and rest else None


def identity_file(text: str, kubeconfig: Path) -> Path | None:
    """Where the keys of the cluster in a store are kept: beside its file, or beside the kubeconfig for one in etcd."""
    from harness.apiserver.http.auth.identity import path_of

    file = file_of(text)
    if file is not None:
        return path_of(file)
    return path_of(Path(os.path.realpath(kubeconfig))) if text.startswith("etcd:") else None


def _resolved(rest: str) -> Path:
    """Links followed: what stands beside a store's file is found by its name."""
    path = Path(rest.partition("?accept-revision=")[0])
    return Path(os.path.realpath(path)) if path.is_symlink() else path
