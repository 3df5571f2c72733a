"""The audit log: a line of JSON for each stage of a request, as kube-apiserver's log backend writes it.

Every request is told at level Metadata: who asked for what, from where, and what the answer was; bodies are not kept.
Source: apiserver pkg/apis/audit/v1/types.go Event, pkg/endpoints/filters/audit.go (Kubernetes 1.32).
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope, Send

from harness.apiserver.http.auth.rbac import User
from harness.apiserver.http.options import is_true
from harness.apiserver.http.resources import target_of
from harness.model.errors import UserError
from harness.model.status import ApiError
from harness.model.wire import Json, time_text

_LASTING = frozenset({"log", "exec", "attach", "portforward"})
"""Subresources whose requests go on: told when they begin too, as watches are."""

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class AuditLog:
    """Appends to a file that only its owner may read. Used on the HTTP server's thread."""

    def __init__(self, path: Path) -> None:
        """Raises UserError."""
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UserError(
                "cannot write the audit log",
                file=path,
                found=error.strerror or str(error),
                hint="--audit-log: name a file in a folder that exists and is yours",
            ) from None

    def write(self, event: Json) -> None:
        os.write(self._file, msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        os.close(self._file)


class Audited:
    """One request from its arrival to its end. `user`: who it was done as; `actor`: who asked, where that is another.
    `error`: the refusal that was the answer."""

    def __init__(self, log: AuditLog, scope: Scope) -> None:
        self.user: User | None = None
        self.actor: User | None = None
        self.error: ApiError | None = None
        self._log = log
        self._scope = scope
        self._id = str(uuid.uuid4())
        self._received = time.time_ns()
        self._code = 0
        self._about = _about(HTTPConnection(scope), scope.get("method", "GET"))

    def sending(self, send: Send) -> Send:
        """`send`, listened to for the status of the answer."""

        async def listened(message: Message) -> None:
            code = message.get("status")
            if message["type"] == "websocket.accept":
                code = 101
            if isinstance(code, int) and not self._code:
                self._code = code
                if self._lasts and code < 300:
                    self._write_event("ResponseStarted")
            await send(message)

        return listened

    def done(self) -> None:
        self._write_event("ResponseComplete")

    @property
    def _lasts(self) -> bool:
        about = self._about
        return about["verb"] == "watch" or (about.get("objectRef") or {}).get("subresource") in _LASTING

    def _write_event(self, stage: str) -> None:
        status: Json = {"metadata": {}, "code": self._code}
        if self.error is not None:
            told = self.error.to_wire()
            status |= {name: told[name] for name in ("status", "message", "reason", "details") if told.get(name)}
            status["code"] = self.error.code
        event: Json = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": self._id}
        event |= {"stage": stage, **self._about}
        actor = self.actor or self.user
        event["user"] = {} if actor is None else _info(actor)
        if self.actor is not None and self.user is not None and self.user != self.actor:
            event["impersonatedUser"] = _info(self.user)
        client = self._scope.get("client")
        event["sourceIPs"] = [client[0]] if client else []
        event["responseStatus"] = status
        event["requestReceivedTimestamp"] = time_text(0, self._received, micro=True)
        event["stageTimestamp"] = time_text(0, time.time_ns(), micro=True)
        if self.user is not None:
            forbidden = status["code"] == 403 and 'User "' in status.get("message", "")
            event["annotations"] = {"authorization.k8s.io/decision": "forbid" if forbidden else "allow"}
        self._log.write(event)


def _info(user: User) -> Json:
    return {"username": user.name, **({"uid": user.uid} if user.uid else {}), "groups": list(user.groups)}


def _about(request: HTTPConnection, method: str) -> Json:
    """What is asked for: requestURI, verb, userAgent and, of a resource, objectRef."""
    url = request.url
    out: Json = {"requestURI": f"{url.path}?{url.query}" if url.query else url.path, "verb": method.lower()}
    if agent := request.headers.get("user-agent"):
        out["userAgent"] = agent
    target = target_of(url.path)
    if target is None:
        return out
    watch = is_true(request.query_params, "watch")
    verb = _VERBS.get(method, "watch" if watch else "get" if target.name else "list")
    out["verb"] = "deletecollection" if verb == "delete" and not target.name else verb
    ref = {
        "resource": target.resource.plural,
        "namespace": target.namespace,
        "name": target.name,
        "apiGroup": target.resource.group,
        "apiVersion": target.resource.version,
        "subresource": target.subresource,
    }
    out["objectRef"] = {name: text for name, text in ref.items() if text}
    return out
