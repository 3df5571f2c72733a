"""Machines in Ray actors, one to many in each; the same code, another process.

An actor may run as far ahead as nothing can reach it that has not been sent: the least latency beyond whatever the
others do next. So an actor with nothing due is not called, and one call may span many windows. The death of an
actor's process is the crash of its nodes.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any

import msgspec

from harness.engine.loop import SharedLoop
from harness.node.actors.channel import Closed
from harness.node.actors.session import Actor, Session, ray_session
from harness.node.actors.wire import ADVANCE, INSPECT, POWER_ON, RESET, Wire, join_tag, split_tag
from harness.node.backend import PowerOn
from harness.node.machine_report import MachineReport
from harness.node.settings import NodeSettings

_REPORTS = msgspec.msgpack.Decoder(dict[str, MachineReport])


class _Part:
    """One actor's part of the machines, as the control plane knows it. `actor`: None before the first call."""

    def __init__(self) -> None:
        self.actor: Actor | None = None
        self.alive = True
        self.due: int | None = None  # what it said is due next
        self.inbox: list[tuple[int, int, int, int, list[Any]]] = []
        self.first = 0  # least instant in the inbox
        self.addresses: dict[int, str] = {}
        self.settings: dict[int, int] = {}  # number of each that it knows, by identity
        self.kept: list[NodeSettings] = []  # so that an identity stays one's own
        self.new_settings: list[bytes] = []

    def next_due(self) -> int | None:
        if not self.inbox:
            return self.due
        return self.first if self.due is None or self.first < self.due else self.due

    def put(self, at: int, address: int, tag: int, packed: list[Any]) -> None:
        if not self.inbox or at < self.first:
            self.first = at
        self.inbox.append((at, address, *split_tag(tag), packed))

    def number_of(self, settings: NodeSettings) -> int:
        number = self.settings.get(id(settings))
        if number is None:
            number = self.settings[id(settings)] = len(self.kept)
            self.kept.append(settings)
            self.new_settings.append(pickle.dumps(settings))
        return number


class RayNodes:
    """`crashed(now, names, why)` is told when an actor is found dead."""

    # size: the machines' surroundings, as the inline backend has them, and where the actors are.
    def __init__(
        self,
        loop: SharedLoop,
        window_ns: int,
        actors: int,
        to_server: Callable[[int, int, Any], None],
        address_of: Callable[[str], int | None],
        crashed: Callable[[int, list[str], str], None],
        *,
        ray_address: str | None = None,
    ) -> None:
        self._loop = loop
        self._window = window_ns
        self._address_of = address_of
        self._crashed = crashed
        self._wire = Wire()
        self._parts = [_Part() for _ in range(actors)]
        self._homes: dict[int, _Part] = {}
        # Ray starts while the cluster is put together; nobody waits for it before machines have something to do.
        self._session: Session = ray_session(ray_address, actors)
        self._connected = False

    def connect(self) -> None:
        """Wait for the actors. Raises UserError when there is no Ray."""
        if not self._connected:
            self._connected = True
            for part, actor in zip(self._parts, self._session.actors(len(self._parts)), strict=True):
                part.actor = actor
                actor.channel.send(RESET + self._wire.encode(self._window))
                actor.channel.receive()

    @property
    def pids(self) -> dict[int, list[str]]:
        """The nodes that live in each actor's process."""
        self.connect()
        return {
            part.actor.pid: list(part.addresses.values())
            for part in self._parts
            if part.alive and part.actor is not None
        }

    @property
    def next_due(self) -> int | None:
        due = [at for part in self._parts if (at := part.next_due()) is not None]
        own = self._loop.next_due
        if own is not None:
            due.append(own)
        return min(due, default=None)

    def post(self, at: int, address: int, message: Any) -> None:
        part = self._homes.get(address)
        if type(message) is PowerOn:
            if part is None or not part.alive:
                part = self._home_of(address)
                if part is None:
                    return
                self._homes[address] = part
            part.addresses[address] = message.node.metadata.name
            packed = [POWER_ON, self._wire.pack_value(message.node), part.number_of(message.settings), message.seed]
        elif part is None or not part.alive:
            return
        else:
            packed = self._wire.pack(message)
        if at <= self._loop.now:
            at = self._loop.now + 1
        part.put(at, address, self._loop.key, packed)
        self._loop.stop_before(at + self._window)  # it may be answered then

    def _home_of(self, address: int) -> _Part | None:
        """Where a machine lives: by its number, among the actors that are alive."""
        part = self._parts[address % len(self._parts)]
        if part.alive:
            return part
        alive = [part for part in self._parts if part.alive]
        return alive[address % len(alive)] if alive else None

    def run(self, horizon: int) -> None:
        """Everyone runs as far as nothing can reach them that is not there yet, again and again."""
        loop, window = self._loop, self._window
        while True:
            own = loop.next_due
            dues = [part.next_due() for part in self._parts]
            first = min((due for due in dues if due is not None), default=None)
            if first is None or first >= horizon:
                if own is None or own >= horizon:
                    break
                first = horizon  # `post` stops the control plane where an answer may come
            calls = self._calls(own, dues, horizon)
            if own is not None:
                loop.run(min(horizon, first + window))
            for part in calls:
                self._hear(part)
        loop.run(horizon)

    def _calls(self, own: int | None, dues: list[int | None], horizon: int) -> list[_Part]:
        """Set going whoever has something due that it may do by now."""
        calls: list[_Part] = []
        for index, part in enumerate(self._parts):
            due = dues[index]
            if due is None:
                continue
            until = horizon
            for other in (own, *dues[:index], *dues[index + 1 :]):
                if other is not None and other + self._window < until:
                    until = other + self._window
            if due < until:
                self._call(part, until)
                calls.append(part)
        return calls

    def _call(self, part: _Part, until: int) -> None:
        self.connect()
        assert part.actor is not None
        frame = ADVANCE + self._wire.encode((until, part.new_settings, part.inbox))
        part.inbox, part.new_settings = [], []
        with contextlib.suppress(Closed):  # its answer will not come either
            part.actor.channel.send(frame)

    def _hear(self, part: _Part) -> None:
        assert part.actor is not None
        try:
            answer = part.actor.channel.receive()
        except Closed:
            self._died(part)
            return
        part.due, said = self._wire.decode(answer)
        for at, sent_at, sent_by, address, to, packed in said:
            tag = join_tag(sent_at, sent_by)
            if not to:
                self._loop.post_tagged(at, 0, tag, (address, self._wire.unpack(packed)))
                continue
            receiver = self._address_of(to)
            home = None if receiver is None else self._homes.get(receiver)
            if home is not None and home.alive and receiver is not None:
                home.put(at, receiver, tag, self._wire.pack(self._wire.unpack(packed)))

    def _died(self, part: _Part) -> None:
        part.alive = False
        part.due, part.inbox = None, []
        assert part.actor is not None
        why = self._session.why_died(part.actor)
        self._crashed(self._loop.now, list(part.addresses.values()), why)

    def inspect(self) -> dict[str, MachineReport]:
        """Of actors that live. Machines on their way into an actor are not there yet."""
        self.connect()
        found: dict[str, MachineReport] = {}
        for part in self._parts:
            if part.alive and part.actor is not None:
                try:
                    part.actor.channel.send(INSPECT)
                    found |= _REPORTS.decode(part.actor.channel.receive())
                except Closed:
                    self._died(part)
        return found

    def close(self) -> None:
        """The actors wait for the next run; they end with the session."""
        for part in self._parts:
            if part.alive and part.actor is not None:
                self._session.give_back(part.actor)
            part.alive = False
