"""The ASGI application: who asks, what for, the question handed to the driver, the answer in the form wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from harness.apiserver.http import discovery, openapi, proxy, snapshot_door, upgrades
from harness.apiserver.http.answers import Encoder, SharedObjects, in_bytes, media_type
from harness.apiserver.http.audit import Audited, AuditLog
from harness.apiserver.http.auth import impersonation, peers, rbac, reviews, tokens
from harness.apiserver.http.auth.rbac import Action, User
from harness.apiserver.http.auth.tokens import Bearer, Tokens
from harness.apiserver.http.bodies import JSON, LARGEST_BODY, checked, parsed, too_large
from harness.apiserver.http.call import Answer, Call, Objects, One
from harness.apiserver.http.containers import logs
from harness.apiserver.http.containers.disk import Disks
from harness.apiserver.http.driver_queue import AWAY, Busy, DriverQueue
from harness.apiserver.http.negotiate import ObjectForm, form_of
from harness.apiserver.http.options import is_true
from harness.apiserver.http.proxy import proxied
from harness.apiserver.http.resources import Target, target_of
from harness.apiserver.http.streams import WatchResponse, WatchSettings
from harness.apiserver.http.verbs import Result, perform, reads_memory
from harness.apiserver.http.watch import Hub
from harness.apiserver.kinds import RULES
from harness.apiserver.server import ApiServer
from harness.model.status import ApiError, not_allowed, unavailable
from harness.model.wire import Json

log = logging.getLogger("podyard.apiserver")

MAY_BE_UNHEEDED = ("NodePool", "NodeClaim")
"""Kinds of which a server may say so: others cost no question."""

T = TypeVar("T")

REQUEST_TIMEOUT_S = 60
"""Source: kube-apiserver --request-timeout."""

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+podyard",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}

METRICS_TYPE = "text/plain; version=0.0.4"
"""Source: prometheus.io/docs, "Exposition formats"."""

_HEALTH = ("/healthz", "/livez", "/readyz")
_CHECKS = ("ping", "etcd")
"""The process answers; its store does, for every request goes through it."""


class Front:
    """`epoch_unix_ns`: instant 0 of the cluster on the wall clock; `address`: host:port that clients use."""

    def __init__(
        self,
        driver: DriverQueue,
        hub: Hub,
        known: Tokens,
        *,
        epoch_unix_ns: int,
        address: str,
        metrics: Callable[[], str] | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit
        self._driver = driver
        self._hub = hub
        self.tokens = known
        self._epoch = epoch_unix_ns
        self._address = address
        self._metrics = metrics
        self._shared = SharedObjects()
        self.disks = Disks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._audit is None:
            await self._serve(scope, receive, send)
            return
        audited = scope["podyard.audited"] = Audited(self._audit, scope)
        try:
            await self._serve(scope, receive, audited.sending(send))
        finally:
            audited.done()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await upgrades.serve(self, self._epoch, scope, receive, send)
            return
        assert scope["type"] == "http", scope["type"]
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ApiError as error:
            if "podyard.audited" in scope:
                scope["podyard.audited"].error = error
            response = refusal(error, _refusal_form(request))
        except ClientDisconnect:
            return
        except Exception:
            # The driver must live on whatever a client sends; the traceback is for us.
            log.exception("%s %s", request.method, request.url.path)
            response = refusal(ApiError(500, "InternalError", "Internal error occurred: see the server's log"))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path: str = request.scope["path"]
        if self._driver.away:
            raise unavailable(AWAY)
        if path.startswith(("/api/", "/apis/")) and "/proxy" not in path:
            target = target_of(path)
            if target is not None:
                return await self._resource(request, await self.user(request), target)
        if (health := _health(path.rstrip("/"), verbose="verbose" in request.query_params)) is not None:
            return Response(health, media_type="text/plain")
        user = await self.user(request)
        asked = proxied(path)
        if asked is not None:
            body, kind = await self.ask(lambda s: proxy.answered(s, user, asked, request.method, self._epoch))
            return Response(body, media_type=kind)
        target = target_of(path)
        if target is not None:
            return await self._resource(request, user, target)
        review = reviews.review_of(path)
        if review is not None:
            if request.method != "POST":
                raise not_allowed()
            asked_for = parsed(await _body(request), request.headers.get("content-type", ""))
            form = form_of(request.headers.get("accept", ""))
            answer = await self.ask(lambda s: reviews.perform(s, user, self._whose, *review, asked_for))
            return _response(answer, form, 201)
        if rbac.MASTERS not in user.groups:
            url = path.rstrip("/") or "/"
            await self.ask(lambda s: rbac.check(s, user, Action(request.method.lower(), url=url)))
        if request.method == "PUT" and path == snapshot_door.PATH:
            data = await _body(request, snapshot_door.LARGEST)
            return json_response(await self.ask(lambda _: snapshot_door.restored(self._driver, data)))
        if request.method != "GET":
            raise _not_found()
        if path == "/metrics" and self._metrics is not None:
            tell = self._metrics
            return Response(await self.ask(lambda _: tell()), media_type=METRICS_TYPE)
        if path == snapshot_door.PATH:
            return Response(await self.ask(snapshot_door.taken), media_type=snapshot_door.MEDIA_TYPE)
        return self._document(request, path)

    async def ask(self, fn: Callable[[ApiServer], T]) -> T:
        """`fn` on the driver's thread. Raises ApiError Timeout when it does not get round to it."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._driver.submit(fn)), REQUEST_TIMEOUT_S)
        except TimeoutError:
            raise ApiError(504, "Timeout", "Timeout: request did not complete within the allotted timeout") from None

    # -- who -----------------------------------------------------------------------------------------------------------

    async def user(self, request: HTTPConnection) -> User:
        """Who asks. Raises ApiError Unauthorized, Forbidden (to act as somebody else)."""
        audited: Audited | None = request.scope.get("podyard.audited")
        actor = await self._actor(request)
        if audited is not None:
            audited.actor = audited.user = actor
        user = await self._acts_as(request, actor)
        if audited is not None:
            audited.user = user
        return user

    async def _actor(self, request: HTTPConnection) -> User:
        """Whose the credentials are. Raises ApiError Unauthorized."""
        peer = peers.user_of(request.scope)
        if peer is not None:
            return peer
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self.tokens.user(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise tokens.unauthorized()
        if isinstance(found, Bearer):
            bearer = found
            return await self.ask(lambda s: tokens.confirm(s, bearer, self._epoch))
        return found

    async def _acts_as(self, request: HTTPConnection, user: User) -> User:
        asked = impersonation.asked(request.headers)
        return user if asked is None else await self.ask(lambda s: impersonation.acting(s, user, asked))

    def _whose(self, server: ApiServer, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]]:
        """Raises ApiError Unauthorized."""
        return self.tokens.whose(server, self._epoch, token, audiences)

    # -- what ----------------------------------------------------------------------------------------------------------

    async def _resource(self, request: Request, user: User, target: Target) -> Response:
        form = form_of(request.headers.get("accept", ""))
        query = dict(request.query_params)
        watch = request.method == "GET" and is_true(query, "watch")
        verb = "watch" if watch else _verb(request.method, target)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        duplicates: list[str] | None = None if query.get("fieldValidation") == "Ignore" else []
        body = parsed(await _body(request), content_type, duplicates) if request.method != "GET" else None
        agent = request.headers.get("user-agent", "")
        call = Call(user, verb, target, query, body, content_type, self._epoch, duplicates or [], [], agent)
        encoder = Encoder(call, form, self._shared)
        if watch:
            if target.subresource:
                raise not_allowed()
            settings = WatchSettings.of(call)
            feed, initial = await self.ask(lambda s: settings.open(s, self._hub, call))
            return WatchResponse(self._driver, self._hub, feed, initial, settings, encoder)
        if target.subresource == "log" and request.method == "GET":
            return await self._log(call)
        if target.subresource in upgrades.PARTS:
            # kubectl tries again without a WebSocket when the first try was refused, and shows this answer.
            await self.ask(lambda s: upgrades.check(s, user, target, query, self._epoch))
            raise upgrades.not_upgraded()
        if target.subresource == "token":
            return _response(await self.ask(lambda s: self._issue(s, call)), form, 201)
        match await self._performed(call):
            case Answer(body=answer, code=code):
                response = _response(answer, form, code)
            case One(obj=obj, now=now, code=code):
                response = Response(encoder.answer(obj, now), status_code=code, media_type=media_type(form))
            case Objects() as page:
                response = _response(await encoder.page(page), form)
        if call.verb in ("create", "update", "patch") and not target.subresource:
            call.warnings.extend(await self._unheeded(call))
        if told := RULES[call.resource.kind.kind].deprecated:
            call.warnings.append(told)
        for warning in call.warnings:
            response.headers.append("Warning", warning_header(warning))
        return response

    async def _unheeded(self, call: Call) -> list[str]:
        """What the client is told of a kind that nobody acts on."""
        kind = call.resource.kind.kind
        text = await self.ask(lambda s: s.unheeded.get(kind, "")) if kind in MAY_BE_UNHEEDED else ""
        return [text] if text else []

    async def _performed(self, call: Call) -> Result:
        """Raises ApiError."""
        if reads_memory(call):
            found = self._driver.read(lambda s: perform(s, call))
            if not isinstance(found, Busy):
                return found
        return await self.ask(lambda s: perform(s, call))

    async def _log(self, call: Call) -> Response:
        """A container's log, followed when that is asked for."""
        options, target, epoch = logs.LogOptions.of(call.query), call.target, self._epoch

        def read(server: ApiServer) -> logs.Log:
            rbac.check(server, call.user, call.action())
            return logs.read(server, target.namespace, target.name, options, epoch)

        first = await self.ask(read)
        lines = logs.follow(lambda: self.ask(read), first, options, epoch)
        return StreamingResponse(lines, media_type="text/plain")

    def _issue(self, server: ApiServer, call: Call) -> Json:
        """A TokenRequest answered."""
        if call.verb != "create":
            raise not_allowed()
        rbac.check(server, call.user, call.action())
        spec = checked("authentication.k8s.io/v1", "TokenRequest", call.body).get("spec") or {}
        return tokens.answered(self.tokens, server, call.target.namespace, call.target.name, spec, self._epoch)

    # -- documents -----------------------------------------------------------------------------------------------------

    def _document(self, request: Request, path: str) -> Response:
        """Raises ApiError NotFound."""
        accept = request.headers.get("accept", "")
        bare = path.rstrip("/")
        if bare == "/version":
            return json_response(VERSION)
        if bare in ("/api", "/apis") and "as=APIGroupDiscoveryList" in accept:
            version = "v2" if "v=v2;" in accept + ";" else "v2beta1"
            document = discovery.aggregated(core=bare == "/api", version=version)
            return _tagged(request, document, discovery.AGGREGATED.format(version=version))
        plain = discovery.plain(bare, self._address)
        if plain is not None:
            return json_response(plain)
        if bare == "/openapi/v3":
            return json_response(openapi.v3_paths())
        if bare.startswith("/openapi/v3/"):
            api_version = openapi.version_of(bare.removeprefix("/openapi/v3/"))
            if api_version is not None:
                return json_response(openapi.v3_document(api_version))
        if bare == "/openapi/v2":
            if openapi.V2_ASKED in accept:
                return Response(openapi.v2_document(VERSION["gitVersion"]), media_type=openapi.V2_ANSWERED)
            return json_response(openapi.v2_json(VERSION["gitVersion"]))
        if bare == tokens.ISSUER_PATH:
            return json_response(tokens.issuer_document(self._address))
        if bare == tokens.KEYS_PATH:
            return Response(msgspec.json.encode(self.tokens.signer.key_set()), media_type="application/jwk-set+json")
        if not bare:
            return json_response({"paths": ["/api", "/apis", *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]})
        raise _not_found()


def _health(path: str, *, verbose: bool) -> str | None:
    """What a check of health answers here; None for another path. Source: apiserver pkg/server/healthz/healthz.go."""
    root, _, check = path[1:].partition("/")
    if f"/{root}" not in _HEALTH or check not in ("", *_CHECKS):
        return None
    if check or not verbose:
        return "ok"
    return "".join(f"[+]{name} ok\n" for name in _CHECKS) + f"{root} check passed\n"


def _verb(method: str, target: Target) -> str:
    match method:
        case "GET":
            return "get" if target.name else "list"
        case "POST":
            if target.name and not target.subresource:
                raise not_allowed()
            return "create"
        case "PUT" | "PATCH" if target.name:
            return "update" if method == "PUT" else "patch"
        case "DELETE" if not target.subresource:
            return "delete" if target.name else "deletecollection"
        case _:
            raise not_allowed()


async def _body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    pieces, size = [], 0
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            async for piece in request.stream():
                size += len(piece)
                if size > largest:
                    raise too_large(f"Request entity too large: limit is {largest}")
                pieces.append(piece)
    except TimeoutError:
        raise ApiError(408, "Timeout", "Timeout: the body of the request did not arrive in time") from None
    return b"".join(pieces)


def json_response(value: Any, code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=code, media_type=JSON)


def _response(value: Json, form: ObjectForm, code: int = 200) -> Response:
    return Response(in_bytes(value, form), status_code=code, media_type=media_type(form))


def _refusal_form(request: Request) -> ObjectForm:
    """Of a Status: in protobuf only for who cannot read another one."""
    try:
        form = form_of(request.headers.get("accept", ""))
    except ApiError:
        return ObjectForm.OBJECT
    return ObjectForm.PROTOBUF if form is ObjectForm.PROTOBUF else ObjectForm.OBJECT


def warning_header(text: str) -> str:
    """Source: apimachinery pkg/util/net NewWarningHeader; RFC 7234, warn-code 299."""
    plain = "".join(mark if mark.isprintable() and mark.isascii() else "?" for mark in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'


def refusal(error: ApiError, form: ObjectForm = ObjectForm.OBJECT) -> Response:
    response = _response(error.to_wire(), form, error.code)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _tagged(request: Request, document: Json, media_type: str) -> Response:
    """With an ETag; 304 without a Content-Type to who has it (one there would replace the cached type)."""
    tag = discovery.etag(document)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag, "Vary": "Accept"})
    body = msgspec.json.encode(document)
    return Response(body, headers={"ETag": tag, "Vary": "Accept", "Content-Type": media_type})


def _not_found() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")
