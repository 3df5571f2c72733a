"""A whole cluster put together: API server, control plane components and machines on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import msgspec

from harness.apiserver.dispatcher import Dispatcher
from harness.apiserver.server import ApiServer
from harness.cluster.control_plane import ControlPlane, is_machine
from harness.engine.component import (
    Component,
    DisturbProvider,
    DisturbRegistry,
    DisturbWatches,
    Effect,
    FaultInjected,
    InjectFault,
    Instant,
    KeepPlace,
    Observe,
    Packet,
    ReclaimMachine,
    RestartApiServer,
    RestartProcess,
    RestoreSnapshot,
    ResumeProcess,
    StartMachine,
    StopMachine,
    TakeSnapshot,
)
from harness.engine.guard import COMPONENT_FAULT, UNHANDLED_OUTCOME, ComponentFault
from harness.engine.latency import Constant, Latencies, Latency
from harness.engine.loop import Loop, SharedLoop
from harness.engine.messages import API_ADDRESS, ComeBack, FellSilent, Observed, Resubscribe
from harness.engine.scrapes import scrapes_of
from harness.engine.streams import stream
from harness.model.constants import DEFAULTS, Constants
from harness.model.core import EventSource, Node
from harness.model.faults import REGISTRY, ContainerCrash, Crash, Freeze, NodeFault, Partition, PullsFail, Undo
from harness.model.karpenter import NODEPOOL
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS
from harness.node.backend import FIRST_NODE_ADDRESS, NodeBackend, PowerOff, PowerOn
from harness.node.inline import InlineNodes
from harness.node.settings import NodeSettings
from harness.store.interface import Store

FAULTS_KEPT = 100
"""Of different faults of components, so many are told by a run."""

_NAMED = 3
"""Nodes of an actor that are told by name when it dies: it may have had hundreds."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """`folded`: leases that are renewed on time are not replayed one by one (virtual time only). `wall`: on the wall
    clock a window is whatever has passed; nothing is replayable there, so nothing is lost.

    `constants`: what the API server, the machines and the components are set to. `epoch_unix_ns`: what instant 0 is by
    the calendar, in ns since 1970 (UTC); schedules of CronJobs go by it.

    `nodes`: where machines live; `actors`: in how many Ray actors. `settings_for`: per node, where they differ.
    `references`: ConfigMaps and Secrets that pods name must be there.
    """

    seed: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    constants: Constants = DEFAULTS
    nodes: Literal["inline", "ray"] = "inline"
    actors: int = 2
    ray_address: str | None = None
    folded: bool = True
    wall: bool = False
    record_events: bool = True
    node_settings: NodeSettings | None = None
    settings_for: Callable[[str, NodeSettings], NodeSettings] | None = None
    references: bool = False
    epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS


class Cluster:
    """Components get addresses in the order of `add`, machines in the order in which they are started."""

    def __init__(self, store: Store, settings: ClusterSettings | None = None) -> None:
        self.settings = settings = settings or ClusterSettings()
        self.latencies = settings.latencies
        self.loop: Loop = SharedLoop() if settings.nodes == "ray" else Loop()
        self.server = ApiServer(store, seed=settings.seed, constants=settings.constants)
        self._node_settings = settings.node_settings or NodeSettings(
            latencies=settings.latencies,
            constants=settings.constants,
            folded=settings.folded,
            record_events=settings.record_events,
            scrapes=scrapes_of(settings.seed, settings.constants),
        )
        if settings.wall:
            # People try things out there, and expect of `sh -c "exit 3"` what it says.
            self._node_settings = msgspec.structs.replace(self._node_settings, commands=True)
        if settings.references:
            self._node_settings = msgspec.structs.replace(self._node_settings, references=True)
        self._addresses: dict[str, int] = {}  # of machines, by name; never given to another
        self._running: dict[str, int] = {}
        self._pulls_fail: list[PullsFail] = []  # outages of the registry
        self._claimed: set[str] = set()  # machines that were made for a NodeClaim of their name
        self._watch_delay = Delays(settings.latencies.watch, settings.seed, "watch")
        self._call_delay = Delays(settings.latencies.api_call, settings.seed, "call")
        self.backend: NodeBackend = self._make_backend()
        self._post: Callable[[int, int, Any], None] = self.loop.post if settings.nodes == "inline" else self._post_apart
        post_all = self.loop.post_all if settings.nodes == "inline" else self._post_all_apart
        self.api = Dispatcher(self.server, self._post, self._watch_delay.at, post_all, records=True)
        if self._node_settings.references:
            self.api.tell_references()
        self.loop.handlers[API_ADDRESS] = self.api.handle
        self.api.reporter_of = self._reporter_of
        self.api.restored.append(self._reconcile_machines)
        self._control_plane = ControlPlane(self.loop, self._post, self.api, self._call_delay.at, self._machines)
        self.lost_actors: list[str] = []
        """What no seed foretells: processes of machines that died, when, and why."""
        self._reporters: dict[int, EventSource] = {}
        self.component_faults: list[str] = []
        """What components and kubelets failed on, and writes whose failure none of them handled: a run that has any of
        these has failed, though the cluster went on."""
        self.fault_listeners: list[Callable[[str], None]] = []
        """Told of each new line of these at once."""
        self.api.observers.append(self._note_fault)

    # -- putting together ----------------------------------------------------------------------------------------------

    @property
    def components(self) -> dict[str, Component]:
        """Of the control plane, by name."""
        return self._control_plane.components

    def component_at(self, address: int) -> str | None:
        """The component that receives messages there, or did: a process that was started again has another address."""
        return self._control_plane.name_at(address)

    def restart(self, now: Instant, of: str, down_ns: int) -> None:
        """A process of the control plane, or one component, is away for so long, and remembers nothing then."""
        self._machines(now, RestartProcess(of, down_ns))

    def add(self, component: Component, process: str = "") -> None:
        """A component of the control plane, started at once. `process`: the one it lives in, and stops with."""
        self._control_plane.add(component, process)

    def tell(self, name: str, token: Any) -> None:
        """A component of this name hears a timer with `token`: how somebody outside asks for something."""
        self._control_plane.tell(name, token)

    def start_nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._start_machine(self.loop.now, node)

    def has_machine(self, name: str) -> bool:
        """Whether one of this name runs."""
        return name in self._running

    def _make_backend(self) -> NodeBackend:
        if self.settings.nodes == "inline":
            return InlineNodes(self.loop, self._to_server, self._to_node)
        from harness.node.actors.nodes import RayNodes

        assert isinstance(self.loop, SharedLoop)
        return RayNodes(
            self.loop,
            10**15 if self.settings.wall else self.latencies.window_ns,
            self.settings.actors,
            self._to_server,
            self._addresses.get,
            self._crashed,
            ray_address=self.settings.ray_address,
        )

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        return self.loop.now

    def run(self, until: Instant) -> None:
        """Everything before `until` happens."""
        self.backend.run(until)

    @property
    def next_due(self) -> Instant | None:
        return self.backend.next_due

    def close(self) -> None:
        self.backend.close()

    # -- messages ------------------------------------------------------------------------------------------------------

    def _post_apart(self, at: int, address: int, message: Any) -> None:
        if not is_machine(address):
            self.loop.post(at, address, message)
        else:
            self.backend.post(at, address, message)

    def _post_all_apart(self, at: int, address: int, messages: list[Any]) -> None:
        if not is_machine(address):
            self.loop.post_all(at, address, messages)
        else:
            for message in messages:
                self.backend.post(at, address, message)

    def _to_server(self, at: int, address: int, effect: Any) -> None:
        self.loop.post(at, API_ADDRESS, (address, effect))

    def _to_node(self, at: int, name: str, packet: Packet) -> None:
        address = self._addresses.get(name)
        if address is not None:
            self.backend.post(at, address, packet)

    def _note_fault(self, at: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == COMPONENT_FAULT:
            text = str(ComponentFault(*data))
        elif topic == UNHANDLED_OUTCOME:
            text = f"component {data[0]} did not handle that a write failed: {data[1]}"
        else:
            return
        if text not in self.component_faults and len(self.component_faults) < FAULTS_KEPT:
            self.component_faults.append(text)
            for listener in self.fault_listeners:
                listener(text)

    def _reporter_of(self, address: int) -> EventSource:
        """Source: the component names of kube-controller-manager's event recorders, and kubelet's with its host."""
        known = self._reporters.get(address)
        if known is None:
            if is_machine(address):
                names = list(self._addresses)
                known = EventSource(component="kubelet", host=names[address - FIRST_NODE_ADDRESS])
            else:
                name = self._control_plane.name_at(address) or ""
                known = EventSource(component=_REPORTERS.get(name, name))
            self._reporters[address] = known
        return known

    # -- machines ------------------------------------------------------------------------------------------------------

    def _machines(self, now: int, effect: Effect) -> None:
        match effect:
            case StartMachine(node):
                self._start_machine(now, node)
            case StopMachine(name):
                self._stop_machine(now, name)
            case InjectFault(nodes, fault, cause):
                at = now + self.latencies.window_ns
                for name in nodes:
                    address = self._running.get(name)
                    if address is None:
                        continue
                    self._post(at, address, FaultInjected(fault))
                    if isinstance(fault, Undo):
                        self.api.speaks_again(name)
                        if fault.what == "crash":
                            self._post(at + self.latencies.window_ns, API_ADDRESS, (0, Resubscribe(address, name)))
                        continue
                    self._note(at, "disturbed", (name, type(fault).__name__, *_extent(fault), cause))
                    if isinstance(fault, ContainerCrash):
                        continue
                    self._silence(name, at)
                    if isinstance(fault, Crash) and fault.down_ns:
                        self._post(
                            at + fault.down_ns + self.latencies.window_ns, API_ADDRESS, (0, Resubscribe(address, name))
                        )
            case RestartApiServer(down_ns, cause):
                self.api.restart(now, down_ns)
                self._post(now + down_ns, API_ADDRESS, (0, ComeBack()))
                self._note(now, "disturbed", ("apiserver", "Restart", down_ns, "", cause))
            case TakeSnapshot(name):
                self.api.take_snapshot(name)
            case RestoreSnapshot(name, down_ns, cause):
                self.api.restart(now, down_ns)
                self._post(now + down_ns, API_ADDRESS, (0, ComeBack(name, cause)))
                self._note(now, "disturbed", ("apiserver", "Restore", down_ns, "", cause))
            case RestartProcess(process, down_ns, cause):
                if self._control_plane.restart(now, process, down_ns):
                    self._note(now, "disturbed", (process, "Outage", down_ns, "", cause))
            case DisturbWatches(of, for_ns, cause=cause):
                if self._control_plane.disturb_watches(now, effect):
                    self._note(now, "disturbed", (of, "Watches", for_ns, "", cause))
            case DisturbProvider(pools, kind, for_ns, cause=cause):  # the provider's own doing, as KeepPlace
                for component in self.components.values():
                    if getattr(component, "orders_machines", False):
                        component.disturb_provider(now, effect)  # type: ignore[attr-defined]
                        for target in [f"pool {pool}" for pool in pools] or ["every pool"]:
                            self._note(now, "disturbed", (target, "Provider", for_ns, kind, cause))
            case DisturbRegistry(images, does, for_ns, cause):
                self._disturb_registry(now, PullsFail(images, does, now + for_ns if for_ns else 0))
                if for_ns:
                    self._note(now, "disturbed", (REGISTRY, "Registry", for_ns, does, cause))
            case ReclaimMachine():
                for component in self.components.values():
                    if getattr(component, "orders_machines", False):
                        self.tell(component.name, effect)
            case KeepPlace():  # the provider's own doing, whether the autoscaler's process runs or not
                for component in self.components.values():
                    if hasattr(component, "keep_place"):
                        component.keep_place(effect)
            case ResumeProcess(process):
                self._control_plane.resume(now, process)

    def _disturb_registry(self, now: int, outage: PullsFail) -> None:
        """All machines know of it, those that come later too."""
        self._pulls_fail = [
            known
            for known in self._pulls_fail
            if known.until_ns > now and (known.images, known.does) != (outage.images, outage.does)
        ]
        if outage.until_ns:
            self._pulls_fail.append(outage)
        for address in self._running.values():
            self._post(now + self.latencies.window_ns, address, FaultInjected(outage))

    def _start_machine(self, now: int, node: Node) -> None:
        name = node.metadata.name
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = FIRST_NODE_ADDRESS + len(self._addresses)
        self._running[name] = address
        if NODEPOOL in node.metadata.labels:
            self._claimed.add(name)
        self.api.speaks_again(name)
        settings = self._node_settings
        if self.settings.settings_for is not None:
            settings = self.settings.settings_for(name, settings)
        self.api.subscribe_node(address, name)
        self.backend.post(now + self.latencies.window_ns, address, PowerOn(node, settings, self.settings.seed))
        for outage in self._pulls_fail:
            self._post(now + self.latencies.window_ns, address, FaultInjected(outage))
        if settings.routes:
            through = any(route.ingress for route in settings.routes)
            self.api.subscribe(address, ("Service", "EndpointSlice", *(("Ingress",) if through else ())))
        if any(pod.spec.node_name == name for pod in self.server.objects("Pod").values()):
            # The store knew this node before this process did: its kubelet lists its pods when it is up.
            self._post(now + 2 * self.latencies.window_ns, API_ADDRESS, (0, Resubscribe(address, name)))

    def _stop_machine(self, now: int, name: str) -> None:
        address = self._running.pop(name, None)
        if address is None:
            return
        at = now + self.latencies.window_ns
        self.api.unsubscribe_node(name)
        self.backend.post(at, address, PowerOff())
        self._silence(name, at)

    def _crashed(self, now: int, names: list[str], why: str) -> None:
        """The process that these machines lived in is dead. The control plane must find out by itself."""
        some = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        what = f"the Ray actor of {some or 'no node yet'} died at {now / 1e9:.3f} s"
        text = f"{what}: {why or 'Ray does not say why'}"
        self.lost_actors.append(text)
        for listener in self.fault_listeners:
            listener(text)
        for name in names:
            if self._running.pop(name, None) is not None:
                self._note(now, "disturbed", (name, "Crash", -1, "", 0))
                if self.settings.folded:
                    self._silence(name, now)

    def _reconcile_machines(self, now: int) -> None:
        """A restored store may know nodes whose machines have left since, and not know the claims of machines that have
        come. Source: cloud-provider controllers/nodelifecycle: a node whose instance does not exist is deleted;
        Karpenter's nodeclaim/garbagecollection (v1): an instance without a NodeClaim is terminated."""
        claims = self.server.objects("NodeClaim")
        for name in sorted(self._claimed & set(self._running)):
            if name not in claims:
                self._stop_machine(now, name)
        for name in sorted(set(self.server.objects("Node")) - set(self._running)):
            self.server.delete("Node", "", name)

    def _silence(self, name: str, at: int) -> None:
        """Lease renewals that would have come after `at` do not; those on the way still arrive."""
        if self.settings.folded:
            self.api.falls_silent(name, at)
            self._post(at + self.latencies.api_call.least_ns, API_ADDRESS, (0, FellSilent(name, at)))

    def _note(self, at: int, topic: str, data: tuple[Any, ...]) -> None:
        self._post(max(at, self.loop.now + 1), API_ADDRESS, (0, Observed(at, "driver", Observe(topic, data))))


def _extent(fault: NodeFault) -> tuple[int, str]:
    """(how long it lasts in ns, -1 for ever; the pod that it is about)."""
    match fault:
        case Crash(down_ns):
            return down_ns or -1, ""
        case Freeze(for_ns) | Partition(for_ns):
            return for_ns, ""
        case ContainerCrash(pod):
            return 0, pod
        case Undo() | PullsFail():
            return 0, ""
        case _:
            assert_never(fault)


_REPORTERS = {
    "scheduler": "default-scheduler",
    "disruption-controller": "controllermanager",
    "node-lifecycle-controller": "node-controller",
    "persistentvolume-binder": "persistentvolume-controller",
    "persistentvolume-attach-detach-controller": "attachdetach-controller",
    "endpointslice-controller": "endpoint-slice-controller",
}
"""Components that call themselves something else in their events."""


class Delays:
    """When messages land: a latency drawn per address from its own stream, first said first heard."""

    def __init__(self, latency: Latency, seed: int, name: str) -> None:
        self._latency = latency
        self._seed = seed
        self._name = name
        self._streams: dict[int, Any] = {}
        self._last: dict[int, int] = {}
        if isinstance(latency, Constant):
            constant = latency.ns
            self.at: Callable[[int, int], int] = lambda now, address: now + constant
        else:
            self.at = self._draw

    def _draw(self, now: int, address: int) -> int:
        rng = self._streams.get(address)
        if rng is None:
            rng = self._streams[address] = stream(self._seed, f"{self._name}/{address}")
        at = max(now + self._latency.draw(rng), self._last.get(address, 0))
        self._last[address] = at
        return at
