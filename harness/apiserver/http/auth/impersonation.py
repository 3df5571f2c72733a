"""Acting as somebody else: the Impersonate-* headers, and what their use takes.

Source: apiserver pkg/endpoints/filters/impersonation.go (Kubernetes 1.32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from harness.apiserver.http.auth import rbac
from harness.apiserver.http.auth.rbac import AUTHENTICATED, Action, User
from harness.model.status import ApiError

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from harness.apiserver.server import ApiServer

_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"


class Impersonation(msgspec.Struct, frozen=True):
    """As whom somebody asks to act. `extra`: by key, as `User.extra`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def asked(headers: Headers) -> Impersonation | None:
    """None when the request is in the client's own name. Raises ApiError BadRequest: no user is named."""
    name, groups = headers.get("impersonate-user"), tuple(headers.getlist("impersonate-group"))
    uid = headers.get("impersonate-uid") or ""
    extra: dict[str, list[str]] = {}
    for key, value in headers.items():
        if key.startswith(_EXTRA):
            extra.setdefault(unquote(key.removeprefix(_EXTRA)), []).append(value)
    if name:
        return Impersonation(name, groups, uid, tuple((key, tuple(values)) for key, values in sorted(extra.items())))
    if groups or uid or extra:
        what = "groups" if groups else "a uid" if uid else "extra fields"
        raise ApiError(400, "BadRequest", f"requested {what} without impersonating a user")
    return None


def acting(server: ApiServer, user: User, asked: Impersonation) -> User:
    """Whom `user` acts as. Raises ApiError Forbidden."""
    groups = asked.groups
    if asked.name.startswith("system:serviceaccount:"):
        _, _, namespace, account = [*asked.name.split(":"), "", ""][:4]
        rbac.check(server, user, Action("impersonate", "", "serviceaccounts", "", namespace, account))
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        rbac.check(server, user, Action("impersonate", "", "users", name=asked.name))
    for group in groups:
        rbac.check(server, user, Action("impersonate", "", "groups", name=group))
    if asked.uid:
        rbac.check(server, user, Action("impersonate", _GROUP, "uids", name=asked.uid))
    for key, values in asked.extra:
        for value in values:
            rbac.check(server, user, Action("impersonate", _GROUP, "userextras", key, name=value))
    return User(asked.name, groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED), asked.uid, asked.extra)
