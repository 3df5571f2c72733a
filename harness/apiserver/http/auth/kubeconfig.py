"""The kubeconfig file of a live cluster. Source: kubernetes.io/docs/reference/config-api/kubeconfig.v1."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import UserError
from harness.model.loading import BY_HAND, load_one, read_text


def kubeconfig(server: str, authority: bytes, token: str, *, name: str = "podyard") -> dict[str, Any]:
    """`server`: https URL; `authority`: PEM; `token`: a bearer token of `kubernetes-admin`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode("ascii"),
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


def write(path: Path, config: dict[str, Any]) -> None:
    """Readable by its owner alone; in place of an earlier one of this kind, never of another's. Raises UserError."""
    _check_ours(path)
    text = yaml.safe_dump(config, sort_keys=False)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Made unreadable for others before the token is in it, and moved, so that no reader sees half of it.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            "cannot write the kubeconfig",
            file=path,
            found=error.strerror or str(error),
            hint="name a file in a folder that exists and is yours",
        ) from None


def _check_ours(path: Path) -> None:
    """Raises UserError when the file there leads to other clusters."""
    if not path.exists():
        return
    try:
        text = read_text(path, most=BY_HAND.yaml_bytes, what="kubeconfig")
        there = load_one(text, path).data if text.strip() else {}
        clusters = [item["name"] for item in (there or {}).get("clusters") or []]
    except (UserError, AttributeError, TypeError, KeyError):
        clusters = ["something that is no kubeconfig"]
    if any(name != "podyard" for name in clusters):
        raise UserError(
            "the kubeconfig file is somebody else's",
            file=path,
            found=", ".join(map(str, clusters))[:200],
            expected="no file, or one that podyard wrote",
            hint="name another file and point KUBECONFIG at it",
        )
