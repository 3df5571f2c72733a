"""Machines in Ray actors, one to many in each; the same code, another process.

The control plane grants each actor a window of virtual time no longer than the least latency between the two, so
that nothing said within a window can be heard within it; an actor with nothing due is not called. Killing an actor's
process is the crash of its nodes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import msgspec
import ray

from harness.engine.component import Packet, Start
from harness.engine.loop import SharedLoop
from harness.node.backend import MachineRunner, PowerOff, PowerOn
from harness.node.inline import inspected, until_off
from harness.node.machine import MachineReport


class _Out(msgspec.Struct, array_like=True):
    """Sent by machines: (lands at, tag of sending, sender's address, receiver's name or '' for the server, what)."""

    at: int
    tag: int
    address: int
    to: str
    message: Any


class Shard:
    """What runs in an actor."""

    def __init__(self) -> None:
        self._loop = SharedLoop()
        self._out: list[_Out] = []
        self._runners: dict[int, MachineRunner] = {}

    def inspect(self) -> dict[str, MachineReport]:
        return inspected(self._loop, self._runners)

    def pid(self) -> int:
        return os.getpid()

    def advance(self, horizon: int, messages: list[tuple[int, int, int, Any]]) -> tuple[int | None, list[_Out]]:
        """Take (lands at, address, tag, message) in and run to `horizon`; what is due next and what was said."""
        loop = self._loop
        for at, address, tag, message in messages:
            if isinstance(message, PowerOn):
                runner = self._runners[address] = MachineRunner(address, message, loop, self._to_server, self._to_node)
                loop.handlers[address] = runner.handle
                message = Start()
            elif isinstance(message, PowerOff) and address in loop.handlers:
                loop.handlers[address] = until_off(loop, address, loop.handlers[address])
            loop.post_tagged(at, address, tag, message)
        loop.run(horizon)
        out, self._out = self._out, []
        return loop.next_due, out

    def _to_server(self, at: int, address: int, effect: Any) -> None:
        self._out.append(_Out(at, self._loop.key, address, "", effect))

    def _to_node(self, at: int, name: str, packet: Packet) -> None:
        self._out.append(_Out(at, self._loop.key, 0, name, packet))


class _Remote:
    """One actor as the control plane knows it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.pid = 0
        self.due: int | None = None  # what it said is due next
        self.inbox: list[tuple[int, int, int, Any]] = []
        self.first = 0  # least instant in the inbox
        self.addresses: dict[int, str] = {}
        self.alive = True

    def next_due(self) -> int | None:
        if not self.inbox:
            return self.due
        return self.first if self.due is None or self.first < self.due else self.due


class RayNodes:
    """`crashed(now, names)` is told when an actor is found dead."""

    def __init__(
        self,
        loop: SharedLoop,
        window_ns: int,
        actors: int,
        to_server: Callable[[int, int, Any], None],
        address_of: Callable[[str], int | None],
        crashed: Callable[[int, list[str]], None],
        *,
        ray_address: str | None = None,
    ) -> None:
        self._loop = loop
        self._window = window_ns
        self._address_of = address_of
        self._crashed = crashed
        start_ray(ray_address)
        shard = ray.remote(num_cpus=0, max_restarts=0)(Shard)
        self._remotes = [_Remote(shard.remote()) for _ in range(actors)]
        for remote, pid in zip(
            self._remotes, ray.get([remote.actor.pid.remote() for remote in self._remotes]), strict=True
        ):
            remote.pid = pid

    @property
    def pids(self) -> dict[int, list[str]]:
        """The nodes that live in each actor's process."""
        return {remote.pid: list(remote.addresses.values()) for remote in self._remotes if remote.alive}

    @property
    def next_due(self) -> int | None:
        due = [d for remote in self._remotes if remote.alive and (d := remote.next_due()) is not None]
        own = self._loop.next_due
        if own is not None:
            due.append(own)
        return min(due, default=None)

    def post(self, at: int, address: int, message: Any) -> None:
        remote = self._remotes[address % len(self._remotes)]
        if not remote.alive:
            return
        if at <= self._loop.now:
            at = self._loop.now + 1
        if isinstance(message, PowerOn):
            remote.addresses[address] = message.node.metadata.name
        if not remote.inbox or at < remote.first:
            remote.first = at
        remote.inbox.append((at, address, self._loop.key, message))

    def run(self, horizon: int) -> None:
        """Window by window. A window begins where something is due."""
        while (start := self.next_due) is not None and start < horizon:
            self._run_window(min(start + self._window, horizon))

    def _run_window(self, horizon: int) -> None:
        calls: list[tuple[_Remote, Any]] = []
        for remote in self._remotes:
            due = remote.next_due()
            if remote.alive and due is not None and due < horizon:
                calls.append((remote, remote.actor.advance.remote(horizon, remote.inbox)))
                remote.inbox = []
        self._loop.run(horizon)
        for remote, call in calls:
            try:
                remote.due, said = ray.get(call)
            except ray.exceptions.RayActorError:
                self._died(remote, horizon)
                continue
            for out in said:
                if not out.to:
                    self._loop.post_tagged(out.at, 0, out.tag, (out.address, out.message))
                else:
                    self._forward(out)

    def _forward(self, out: _Out) -> None:
        address = self._address_of(out.to)
        if address is None:
            return
        remote = self._remotes[address % len(self._remotes)]
        if not remote.inbox or out.at < remote.first:
            remote.first = out.at
        remote.inbox.append((out.at, address, out.tag, out.message))

    def _died(self, remote: _Remote, now: int) -> None:
        remote.alive = False
        remote.due = None
        remote.inbox = []
        self._crashed(now, list(remote.addresses.values()))

    def inspect(self) -> dict[str, MachineReport]:
        """Of actors that live. Machines on their way into an actor are not there yet."""
        found: dict[str, MachineReport] = {}
        for reports in ray.get([remote.actor.inspect.remote() for remote in self._remotes if remote.alive]):
            found |= reports
        return found

    def close(self) -> None:
        for remote in self._remotes:
            if remote.alive:
                ray.kill(remote.actor)
                remote.alive = False


def start_ray(address: str | None) -> None:
    """Once a process: the next run finds it started. It ends with the process (Ray's own atexit), or by `stop_ray`."""
    if ray.is_initialized():
        return
    # Actors import the same packages from the same place, whatever the working directory is.
    logging.getLogger("ray").setLevel(logging.ERROR)  # what matters reaches us as exceptions
    own: dict[str, Any] = {"num_cpus": max(2, os.cpu_count() or 2), "object_store_memory": 100 * 10**6}
    ray.init(
        address=address,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
        **({} if address else own),
    )


def stop_ray() -> None:
    if ray.is_initialized():
        ray.shutdown()
