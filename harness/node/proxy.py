"""The proxy of a node: clients' requests go to ready endpoints only, evenly, as a fluid that is recomputed on change.

Source of the rule: kube-proxy routes to endpoints whose `ready` condition is not false (discovery.k8s.io/v1). Clients
of an Ingress are sent to the Service that it names for their host and path; where it names none they are answered 404
or 503, which counts as lost.
"""

from __future__ import annotations

from enum import IntEnum

from harness.engine.component import DELETED, Effect, Observe, Relist, Send, WakeAt, Watch
from harness.model.load import LoadCurve
from harness.model.objects import EndpointSlice
from harness.node.ingress_routes import IngressRoutes
from harness.node.settings import NodeSettings
from harness.node.usage import Flow

SERVICE_NAME = "kubernetes.io/service-name"
"""Label of a slice. Source: discovery.k8s.io/v1 LabelServiceName."""


class Network(IntEnum):
    UP = 0
    CUT = 1  # clients send, nothing arrives
    STILL = 2  # there are no clients: the node is frozen or down


class Proxy:
    """Knows only the services that clients here send to."""

    __slots__ = (
        "_changed",
        "_curves",
        "_ingresses",
        "_least_ns",
        "_next",
        "_pending",
        "_ready",
        "_sent",
        "_slices",
        "_step",
        "_sync_due",
        "_synced_ns",
        "_through",
        "network",
    )

    def __init__(self, settings: NodeSettings) -> None:
        curves: dict[str, tuple[LoadCurve, ...]] = {}
        for route in settings.routes:
            curves[route.service] = (*curves.get(route.service, ()), route.curve)
        self.network = Network.UP
        self._curves = curves
        through = {route.service: route for route in settings.routes if route.ingress}
        self._through = through
        """Clients that come through an Ingress, by the service that they are counted with."""
        self._ingresses = IngressRoutes({service.partition("/")[0] for service in through})
        self._step = settings.traffic_step_ns
        self._slices: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {}  # service: slice: (uid, node) of ready
        self._ready: dict[str, tuple[tuple[str, str], ...]] = {}  # service: the same together, by uid
        self._sent: dict[str, tuple[tuple[tuple[str, str, int], ...], int]] = {}
        self._changed = True
        self._next = -1
        self._pending: list[Watch | Relist] = []  # heard since the last sync
        self._sync_due = -1
        self._least_ns = settings.constants.proxy_min_sync_period_ns
        self._synced_ns = -(1 << 62)

    def hear(self, event: Watch | Relist) -> None:
        if self._least_ns:
            self._pending.append(event)
        else:
            self._apply(event)

    def _sync(self, now: int, effects: list[Effect]) -> None:
        """What was heard takes effect, when the shortest time between two syncs has passed. Source: pkg/util/async
        BoundedFrequencyRunner."""
        due = self._synced_ns + self._least_ns
        if now >= due:
            pending, self._pending, self._synced_ns = self._pending, [], now
            for event in pending:
                self._apply(event)
        elif due != self._sync_due:
            self._sync_due = due
            effects.append(WakeAt(due, ("route", due)))

    def _apply(self, event: Watch | Relist) -> None:
        if isinstance(event, Relist):
            if event.kind == "EndpointSlice":
                self._forget_slices()
                for item in event.objects:
                    self._take(item, gone=False)
            elif self._ingresses.relisted(event.kind, event.objects):
                self._changed = True
        elif self._ingresses.heard(event.obj, gone=event.type == DELETED):
            self._changed = True
        elif isinstance(event.obj, EndpointSlice):
            self._take(event.obj, gone=event.type == DELETED)

    def forget(self) -> None:
        """Power was lost, or the watch: what is there will be told anew."""
        self._ingresses.clear()
        self._forget_slices()
        self._pending.clear()
        self._sync_due = -1

    def _forget_slices(self) -> None:
        self._slices.clear()
        self._ready.clear()
        self._changed = True

    def _take(self, item: EndpointSlice, *, gone: bool) -> None:
        meta = item.metadata
        service = f"{meta.namespace}/{meta.labels.get(SERVICE_NAME, '')}"
        if service not in self._curves and meta.namespace not in self._ingresses.namespaces:
            return
        held = self._slices.setdefault(service, {})
        if gone:
            held.pop(meta.name, None)
        else:
            held[meta.name] = tuple(
                (endpoint.target_ref.uid, endpoint.node_name or "")
                for endpoint in item.endpoints
                if endpoint.conditions.ready is not False and endpoint.target_ref is not None
            )
        # An endpoint may be in two slices for a while, when it moves from one to the other.
        self._ready[service] = tuple(sorted({pair for pairs in held.values() for pair in pairs}))
        self._changed = True

    def set_network(self, network: Network) -> None:
        if network != self.network:
            self.network = network
            self._changed = True

    def route(self, now: int, effects: list[Effect]) -> None:
        """Say what goes where from now on, where that changed, and when to look again. Call it after every step."""
        if self._pending:
            self._sync(now, effects)
        if not self._changed and (self._next < 0 or now < self._next):
            return
        self._changed = False
        due = -1
        for service, curves in self._curves.items():
            rate = 0
            for curve in curves:
                rate += curve.rate_milli_rps(now)
                at = self._look(curve, now)
                if at is not None and (due < 0 or at < due):
                    due = at
            self._split(now, service, rate, effects)
        if self.network == Network.STILL:
            due = -1
        if due >= 0 and due != self._next:
            effects.append(WakeAt(due, ("route", due)))
        self._next = due

    def _split(self, now: int, service: str, rate: int, effects: list[Effect]) -> None:
        through = self._through.get(service)
        backend = service if through is None else self._ingresses.backend(through)
        ready = self._ready.get(backend, ())
        match self.network:
            case Network.UP:
                targets, unrouted = _even(rate, ready), 0 if ready else rate
            case Network.CUT:
                targets, unrouted = (), rate
            case Network.STILL:
                targets, unrouted = (), 0
        known = self._sent.get(service)
        if known == (targets, unrouted):
            return
        self._sent[service] = (targets, unrouted)
        effects.append(Observe("route", (service, tuple((uid, share) for uid, _, share in targets), unrouted)))
        was = {} if known is None else {(uid, node): share for uid, node, share in known[0]}
        for uid, node, share in targets:
            if was.pop((uid, node), -1) != share:
                effects.append(Send(node, Flow(uid, service, share, now)))
        for uid, node in was:
            effects.append(Send(node, Flow(uid, service, 0, now)))

    def _look(self, curve: LoadCurve, now: int) -> int | None:
        """When to look again: at the curve's next bend; before, on a grid of steps that all curves share however often
        something else makes us look in between, where the rate is another whole number."""
        bend = curve.next_change_ns(now)
        rate = curve.rate_milli_rps(now)
        if bend is None or curve.rate_milli_rps(bend - 1) == rate:
            return bend
        step = self._step
        low, high = now // step + 1, -(-bend // step)  # in steps; by then it has changed
        if low < high and curve.rate_milli_rps(low * step) == rate:
            while high - low > 1:
                middle = (low + high) // 2
                if curve.rate_milli_rps(middle * step) == rate:
                    low = middle
                else:
                    high = middle
            low = high
        return min(low * step, bend)


def _even(rate: int, ready: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str, int], ...]:
    """In whole milli-requests; the first ones get the rest."""
    if not ready or not rate:
        return ()
    share, rest = divmod(rate, len(ready))
    return tuple(
        (uid, node, share + (index < rest)) for index, (uid, node) in enumerate(ready) if share or index < rest
    )
