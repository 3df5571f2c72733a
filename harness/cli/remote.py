"""Calls of a cluster that runs, by its kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DEFAULT = Path("podyard.kubeconfig")

PATIENCE_S = 60


def kubeconfig_of(asked: Path | None) -> Path:
    """The file that was named, or KUBECONFIG, or the one that `podyard up` writes."""
    return asked or Path(os.environ.get("KUBECONFIG") or DEFAULT)


def call(kubeconfig: Path, method: str, path: str, body: Any = None, content_type: str = "application/json") -> bytes:
    """What is answered. Raises UserError: not reached, or refused, with the server's own words."""
    import json
    import ssl
    import urllib.request
    from urllib.error import HTTPError

    from harness.apiserver.http.auth.kubeconfig import access
    from harness.model.errors import UserError

    found = access(kubeconfig)
    headers = {"Authorization": f"Bearer {found.token}", "Content-Type": content_type}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(found.server + path, data=data, method=method, headers=headers)
    try:
        trust = ssl.create_default_context(cadata=found.authority)
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=trust) as answer:
            told: bytes = answer.read()
            return told
    except HTTPError as error:
        raise UserError("the cluster refused", file=kubeconfig, found=_words(error)) from None
    except (OSError, ValueError) as error:
        raise UserError(
            "the cluster cannot be reached",
            file=kubeconfig,
            found=f"{found.server}: {getattr(error, 'reason', None) or error}",
            hint="podyard up starts one",
        ) from None


def _words(error: Any) -> str:
    import json

    try:
        return str(json.loads(error.read())["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
