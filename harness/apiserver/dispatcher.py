"""The API server among the components: writes arrive as messages, what they change leaves as watch events.

Also here, because only the server sees both ends: who watches what, leases that stand (see StandingLease), and going
down and coming back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.apiserver.events import Recorder
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import (
    ADDED,
    MINUTE,
    MODIFIED,
    STANDING_LEASE,
    BindPod,
    Create,
    Delete,
    EvictPod,
    Observe,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    StandingLease,
    Subscribe,
    Update,
    Watch,
)
from harness.model.objects import KINDS, Kind
from harness.model.status import ApiError, unavailable
from harness.model.wire import MicroTime

API_ADDRESS = 0
COMPACTION_NS = 5 * MINUTE
"""Source: kube-apiserver --etcd-compaction-interval, 5m0s."""

Post: TypeAlias = Callable[[int, int, Any], None]
PostAll: TypeAlias = Callable[[int, int, list[Any]], None]
"""Several messages to one address, in order; the list stays the sender's."""
Delay: TypeAlias = Callable[[int, int], int]
"""(now, address) -> when a message to that address lands."""
Observer: TypeAlias = Callable[[int, str, str, tuple[Any, ...]], None]
"""(instant, source, topic, data)."""


class ApiLane:
    """`post` delivers to addresses, `post_all` likewise; `delay` says when a watch event or an answer lands."""

    def __init__(
        self, server: ApiServer, post: Post, delay: Delay, post_all: PostAll | None = None, *, records: bool = True
    ) -> None:
        self.server = server
        self.observers: list[Observer] = []
        self.down_until = 0
        self._post = post
        self._post_all = post_all or self._one_by_one
        self._delay = delay
        self._recorder = Recorder(server) if records else None
        self._by_kind: dict[str, list[int]] = {}
        self._by_node: dict[str, int] = {}  # pods by spec.nodeName
        self._changed: dict[str, list[Watch]] = {}
        self._changed_on: dict[int, list[Watch]] = {}  # by address, of the pods of one node
        self._standing: dict[str, tuple[int, int]] = {}  # node: (first renewal, period)
        self._next_compaction = COMPACTION_NS
        self._apply: dict[type, Callable[[Any], Any]] = {
            Create: lambda e: server.create(e.obj),
            Update: lambda e: server.update(e.obj, e.subresource),
            PatchStatus: lambda e: server.patch_status(e.obj),
            Delete: lambda e: server.delete(
                e.kind, e.namespace, e.name, uid=e.uid, grace_s=e.grace_s, propagation=e.propagation
            ),
            BindPod: lambda e: server.bind(e.namespace, e.name, e.uid, e.node, e.annotations),
            EvictPod: lambda e: server.evict(
                e.namespace, e.name, uid=e.uid, grace_s=e.grace_s, reason=e.reason, message=e.message
            ),
            Record: self._record,
            StandingLease: self._stand,
        }
        server.listeners.append(self._tell)

    def _one_by_one(self, at: int, address: int, messages: list[Any]) -> None:
        for message in messages:
            self._post(at, address, message)

    # -- messages ------------------------------------------------------------------------------------------------------

    def handle(self, now: int, batch: list[Any]) -> None:
        server, apply, post = self.server, self._apply, self._post
        server.now = now
        for source, effect in batch:
            act = apply.get(type(effect))
            if act is None:
                if type(effect) is Subscribe:
                    self.flush(now)  # what changed before is told to those that watched before
                    self.subscribe(source, effect.kinds)
                    if effect.token is not None:
                        post(self._delay(now, source), source, Outcome(effect, None, None))
                else:
                    self._own(now, effect)
                continue
            if now < self.down_until:
                post(self._delay(now, source), source, Outcome(effect, None, unavailable("connection refused")))
                continue
            try:
                obj = act(effect)
            except ApiError as error:
                post(self._delay(now, source), source, Outcome(effect, None, error))
                continue
            if effect.token is not None:
                post(self._delay(now, source), source, Outcome(effect, obj, None))
        self.flush(now)
        if now >= self._next_compaction:
            server.compact()
            self._next_compaction = now + COMPACTION_NS

    def _own(self, now: int, message: Any) -> None:
        """What reaches the server besides API calls."""
        match message:
            case Observed(at, source, topic, data):
                for observer in self.observers:
                    observer(at, source, topic, data)
            case FellSilent(node, at):
                self._end_standing(node, at)
            case Resubscribe(address, node):
                self._greet(now, address, node)
            case ComeBack():
                self.come_back(now)
            case _:
                raise AssertionError(f"the API server was sent {message!r}")

    # -- watching ------------------------------------------------------------------------------------------------------

    def subscribe(self, address: int, kinds: tuple[str, ...]) -> None:
        """Every change of these kinds from now on, and what is there as ADDED."""
        now = self.server.now
        at = self._delay(now, address)
        for kind in kinds:
            addresses = self._by_kind.setdefault(kind, [])
            if address not in addresses:  # a component that was started again asks again
                addresses.append(address)
            for obj in self.server.listed(kind):
                self._post(at, address, Watch(ADDED, obj))

    def subscribe_node(self, address: int, node: str) -> None:
        """Pods bound to `node`."""
        self._by_node[node] = address

    def unsubscribe_node(self, node: str) -> None:
        self._by_node.pop(node, None)

    def _greet(self, now: int, address: int, node: str) -> None:
        """A kubelet lists its pods, and whatever else its node watches (a proxy: services and their endpoints)."""
        at = self._delay(now, address)
        for kind, addresses in self._by_kind.items():
            if address in addresses:
                for obj in self.server.listed(kind):
                    self._post(at, address, Watch(ADDED, obj))
        for pod in self.server.listed("Pod"):
            if pod.spec.node_name == node:
                self._post(at, address, Watch(ADDED, pod))

    def _tell(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        name = kind.kind
        if name in self._by_kind:
            event = Watch(change, obj, old)
            told = self._changed.get(name)
            if told is None:
                self._changed[name] = [event]
            else:
                told.append(event)
        if name == "Pod":
            node = obj.spec.node_name
            if node:
                address = self._by_node.get(node)
                if address is not None:
                    if change == MODIFIED and not old.spec.node_name:
                        change, old = ADDED, None
                    event = Watch(change, obj, old)
                    told = self._changed_on.get(address)
                    if told is None:
                        self._changed_on[address] = [event]
                    else:
                        told.append(event)

    def flush(self, now: int) -> None:
        """Send what changed; called after each batch, and by whoever writes from outside the loop."""
        if self._changed:
            changed, self._changed = self._changed, {}
            for kind, events in changed.items():
                for address in self._by_kind[kind]:
                    self._post_all(self._delay(now, address), address, events)
        if self._changed_on:
            on, self._changed_on = self._changed_on, {}
            for address, events in on.items():
                self._post_all(self._delay(now, address), address, events)

    # -- down and up ---------------------------------------------------------------------------------------------------

    def restart(self, now: int, down_ns: int) -> None:
        """The process stops; `down_ns` later it is back with what its store holds. Watches resume by revision."""
        self.down_until = max(self.down_until, now + down_ns)

    def come_back(self, now: int) -> None:
        """Recover from the store alone. Nothing was written while down, so every watch resumes without a gap."""
        self.server.now = now
        self.server.recover()
        if self._recorder is not None:
            self._recorder.forget()
        self.flush(now)

    def resume(self, now: int, address: int, kind: str, revision: int) -> None:
        """A watch of `kind` goes on after `revision`: the changes since, or, when they are gone, everything."""
        at = self._delay(now, address)
        try:
            for change, obj, old, _ in self.server.changes_since(KINDS[kind], revision):
                self._post(at, address, Watch(change, obj, old))
        except ApiError:
            self._post(at, address, Relist(kind, tuple(self.server.listed(kind))))

    # -- leases that stand ---------------------------------------------------------------------------------------------

    def _stand(self, effect: StandingLease) -> Any:
        lease = effect.lease
        meta = lease.metadata
        text = f"{effect.period_ns // 10**9}s"
        standing = replaced(lease, metadata=replaced(meta, annotations={**meta.annotations, STANDING_LEASE: text}))
        self._standing[meta.name] = (lease.spec.renew_time or self.server.now, effect.period_ns)
        if meta.key in self.server.objects("Lease"):
            return self.server.update(standing)
        return self.server.create(standing)

    def _end_standing(self, node: str, at: int) -> None:
        stood = self._standing.pop(node, None)
        lease = self.server.objects("Lease").get(f"kube-node-lease/{node}")
        if stood is None or lease is None:
            return
        first, period = stood
        last = first + max(0, at - 1 - first) // period * period
        annotations = {key: value for key, value in lease.metadata.annotations.items() if key != STANDING_LEASE}
        self.server.update(
            replaced(
                lease,
                metadata=replaced(lease.metadata, annotations=annotations, resource_version=""),
                spec=replaced(lease.spec, renew_time=MicroTime(last)),
            )
        )

    def renewed_ns(self, node: str) -> int | None:
        """When the node's standing lease was last renewed; None when it does not stand."""
        stood = self._standing.get(node)
        if stood is None:
            return None
        first, period = stood
        return first + max(0, self.server.now - first) // period * period

    def _record(self, effect: Record) -> Any:
        if self._recorder is None:
            return None
        return self._recorder.record(effect)


class Observed:
    """A fact on its way to the journal. `at`: when it was seen, not when it arrived."""

    __match_args__ = ("at", "source", "topic", "data")
    __slots__ = __match_args__

    def __init__(self, at: int, source: str, effect: Observe) -> None:
        self.at = at
        self.source = source
        self.topic = effect.topic
        self.data = effect.data


class FellSilent:
    """`node` renews no lease from `at` on."""

    __match_args__ = ("node", "at")
    __slots__ = __match_args__

    def __init__(self, node: str, at: int) -> None:
        self.node = node
        self.at = at


class ComeBack:
    """The API server's process has started again."""

    __slots__ = ()


class Resubscribe:
    """The kubelet in `address` has forgotten its pods and lists them again."""

    __match_args__ = ("address", "node")
    __slots__ = __match_args__

    def __init__(self, address: int, node: str) -> None:
        self.address = address
        self.node = node
