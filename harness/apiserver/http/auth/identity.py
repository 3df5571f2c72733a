"""What clients know a cluster by: its authority, the administrator's token, the key of its tokens, and its port.

A cluster in memory has a new one each time; one in a file keeps it in a file beside it, so that a client goes on with
its kubeconfig and its tokens after a restart.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Any

import msgspec

from harness.apiserver.http.auth import certs
from harness.apiserver.http.auth.certs import Authority
from harness.model.errors import UserError
from harness.store.private_file import write_private

_FORMAT = "podyard-identity-1"
_MOST_BYTES = 64 * 1024


class Identity(msgspec.Struct, frozen=True, rename="camel"):
    """`token`: the administrator's bearer token. `signing_key`: PEM, P-256, of service accounts' tokens. `port`: 0 for
    none yet."""

    format: str
    authority: Authority
    signing_key: str
    token: str
    port: int = 0


def new() -> Identity:
    key = certs.key_text(certs.new_key())
    return Identity(_FORMAT, certs.make_authority(), key, secrets.token_urlsafe(32))


def path_of(store: Path) -> Path:
    """Where the identity of the cluster in `store` is kept."""
    return store.with_name(store.name + "-identity")


def load(path: Path) -> Identity | None:
    """None when there is no file. Raises UserError: not an identity, damaged, or one that others can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(path, error.strerror or str(error), "see who may read it") from None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _refusal(path, "not a regular file", "name another file for the store")
        if mode & 0o077:
            raise UserError(
                "others can read the cluster's keys",
                file=path,
                found=f"mode {stat.S_IMODE(mode):04o}",
                expected="mode 0600",
                hint=f"chmod 600 {path}",
            )
        data = file.read(_MOST_BYTES)
    try:
        found = msgspec.json.decode(data, type=Identity)
        if found.format != _FORMAT:
            raise ValueError(f"format {found.format[:40]!r}, known: {_FORMAT}")
        if not 0 <= found.port <= 65535 or not found.token:
            raise ValueError("a port or a token that is none")
        certs.make(found.authority)
        certs.read_key(found.signing_key)
    except (ValueError, msgspec.MsgspecError) as error:
        hint = f"put it back from a copy; or remove it, and clients need the kubeconfig anew: rm {path}"
        raise _refusal(path, str(error), hint) from None
    return found


def save(path: Path, identity: Identity) -> None:
    """On the disk, readable by its owner alone, and never half of it. Raises UserError."""
    write_private(path, msgspec.json.format(msgspec.json.encode(identity)), "the cluster's identity")


def _refusal(path: Path, found: Any, hint: str) -> UserError:
    return UserError("the cluster's identity cannot be read", file=path, found=found, hint=hint)
