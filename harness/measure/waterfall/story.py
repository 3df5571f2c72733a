"""What waterfalls are made of: the instants in a journal, by pod, node, service and autoscaler."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from harness.measure.fault import FaultList, Step
from harness.measure.waterfall.away import SOON_NS, Away, Held, held, outages

KINDS = ("Pod", "Node", "EndpointSlice", "Event", "ReplicaSet", "Deployment", "observed")
"""Entries that are looked at."""
_DELETED_POD = re.compile(r"Deleted pod: (\S+)")
_NEW_SIZE = re.compile(r"New size: (\d+)")
NEVER = -1


class PodState(NamedTuple):
    at_ns: int
    phase: str
    ready: bool
    restarts: int
    going: bool


class PodStory(msgspec.Struct):
    """`events`: (instant, reason, message). Instants are NEVER for what has not happened."""

    key: str
    uid: str
    owner: str
    created_ns: int
    node: str = ""
    bound_ns: int = NEVER
    going_ns: int = NEVER  # deletion asked for, or gone
    removed_ns: int = NEVER  # its controller said that it had deleted it
    states: list[PodState] = []
    events: list[tuple[int, str, str]] = []
    endpoint_ns: list[int] = []  # when it became a ready endpoint
    no_endpoint_ns: list[int] = []  # when it ceased to be one
    routed_ns: list[int] = []  # when requests began to be sent to it
    rates: list[tuple[int, int]] = []  # (instant, milli-rps sent to it from then on)

    def event(self, reason: str, since_ns: int = 0, until_ns: int | None = None) -> int:
        """The first event of a reason in [since_ns, until_ns]."""
        for at, known, _ in self.events:
            if known == reason and at >= since_ns and (until_ns is None or at <= until_ns):
                return at
        return NEVER

    def running_ns(self, since_ns: int = 0) -> int:
        return next((s.at_ns for s in self.states if s.at_ns >= since_ns and s.phase == "Running"), NEVER)

    def failed_ns(self, since_ns: int) -> int:
        """When it failed for good, unless it had been told to go by then."""
        failed = next((s.at_ns for s in self.states if s.at_ns >= since_ns and s.phase == "Failed"), NEVER)
        return NEVER if NEVER != self.going_ns <= failed + SOON_NS else failed

    def mean_rate(self, begin_ns: int, end_ns: int) -> float:
        """Milli-rps sent to it on average over a time; at an instant where it has no length."""
        total, rate, since = 0, 0, begin_ns
        for at, changed in self.rates:
            if at > end_ns:
                break
            if at > since:
                total += rate * (at - since)
                since = at
            rate = changed
        return (total + rate * (end_ns - since)) / (end_ns - begin_ns) if end_ns > begin_ns else rate

    def ready_at(self, instant_ns: int) -> int:
        """Since when it had been ready at an instant; NEVER where it was not."""
        since = NEVER
        for state in self.states:
            if state.at_ns > instant_ns:
                break
            since = NEVER if not state.ready else state.at_ns if since == NEVER else since
        return since

    def is_endpoint(self, at_ns: int) -> bool:
        """Whether it was a ready endpoint at an instant."""
        came = max((at for at in self.endpoint_ns if at <= at_ns), default=NEVER)
        return came != NEVER and not any(came < at <= at_ns for at in self.no_endpoint_ns)

    def ready_ns(self, since_ns: int = 0) -> int:
        """When it became ready first at or after `since_ns`."""
        was = False
        for state in self.states:
            if state.at_ns < since_ns:
                was = state.ready
            elif state.ready and not was:
                return state.at_ns
            else:
                was = state.ready
        return NEVER


class NodeState(NamedTuple):
    at_ns: int
    ready: str
    taints: tuple[str, ...]


class FaultStory(msgspec.Struct):
    """`lasts_ns`: until it is undone by itself, -1 for ever. `pod`: the one that it is about, where it hits one."""

    at_ns: int
    kind: str
    targets: list[str] = []
    lasts_ns: int = 0
    pod: str = ""
    steps: list[Step] = []  # of an action

    @property
    def title(self) -> str:
        more = f" +{len(self.targets) - 1}" if len(self.targets) > 1 else ""
        return " ".join([self.kind, *self.targets[:1]]) + more


class Load(NamedTuple):
    """From `at_ns` on: `milli_rps` are sent, to so many `pods`."""

    at_ns: int
    milli_rps: int
    pods: int


class Rescale(NamedTuple):
    """`target`: namespace/name of what is scaled, `owner` the uid of the ReplicaSet that made the pods."""

    at_ns: int
    target: str
    before: int
    after: int
    owner: str
    written_ns: int


class Story:
    """Takes the entries in order: (at_ns, kind, change, key, data)."""

    def __init__(self) -> None:
        self.pods: dict[str, PodStory] = {}  # by uid
        self.nodes: dict[str, list[NodeState]] = {}
        self._deleted: dict[str, int] = {}  # nodes, when last
        self._faults = FaultList(FaultStory)
        self.faults = self._faults.listed
        self.rates: dict[str, list[Load]] = {}  # by service
        self.rescales: list[Rescale] = []
        self.scale_ups: list[tuple[int, str, int]] = []  # (instant, pool, nodes)
        self.refusals: list[int] = []  # instants at which the provider did not make a machine
        self.away: list[Away] = []  # of the control plane
        self._held: dict[str, list[Held[FaultStory]]] = {}
        self.last_ns = 0
        self._uids: dict[str, str] = {}
        self._sizes: dict[tuple[str, str], list[tuple[int, int]]] = {}  # (kind, key): (instant, replicas)
        self._set_uids: dict[str, str] = {}
        self._wanted: list[tuple[int, str, int]] = []  # (instant, namespace/name of the HPA, new size)
        self._slices: dict[str, frozenset[str]] = {}
        self._routes: dict[tuple[str, str], tuple[dict[str, int], int]] = {}

    def held(self, node: str) -> list[Held[FaultStory]]:
        """The faults that hold a node, in order; of a story that has been read."""
        if node not in self._held:
            self._held[node] = held(self.faults, node)
        return self._held[node]

    def read(self, entries: Iterable[tuple[int, str, str, str, Any]]) -> Story:
        for at_ns, kind, change, key, data in entries:
            self.last_ns = at_ns
            if kind == "Pod":
                self._pod(at_ns, change, key, data)
            elif kind == "Event":
                self._event(at_ns, key, data)
            elif kind == "observed":
                self._observed(at_ns, change, key, data)
            elif kind == "Node" and change == "DELETED":
                self._deleted[key] = at_ns
            elif kind == "Node":
                self.nodes.setdefault(key, []).append(NodeState(at_ns, data[1], tuple(data[3])))
            elif kind == "EndpointSlice":
                self._slice(at_ns, change, key, data)
            elif kind in ("ReplicaSet", "Deployment") and change != "DELETED":
                self._sizes.setdefault((kind, key), []).append((at_ns, data[1] or 0))
                if kind == "ReplicaSet":
                    self._set_uids[key] = data[0]
        self._match_rescales()
        self.away = outages(self.faults)
        return self

    def _pod(self, at_ns: int, change: str, key: str, data: Any) -> None:
        uid, node, phase, _, ready, restarts, going, owner = data
        pod = self.pods.get(uid)
        if pod is None:
            pod = self.pods[uid] = PodStory(key, uid, owner, at_ns)
            self._uids[key] = uid
        if node and pod.bound_ns == NEVER:
            pod.node, pod.bound_ns = node, at_ns
        leaves = going >= 0 or change == "DELETED"
        if leaves and pod.going_ns == NEVER:
            pod.going_ns = at_ns
        pod.states.append(PodState(at_ns, phase, bool(ready), restarts, leaves))

    def _event(self, at_ns: int, key: str, data: Any) -> None:
        _, reason, kind, name, message, _ = data
        namespace = key.partition("/")[0]
        if kind == "Pod":
            uid = self._uids.get(f"{namespace}/{name}")
            if uid is not None:
                self.pods[uid].events.append((at_ns, reason, message))
        elif reason == "SuccessfulDelete":
            deleted = _DELETED_POD.match(message)
            if deleted is not None and (uid := self._uids.get(f"{namespace}/{deleted[1]}")) is not None:
                self.pods[uid].removed_ns = at_ns
        elif reason == "SuccessfulRescale":
            size = _NEW_SIZE.match(message)
            if size is not None:
                self._wanted.append((at_ns, f"{namespace}/{name}", int(size[1])))

    def _observed(self, at_ns: int, topic: str, source: str, data: Any) -> None:
        if topic == "route":
            self._route(at_ns, source, data)
        elif topic == "fault":
            self._faults.plan(at_ns, data[1], data[3])
        elif topic == "disturbed":
            target, kind, lasts_ns, pod, cause = data[:5]
            fault = self._faults.disturb(at_ns, target, kind, cause)
            fault.lasts_ns, fault.pod = lasts_ns, pod
        elif topic == "podDeleted":
            namespace, name, cause = data
            if (deleting := self._faults.caused_by(cause)) is not None:
                deleting.targets.append(f"{namespace}/{name}")
        elif topic == "actionStep":
            cause, *step = data
            self._faults.step(cause, Step(at_ns, *step))
        elif topic == "autoscaling" and data[1] == "up":
            self.scale_ups.append((at_ns, data[0], data[2]))
        elif topic == "autoscaling" and data[1] == "refused":
            self.refusals.append(at_ns)

    def _slice(self, at_ns: int, change: str, key: str, data: Any) -> None:
        now = frozenset() if change == "DELETED" else frozenset(data[1])
        for uid in now - self._slices.get(key, frozenset()):
            if uid in self.pods:
                self.pods[uid].endpoint_ns.append(at_ns)
        for uid in self._slices.get(key, frozenset()) - now:
            if uid in self.pods:
                self.pods[uid].no_endpoint_ns.append(at_ns)
        self._slices[key] = now

    def _route(self, at_ns: int, source: str, data: Any) -> None:
        service, targets, unrouted = data
        now = {uid: rate for uid, rate in targets if rate}
        before, _ = self._routes.get((source, service), ({}, 0))
        self._routes[source, service] = (now, unrouted)
        for uid in now:
            if uid not in before and uid in self.pods:
                self.pods[uid].routed_ns.append(at_ns)
        for uid in sorted({*now, *before}):
            if uid in self.pods and now.get(uid) != before.get(uid):
                self.pods[uid].rates.append((at_ns, now.get(uid, 0)))
        mine = [route for (_, name), route in self._routes.items() if name == service]
        total = sum(sum(rates.values()) + lost for rates, lost in mine)
        pods = len({uid for rates, _ in mine for uid in rates})
        loads = self.rates.setdefault(service, [])
        if not loads or loads[-1][1:] != (total, pods):
            loads.append(Load(at_ns, total, pods))

    def _match_rescales(self) -> None:
        """Whose size each decision changed: the Deployment or ReplicaSet of its namespace that was given the new one
        next to it, the one of the autoscaler's name where there are several."""
        for at_ns, scaler, size in self._wanted:
            namespace = scaler.partition("/")[0]
            found = [
                (key != scaler, abs(written - at_ns), kind, key, before, written)
                for (kind, key), sizes in self._sizes.items()
                if key.startswith(f"{namespace}/")
                for (_, before), (written, after) in pairwise(sizes)
                if after == size != before and abs(written - at_ns) <= 10**9
            ]
            own = [item for item in found if item[2] == "Deployment"] or found
            if not own:
                continue
            _, _, kind, key, before, written = min(own)
            owner = self._owner_after(kind, key, size, written)
            self.rescales.append(Rescale(at_ns, key, before, size, owner, written))

    def _owner_after(self, kind: str, key: str, size: int, at_ns: int) -> str:
        """The uid of the ReplicaSet that followed."""
        if kind == "ReplicaSet":
            return self._set_uids[key]
        followed = [
            (written, name)
            for (other, name), sizes in self._sizes.items()
            if other == "ReplicaSet" and name.startswith(f"{key}-")
            for written, replicas in sizes
            if written >= at_ns and replicas == size
        ]
        return self._set_uids[min(followed)[1]] if followed else ""

    # -- questions -----------------------------------------------------------------------------------------------------

    def ready_since(self, node: str, at_ns: int) -> int:
        """When the node became Ready last before `at_ns`; NEVER where it was not."""
        states = self.nodes.get(node, [])
        found, was = NEVER, ""
        for state in states[: bisect_left(states, (at_ns,))]:
            if state.ready == "True" and was != "True":
                found = state.at_ns
            was = state.ready
        return found

    def not_ready_ns(self, node: str, since_ns: int) -> int:
        """When the node ceased to be Ready first after `since_ns`."""
        states = self.nodes.get(node, [])
        return next(
            (s.at_ns for s in states[bisect_left(states, (since_ns + 1,)) :] if s.ready in ("False", "Unknown")),
            NEVER,
        )

    def ready_ns(self, node: str, since_ns: int) -> int:
        """When the node is Ready first at or after `since_ns`."""
        states = self.nodes.get(node, [])
        return next((s.at_ns for s in states[bisect_left(states, (since_ns,)) :] if s.ready == "True"), NEVER)

    def tainted_ns(self, node: str, since_ns: int) -> int:
        """When it got a NoExecute taint first at or after `since_ns`."""
        states = self.nodes.get(node, [])
        return next(
            (
                s.at_ns
                for s in states[bisect_left(states, (since_ns,)) :]
                if any(taint.endswith(":NoExecute") for taint in s.taints)
            ),
            NEVER,
        )

    def taints(self, node: str, at_ns: int) -> tuple[str, ...]:
        """Those that a node had at an instant, as key:effect."""
        states = self.nodes.get(node, [])
        at = bisect_left(states, (at_ns + 1,))
        return states[at - 1].taints if at else ()

    def deleted_ns(self, node: str) -> int:
        """When the node's object was deleted last; NEVER where it was not."""
        return self._deleted.get(node, NEVER)

    def registered_ns(self, node: str) -> int:
        states = self.nodes.get(node)
        return states[0].at_ns if states else NEVER
