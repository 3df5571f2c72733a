"""Machines in the control plane's own process and loop."""

from __future__ import annotations

from typing import Any

from harness.engine.component import Start
from harness.engine.loop import Handler, Loop
from harness.node.backend import MachineRunner, PowerOff, PowerOn, ToNode, ToServer
from harness.node.machine_report import MachineReport


class InlineNodes:
    def __init__(self, loop: Loop, to_server: ToServer, to_node: ToNode) -> None:
        self._loop = loop
        self._to_server = to_server
        self._to_node = to_node
        self._runners: dict[int, MachineRunner] = {}

    @property
    def next_due(self) -> int | None:
        return self._loop.next_due

    def post(self, at: int, address: int, message: Any) -> None:
        if isinstance(message, PowerOn):
            runner = MachineRunner(address, message, self._loop, self._to_server, self._to_node)
            self._runners[address] = runner
            self._loop.handlers[address] = runner.handle
            message = Start()
        elif isinstance(message, PowerOff):
            handle = self._loop.handlers.get(address)
            if handle is not None:
                self._loop.handlers[address] = until_off(self._loop, address, handle)
        self._loop.post(at, address, message)

    def run(self, horizon: int) -> None:
        self._loop.run(horizon)

    def inspect(self) -> dict[str, MachineReport]:
        return inspected(self._loop, self._runners)

    def close(self) -> None:
        pass


def inspected(loop: Loop, runners: dict[int, MachineRunner]) -> dict[str, MachineReport]:
    """By name, of those whose address is still in use: PowerOff gives it up."""
    return {
        runner.machine.name: runner.machine.report() for address, runner in runners.items() if address in loop.handlers
    }


def until_off(loop: Loop, address: int, handle: Handler) -> Handler:
    """Hands messages on until PowerOff is among them."""

    def watch(now: int, events: list[Any]) -> None:
        for index, event in enumerate(events):
            if isinstance(event, PowerOff):
                if index:
                    handle(now, events[:index])
                loop.drop(address)
                return
        handle(now, events)

    return watch
