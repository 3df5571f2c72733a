"""A node: kubelet, container runtime and proxy on one machine, which can crash, freeze or be cut off."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.engine.component import (
    DELETED,
    Create,
    Disturbed,
    Effect,
    Event,
    Observe,
    Outcome,
    Packet,
    PatchStatus,
    Relist,
    Send,
    Stand,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.model.core import Node, NodeStatus, Pod
from harness.model.faults import ContainerCrash, Crash, Freeze, NodeFault, Partition
from harness.model.meta import Condition, ObjectMeta
from harness.model.wire import MicroTime, Time
from harness.model.workloads import Lease, LeaseSpec
from harness.node.kubelet import Kubelet
from harness.node.proxy import Flow, Proxy
from harness.node.settings import LEASE_DURATION_S, LEASE_RENEWAL_NS, NodeSettings
from harness.node.worker import Stage

RETRY_NS = 10**9
"""How long a write that the server could not take waits to be said again."""

_UP, _DOWN, _FROZEN, _CUT = range(4)
_NEVER = 1 << 62


class Machine:
    """`step` is all that anybody calls. Down: nothing is heard. Frozen: what comes waits. Cut off: the kubelet works
    on, but what it says waits for the network, and so does what is said to it."""

    __slots__ = (
        "_cut_effects",
        "_epoch",
        "_held",
        "_kubelet",
        "_lease",
        "_node",
        "_proxy",
        "_return_ns",
        "_rng",
        "_settings",
        "_since",
        "_state",
        "name",
    )

    def __init__(self, node: Node, settings: NodeSettings, rng: Random) -> None:
        self.name = node.metadata.name
        self._node = node
        self._settings = settings
        self._rng = rng
        self._kubelet = Kubelet(node, settings, rng)
        self._proxy = Proxy(settings) if settings.routes else None
        self._lease: Lease | None = None
        self._state = _UP
        self._epoch = 0  # grows with each boot: timers of earlier ones are stale
        self._since = 0  # when it froze
        self._return_ns = 0
        self._held: list[Event] = []
        self._cut_effects: list[Effect] = []

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            self._hear(now, event, effects)
        if self._proxy is not None and self._state == _UP:
            self._proxy.route(now, effects)
        if self._state == _CUT:
            return self._say_later(effects)
        return effects

    def _hear(self, now: int, event: Event, effects: list[Effect]) -> None:
        state = self._state
        if state != _UP:
            kind = type(event)
            if kind is Timer and event.token[0] == "return":  # type: ignore[union-attr]
                self._back(now, effects)
                return
            if kind is Disturbed:
                self._disturb_again(now, event.fault, effects)  # type: ignore[union-attr]
                return
            if state == _DOWN:
                return
            if state == _FROZEN or kind in (Watch, Relist, Outcome):
                if kind is not Packet:
                    self._held.append(event)
                return
            if kind is Packet:
                return
        if type(event) is Watch:
            if type(event.obj) is Pod:
                if event.type == DELETED:
                    self._kubelet.lose(now, event.obj, effects)
                else:
                    self._kubelet.see(now, event.obj, effects)
            elif self._proxy is not None:
                self._proxy.hear(event)
        elif type(event) is Timer:
            self._timer(now, event.token, effects)
        elif type(event) is Outcome:
            self._outcome(now, event, effects)
        elif type(event) is Packet:
            if type(event.payload) is Flow:
                self._kubelet.flow(now, event.source, event.payload, effects)
        elif type(event) is Relist:
            if event.kind == "Pod":
                mine = tuple(pod for pod in event.objects if pod.spec.node_name == self.name)
                self._kubelet.keep_only(now, mine, effects)
            elif self._proxy is not None:
                self._proxy.hear(event)
        elif type(event) is Disturbed:
            self._disturb(now, event.fault, effects)
        elif type(event) is Start:
            self._boot(now, effects)

    def _timer(self, now: int, token: tuple[object, ...], effects: list[Effect]) -> None:
        what = token[0]
        if what == "metrics":
            self._kubelet.report(now, effects)
        elif what == "lease":
            if token[1] == self._epoch:
                self._renew(now, effects)
        elif what == "again":
            effects.append(token[1])  # type: ignore[arg-type]
        elif what in ("route", "return"):
            pass  # the proxy looks after every step; a return that was overtaken by another fault
        else:
            uid, turn, step = token
            self._kubelet.due(now, uid, turn, step, effects)  # type: ignore[arg-type]

    def _outcome(self, now: int, outcome: Outcome, effects: list[Effect]) -> None:
        effect, error = outcome.effect, outcome.error
        if error is None:
            if type(effect) in (Create, Update) and type(effect.obj) is Lease:
                self._lease = outcome.obj
            return
        if error.code >= 500:
            effects.append(WakeAt(now + RETRY_NS, ("again", effect)))
        elif error.reason == "AlreadyExists" and type(effect) is Create:
            if type(effect.obj) is Node:
                effects.append(PatchStatus(effect.obj))
            elif type(effect.obj) is Lease or effect.token == "metrics":
                effects.append(Update(effect.obj, token="lease" if type(effect.obj) is Lease else None))

    # -- power and network ---------------------------------------------------------------------------------------------

    def _boot(self, now: int, effects: list[Effect]) -> None:
        self._epoch += 1
        self._state = _UP
        effects.append(Create(self._ready(now)))
        self._stand(now, effects)

    def _ready(self, now: int) -> Node:
        """The node as its kubelet reports it."""
        node = self._node
        status = node.status
        ready = NodeStatus(
            capacity=status.capacity,
            allocatable=status.allocatable,
            conditions=_conditions(now),
            addresses=status.addresses,
            images=status.images,
            extra=status.extra,
        )
        return Node(metadata=node.metadata, spec=node.spec, status=ready, extra=node.extra)

    def _stand(self, now: int, effects: list[Effect]) -> None:
        """Begin to renew the lease."""
        lease = Lease(
            metadata=ObjectMeta(name=self.name, namespace="kube-node-lease"),
            spec=LeaseSpec(
                holder_identity=self.name, lease_duration_seconds=LEASE_DURATION_S, renew_time=MicroTime(now)
            ),
        )
        if self._settings.folded:
            effects.append(Stand(lease, LEASE_RENEWAL_NS))
            return
        effects.append(Create(lease, token="lease"))
        effects.append(WakeAt(now + LEASE_RENEWAL_NS, ("lease", self._epoch)))

    def _renew(self, now: int, effects: list[Effect]) -> None:
        lease = self._lease
        if lease is not None:
            spec = LeaseSpec(
                holder_identity=self.name, lease_duration_seconds=LEASE_DURATION_S, renew_time=MicroTime(now)
            )
            meta = ObjectMeta(name=self.name, namespace=lease.metadata.namespace)
            effects.append(Update(Lease(metadata=meta, spec=spec)))
        effects.append(WakeAt(now + LEASE_RENEWAL_NS, ("lease", self._epoch)))

    def _disturb(self, now: int, fault: NodeFault, effects: list[Effect]) -> None:
        match fault:
            case Crash(down_ns):
                self._crash(now, down_ns, effects)
            case Freeze(for_ns):
                self._all_serve(False, effects)
                self._away(now, _FROZEN, for_ns, effects)
            case Partition(for_ns):
                self._all_serve(False, effects)  # nobody outside reaches them
                self._away(now, _CUT, for_ns, effects)
            case ContainerCrash(pod, exit_code):
                for worker in list(self._kubelet.pods.values()):
                    if worker.stage == Stage.RUNNING and pod in ("", worker.pod.metadata.key):
                        self._kubelet.exit(now, worker, exit_code, effects)
                        break

    def _disturb_again(self, now: int, fault: NodeFault, effects: list[Effect]) -> None:
        """One fault on top of another: power goes at any time; a node that is frozen or cut off stays so for longer."""
        match fault:
            case Crash(down_ns):
                self._crash(now, down_ns, effects)
            case Freeze(for_ns) if self._state != _DOWN:
                if self._state != _FROZEN:
                    self._since = now
                self._away(now, _FROZEN, for_ns, effects)
            case Partition(for_ns) if self._state != _DOWN:
                self._away(now, self._state, for_ns, effects)
            case _:
                pass  # nothing is left that could break

    def _crash(self, now: int, down_ns: int, effects: list[Effect]) -> None:
        self._all_serve(False, effects)
        self._kubelet = Kubelet(self._node, self._settings, self._rng)
        self._held.clear()
        self._cut_effects.clear()
        self._lease = None
        self._epoch += 1
        if self._state != _DOWN:
            self._return_ns = now
        self._away(now, _DOWN, down_ns, effects)
        if not down_ns:
            self._return_ns = _NEVER

    def _away(self, now: int, state: int, for_ns: int, effects: list[Effect]) -> None:
        if self._state == _UP:
            self._since = self._return_ns = now
        self._state = state
        self._return_ns = max(self._return_ns, now + for_ns)
        if for_ns:
            effects.append(WakeAt(self._return_ns, ("return",)))

    def _back(self, now: int, effects: list[Effect]) -> None:
        if now < self._return_ns or self._state == _UP:
            return  # another fault holds it
        state, self._state = self._state, _UP
        if state == _DOWN:
            self._boot(now, effects)
            return
        held, self._held = self._held, []
        if state == _FROZEN:
            stood = now - self._since
            for worker in self._kubelet.pods.values():
                if worker.ends_ns >= 0:
                    worker.ends_ns += stood
        self._stand(now, effects)
        effects.append(PatchStatus(self._ready(now)))
        waiting, self._cut_effects = self._cut_effects, []
        effects.extend(waiting)
        self._all_serve(True, effects)
        if self._proxy is not None:
            self._proxy.again()
        for event in held:
            self._hear(now, event, effects)

    def _all_serve(self, able: bool, effects: list[Effect]) -> None:
        for worker in self._kubelet.pods.values():
            if worker.stage in (Stage.RUNNING, Stage.STOPPING):
                self._kubelet._serve(worker, able, effects)

    def _say_later(self, effects: list[Effect]) -> list[Effect]:
        """Cut off: timers and facts pass, writes wait, packets are lost; of a pod's statuses the latest waits."""
        now_effects: list[Effect] = []
        for effect in effects:
            if type(effect) in (WakeAt, Observe):
                now_effects.append(effect)
            elif type(effect) is not Send:
                self._cut_effects.append(effect)
        return now_effects


def _conditions(now: int) -> tuple[Condition, ...]:
    """Source: pkg/kubelet/nodestatus/setters.go."""
    at = Time(now)
    return (
        Condition(type="MemoryPressure", status="False", reason="KubeletHasSufficientMemory",
                  message="kubelet has sufficient memory available", last_transition_time=at),
        Condition(type="DiskPressure", status="False", reason="KubeletHasNoDiskPressure",
                  message="kubelet has no disk pressure", last_transition_time=at),
        Condition(type="PIDPressure", status="False", reason="KubeletHasSufficientPID",
                  message="kubelet has sufficient PID available", last_transition_time=at),
        Condition(type="Ready", status="True", reason="KubeletReady",
                  message="kubelet is posting ready status", last_transition_time=at),
    )  # fmt: skip
