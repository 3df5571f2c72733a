"""exec and attach over a WebSocket: streams share it as channels, the first byte of a message naming its own.

Source: kubernetes.io/docs/reference/using-api/deprecation-guide; apimachinery pkg/util/remotecommand/constants.go
(v4.channel.k8s.io, v5.channel.k8s.io: as v4, and a stream can be closed).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from harness.model import commands
from harness.model.commands import NotKnownError, Outcome, Surroundings
from harness.model.whole_numbers import whole_number

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

NOT_FOUND_CODE = 127
"""What a shell ends with for a command that is not there."""

PROMPT = "/ # "


async def received(socket: WebSocket) -> bytes | None:
    """One message, None when the client has gone; some clients send what is text as text."""
    try:
        message = await socket.receive()
    except (WebSocketDisconnect, RuntimeError):
        return None
    if message["type"] != "websocket.receive":
        return None
    data = message.get("bytes")
    return bytes(data) if data is not None else str(message.get("text") or "").encode()


class Channels:
    """The server's side of one exec or attach."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, channel: int, data: bytes) -> None:
        if data:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, exit_code: int = 0) -> None:
        """Say how it ended, and end. Source: client-go tools/remotecommand/v4.go."""
        status: dict[str, Any] = {"metadata": {}, "status": "Success"}
        if exit_code:
            status = {
                "metadata": {},
                "status": "Failure",
                "message": f"command terminated with non-zero exit code: exit status {exit_code}",
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
            }
        await self.send(ERROR, msgspec.json.encode(status))
        await self._socket.close()

    async def typed(self) -> AsyncIterator[bytes]:
        """What comes on stdin, until that is closed or the client goes away."""
        while True:
            data = await received(self._socket)
            if data is None:
                return
            if len(data) == 2 and data[0] == CLOSE and data[1] == STDIN:
                return
            if data[:1] == bytes((STDIN,)):
                yield data[1:]

    async def gone(self) -> None:
        """Until the client goes away."""
        async for _ in self.typed():
            pass
        while await received(self._socket) is not None:
            pass


async def execute(channels: Channels, argv: list[str], around: Surroundings, *, stdin: bool, tty: bool) -> None:
    """One command, or a shell that takes lines until its stdin ends."""
    if argv[0] in commands.SHELLS and len([item for item in argv[1:] if item not in ("-i", "-l")]) == 0 and stdin:
        await _interactive(channels, around, tty=tty)
        return
    if argv == ["cat"] and stdin:
        async for data in channels.typed():
            await channels.send(STDOUT, data)
        await channels.finish()
        return
    try:
        outcome = commands.executed(argv, around)
    except NotKnownError as error:
        text = f"{error}: not found: this container is simulated, and knows only a few commands of a shell\n"
        await channels.send(STDOUT if tty else STDERR, text.encode())
        await channels.finish(NOT_FOUND_CODE)
        return
    await _play(channels, outcome)


async def _play(channels: Channels, outcome: Outcome) -> None:
    """What a command writes, when it writes it; a client that goes away ends it."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    leaving = asyncio.ensure_future(channels.gone())
    try:
        steps = [*outcome.lines, (outcome.duration_ns, "")]
        for at, text in steps:
            left = None if at < 0 else begun + at / commands.SECOND_NS - clock()
            if left is None or left > 0:
                done, _ = await asyncio.wait({leaving}, timeout=left)
                if done:
                    return
            await channels.send(STDOUT, text.encode())
        await channels.send(STDERR, outcome.errors.encode())
        await channels.finish(outcome.exit_code)
    finally:
        leaving.cancel()


async def _interactive(channels: Channels, around: Surroundings, *, tty: bool) -> None:
    code, pending = 0, b""
    if tty:
        await channels.send(STDOUT, PROMPT.encode())
    async for data in channels.typed():
        if tty:
            await channels.send(STDOUT, data.replace(b"\r", b"\r\n").replace(b"\x04", b"\r\n"))
        if b"\x04" in data:  # the end, as a terminal says it
            break
        pending += data.replace(b"\r", b"\n")
        while b"\n" in pending:
            line, _, pending = pending.partition(b"\n")
            text = line.decode("utf-8", "replace").strip()
            if text.partition(" ")[0] == "exit":
                rest = text.partition(" ")[2].strip()
                said = whole_number(rest)
                await channels.finish(code if said is None else said & 255)
                return
            code = await _line(channels, text, around, tty=tty)
            if tty:
                await channels.send(STDOUT, PROMPT.encode())
    await channels.finish(code)


async def _line(channels: Channels, text: str, around: Surroundings, *, tty: bool) -> int:
    end = "\r\n" if tty else "\n"
    try:
        outcome = commands.executed(["sh", "-c", text], around)
    except NotKnownError as error:
        await channels.send(STDOUT if tty else STDERR, f"sh: {error}: not found{end}".encode())
        return NOT_FOUND_CODE
    said = outcome.output + outcome.errors if tty else outcome.output
    await channels.send(STDOUT, said.replace("\n", end).encode())
    if not tty:
        await channels.send(STDERR, outcome.errors.encode())
    return outcome.exit_code
