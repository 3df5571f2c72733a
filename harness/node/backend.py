"""Where machines live: the protocol of a backend, and the runner that steps one machine and carries its effects."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol, TypeAlias

import msgspec

from harness.engine.component import Event, Observe, Packet, Send, Timer, WakeAt
from harness.engine.latency import Constant, Latencies, Latency
from harness.engine.loop import Loop
from harness.engine.messages import Observed
from harness.engine.streams import phase_of, stream
from harness.model.core import Node
from harness.node.machine import Machine
from harness.node.machine_report import MachineReport
from harness.node.settings import NodeSettings

FIRST_NODE_ADDRESS = 1024
"""Addresses below are the control plane's."""

ToServer: TypeAlias = Callable[[int, int, Any], None]
"""(lands at, address of the sender, effect or Observed)."""
ToNode: TypeAlias = Callable[[int, str, Packet], None]
"""(lands at, name of the receiver, packet)."""


_UNDRAWN = Random(0)
"""Where no latency is drawn nobody draws: a stream of one's own costs each of 100,000 machines 2.5 KiB."""


def hops_of(latencies: Latencies) -> tuple[Latency, ...]:
    """Those whose length a machine draws."""
    return latencies.api_call, latencies.network, latencies.container_start, latencies.image_pull_base


class PowerOn(msgspec.Struct, frozen=True):
    """A machine starts at this address."""

    node: Node
    settings: NodeSettings
    seed: int


class PowerOff(msgspec.Struct, frozen=True):
    """It is gone for good."""


class MachineRunner:
    """One machine at its address."""

    __slots__ = ("_api_ns", "_last", "_loop", "_net_ns", "address", "machine", "rng", "to_node", "to_server")

    def __init__(self, address: int, power: PowerOn, loop: Loop, to_server: ToServer, to_node: ToNode) -> None:
        self.address = address
        drawn = not all(isinstance(hop, Constant) for hop in hops_of(power.settings.latencies))
        self.rng = stream(power.seed, f"node/{power.node.metadata.name}") if drawn else _UNDRAWN
        # Kubelets were not started together: each renews at a phase of its own, which spreads what is seen of a crash.
        renewal_ns = power.settings.constants.lease_renewal_ns
        phase = phase_of(power.seed, f"lease/{power.node.metadata.name}", renewal_ns)
        self.machine = Machine(power.node, power.settings, self.rng, phase)
        self.to_server = to_server
        self.to_node = to_node
        self._loop = loop
        self._api_ns = power.settings.latencies.api_call
        self._net_ns = power.settings.latencies.network
        self._last = 0

    def handle(self, now: int, events: list[Event]) -> None:
        address = self.address
        effect: Any
        for effect in self.machine.step(now, events):
            kind = type(effect)
            if kind is WakeAt:
                self._loop.post(effect.at, address, Timer(effect.token))
            elif kind is Send:
                self.to_node(now + self._net_ns.draw(self.rng), effect.node, Packet(self.machine.name, effect.payload))
            elif kind is Observe:
                self.to_server(now + self._api_ns.least_ns, address, Observed(now, self.machine.name, effect))
            else:
                at = now + self._api_ns.draw(self.rng)
                if at < self._last:
                    at = self._last  # one connection: what was said first arrives first
                self._last = at
                self.to_server(at, address, effect)


class NodeBackend(Protocol):
    """All machines of a cluster, wherever they are."""

    def post(self, at: int, address: int, message: Any) -> None:
        """To a machine's address."""

    @property
    def next_due(self) -> int | None: ...

    def run(self, horizon: int) -> None:
        """Handle everything before `horizon`, control plane included."""

    def inspect(self) -> dict[str, MachineReport]:
        """Every machine that was powered on and not off again, by name, as it is itself."""

    def close(self) -> None: ...
