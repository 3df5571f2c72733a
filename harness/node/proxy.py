"""The proxy of a node: clients' requests go to ready endpoints only, evenly, as a fluid that is recomputed on change.

Source of the rule: kube-proxy routes to endpoints whose `ready` condition is true (discovery.k8s.io/v1).
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.engine.component import Effect, Observe, Relist, Send, WakeAt, Watch
from harness.model.objects import EndpointSlice
from harness.node.settings import NodeSettings, Route

SERVICE_NAME = "kubernetes.io/service-name"


class Flow(msgspec.Struct, frozen=True):
    """From this instant on `milli_rps` of `service` go to the pod."""

    pod: str  # uid
    service: str
    milli_rps: int


class Proxy:
    __slots__ = ("_next", "_routes", "_sent", "_settings", "_slices")

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._routes: tuple[Route, ...] = settings.routes
        self._slices: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {}  # service: slice: (uid, node) of ready
        self._sent: dict[str, tuple[tuple[tuple[str, str, int], ...], int]] = {}
        self._next = -1

    def hear(self, event: Watch | Relist) -> None:
        if isinstance(event, Relist):
            if event.kind == "EndpointSlice":
                self._slices.clear()
                for item in event.objects:
                    self._take(item, gone=False)
        elif isinstance(event.obj, EndpointSlice):
            self._take(event.obj, gone=event.type == "DELETED")

    def _take(self, item: EndpointSlice, *, gone: bool) -> None:
        meta = item.metadata
        held = self._slices.setdefault(f"{meta.namespace}/{meta.labels.get(SERVICE_NAME, '')}", {})
        if gone:
            held.pop(meta.name, None)
            return
        held[meta.name] = tuple(
            (endpoint.target_ref.uid, endpoint.node_name or "")
            for endpoint in item.endpoints
            if endpoint.conditions.ready and endpoint.target_ref is not None
        )

    def again(self) -> None:
        """What was sent may not have arrived: say everything anew."""
        self._sent.clear()
        self._next = -1

    def route(self, now: int, effects: list[Effect]) -> None:
        """Say what goes where from now on, where that changed, and when to look again."""
        due: int | None = None
        for route in self._routes:
            rate = route.curve.rate_milli_rps(now)
            ready = sorted({pair for held in self._slices.get(route.service, {}).values() for pair in held})
            targets = _split(rate, ready)
            unrouted = 0 if ready else rate
            before, missing = self._sent.get(route.service, ((), 0))
            if targets != before or unrouted != missing or route.service not in self._sent:
                self._sent[route.service] = (targets, unrouted)
                told = tuple((uid, share) for uid, _, share in targets)
                effects.append(Observe("route", (route.service, told, unrouted)))
                was = {(uid, node): share for uid, node, share in before}
                for uid, node, share in targets:
                    if was.pop((uid, node), -1) != share:
                        effects.append(Send(node, Flow(uid, route.service, share)))
                for uid, node in was:
                    effects.append(Send(node, Flow(uid, route.service, 0)))
            at = self._look(route.curve, now, rate)
            if at is not None and (due is None or at < due):
                due = at
        if due is not None and due != self._next:
            self._next = due
            effects.append(WakeAt(due, ("route", due)))

    def _look(self, curve: Any, now: int, rate: int) -> int | None:
        step = now + self._settings.traffic_step_ns
        change: int | None = curve.next_change_ns(now)
        if curve.rate_milli_rps(step) != rate:
            return step if change is None else min(step, change)
        return change


def _split(rate: int, ready: list[tuple[str, str]]) -> tuple[tuple[str, str, int], ...]:
    """Evenly in whole milli-requests; the first ones get the rest."""
    if not ready or not rate:
        return ()
    share, rest = divmod(rate, len(ready))
    return tuple(
        (uid, node, share + (index < rest)) for index, (uid, node) in enumerate(ready) if share or index < rest
    )
