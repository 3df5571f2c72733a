"""A node: kubelet, container runtime and proxy on one machine, which can lose power, freeze or be cut off."""

# size: what reaches a machine, and what it does about each, in every state that it can be in.

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, assert_never

from msgspec.structs import replace

from harness.engine.component import (
    DELETED,
    Create,
    Delete,
    Effect,
    Event,
    FaultInjected,
    Observe,
    Outcome,
    Packet,
    PatchStatus,
    Record,
    Relist,
    Send,
    StandingLease,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
    next_tick,
)
from harness.engine.guard import event_about, fault_of
from harness.model.core import Node, NodeStatus, Pod
from harness.model.faults import ContainerCrash, Crash, Freeze, NodeFault, Partition, PullsFail, Undo
from harness.model.meta import condition
from harness.model.objects import PodMetrics, kind_of
from harness.model.pod_references import REFERRED
from harness.model.storage import PersistentVolume
from harness.model.workloads import Lease
from harness.node.extended_resources import with_extended_resources
from harness.node.images import Images
from harness.node.kubelet import Kubelet
from harness.node.machine_report import MachineReport
from harness.node.node_status import boot_ns_of, booting_node, internal_ip_of, labelled_node, lease, ready_node
from harness.node.outbox import Outbox
from harness.node.pod_worker import Host, Stage
from harness.node.proxy import Network, Proxy
from harness.node.settings import NodeSettings
from harness.node.usage import Flow, Usage
from harness.node.volume_manager import VolumeManager

_DOWN, _FROZEN, _CUT = 1, 2, 4
_NEVER = 1 << 62


# size: one short method for each event that reaches a machine; each must be right while it is off, frozen and cut off.
class Machine:
    """`step` is all that anybody calls.

    Down: nothing is heard. Frozen: what comes waits. Cut off: containers and kubelet go on, what the kubelet says and
    what it is told waits for the network. Faults of different kinds overlap, of one kind the longer one holds; power
    is lost at any time, and a network that is away stays so through a reboot.
    """

    __slots__ = (
        "_boots_until_ns",
        "_built",
        "_cut_until_ns",
        "_down_until_ns",
        "_frozen_since_ns",
        "_frozen_until_ns",
        "_held",
        "_images",
        "_inbox",
        "_kubelet",
        "_lease_known",
        "_lease_phase_ns",
        "_lease_turn",
        "_node",
        "_outbox",
        "_proxy",
        "_registered",
        "_rng",
        "_settings",
        "_state",
        "_status_due",
        "_usage",
        "name",
    )

    def __init__(self, node: Node, settings: NodeSettings, rng: Random, lease_phase_ns: int = 0) -> None:
        """`lease_phase_ns`: its lease is renewed so long after each whole number of renewal periods."""
        self._lease_phase_ns = lease_phase_ns
        self.name = node.metadata.name
        self._node = self._built = node = labelled_node(node)
        self._boots_until_ns = 0
        self._settings = settings
        self._rng = rng
        self._images = Images(node, checked=settings.references)
        self._usage = Usage(settings.scrapes, requests=settings.reports_requests)
        self._kubelet = Kubelet(
            node, settings, rng, Host(internal_ip_of(node)), self._images, self._usage, lease_phase_ns
        )
        self._proxy = Proxy(settings) if settings.routes else None
        self._state = 0
        self._down_until_ns = self._frozen_until_ns = self._cut_until_ns = self._frozen_since_ns = 0
        self._held: list[Event] | None = None  # what came while frozen
        self._inbox: list[Event] | None = None  # what comes when the network is back
        self._outbox: Outbox | None = None
        self._registered = False
        self._lease_known = False
        self._status_due = False
        self._lease_turn = 0  # of its renewals: timers of earlier ones are stale

    def report(self) -> MachineReport:
        """The state of this machine itself, whatever the API server knows of it."""
        state = self._state
        return MachineReport(
            powered=not state & _DOWN,
            frozen=bool(state & _FROZEN),
            connected=not state & _CUT,
            pods={uid: worker.status for uid, worker in self._kubelet.pods.items() if worker.stage != Stage.ENDED},
            registered=self._registered and not (self._outbox is not None and self._outbox.holds_new(self._node)),
        )

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            begun = len(effects)
            try:
                if self._state:
                    self._handle_degraded(now, event, effects)
                else:
                    self._handle(now, event, effects)
            except Exception as error:
                del effects[begun:]
                self._contain(event, error, effects)
        if self._proxy is not None:
            self._proxy.route(now, effects)
        volumes = self._kubelet.volumes
        if volumes is not None and volumes.changed and not self._state & (_DOWN | _FROZEN):
            self._sync_volumes(now, volumes, effects)
        if self._outbox is not None:
            self._outbox.superseded_by(effects)
        return effects

    def _contain(self, event: Event, error: Exception, effects: list[Effect]) -> None:
        """One object must not end a node: what it could not handle is told, and the rest goes on. A pod is looked at
        again when it changes. Source: the kubelet's HandleCrash around each pod worker (1.32)."""
        subject = event.obj if type(event) is Watch else None
        fault = fault_of(f"kubelet {self.name}", error, subject)
        if type(subject) is Pod:
            self._kubelet.remove_pod(subject, effects)
        effects.append(fault.observation())
        if subject is not None:
            effects.append(event_about(subject, fault))

    def _handle_degraded(self, now: int, event: Event, effects: list[Effect]) -> None:
        kind = type(event)
        returns = kind is Timer and event.token[0] == "return"  # type: ignore[union-attr]
        if not self._state or returns or kind is FaultInjected or kind is Packet:
            self._handle(now, event, effects)
        elif self._state & _DOWN:
            pass
        elif self._state & _FROZEN:
            self._hold(event)
        elif kind is Watch or kind is Relist or kind is Outcome:
            if self._inbox is None:
                self._inbox = []
            self._inbox.append(event)
        else:
            said: list[Effect] = []
            self._handle(now, event, said)
            self._defer(said, effects)

    def _handle(self, now: int, event: Event, effects: list[Effect]) -> None:
        kind = type(event)
        if kind is Watch:
            obj = event.obj  # type: ignore[union-attr]
            if type(obj) is Pod:
                if event.type == DELETED:  # type: ignore[union-attr]
                    self._kubelet.remove_pod(obj, effects)
                else:
                    self._kubelet.update_pod(now, obj, effects)
            elif type(obj) is Node:
                self._see_node(now, obj, effects)
            elif type(obj) is PersistentVolume:
                self._volumes().learn(obj)
            elif self._kubelet.configuration is not None and kind_of(obj) in REFERRED:
                self._kubelet.configuration.hear(event)  # type: ignore[arg-type]
            elif self._proxy is not None:
                self._proxy.hear(event)  # type: ignore[arg-type]
        elif kind is Timer:
            self._timer(now, event.token, effects)  # type: ignore[union-attr]
        elif kind is Outcome:
            if event.error is not None:  # type: ignore[union-attr]
                self._refused(now, event, effects)  # type: ignore[arg-type]
        elif kind is Packet:
            self._packet(now, event, effects)  # type: ignore[arg-type]
        elif kind is Relist:
            self._relist(now, event, effects)  # type: ignore[arg-type]
        elif kind is FaultInjected:
            self._disturb(now, event, effects)  # type: ignore[arg-type]
        else:
            assert kind is Start, event
            self._connect(now, effects)

    def _relist(self, now: int, event: Relist, effects: list[Effect]) -> None:
        if event.kind == "Pod":
            mine = tuple(pod for pod in event.objects if pod.spec.node_name == self.name)
            self._kubelet.keep_only(now, mine, effects)
        elif event.kind == "Node":
            # The store was restored. Kubelets are restarted then, as etcd's and Kubernetes' documentation advise
            # (kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd, "Restoring an etcd cluster"): one
            # registers again where its node is not known, says how it is, and renews its lease from now on.
            self._registered = bool(event.objects)
            for node in event.objects:
                self._see_volumes(node)
            self._lease_known = False
            self._connect(now, effects)
        elif self._kubelet.configuration is not None and event.kind in REFERRED:
            self._kubelet.configuration.set_all(event.kind, event.objects)
        elif self._proxy is not None:
            self._proxy.hear(event)

    def _timer(self, now: int, token: tuple[Any, ...], effects: list[Effect]) -> None:
        if len(token) == 3:
            self._kubelet.due(now, *token, effects)
            return
        if token[0] == "volumes":
            self._volumes().changed = True  # they are looked at after every step
            return
        what, mark = token
        if what == "scrape":
            if self._state & _CUT or not self._settings.scrapes.is_at(now):
                self._usage.arm(now, effects)  # nobody reaches the kubelet; or it was frozen when it was due
            else:
                self._usage.scrape(now, self._kubelet.pods, effects)
        elif what == "lease":
            if mark == self._lease_turn:
                self._renew(now, effects)
        elif what == "retry":
            if self._outbox is not None and mark == self._outbox.retry_ns:
                self._outbox.retry_ns = -1
                self._send_deferred(now, self._outbox, effects)
        elif what == "status":
            self._status_due = False
            if not self._state & _CUT and now >= self._boots_until_ns:  # else it is reported when the network is back
                effects.append(self._report(ready_node(self._node, self._kubelet.host.ip, now)))
        elif what == "return":
            self._return(now, effects)
        else:
            assert what == "route", token  # the proxy looks after every step

    def _packet(self, now: int, packet: Packet, effects: list[Effect]) -> None:
        """What clients send is theirs to say, whatever state this node is in; whether it is served is another thing."""
        flow = packet.payload
        assert type(flow) is Flow, flow
        down = self._state & _DOWN
        worker = self._kubelet.pods.get(flow.pod)
        self._usage.flow(packet.source, flow, known=worker is not None or bool(down))
        if worker is not None and worker.annotations.request_micro >= 0:
            self._usage.changed(now, worker, effects)

    # -- presence ------------------------------------------------------------------------------------------------------

    def _connect(self, now: int, effects: list[Effect]) -> None:
        """Up and connected, at first or again: register, show that it is alive, say what could not be said."""
        kubelet, usage = self._kubelet, self._usage
        node = ready_node(self._node, kubelet.host.ip, now)
        if not self._registered and (boot_ns := boot_ns_of(node)):
            self._boots_until_ns, node = now + boot_ns, booting_node(node, now)
            effects.append(WakeAt(self._boots_until_ns, ("status", 0)))
        effects.append(self._report(node) if self._registered else Create(self._with_volumes(node)))
        self._registered = True
        self._stand(now, effects)
        kubelet.reachable = True
        if self._outbox is not None:
            effects.extend(self._outbox.take())
        kubelet.statuses.report_unsent(effects)
        kubelet.report_serving(effects)
        if self._proxy is not None:
            self._proxy.set_network(Network.UP)
        for uid in usage.loaded:
            if uid in kubelet.pods:
                usage.changed(now, kubelet.pods[uid], effects)
        usage.arm(now, effects)

    def _see_node(self, now: int, node: Node, effects: list[Effect]) -> None:
        """The next report sets right what somebody else says. Source: kubelet_node_status.go tryUpdateNodeStatus."""
        self._see_volumes(node)
        if now < self._boots_until_ns:
            return  # it is not, and says so itself when it is
        if other := node.status.capacity != self._node.status.capacity:
            self._node = with_extended_resources(self._built, node)
            self._kubelet.set_allocatable(self._node.status.allocatable)
        ready = condition(node.status.conditions, "Ready")
        if not self._status_due and (other or (ready is not None and ready.status != "True")):
            self._status_due = True
            every_ns = self._settings.constants.node_status_update_frequency_ns
            effects.append(WakeAt(next_tick(now, every_ns, 0), ("status", 0)))

    def _stand(self, now: int, effects: list[Effect]) -> None:
        """Begin to renew the lease."""
        self._lease_turn += 1
        if self._outbox is not None:
            self._outbox.lease_lost = False
        if self._settings.folded:
            effects.append(
                StandingLease(self._lease(now), self._settings.constants.lease_renewal_ns, self._lease_phase_ns)
            )
        else:
            self._renew(now, effects)

    def _renew(self, now: int, effects: list[Effect]) -> None:
        renewed = self._lease(now)
        effects.append(Update(renewed) if self._lease_known else Create(renewed))
        self._lease_known = True
        due = next_tick(now, self._settings.constants.lease_renewal_ns, self._lease_phase_ns)
        effects.append(WakeAt(due, ("lease", self._lease_turn)))

    def _lease(self, now: int) -> Lease:
        """Renewed now."""
        return lease(self.name, now, self._settings.constants.node_lease_duration_s)

    # -- volumes -------------------------------------------------------------------------------------------------------

    def _volumes(self) -> VolumeManager:
        if self._kubelet.volumes is None:
            period_ns = self._settings.constants.node_status_update_frequency_ns
            self._kubelet.volumes = VolumeManager(period_ns, self._lease_phase_ns % period_ns)
        return self._kubelet.volumes

    def _see_volumes(self, node: Node) -> None:
        if self._kubelet.volumes is not None or node.status.volumes_attached:
            self._volumes().see(node.status.volumes_attached)

    def _sync_volumes(self, now: int, volumes: VolumeManager, effects: list[Effect]) -> None:
        """Tell which are in use, and start the pods whose volumes have come."""
        said: list[Effect] = []
        is_up = not self._state & _CUT and self._registered and now >= self._boots_until_ns
        tells, begins = volumes.sync(now, is_up, said)
        if tells:
            said.append(self._report(ready_node(self._node, self._kubelet.host.ip, now)))
        for uid in begins:
            if (worker := self._kubelet.pods.get(uid)) is not None:
                self._kubelet.begin(now, worker, said)
        if self._state & _CUT:
            self._defer(said, effects)
        else:
            effects.extend(said)

    def _with_volumes(self, node: Node) -> Node:
        volumes = self._kubelet.volumes
        if volumes is None or not volumes.reported:
            return node
        return replace(node, status=replace(node.status, volumes_in_use=volumes.reported))

    def _report(self, node: Node) -> PatchStatus:
        """The node's whole status, but for which volumes are attached: that is another's to say."""
        if self._kubelet.volumes is None:
            return PatchStatus(node)
        return PatchStatus(self._with_volumes(node), replace(node, status=NodeStatus(volumes_in_use=("",))))

    # -- what the server did not take ----------------------------------------------------------------------------------

    def _refused(self, now: int, outcome: Outcome, effects: list[Effect]) -> None:
        effect, error = outcome.effect, outcome.error
        assert error is not None
        obj = getattr(effect, "obj", None)
        kind = type(obj)
        if error.code >= 500:
            self._failed(now, effect, effects)
        elif kind is Pod and type(effect) is PatchStatus and error.reason == "Conflict":
            meta = effect.obj.metadata
            if self._kubelet.statuses.conflicted(meta.uid, meta.resource_version, effects):
                self._retry_later(now, effects)  # in case the watch does not bring it
        elif error.reason == "AlreadyExists":
            if kind is Node:
                assert obj is not None
                effects.append(self._report(obj))
            elif kind is Lease:
                effects.append(Update(self._lease(now)))
            elif kind is PodMetrics:
                effects.append(Update(obj))
        elif error.reason == "NotFound" and type(effect) is Update:
            if kind is Lease:
                effects.append(Create(self._lease(now)))
            elif kind is PodMetrics:
                self._report_again(now, effect.obj, effects)
        elif error.code != 404 and type(effect) is not Record and "Precondition failed: UID" not in error.message:
            self._failed(now, effect, effects)  # a kubelet keeps trying: to register, to renew, to report, to delete
        # Anything else is about what is gone: there is nothing left to say.

    def _failed(self, now: int, effect: Effect, effects: list[Effect]) -> None:
        """The server was away: say it again later, unless something newer has been said since."""
        if isinstance(effect, (Create, Update)) and type(effect.obj) is PodMetrics:
            self._report_again(now, effect.obj, effects)
            return
        if self._outbox is None:
            self._outbox = Outbox(self._settings.constants.status_sync_period_ns)
        outbox = self._outbox
        if isinstance(effect, StandingLease) or (isinstance(effect, (Create, Update)) and type(effect.obj) is Lease):
            outbox.lease_lost = True
            self._lease_turn += 1  # the renewals begin again with the retry
        elif not (isinstance(effect, PatchStatus) and self._kubelet.statuses.undelivered(effect.obj.metadata.uid)):
            outbox.put(effect)
        self._retry_later(now, effects)

    def _retry_later(self, now: int, effects: list[Effect]) -> None:
        if self._outbox is None:
            self._outbox = Outbox(self._settings.constants.status_sync_period_ns)
        if self._outbox.retry_ns < 0:
            at = self._outbox.retry(now)
            effects.append(WakeAt(at, ("retry", at)))

    def _send_deferred(self, now: int, outbox: Outbox, effects: list[Effect]) -> None:
        if self._state & _CUT:
            return  # all of it is said when the network is back
        effects.extend(outbox.take())
        self._kubelet.statuses.report_unsent(effects)
        if outbox.lease_lost:
            self._stand(now, effects)

    def _report_again(self, now: int, metrics: PodMetrics, effects: list[Effect]) -> None:
        if (worker := self._kubelet.pods.get(metrics.metadata.owner_references[0].uid)) is not None:
            worker.reported_milli = -1
            self._usage.changed(now, worker, effects)

    def _defer(self, said: list[Effect], effects: list[Effect]) -> None:
        """Cut off: timers and facts pass, packets are lost, writes wait; the node and its lease are told anew then."""
        if self._outbox is None:
            self._outbox = Outbox(self._settings.constants.status_sync_period_ns)
        for effect in said:
            match effect:
                case WakeAt() | Observe():
                    effects.append(effect)
                case PatchStatus() | Delete() | Record():
                    held = self._kubelet.statuses
                    if not (isinstance(effect, PatchStatus) and held.undelivered(effect.obj.metadata.uid)):
                        self._outbox.put(effect)
                case StandingLease() | Create() | Update() | Send():
                    pass
                case _:
                    raise AssertionError(f"a machine does not say {effect!r}")

    # -- faults --------------------------------------------------------------------------------------------------------

    def _disturb(self, now: int, event: FaultInjected, effects: list[Effect]) -> None:
        fault: NodeFault = event.fault
        state = self._state
        match fault:
            case Crash(down_ns):
                until = now + down_ns if down_ns else _NEVER
                self._down_until_ns = max(self._down_until_ns, until)
                self._wake(self._down_until_ns, effects)
                if not state & _DOWN:
                    self._lose_power(now, effects)
            case Freeze(for_ns):
                if state & _DOWN:
                    return  # nothing is left that could stand still
                self._frozen_until_ns = max(self._frozen_until_ns, now + for_ns)
                self._wake(self._frozen_until_ns, effects)
                if not state & _FROZEN:
                    self._frozen_since_ns = now
                    self._state = state | _FROZEN
                    self._unreachable(Network.STILL, effects)
            case Partition(for_ns):
                self._cut_until_ns = max(self._cut_until_ns, now + for_ns)
                self._wake(self._cut_until_ns, effects)
                self._state = state | _CUT
                if not state:
                    self._unreachable(Network.CUT, effects)
            case ContainerCrash(key, exit_code):
                if state & _DOWN:
                    return
                if state & _FROZEN:
                    self._hold(event)
                    return
                said: list[Effect] = []
                self._kubelet.crash(now, key, exit_code, said)
                if state & _CUT:
                    self._defer(said, effects)
                else:
                    effects.extend(said)
            case PullsFail():
                self._images.disturb(fault)
            case Undo(what):
                self._undo(now, what, effects)
            case _:
                assert_never(fault)

    def _undo(self, now: int, what: str, effects: list[Effect]) -> None:
        match what:
            case "crash":
                self._down_until_ns = min(self._down_until_ns, now)
            case "freeze":
                self._frozen_until_ns = min(self._frozen_until_ns, now)
            case "partition":
                self._cut_until_ns = min(self._cut_until_ns, now)
        self._return(now, effects)

    def _lose_power(self, now: int, effects: list[Effect]) -> None:
        """Memory is lost; the disk is not, nor what clients elsewhere send."""
        self._state = self._state & _CUT | _DOWN
        self._unreachable(Network.STILL, effects)
        old = self._kubelet
        self._images.power_lost(now)
        self._usage.power_lost()
        phase_ns = self._lease_phase_ns
        self._kubelet = Kubelet(self._node, self._settings, self._rng, old.host, self._images, self._usage, phase_ns)
        self._kubelet.turn = old.turn
        self._kubelet.reachable = False
        if self._proxy is not None:
            self._proxy.forget()
        self._held = self._inbox = self._outbox = None
        self._registered = self._lease_known = self._status_due = False
        self._lease_turn += 1
        self._frozen_until_ns = 0

    def _unreachable(self, network: Network, effects: list[Effect]) -> None:
        self._kubelet.reachable = False
        self._kubelet.report_serving(effects)
        if self._proxy is not None:
            self._proxy.set_network(network)

    def _wake(self, at: int, effects: list[Effect]) -> None:
        if at < _NEVER:
            effects.append(WakeAt(at, ("return", at)))

    def _hold(self, event: Event) -> None:
        if self._held is None:
            self._held = []
        self._held.append(event)

    def _return(self, now: int, effects: list[Effect]) -> None:
        """What held the node may be over."""
        was = state = self._state
        if now >= self._down_until_ns:
            state &= ~_DOWN
        if now >= self._frozen_until_ns:
            state &= ~_FROZEN
        if now >= self._cut_until_ns:
            state &= ~_CUT
        if state == was:
            return
        self._state = state
        if was & _FROZEN and not state & _FROZEN:
            self._kubelet.stood_still(now - self._frozen_since_ns)
        if state & (_DOWN | _FROZEN):
            return
        if not state:
            self._connect(now, effects)
        elif self._proxy is not None:
            self._proxy.set_network(Network.CUT)  # clients are back before the network is
        waiting: list[Event] = []
        if not state and self._inbox is not None:
            waiting, self._inbox = self._inbox, None
        if self._held is not None:
            waiting, self._held = [*waiting, *self._held], None
        for event in waiting:
            self._handle_degraded(now, event, effects)
