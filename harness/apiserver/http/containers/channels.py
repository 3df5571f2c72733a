"""exec and attach over a WebSocket: streams share it as channels, the first byte of a message naming its own.

Source: kubernetes.io/docs/reference/using-api/deprecation-guide; apimachinery pkg/util/remotecommand/constants.go
(v4.channel.k8s.io, v5.channel.k8s.io: as v4, and a stream can be closed).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from harness.apiserver.http.containers.disk import LARGEST_DISK, Files, archived, extracted
from harness.model import commands
from harness.model.commands import NotKnownError, Outcome, Surroundings
from harness.model.status import ApiError
from harness.model.whole_numbers import whole_number
from harness.model.wire import Json

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

NOT_FOUND_CODE = 127
"""What a shell ends with for a command that is not there."""

PROMPT = "/ # "

PIECE = 32 * 1024
"""Bytes of one message."""

START_S = 0.03
"""Less than what a container runtime takes to start a process."""


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

    def __init__(self, socket: WebSocket, *, attached: bool = False) -> None:
        self._socket = socket
        self._attached = attached
        self.exit_code: int | None = None

    async def send(self, channel: int, data: bytes) -> None:
        if data:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, exit_code: int = 0) -> None:
        """Say how it ended, and end. Whoever is attached reads the exit code in the pod's status. Source: client-go
        tools/remotecommand/v4.go."""
        self.exit_code = exit_code
        status: Json = {"metadata": {}, "status": "Success"}
        if exit_code and not self._attached:
            status = {
                "metadata": {},
                "status": "Failure",
                "message": f"command terminated with non-zero exit code: exit status {exit_code}",
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
            }
        await self.send(ERROR, msgspec.json.encode(status))
        await self._socket.close()

    async def settle(self) -> None:
        """As long as a runtime takes to start a process: what the client says first (the size of its terminal) is
        heard before the end, as it is of a real one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self.gone()

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command runs. `files`: those that clients have left; `keep` takes them as the command leaves them."""

    around: Surroundings
    files: Mapping[str, bytes]
    keep: Callable[[Files], None]

    def whole(self) -> Surroundings:
        """With the files that clients have left."""
        texts = {path: data.decode("utf-8", "replace") for path, data in self.files.items()}
        return replace(self.around, files={**self.around.files, **texts}) if texts else self.around

    def kept(self, outcome: Outcome) -> None:
        if outcome.files is None:
            return
        made: Files = {}
        for path, text in outcome.files.items():
            before = self.files.get(path)
            if before is not None and before.decode("utf-8", "replace") == text:
                made[path] = before  # bytes that are no text stay what they are
            elif self.around.files.get(path) != text:
                made[path] = text.encode()
        self.keep(made)


async def execute(channels: Channels, argv: list[str], place: Place, *, stdin: bool, tty: bool) -> None:
    """One command, or one that goes on until its stdin ends."""
    if stdin and argv == ["cat"]:
        async for data in channels.typed():
            await channels.send(STDOUT, data)
        await channels.finish()
        return
    if stdin and commands.reads_stdin(argv):
        await _interactive(channels, place, tty=tty)
        return
    if argv[0] == "tar":
        await _tar(channels, argv[1:], place)
        return
    try:
        outcome = commands.executed(argv, place.whole())
    except NotKnownError as error:
        text = f"{error}: not found: this container is simulated, and knows only a few commands of a shell\n"
        await channels.send(STDOUT if tty else STDERR, text.encode())
        await channels.settle()
        await channels.finish(NOT_FOUND_CODE)
        return
    place.kept(outcome)
    await _play(channels, outcome)


async def _tar(channels: Channels, arguments: list[str], place: Place) -> None:
    """What `kubectl cp` asks for: `tar cf - PATH` and `tar xmf - -C FOLDER`."""
    flags = "".join(item for item in arguments[:1]).lstrip("-")
    rest = arguments[1:]
    folder = rest[rest.index("-C") + 1] if "-C" in rest[:-1] else "/"
    if "x" in flags:
        archive = b""
        async for data in channels.typed():
            archive += data
            if len(archive) > LARGEST_DISK:
                break
        try:
            place.keep({**place.files, **extracted(archive, folder)})
        except (ValueError, ApiError) as error:
            await channels.send(STDERR, f"tar: {error}\n".encode())
            await channels.finish(1)
            return
        await channels.finish()
        return
    paths = [item for item in rest if item != "-" and not item.startswith("-")]
    texts = {path: text.encode() for path, text in place.around.files.items()}
    archived_ = archived({**texts, **place.files}, paths[0]) if "c" in flags and paths else None
    if archived_ is None:
        what = paths[0] if paths else " ".join(arguments)
        await channels.send(STDERR, f"tar: {what}: No such file or directory\n".encode())
        await channels.finish(1)
        return
    for start in range(0, len(archived_), PIECE):
        await channels.send(STDOUT, archived_[start : start + PIECE])
    await channels.finish()


async def _play(channels: Channels, outcome: Outcome) -> None:
    """What a command writes, when it writes it; a client that goes away ends it."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    leaving = asyncio.ensure_future(channels.gone())
    try:
        await asyncio.wait({leaving}, timeout=START_S)
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


async def _interactive(channels: Channels, place: Place, *, tty: bool) -> None:
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
            code = await _line(channels, text, place, tty=tty)
            if tty:
                await channels.send(STDOUT, PROMPT.encode())
    await channels.finish(code)


async def _line(channels: Channels, text: str, place: Place, *, tty: bool) -> int:
    end = "\r\n" if tty else "\n"
    try:
        outcome = commands.executed(["sh", "-c", text], place.whole())
    except NotKnownError as error:
        await channels.send(STDOUT if tty else STDERR, f"sh: {error}: not found{end}".encode())
        return NOT_FOUND_CODE
    place.kept(outcome)
    said = outcome.output + outcome.errors if tty else outcome.output
    await channels.send(STDOUT, said.replace("\n", end).encode())
    if not tty:
        await channels.send(STDERR, outcome.errors.encode())
    return outcome.exit_code
