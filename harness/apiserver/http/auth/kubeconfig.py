"""The kubeconfig file of a live cluster. Source: kubernetes.io/docs/reference/config-api/kubeconfig.v1."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from harness.model.errors import UserError
from harness.model.loading import BY_HAND, load_one, read_text
from harness.model.wire import Json
from harness.store.private_file import write_private

_NAME, _ADMIN, _EXTENSION = "podyard", "kubernetes-admin", "podyard"

_PATIENCE_S = 2.0
"""Seconds to wait for a cluster that may be there."""


def kubeconfig(server: str, authority: bytes, token: str, *, name: str = _NAME, store: Path | None = None) -> Json:
    """`server`: https URL; `authority`: PEM; `token`: a bearer token of `kubernetes-admin`. `store`: the file that the
    cluster is kept in, noted as an extension."""
    kept = [] if store is None else [{"name": _EXTENSION, "extension": {"store": str(store.absolute())}}]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode("ascii"),
                    **({"extensions": kept} if kept else {}),
                },
            }
        ],
        "users": [{"name": "kubernetes-admin", "user": {"token": token}}],
        "contexts": [
            {
                "name": name,
                "context": {"cluster": name, "user": "kubernetes-admin", "namespace": "default"},
            }
        ],
        "current-context": name,
    }


class Access(msgspec.Struct, frozen=True):
    """How to reach a cluster: its URL, the PEM of its authority, a bearer token."""

    server: str
    authority: str
    token: str


def access(path: Path) -> Access:
    """Of the current context of a kubeconfig that podyard wrote. Raises UserError."""
    try:
        there = load_one(read_text(path, most=BY_HAND.yaml_bytes, what="kubeconfig"), path).data
        named = {
            field: {item["name"]: item[field[:-1]] for item in there[field]}
            for field in ("clusters", "users", "contexts")
        }
        context = named["contexts"][there["current-context"]]
        cluster, user = named["clusters"][context["cluster"]], named["users"][context["user"]]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return Access(str(cluster["server"]), authority, str(user["token"]))
    except (AttributeError, TypeError, KeyError, ValueError):
        raise UserError(
            "no kubeconfig with a current context, a cluster and a token",
            file=path,
            expected="one that podyard up wrote",
            hint="--kubeconfig FILE, as podyard up said it",
        ) from None


def check(path: Path, authority: bytes) -> None:
    """Whether `write` may write there for the cluster of `authority`. Raises UserError."""
    _read(path, authority)


def write(path: Path, config: Json) -> None:
    """Readable by its owner alone. In place of an earlier one of the same cluster, whose further users and contexts
    stay, or of a cluster that is gone for good; never of another's. Raises UserError."""
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    there = _read(path, authority)
    if there is not None:
        own = (there["clusters"], there.get("users"), there.get("contexts"))
        wanted = (config["clusters"], config["users"], config["contexts"])
        if all(one in (have or ()) for have, one in zip(own, (item[0] for item in wanted), strict=True)):
            return
        config = {**there, **{name: _merged(there.get(name), config[name]) for name in ("clusters", "users")}}
    target = Path(os.path.realpath(path))  # a link stays a link; unlike resolve, it lets a loop be
    data = yaml.safe_dump(config, sort_keys=False).encode()
    try:
        write_private(target, data, "the kubeconfig", new=not path.exists())
    except FileExistsError:  # another's, a moment ago
        raise _not_ours(path, "a file that was written at the same time") from None


def _merged(there: Any, own: list[Json]) -> list[Json]:
    return own + [item for item in there or () if item.get("name") != own[0]["name"]]


def _read(path: Path, authority: bytes) -> Json | None:
    """The file, when it is of the cluster of `authority`; None when it may be replaced. Raises UserError."""
    if not path.exists():
        return None
    if not path.is_file():
        raise _not_ours(path, "a folder" if path.is_dir() else "no regular file")
    try:
        text = read_text(path, most=BY_HAND.yaml_bytes, what="kubeconfig")
        there = load_one(text, path).data if text.strip() else {}
        if not there:
            return None
        names = {
            field: [item["name"] for item in there.get(field) or []] for field in ("clusters", "users", "contexts")
        }
        clusters = names["clusters"]
        if there.get("kind") != "Config":
            raise TypeError
        of_clusters = [dict(item["cluster"]) for item in there.get("clusters") or []]
    except (UserError, AttributeError, TypeError, KeyError, ValueError):
        raise _not_ours(path, "something that is no kubeconfig") from None
    held = base64.b64encode(authority).decode("ascii")
    if clusters == [_NAME] and of_clusters[0].get("certificate-authority-data") == held:
        return dict(there)
    foreign = [name for name in clusters if name != _NAME]
    more = [name for name in names["users"] + names["contexts"] if name not in (_NAME, _ADMIN)]
    if foreign or more:
        raise _not_ours(path, ", ".join(map(str, foreign or more))[:200])
    for cluster in of_clusters:
        _check_gone(path, cluster)
    return None


def _check_gone(path: Path, cluster: Json) -> None:
    """Raises UserError when the file leads to a cluster that runs, or to one that can be started again."""
    server = str(cluster.get("server", ""))
    hint = "name another file: --kubeconfig FILE"
    store = kept_in(cluster)
    if store and Path(store).exists():
        raise UserError(
            "the kubeconfig file is another cluster's", file=path, found=f"the cluster kept in {store}", hint=hint
        )
    if _answers(server, cluster):
        raise UserError("the kubeconfig file is another cluster's, which runs", file=path, found=server, hint=hint)


def kept_in(cluster: Json) -> str:
    """The file that a cluster of a kubeconfig is kept in, as `kubeconfig` noted it; "" for one in memory."""
    for item in cluster.get("extensions") or ():
        if isinstance(item, dict) and item.get("name") == _EXTENSION and isinstance(item.get("extension"), dict):
            return str(item["extension"].get("store", ""))
    return ""


def _answers(server: str, cluster: Json) -> bool:
    """Whether who listens there is that very cluster: its authority signed what it shows."""
    try:
        address = urlsplit(server)
        host, port = address.hostname, address.port
        authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
        trust = ssl.create_default_context(cadata=authority)
    except (ValueError, ssl.SSLError):
        return False
    if not host or not port:
        return False
    try:
        with (
            socket.create_connection((host, port), _PATIENCE_S) as plain,
            trust.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except TimeoutError:
        return True  # it is there, and busy
    except OSError:
        return False


def _not_ours(path: Path, found: str) -> UserError:
    return UserError(
        "the kubeconfig file is somebody else's",
        file=path,
        found=found,
        expected="no file, or one that podyard wrote",
        hint="name another file and point KUBECONFIG at it",
    )
