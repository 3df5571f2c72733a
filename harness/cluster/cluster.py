"""A whole cluster put together: API server, control plane components and machines on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.apiserver.dispatcher import API_LANE, ApiLane, ComeBack, FellSilent, Observed, Resubscribe
from harness.apiserver.server import ApiServer
from harness.engine.component import (
    Component,
    Disturb,
    Disturbed,
    DisturbServer,
    Effect,
    Instant,
    Observe,
    Packet,
    Start,
    StartMachine,
    StopMachine,
    Timer,
    WakeAt,
)
from harness.engine.latency import Constant, Latencies, Latency
from harness.engine.loop import Handler, Loop, SharedLoop
from harness.engine.streams import stream
from harness.model.core import Node
from harness.model.faults import ContainerCrash, Crash
from harness.node.home import FIRST_NODE_LANE, Homes, PowerOff, PowerOn
from harness.node.inline import InlineHomes
from harness.node.settings import NodeSettings
from harness.store.interface import Store


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """`folded`: leases that are renewed on time are not replayed one by one (virtual time only). `wall`: on the wall
    clock a window is whatever has passed; nothing is replayable there, so nothing is lost.

    `nodes`: where machines live; `actors`: in how many Ray actors. `settings_for`: per node, where they differ.
    """

    seed: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    nodes: Literal["inline", "ray"] = "inline"
    actors: int = 2
    ray_address: str | None = None
    folded: bool = True
    wall: bool = False
    record_events: bool = True
    node_settings: NodeSettings | None = None
    settings_for: Callable[[str, NodeSettings], NodeSettings] | None = None


class Cluster:
    """Components get lanes in the order in which they are added; machines in the order in which they are started."""

    def __init__(self, store: Store, settings: ClusterSettings | None = None) -> None:
        self.settings = settings = settings or ClusterSettings()
        self.latencies = settings.latencies
        self.loop: Loop = SharedLoop() if settings.nodes == "ray" else Loop()
        self.server = ApiServer(store, seed=settings.seed)
        self._node_settings = settings.node_settings or NodeSettings(
            latencies=settings.latencies, folded=settings.folded, record_events=settings.record_events
        )
        self._lanes: dict[str, int] = {}  # of machines, by name; never given to another
        self._running: dict[str, int] = {}
        self._components = 0
        self._watch_delay = Delays(settings.latencies.watch, settings.seed, "watch")
        self._call_delay = Delays(settings.latencies.api_call, settings.seed, "call")
        self.homes: Homes = self._make_homes()
        self._post: Callable[[int, int, Any], None] = self.loop.post if settings.nodes == "inline" else self._post_apart
        post_all = self.loop.post_all if settings.nodes == "inline" else self._post_all_apart
        self.api = ApiLane(self.server, self._post, self._watch_delay.at, post_all, records=True)
        self.loop.handlers[API_LANE] = self.api.handle
        self.components: dict[str, Component] = {}

    # -- putting together ----------------------------------------------------------------------------------------------

    def add(self, component: Component) -> None:
        """A component of the control plane, started at once."""
        self._components += 1
        lane = self._components
        assert lane < FIRST_NODE_LANE
        assert component.name not in self.components, f"two components are called {component.name}"
        self.components[component.name] = component
        self.loop.handlers[lane] = self._runner(lane, component)
        self._post(self.loop.now + 1, lane, Start())
        self.api.subscribe(lane, component.watches)

    def start_nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._start_machine(self.loop.now, node)

    def _make_homes(self) -> Homes:
        if self.settings.nodes == "inline":
            return InlineHomes(self.loop, self._to_server, self._to_node)
        from harness.node.ray_actors import RayHomes

        assert isinstance(self.loop, SharedLoop)
        return RayHomes(
            self.loop,
            10**15 if self.settings.wall else self.latencies.window_ns,
            self.settings.actors,
            self._to_server,
            self._lanes.get,
            self._crashed,
            address=self.settings.ray_address,
        )

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        return self.loop.now

    def run(self, until: Instant) -> None:
        """Everything before `until` happens."""
        self.homes.run(until)

    @property
    def next_due(self) -> Instant | None:
        return self.homes.next_due

    def close(self) -> None:
        self.homes.close()

    # -- messages ------------------------------------------------------------------------------------------------------

    def _post_apart(self, at: int, lane: int, message: Any) -> None:
        if lane < FIRST_NODE_LANE:
            self.loop.post(at, lane, message)
        else:
            self.homes.post(at, lane, message)

    def _post_all_apart(self, at: int, lane: int, messages: list[Any]) -> None:
        if lane < FIRST_NODE_LANE:
            self.loop.post_all(at, lane, messages)
        else:
            for message in messages:
                self.homes.post(at, lane, message)

    def _to_server(self, at: int, lane: int, effect: Any) -> None:
        self.loop.post(at, API_LANE, (lane, effect))

    def _to_node(self, at: int, name: str, packet: Packet) -> None:
        lane = self._lanes.get(name)
        if lane is not None:
            self.homes.post(at, lane, packet)

    def _runner(self, lane: int, component: Component) -> Handler:
        loop, delay, name = self.loop, self._call_delay.at, component.name

        def handle(now: int, events: list[Any]) -> None:
            for effect in component.step(now, events):
                kind = type(effect)
                if kind is WakeAt:
                    loop.post(effect.at, lane, Timer(effect.token))  # type: ignore[union-attr]
                elif kind is Observe:
                    loop.post(now + 1, API_LANE, (lane, Observed(now, name, effect)))  # type: ignore[arg-type]
                elif kind in _TO_THE_MACHINES:
                    self._machines(now, effect)
                else:
                    loop.post(delay(now, lane), API_LANE, (lane, effect))

        return handle

    # -- machines ------------------------------------------------------------------------------------------------------

    def _machines(self, now: int, effect: Effect) -> None:
        match effect:
            case StartMachine(node):
                self._start_machine(now, node)
            case StopMachine(name):
                self._stop_machine(now, name)
            case Disturb(nodes, fault):
                at = now + self.latencies.window_ns
                for name in nodes:
                    lane = self._running.get(name)
                    if lane is None:
                        continue
                    self._post(at, lane, Disturbed(fault))
                    self._note(at, "disturbed", (name, type(fault).__name__))
                    if isinstance(fault, ContainerCrash):
                        continue
                    self._silence(name, at)
                    if isinstance(fault, Crash) and fault.down_ns:
                        self._post(
                            at + fault.down_ns + self.latencies.window_ns, API_LANE, (0, Resubscribe(lane, name))
                        )
            case DisturbServer(down_ns):
                self.api.restart(now, down_ns)
                self._post(now + down_ns, API_LANE, (0, ComeBack()))
                self._note(now, "disturbed", ("apiserver", "Restart"))

    def _start_machine(self, now: int, node: Node) -> None:
        name = node.metadata.name
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = FIRST_NODE_LANE + len(self._lanes)
        self._running[name] = lane
        settings = self._node_settings
        if self.settings.settings_for is not None:
            settings = self.settings.settings_for(name, settings)
        self.api.subscribe_node(lane, name)
        self.homes.post(now + self.latencies.window_ns, lane, PowerOn(node, settings, self.settings.seed))
        if settings.routes:
            self.api.subscribe(lane, ("Service", "EndpointSlice"))
        if any(pod.spec.node_name == name for pod in self.server.objects("Pod").values()):
            # The store knew this node before this process did: its kubelet lists its pods when it is up.
            self._post(now + 2 * self.latencies.window_ns, API_LANE, (0, Resubscribe(lane, name)))

    def _stop_machine(self, now: int, name: str) -> None:
        lane = self._running.pop(name, None)
        if lane is None:
            return
        at = now + self.latencies.window_ns
        self.api.unsubscribe_node(name)
        self.homes.post(at, lane, PowerOff())
        self._silence(name, at)

    def _crashed(self, now: int, names: list[str]) -> None:
        """The process that these machines lived in is dead. The control plane must find out by itself."""
        for name in names:
            if self._running.pop(name, None) is not None:
                self._note(now, "disturbed", (name, "Crash"))
                if self.settings.folded:
                    self._silence(name, now)

    def _silence(self, name: str, at: int) -> None:
        """Lease renewals that would have come after `at` do not; those on the way still arrive."""
        if self.settings.folded:
            self._post(at + self.latencies.api_call.least_ns, API_LANE, (0, FellSilent(name, at)))

    def _note(self, at: int, topic: str, data: tuple[Any, ...]) -> None:
        self._post(max(at, self.loop.now + 1), API_LANE, (0, Observed(at, "driver", Observe(topic, data))))


_TO_THE_MACHINES = (StartMachine, StopMachine, Disturb, DisturbServer)


class Delays:
    """When messages land: a latency drawn per lane from its own stream, first said first heard."""

    def __init__(self, latency: Latency, seed: int, name: str) -> None:
        self._latency = latency
        self._seed = seed
        self._name = name
        self._streams: dict[int, Any] = {}
        self._last: dict[int, int] = {}
        if isinstance(latency, Constant):
            constant = latency.ns
            self.at: Callable[[int, int], int] = lambda now, lane: now + constant
        else:
            self.at = self._draw

    def _draw(self, now: int, lane: int) -> int:
        rng = self._streams.get(lane)
        if rng is None:
            rng = self._streams[lane] = stream(self._seed, f"{self._name}/{lane}")
        at = max(now + self._latency.draw(rng), self._last.get(lane, 0))
        self._last[lane] = at
        return at
