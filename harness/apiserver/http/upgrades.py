"""Requests that become a WebSocket: exec, attach and port-forward of a pod."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from harness.apiserver.http.auth import rbac
from harness.apiserver.http.auth.rbac import User
from harness.apiserver.http.auth.tokens import DEFAULT_S, TokenRequest, Tokens
from harness.apiserver.http.call import Call
from harness.apiserver.http.containers import channels, logs, port_forward
from harness.apiserver.http.containers.channels import STDOUT, Channels, Place, execute
from harness.apiserver.http.containers.container import Known, find, running, surroundings_of, token_files
from harness.apiserver.http.containers.disk import Disks
from harness.apiserver.http.containers.logs import LogOptions
from harness.apiserver.http.containers.network import NETWORK_COMMANDS, ClusterNetwork
from harness.apiserver.http.containers.spdy import DamagedError
from harness.apiserver.http.options import is_true
from harness.apiserver.http.resources import Target, target_of
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import SECOND
from harness.model import commands
from harness.model.commands import Surroundings
from harness.model.pod_usage import DURATION, EXIT_CODE
from harness.model.status import ApiError, bad_request
from harness.model.whole_numbers import whole_number

log = logging.getLogger("podyard.apiserver")

T = TypeVar("T")

PARTS = ("exec", "attach", "portforward")


class Door(Protocol):
    """What the application lends: its way to the driver, and who asks."""

    async def ask(self, fn: Callable[[ApiServer], T]) -> T: ...

    async def user(self, request: HTTPConnection) -> User: ...

    @property
    def disks(self) -> Disks: ...

    @property
    def tokens(self) -> Tokens: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client asked for, and found: the container and what surrounds it."""

    known: Known
    around: Surroundings


def check(
    server: ApiServer,
    user: User,
    target: Target,
    query: Mapping[str, str],
    epoch_unix_ns: int,
    argv: Sequence[str] = (),
    tokens: Tokens | None = None,
) -> Opening:
    """Raises ApiError where the request has no answer."""
    call = Call(user, "get", target, query, None, "", epoch_unix_ns)
    rbac.check(server, user, call.action())
    asked = query.get("container", "")
    if target.subresource == "portforward":
        pod = server.get("Pod", target.namespace, target.name)
        asked = pod.spec.containers[0].name
    known = find(server, target.namespace, target.name, asked)
    if target.subresource == "portforward":
        if known.pod.status.phase != "Running":
            told = f"unable to forward port because pod is not running. Current status={known.pod.status.phase}"
            raise bad_request(told)
    elif target.subresource == "exec" or known.state.terminated is None:
        running(known)
    words = " ".join(argv or known.argv)
    calls = any(name in words for name in NETWORK_COMMANDS) or commands.reads_stdin(argv or known.argv)
    network = ClusterNetwork(server, target.namespace) if calls else None
    around = surroundings_of(server, known, epoch_unix_ns, network)
    if tokens is not None:
        files = {**around.files, **_tokens_of(server, known, epoch_unix_ns, tokens)}
        around = replace(around, files=files)
    return Opening(known, around)


def _tokens_of(server: ApiServer, known: Known, epoch_unix_ns: int, tokens: Tokens) -> dict[str, str]:
    """By path: those that the kubelet would have asked for, bound to the pod. Source: pkg/kubelet/token."""
    meta, account = known.pod.metadata, known.pod.spec.service_account_name or "default"
    out = {}
    for path, wanted in token_files(known).items():
        seconds = wanted.get("expirationSeconds") or DEFAULT_S
        audiences = (wanted["audience"],) if wanted.get("audience") else ()
        request = TokenRequest(seconds, audiences, ("Pod", meta.name, meta.uid))
        with contextlib.suppress(ApiError):  # its account is gone: the file would be, too
            out[path] = tokens.issue(server, epoch_unix_ns, meta.namespace, account, request)[0]
    return out


def not_upgraded() -> ApiError:
    """Source: pkg/kubelet/server/remotecommand: the status of a request that does not ask for an upgrade."""
    return bad_request("Upgrade request required: a WebSocket, as kubectl 1.31 and later ask for")


async def serve(door: Door, epoch_unix_ns: int, scope: Scope, receive: Receive, send: Send) -> None:
    """One WebSocket from its handshake to its end."""
    socket = WebSocket(scope, receive, send)
    try:
        target = target_of(socket.url.path)
        if target is None or target.subresource not in PARTS:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        user = await door.user(socket)
        query = dict(socket.query_params)
        argv = socket.query_params.getlist("command")
        opening = await door.ask(lambda s: check(s, user, target, query, epoch_unix_ns, argv, door.tokens))
        protocol = _protocol(scope, target.subresource)
        if target.subresource == "exec" and not argv:
            raise bad_request("you must specify at least one command for the container")
    except ApiError as error:
        await _refuse(socket, send, error)
        return
    # A client may go away at any time.
    with contextlib.suppress(WebSocketDisconnect, DamagedError):
        await socket.accept(subprotocol=protocol)
        await _run(door, epoch_unix_ns, socket, target, opening, protocol)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close()


async def _run(
    door: Door, epoch_unix_ns: int, socket: WebSocket, target: Target, opening: Opening, protocol: str
) -> None:
    query = socket.query_params
    known = opening.known
    place = Place(
        opening.around, door.disks.files(known.identity), lambda files: door.disks.keep(known.identity, files)
    )
    match target.subresource:
        case "portforward":
            ports = [
                port
                for text in query.getlist("ports")
                for part in text.split(",")
                if (port := whole_number(part)) is not None
            ]
            await port_forward.forward(socket, protocol, opening.known, ports)
        case "exec":
            stdin, tty = is_true(query, "stdin"), is_true(query, "tty")
            await execute(Channels(socket), query.getlist("command"), place, stdin=stdin, tty=tty)
        case _ if known.interactive and is_true(query, "stdin"):
            tty = is_true(query, "tty")
            channels = Channels(socket, attached=True)
            await execute(channels, known.argv, place, stdin=True, tty=tty)
            code = channels.exit_code
            if code is not None:
                await door.ask(lambda s: end_container(s, known, code))
        case _:
            await _attach(door, epoch_unix_ns, Channels(socket, attached=True), target, known.name)


async def _attach(door: Door, epoch_unix_ns: int, to: Channels, target: Target, container: str) -> None:
    """What the container writes, until it ends."""
    options = LogOptions(container=container, follow=True)

    def reader() -> Awaitable[logs.Log]:
        return door.ask(lambda s: logs.read(s, target.namespace, target.name, options, epoch_unix_ns))

    async for data in logs.follow(reader, await reader(), options, epoch_unix_ns):
        await to.send(STDOUT, data)
    await to.finish()


def end_container(server: ApiServer, known: Known, exit_code: int) -> None:
    """What the container ran has ended with its stdin: told to the kubelet as annotations tell of such ends.

    A container that is started again would end again after as long, so of those nothing is said: they run on.
    """
    pod = server.objects("Pod").get(known.pod.metadata.key)
    started = known.state.running.started_at if known.state.running is not None else None
    if pod is None or pod.metadata.uid != known.pod.metadata.uid or started is None:
        return
    main = [container.name for container in pod.spec.containers]
    policy = pod.spec.restart_policy
    if known.name in main and policy != "Never" and (policy != "OnFailure" or exit_code):
        return
    suffix = "" if main == [known.name] and not pod.spec.init_containers else f".{known.name}"
    said = {
        f"{DURATION}{suffix}": f"{(server.now - started) / SECOND:.3f}s",
        f"{EXIT_CODE}{suffix}": str(exit_code),
    }
    meta = replaced(pod.metadata, annotations={**pod.metadata.annotations, **said})
    server.update(replaced(pod, metadata=meta))


def _protocol(scope: Scope, part: str) -> str:
    """The first that both sides know. Raises ApiError Forbidden, as Kubernetes answers then."""
    known = port_forward.PROTOCOLS if part == "portforward" else channels.PROTOCOLS
    for offered in scope.get("subprotocols") or ():
        if offered in known:
            return str(offered)
    raise ApiError(403, "Forbidden", f"unable to upgrade: none of the protocols is known; known: {', '.join(known)}")


async def _refuse(socket: WebSocket, send: Send, error: ApiError) -> None:
    """As an answer to the request, which has not become a WebSocket."""
    body: Any = msgspec.json.encode(error.to_wire())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if "websocket.http.response" not in socket.scope.get("extensions", {}):
        await socket.close()
        return
    await send({"type": "websocket.http.response.start", "status": error.code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
