"""The page of a live cluster over plain HTTP on loopback: static files, and a narrow way to the API server.

A browser would distrust the API server's own certificate. So the page has a listener of its own, which serves its files
to anybody on this machine, and hands requests for data to the API server's application, in whose eyes the page's token
is a user with few rights. What it does not know it refuses: other hosts' names (a foreign page whose name resolves to
127.0.0.1), other paths, and all methods that change something unless faults were allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.apiserver.http.auth.rbac import AUTHENTICATED, User
from harness.model.whole_numbers import whole_number
from harness.model.wire import Json

USER = "podyard:web"
"""Whom the page's token belongs to, and the ClusterRole that says what it may."""

FAULTS = "/apis/podyard.dev/v1/faults"

WATCHED: Mapping[str, str] = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
    "hpas": "/apis/autoscaling/v2/horizontalpodautoscalers",
    "vpas": "/apis/autoscaling.k8s.io/v1/verticalpodautoscalers",
    "nodepools": "/apis/karpenter.sh/v1/nodepools",
    "nodeclaims": "/apis/karpenter.sh/v1/nodeclaims",
    "configmaps": "/api/v1/namespaces/kube-system/configmaps",
    "faults": FAULTS,
}
"""What /watch tells, all in one stream: a browser opens six connections to an origin, and no more."""

NARROWED = {"configmaps": "fieldSelector=metadata.name%3Dcluster-autoscaler-status"}

FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/state.js": ("state.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

QUEUED = 256
"""Pieces of a stream that wait for a slow browser; then the watches wait, too, and the API server ends them."""


@dataclass(frozen=True)
class Web:
    """What a page is to show besides the API's objects. `about`: the cluster's strategy and speed. `faults`: the fields
    of each by its name, if the page may inject them; None: it is read-only. `decisions`: the last ones, after a number,
    asked on the thread that drives the API server. `port`: 0 for a free one."""

    about: Mapping[str, Any] = field(default_factory=dict)
    decisions: Callable[[int], Sequence[Json]] = lambda after: ()
    faults: Mapping[str, Sequence[Json]] | None = None
    port: int = 0
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def user(self) -> User:
        return User(USER, (AUTHENTICATED,))


def rules(*, faults: bool) -> list[Json]:
    """What the page's user may: read what the page shows, and inject faults where that is allowed; no secrets."""
    read = ["get", "list", "watch"]
    out: list[Json] = [
        {"apiGroups": [""], "resources": ["nodes", "pods", "events"], "verbs": read},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["cluster-autoscaler-status"],
            "verbs": read,
        },
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": read},
        {"apiGroups": ["autoscaling.k8s.io"], "resources": ["verticalpodautoscalers"], "verbs": read},
        {"apiGroups": ["karpenter.sh"], "resources": ["nodepools", "nodeclaims"], "verbs": read},
        {"apiGroups": ["podyard.dev"], "resources": ["faults"], "verbs": read},
    ]
    if faults:
        out.append({"apiGroups": ["podyard.dev"], "resources": ["faults"], "verbs": ["create", "patch"]})
    return out


class WebPage:
    """The ASGI application. `front`: the API server's; `ask`: runs a function on the thread that drives it. `port`:
    that it is reached at."""

    def __init__(self, front: ASGIApp, ask: Callable[[Callable[[Any], Any]], Any], web: Web, port: int) -> None:
        self._front = front
        self._ask = ask
        self._web = web
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        root = files(__package__).joinpath("static")
        self._files = {path: (root.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        path, method = scope["path"], scope["method"]
        if headers.get(b"host") not in self._hosts:
            answer: Response = _plain(421, "this page is reached as 127.0.0.1 or localhost")
        elif path in self._files and method in ("GET", "HEAD"):
            body, kind = self._files[path]
            answer = Response(body, media_type=kind)
        elif self._may_pass(path, method):
            await self._front(_like_api(scope), receive, send)
            return
        elif not self._known(headers):
            answer = _plain(401, "the page's address has a token: open it as `podyard up --web` prints it")
        elif (path, method) == ("/about", "GET"):
            answer = _json({**self._web.about, "faults": self._web.faults})
        elif (path, method) == ("/decisions", "GET"):
            answer = await self._decisions(scope)
        elif (path, method) == ("/watch", "GET"):
            answer = StreamingResponse(self._watched(scope), media_type="application/x-ndjson")
        else:
            answer = _plain(404 if method == "GET" else 405, "there is no such thing here")
        answer.headers.update(HEADERS)
        await answer(scope, receive, send)

    def _may_pass(self, path: str, method: str) -> bool:
        """To the API server, which asks who it is; nothing but faults is changed through here."""
        if self._web.faults is None:
            return False
        return (path, method) == (FAULTS, "POST") or (path.startswith(f"{FAULTS}/") and method == "PATCH")

    def _known(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and secrets.compare_digest(token.strip(), self._web.token.encode())

    async def _decisions(self, scope: Scope) -> Response:
        after = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("after", "0")
        number = whole_number(after) or 0
        told = await self._ask(lambda server: {"nowNs": server.now, "items": self._web.decisions(number)})
        return _json(told)

    async def _watched(self, scope: Scope) -> Any:
        """Lines {"kind", "event"} of all watches, until one of them ends or the browser goes away; {"kind", "missing"}
        where the cluster does not serve a kind."""
        lines: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED)
        tasks = [asyncio.create_task(self._watch(scope, name, path, lines)) for name, path in WATCHED.items()]
        try:
            while (line := await lines.get()) is not None:
                yield line
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, scope: Scope, name: str, path: str, lines: asyncio.Queue[bytes | None]) -> None:
        """One watch of the API server, asked as any other client would."""
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        query += f"&{NARROWED[name]}" if name in NARROWED else ""
        inner = {**_like_api(scope), "path": path, "raw_path": path.encode(), "query_string": query.encode()}
        begin = b'{"kind":"%s",' % name.encode()
        rest, code = b"", 0

        async def receive() -> Any:
            await asyncio.Event().wait()  # this client never leaves; the task is cancelled

        async def send(message: Any) -> None:
            nonlocal rest, code
            if message["type"] == "http.response.start":
                code = message["status"]
                return
            if code != 200:
                return
            *whole, rest = (rest + message.get("body", b"")).split(b"\n")
            if whole:
                await lines.put(b"".join(b'%s"event":%s}\n' % (begin, line) for line in whole if line))

        with contextlib.suppress(Exception):
            await self._front(inner, receive, send)
        await lines.put(begin + b'"missing":%d}\n' % code if code in (403, 404) else None)


def _like_api(scope: Scope) -> Json:
    """The scope for the API server's application: as JSON, without what a browser adds, and without the extensions of
    the browser's connection (its ChunkWriter): what the application says goes through the page."""
    kept = [item for item in scope["headers"] if item[0] in (b"authorization", b"content-type", b"content-length")]
    headers = [*kept, (b"accept", b"application/json"), (b"user-agent", b"podyard-web")]
    return {**{key: value for key, value in scope.items() if key != "extensions"}, "headers": headers}


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _plain(code: int, text: str) -> Response:
    return Response(text + "\n", code, media_type="text/plain; charset=utf-8")
