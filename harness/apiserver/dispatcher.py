"""The API server among the components: writes arrive as messages, what they change leaves as watch events.

Also here: going down and coming back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.events import Recorder
from harness.apiserver.restoring import restore
from harness.apiserver.server import ApiServer
from harness.apiserver.standing_leases import StandingLeases
from harness.apiserver.watches import Watches
from harness.engine.component import (
    MINUTE,
    BindPod,
    Create,
    Delete,
    DisturbWatches,
    EvictPod,
    Outcome,
    PatchStatus,
    Record,
    StandingLease,
    Subscribe,
    Update,
)
from harness.engine.guard import COMPONENT_FAULT, fault_of
from harness.engine.messages import (
    API_ADDRESS,
    BeginWatches,
    ComeBack,
    Delay,
    FellSilent,
    Observed,
    Observer,
    Post,
    PostAll,
    Resubscribe,
    ResumeWatches,
)
from harness.model.core import EventSource, Pod
from harness.model.status import ApiError, unavailable

NAME = "kube-apiserver"

_NOBODY = EventSource()

_LISTS = (Subscribe, Resubscribe, BeginWatches, ResumeWatches)
"""Messages that are answered with lists of objects."""

COMPACTION_NS = 5 * MINUTE
"""Source: kube-apiserver --etcd-compaction-interval, 5m0s."""


class Dispatcher:
    """`post` delivers to addresses, `post_all` likewise; `delay` says when a watch event or an answer arrives."""

    def __init__(
        self, server: ApiServer, post: Post, delay: Delay, post_all: PostAll | None = None, *, records: bool = True
    ) -> None:
        self.server = server
        self.observers: list[Observer] = []
        self.down_until = 0
        self._post = post
        self._delay = delay
        self._recorder = Recorder(server) if records else None
        self._sender = 0
        self._waiting: dict[int, list[Subscribe]] = {}  # for watches that are broken, by address
        self.reporter_of: Callable[[int], EventSource] = lambda address: _NOBODY
        """Who an Event of the component or machine at an address is from."""
        self._leases = StandingLeases(server)
        self._watches = watches = Watches(server, post, post_all or self._one_by_one, delay)
        self._next_compaction = COMPACTION_NS
        self._snapshots: dict[str, bytes] = {}
        self._to_restore: tuple[str, int] | None = None  # a snapshot and the fault's cause
        self.restored: list[Callable[[int], None]] = []
        """Called when the store has been restored, before anybody lists what is there."""
        self.subscribe = watches.subscribe
        self.subscribe_node = watches.subscribe_node
        self.unsubscribe_node = watches.unsubscribe_node
        self.tell_references = watches.tell_references
        self.resume = watches.resume
        self.end_watches = watches.end
        self.flush = watches.flush
        self.renewed_ns = self._leases.renewed_ns
        self.falls_silent = self._leases.falls_silent
        self.speaks_again = self._leases.speaks_again
        self._apply: dict[type, Callable[[Any], Any]] = {
            Create: lambda e: server.create(e.obj),
            Update: lambda e: server.update(e.obj, e.subresource),
            PatchStatus: lambda e: server.patch_status(e.obj, e.old),
            Delete: lambda e: server.delete(
                e.kind, e.namespace, e.name, uid=e.uid, grace_s=e.grace_s, propagation=e.propagation
            ),
            BindPod: lambda e: server.bind(e.namespace, e.name, e.uid, e.node, e.annotations),
            EvictPod: lambda e: server.evict(
                e.namespace, e.name, uid=e.uid, grace_s=e.grace_s, reason=e.reason, message=e.message
            ),
            Record: self._record,
            StandingLease: self._leases.begin,
        }

    def _one_by_one(self, at: int, address: int, messages: list[Any]) -> None:
        for message in messages:
            self._post(at, address, message)

    def handle(self, now: int, batch: list[Any]) -> None:
        """`batch`: (address of the sender, message) in order of arrival."""
        server, apply, post = self.server, self._apply, self._post
        server.now = now
        for source, effect in batch:
            act = apply.get(type(effect))
            if act is None:
                if now < self.down_until and type(effect) in _LISTS:
                    post(self.down_until + 1, API_ADDRESS, (source, effect))  # listed again when it is back
                elif type(effect) is Subscribe and self._watches.is_broken(source):
                    self._waiting.setdefault(source, []).append(effect)
                elif type(effect) is Subscribe:
                    self.flush(now)  # what changed before is told to those that watched before
                    self.subscribe(source, effect.kinds)
                    if effect.token is not None:
                        post(self._watches.delay(now, source), source, Outcome(effect, None, None))
                else:
                    self._handle_message(now, effect)
                continue
            if now < self.down_until:
                post(self._delay(now, source), source, Outcome(effect, None, unavailable("connection refused")))
                continue
            self._sender = source
            try:
                obj = act(effect)
            except ApiError as error:
                post(self._delay(now, source), source, Outcome(effect, None, error))
                continue
            except Exception as error:  # a write that nobody can take ends neither the server nor the cluster
                fault = fault_of(NAME, error, getattr(effect, "obj", None))
                for observer in self.observers:
                    observer(now, NAME, COMPONENT_FAULT, fault.observation().data)
                told = ApiError(500, "InternalError", f"Internal error occurred: {fault.error}")
                post(self._delay(now, source), source, Outcome(effect, None, told))
                continue
            if effect.token is not None:
                post(self._delay(now, source), source, Outcome(effect, obj, None))
        self.flush(now)
        if now >= self._next_compaction:
            server.compact()
            self._next_compaction = now + COMPACTION_NS

    def _handle_message(self, now: int, message: Any) -> None:
        """What reaches the server besides API calls."""
        match message:
            case Observed(at, source, topic, data):
                for observer in self.observers:
                    observer(at, source, topic, data)
            case FellSilent(node, at):
                self._leases.end(node, at)
            case Resubscribe(address, node):
                self.flush(now)
                self._watches.send_initial_list(now, address, node)
            case BeginWatches(address, kinds, lazy):
                self.flush(now)
                self.subscribe(address, kinds, lazy)
            case ResumeWatches(address):
                self.flush(now)
                if self._watches.mend(now, address):
                    waiting = self._waiting.pop(address, [])
                    self.handle(now, [(address, effect) for effect in waiting])
            case ComeBack(snapshot, cause):
                self.come_back(now, snapshot, cause)
            case _:
                raise AssertionError(f"the API server was sent {message!r}")

    def _record(self, effect: Record) -> Any:
        return self.record(effect, self.reporter_of(self._sender))

    def record(self, effect: Record, source: EventSource) -> Any:
        """An Event, from `source`; the object that was written, None where Events are not kept."""
        return None if self._recorder is None else self._recorder.record(effect, source)

    def disturb_watches(self, now: int, address: int, what: DisturbWatches) -> None:
        self.flush(now)
        if what.late_ns:
            self._watches.make_late(address, what.late_ns, now + what.for_ns)
            return
        self._watches.cut(address, now + what.for_ns, expired=what.expired)
        self._post(now + what.for_ns, API_ADDRESS, (0, ResumeWatches(address)))

    # -- down and up ---------------------------------------------------------------------------------------------------

    def restart(self, now: int, down_ns: int) -> None:
        """The process stops; `down_ns` later it is back with what its store holds. Watches resume by revision."""
        self.down_until = max(self.down_until, now + down_ns)

    def take_snapshot(self, name: str) -> None:
        """Of the store, which is there while the API server is not."""
        self._snapshots[name] = self.server.store.snapshot()

    def come_back(self, now: int, snapshot: str = "", cause: int = 0) -> None:
        """Recover from the store alone. Nothing was written while down, so every watch resumes without a gap; after a
        restore each has expired, and lists again. Another outage may last longer: nobody hears of a restore before."""
        if snapshot:
            self._to_restore = (snapshot, cause)
        if now < self.down_until:
            return
        self.server.now = now
        if self._to_restore is not None:
            (snapshot, cause), self._to_restore = self._to_restore, None
            self._restore(now, self._snapshots[snapshot], cause)
        else:
            self.server.recover()
        if self._recorder is not None:
            self._recorder.forget()
        self.flush(now)

    def _restore(self, now: int, data: bytes, cause: int) -> None:
        expired = self._watches.expire(now)

        def lost(pod: Pod) -> None:
            for observer in self.observers:
                observer(now, NAME, "podDeleted", (pod.metadata.namespace, pod.metadata.name, cause))

        restore(self.server, data, lost)
        self._leases.restored()
        for listener in self.restored:
            listener(now)
        self.flush(now)
        for address in expired:
            self._post(now + 1, API_ADDRESS, (0, ResumeWatches(address)))
        self._watches.list_on_nodes(now)
