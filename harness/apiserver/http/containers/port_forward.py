"""port-forward: connections to a pod's ports, answered by the simulated service behind them.

Source: client-go tools/portforward (SPDY in a WebSocket, from kubectl 1.31 on); for other clients
kubelet pkg/kubelet/portforward websocket.go (v4.channel.k8s.io: two channels a port).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from starlette.websockets import WebSocket

from harness.apiserver.http.containers.channels import received
from harness.apiserver.http.containers.container import Known
from harness.apiserver.http.containers.network import answer_of
from harness.apiserver.http.containers.spdy import Data, Opened, Ping, Reset, Session
from harness.model.whole_numbers import whole_number

SPDY = "SPDY/3.1+portforward.k8s.io"
CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")
PROTOCOLS = (SPDY, *CHANNELS)

LONGEST_REQUEST = 64 * 1024
"""Bytes that a connection may send without the end of a request's head; then it ends."""


class SimulatedService:
    """What a container's server answers on one connection: to HTTP, who it is and what was asked; to anything else
    nothing. `listening`: whether somebody takes connections on the port."""

    def __init__(self, known: Known, port: int) -> None:
        self._pod = known.pod
        self._port = port
        self._held = b""
        self.listening = not known.ports or port in known.ports

    @property
    def refusal(self) -> str:
        """Source: the text that kubectl shows for a port that nobody listens on."""
        return (
            f"failed to execute portforward in network namespace: failed to connect to localhost:{self._port} inside "
            f"namespace of pod {self._pod.metadata.name}: dial tcp4 127.0.0.1:{self._port}: connect: connection refused"
        )

    def received(self, data: bytes) -> tuple[bytes, bool]:
        """(answer, whether the connection ends)."""
        self._held += data
        out = b""
        while b"\r\n\r\n" in self._held:
            head, _, rest = self._held.partition(b"\r\n\r\n")
            lines = head.decode("latin1").split("\r\n")
            parts = lines[0].split(" ")
            if len(parts) != 3 or not parts[2].startswith("HTTP/"):
                return out, True
            headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
            size = headers.get("content-length", "0")
            length = whole_number(size) or 0
            if len(rest) < length:
                break
            self._held = rest[length:]
            closes = headers.get("connection", "").lower() == "close" or parts[2] == "HTTP/1.0"
            out += self._answer(parts[0], parts[1], closes=closes)
            if closes:
                return out, True
        return out, len(self._held) > LONGEST_REQUEST

    def _answer(self, method: str, path: str, *, closes: bool) -> bytes:
        body = answer_of(self._pod, self._port, method, path).encode()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Server: podyard\r\nConnection: {'close' if closes else 'keep-alive'}\r\n\r\n"
        )
        return head.encode() + (b"" if method == "HEAD" else body)


async def forward(socket: WebSocket, protocol: str, known: Known, ports: list[int]) -> None:
    """Until the client goes away."""
    if protocol == SPDY:
        await _forward_streams(socket, lambda port: SimulatedService(known, port))
    else:
        await _forward_channels(socket, [SimulatedService(known, port) for port in ports], ports)


async def _forward_streams(socket: WebSocket, service: Callable[[int], SimulatedService]) -> None:
    """A connection is two streams with one request id: its errors and its data."""
    session = Session()
    services: dict[int, SimulatedService] = {}
    errors: dict[str, int] = {}  # request id: its stream for errors
    while True:
        data_in = await received(socket)
        if data_in is None:
            return
        for frame in session.received(data_in):
            match frame:
                case Opened(stream, headers):
                    await socket.send_bytes(session.reply(stream))
                    port = headers.get("port", "")
                    if headers.get("streamtype") == "error":
                        errors[headers.get("requestid", "")] = stream
                    elif (number := whole_number(port)) is not None:
                        made = service(number)
                        error = errors.pop(headers.get("requestid", ""), 0)
                        if made.listening:
                            services[stream] = made
                            await _end(socket, session, error)
                        else:
                            await socket.send_bytes(session.data(error, made.refusal.encode(), ended=True))
                            await _end(socket, session, stream)
                case Data(stream, data, ended):
                    found = services.get(stream)
                    if found is None:
                        continue
                    answer, closes = found.received(data)
                    if answer:
                        await socket.send_bytes(session.data(stream, answer))
                    if closes or ended:
                        del services[stream]
                        await _end(socket, session, stream)
                case Reset(stream):
                    services.pop(stream, None)
                case Ping(raw):
                    await socket.send_bytes(raw)


async def _end(socket: WebSocket, session: Session, stream: int) -> None:
    if stream:
        await socket.send_bytes(session.data(stream, b"", ended=True))


async def _forward_channels(socket: WebSocket, services: list[SimulatedService], ports: list[int]) -> None:
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await socket.send_bytes(bytes((channel,)) + struct.pack("<H", port))
        if not services[index].listening:
            await socket.send_bytes(bytes((2 * index + 1,)) + services[index].refusal.encode())
    while True:
        data_in = await received(socket)
        if data_in is None:
            return
        index, is_error = divmod(data_in[0], 2) if data_in else (len(services), 0)
        if index >= len(services) or is_error or not services[index].listening:
            continue
        answer, closes = services[index].received(data_in[1:])
        if answer:
            await socket.send_bytes(data_in[:1] + answer)
        if closes:
            return
