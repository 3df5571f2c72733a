"""Who a bearer token belongs to: tokens given at start, and signed ones of service accounts.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication; a service account's names and groups:
apiserver pkg/authentication/serviceaccount/util.go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from harness.apiserver.http.auth.rbac import AUTHENTICATED, MASTERS, User
from harness.model.status import ApiError, Cause, invalid
from harness.model.wire import time_text

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
"""Whom the kubeconfig's token belongs to. Source: kubeadm's admin.conf."""

SHORTEST_S, DEFAULT_S = 600, 3600
"""Seconds that a service account's token lives. Source: pkg/apis/authentication/validation, TokenRequest."""


class Bearer(msgspec.Struct, frozen=True):
    """What a service account's token says: for whom, until when (instant of the cluster's clock)."""

    namespace: str
    name: str
    uid: str
    expires_ns: int


class Tokens:
    """`known`: tokens of people. The signing key lives as long as this object."""

    def __init__(self, known: Mapping[str, User]) -> None:
        self._known = {_digest(token): user for token, user in known.items()}
        self._key = secrets.token_bytes(32)

    def user(self, token: str) -> User | Bearer | None:
        """Bearer: what is true if the service account is still there (`confirm`). None: nobody's."""
        # Compared by digest, so that the time a lookup takes says nothing about a token.
        found = self._known.get(_digest(token))
        return found if found is not None else self._opened(token)

    def issue(self, server: ApiServer, namespace: str, name: str, seconds: int) -> tuple[str, int]:
        """(token, instant of its end). Raises ApiError NotFound."""
        account = server.get("ServiceAccount", namespace, name)
        bearer = Bearer(namespace, name, account.metadata.uid, server.now + seconds * 10**9)
        body = _text(msgspec.json.encode(bearer))
        return f"podyard.{body}.{_text(self._sign(body))}", bearer.expires_ns

    def _sign(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), hashlib.sha256).digest()

    def _opened(self, token: str) -> Bearer | None:
        parts = token.split(".")
        if len(parts) != 3 or parts[0] != "podyard":
            return None
        try:
            if not hmac.compare_digest(_bytes(parts[2]), self._sign(parts[1])):
                return None
            return msgspec.json.decode(_bytes(parts[1]), type=Bearer)
        except (binascii.Error, ValueError):
            return None


def confirm(server: ApiServer, bearer: Bearer) -> User:
    """Raises ApiError Unauthorized when the account is gone or the token has run out."""
    account: Any = server.objects("ServiceAccount").get(f"{bearer.namespace}/{bearer.name}")
    if account is None or account.metadata.uid != bearer.uid or server.now >= bearer.expires_ns:
        raise unauthorized()
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{bearer.namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{bearer.namespace}:{bearer.name}", groups, bearer.uid)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def answered(
    known: Tokens, server: ApiServer, namespace: str, name: str, spec: dict[str, Any], epoch_unix_ns: int
) -> dict[str, Any]:
    """A TokenRequest with its status. Raises ApiError NotFound, Invalid (too short a life)."""
    seconds = spec.get("expirationSeconds") or DEFAULT_S
    if not isinstance(seconds, int) or seconds < SHORTEST_S:
        cause = Cause(
            "spec.expirationSeconds",
            "FieldValueInvalid",
            f"Invalid value: {seconds}: may not specify a duration less than 10 minutes",
        )
        raise invalid("TokenRequest", "", (cause,), "authentication.k8s.io")
    token, end = known.issue(server, namespace, name, seconds)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"audiences": spec.get("audiences") or [], "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": time_text(end, epoch_unix_ns)},
    }
