"""What an actor does: it runs the machines that it was given, window by window, and says what they said."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec

from harness.engine.component import Packet, Start
from harness.engine.loop import SharedLoop
from harness.node.actors.wire import ADVANCE, INSPECT, POWER_ON, RESET, Wire, join_tag, split_tag
from harness.node.backend import MachineRunner, PowerOff, PowerOn
from harness.node.inline import inspected, until_off
from harness.node.machine_report import MachineReport
from harness.node.settings import NodeSettings


class Shard:
    """The machines of one run that live in this actor.

    `window`: the least time that anything takes from here to the control plane or to another actor, and back.
    """

    def __init__(self, window: int = 0) -> None:
        self._window = window
        self._loop = SharedLoop()
        self._said: list[tuple[int, int, int, str, Any]] = []  # lands at, tag, sender, receiver or '' (server), message
        self._runners: dict[int, MachineRunner] = {}
        self._settings: list[NodeSettings] = []  # each once, however many machines have it
        self._wire = Wire()

    def handle(self, frame: bytes) -> bytes:
        """One request, one answer."""
        what, body = frame[:1], memoryview(frame)[1:]
        if what == RESET:
            self.__init__(self._wire.decode(body))  # type: ignore[misc]
            return b""
        if what == ADVANCE:
            return self._advance(*self._wire.decode(body))
        assert what == INSPECT, what
        return msgspec.msgpack.encode(self.inspect())

    def inspect(self) -> dict[str, MachineReport]:
        return inspected(self._loop, self._runners)

    def _advance(self, horizon: int, settings: list[bytes], messages: list[list[Any]]) -> bytes:
        """Take messages in (lands at, address, tag in two parts, the message) and run to `horizon`, or until what was
        said here may be answered. The answer: what is due next, what was said."""
        loop, wire = self._loop, self._wire
        self._settings += [pickle.loads(data) for data in settings]
        for at, address, sent_at, sent_by, packed in messages:
            if packed[0] == POWER_ON:
                self._power_on(address, PowerOn(packed[1], self._settings[packed[2]], packed[3]))
                message: Any = Start()
            else:
                message = wire.unpack(packed)
                if type(message) is PowerOff and address in loop.handlers:
                    loop.handlers[address] = until_off(loop, address, loop.handlers[address])
            loop.post_tagged(at, address, join_tag(sent_at, sent_by), message)
        loop.run(horizon)
        said, self._said = self._said, []
        packed = [(at, *split_tag(tag), address, to, wire.pack(message)) for at, tag, address, to, message in said]
        return wire.encode((loop.next_due, packed))

    def _power_on(self, address: int, power: PowerOn) -> None:
        runner = MachineRunner(address, power, self._loop, self._to_server, self._to_node)
        self._runners[address] = runner
        self._loop.handlers[address] = runner.handle

    def _to_server(self, at: int, address: int, effect: Any) -> None:
        self._say(at, address, "", effect)

    def _to_node(self, at: int, name: str, packet: Packet) -> None:
        self._say(at, 0, name, packet)

    def _say(self, at: int, address: int, to: str, message: Any) -> None:
        self._said.append((at, self._loop.key, address, to, message))
        self._loop.stop_before(at + self._window)  # it may be answered then
