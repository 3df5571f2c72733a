"""Who a client is by the certificate that it showed when it connected: its common name, in the groups that are its
organizations.

The server asks for one and goes on without; one that its authority has not signed ends the handshake.
Source: apiserver pkg/authentication/request/x509/x509.go, CommonNameUserConversion (Kubernetes 1.32).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.apiserver.http.auth.rbac import AUTHENTICATED, User

_STATE = "podyard.peer"
"""In the state of an ASGI scope: the User that a connection's certificate names."""


def state_of(transport: Any) -> dict[str, Any]:
    """What the requests of a new connection have in their scope's state; nothing where no certificate was shown."""
    shown = transport.get_extra_info("peercert") or {}
    names = [pair for part in shown.get("subject", ()) for pair in part]
    common = next((value for key, value in names if key == "commonName"), "")
    if not common:
        return {}
    groups = tuple(value for key, value in names if key == "organizationName")
    return {_STATE: User(common, (*groups, AUTHENTICATED))}


def user_of(scope: Mapping[str, Any]) -> User | None:
    found: User | None = (scope.get("state") or {}).get(_STATE)
    return found
