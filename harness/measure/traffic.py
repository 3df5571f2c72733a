"""Requests: how many were sent, served and lost, and how long they took; a fold over what proxies and machines said.

A proxy says where it sends how much from now on ("route"), a machine when a pod begins and ceases to serve
("serving"). Requests sent to a pod that does not serve, or to nobody, are lost. Those sent to one that does stand in
its queue (`queueing`): for how long a pod was sent how much is kept, and what became of that is looked up at the end.
Where several services share a pod, its queue is one: to each, requests of the others count by the work that they bring.
What clients send before the service has ever served is warm-up and counts apart, but no more than `WARM_UP_NS` of it:
who never serves, or late, has lost what is sent after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from harness.measure.passage import Passage, passage, passage_outcome
from harness.measure.queue_model import Outcome, QueueModel
from harness.measure.queueing import outcome, quantile
from harness.measure.settling import (
    Settling,
    distribution,
    line_after,
    mean_line,
    near_capacity,
    settled_line,
    settles,
    settling_outcome,
)

WARM_UP_NS = 30 * 10**9
"""Of a service, at most, from its first request on: six times what Kubernetes' objective allows a pod to start in."""

_FOREVER = 1 << 62


class _Service(msgspec.Struct):
    since_ns: int = 0
    sent: int = 0  # milli-requests per second, now
    lost: int = 0
    unrouted: int = 0  # of those
    warm_ns: int = _FOREVER  # what is sent from then on counts
    warm_up_area: int = 0  # sent before that, milli-rps x ns
    sent_area: int = 0
    lost_area: int = 0
    unrouted_area: int = 0


class Traffic:
    """`route`: (service, ((pod uid, milli-rps), ..), unrouted milli-rps); `serving`: (pod key, pod uid, 1 or 0)."""

    kinds = ("Pod",)

    def __init__(
        self, models: Mapping[str, QueueModel] | None = None, warm_up_ns: Mapping[str, int] | None = None
    ) -> None:
        """`models`: of the services that have one, what a pod of it does with requests. `warm_up_ns`: of the services
        that have another than WARM_UP_NS, how long it is at most."""
        self._models = dict(models or {})
        self._warm_up_ns = dict(warm_up_ns or {})
        # By service: (milli-rps of a pod that serves, the same with what it is sent of other services): ns in all
        self._served: dict[str, dict[tuple[int, int], int]] = {}
        # By uid of a pod that serves, by service: the same two rates, since when
        self._queues: dict[str, dict[str, tuple[int, int, int]]] = {}
        # By uid of a pod whose line is not in the steady state, by service: requests in line, or how likely each
        # number; when
        self._lines: dict[str, dict[str, tuple[float | bytes, int]]] = {}
        # By service: how many pods had them; of what was sent then, the service's own share
        self._passages: dict[str, dict[tuple[Passage | Settling, float], int]] = {}
        self.services: dict[str, _Service] = {}
        self._routes: dict[tuple[str, str], tuple[tuple[tuple[str, int], ...], int]] = {}
        self._to: dict[str, dict[str, int]] = {}  # pod uid: milli-rps by service
        self._serving: dict[str, bool] = {}
        self._on: dict[str, dict[str, None]] = {}  # uids by node
        self._log: dict[str, list[tuple[int, int]]] = {}  # service: (instant, milli-rps lost from then on)
        # By uid of a pod that was ever sent to, by service: lost on the way, milli-rps x ns; milli-rps now; since
        self._lost_on: dict[str, dict[str, list[int]]] = {}
        self._unrouted: dict[str, list[tuple[int, int]]] = {}  # service: (instant, milli-rps from then on)
        self._unrouted_now: dict[str, int] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod" and obj.spec.node_name:
            held = self._on.setdefault(obj.spec.node_name, {})
            if change == "DELETED":
                held.pop(obj.metadata.uid, None)
            else:
                held[obj.metadata.uid] = None

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "route":
            service, targets, unrouted = data[0], data[1], data[2]
            self._route(at_ns, source, service, tuple((uid, rate) for uid, rate in targets), unrouted)
        elif topic == "serving":
            self._serve(at_ns, data[1], bool(data[2]))
        elif topic == "disturbed" and data[1] == "Crash":
            # A machine whose process was killed has no last words.
            for uid in self._on.get(data[0], ()):
                self._serve(at_ns, uid, False)

    def _route(self, at_ns: int, source: str, name: str, targets: tuple[tuple[str, int], ...], unrouted: int) -> None:
        service = self._upto(name, at_ns)
        before, missing = self._routes.get((source, name), ((), 0))
        service.sent -= missing
        service.lost -= missing
        for uid, rate in before:
            self._send(at_ns, service, name, uid, -rate)
        for uid, rate in targets:
            self._send(at_ns, service, name, uid, rate)
        service.sent += unrouted
        service.lost += unrouted
        service.unrouted += unrouted - missing
        if service.warm_ns == _FOREVER and service.sent:
            service.warm_ns = at_ns + self._warm_up_ns.get(name, WARM_UP_NS)
        self._routes[(source, name)] = (targets, unrouted)
        if unrouted != missing:
            self._unrouted_now[name] = self._unrouted_now.get(name, 0) + unrouted - missing
            self._unrouted.setdefault(name, []).append((at_ns, self._unrouted_now[name]))
        self._log.setdefault(name, []).append((at_ns, service.lost))

    def _send(self, at_ns: int, service: _Service, name: str, uid: str, rate: int) -> None:
        service.sent += rate
        able = self._serving.get(uid, False)
        self._lose(at_ns, uid, name, 0 if able else rate)
        if not able:
            service.lost += rate
        to = self._to.setdefault(uid, {})
        to[name] = to.get(name, 0) + rate
        if not to[name]:
            del to[name]
        self._queue(at_ns, uid)

    def _serve(self, at_ns: int, uid: str, able: bool) -> None:
        if self._serving.get(uid, False) == able:
            return
        for name, rate in self._to.get(uid, {}).items():
            service = self._upto(name, at_ns)
            service.lost += -rate if able else rate
            self._lose(at_ns, uid, name, -rate if able else rate)
            self._log.setdefault(name, []).append((at_ns, service.lost))
        self._serving[uid] = able
        self._queue(at_ns, uid)

    def _queue(self, at_ns: int, uid: str) -> None:
        """What a pod is sent has changed, or whether it serves."""
        for name, (rate, together, since) in self._queues.pop(uid, {}).items():
            lasted = max(0, at_ns - since)
            if lasted and name in self._models:
                lasted -= self._pass(at_ns, uid, name, rate, together, since)
            held = self._served.setdefault(name, {})
            held[rate, together] = held.get((rate, together), 0) + lasted
        to = self._to.get(uid, {})
        if not self._serving.get(uid, False):
            self._lines.pop(uid, None)  # it dies with the pod
        elif to:
            self._queues[uid] = {name: (rate, self._together(name, to), at_ns) for name, rate in to.items()}
            for name in to:
                service = self.services[name]
                service.warm_ns = min(service.warm_ns, at_ns)

    def _together(self, name: str, to: Mapping[str, int]) -> int:
        """All that a pod is sent, in requests of one service, milli-rps."""
        model = self._models.get(name)
        others = [(rate, self._models.get(other)) for other, rate in to.items() if other != name]
        if model is None or not others:
            return to[name]
        work = sum(rate / other.capacity_rps for rate, other in others if other is not None)
        return to[name] + round(work * model.capacity_rps)

    # size: a pod's rates, and since when.
    def _pass(self, at_ns: int, uid: str, name: str, rate: int, together: int, since_ns: int) -> int:
        """For how many ns of the time since then the pod's line has grown or shrunk."""
        model = self._models[name]
        held = self._passages.setdefault(name, {})
        lines = self._lines.setdefault(uid, {})
        line, then = lines.pop(name, (0.0, since_ns))
        seconds = (at_ns - since_ns) / 1e9
        share = rate / together if together else 0.0
        if together and near_capacity(model, together / 1000):
            if not settles(model, together / 1000, seconds):
                lines[name] = (settled_line(model, together / 1000), at_ns)
                return 0
            if isinstance(line, float) or then < since_ns:
                line = distribution(model, self._left(model, line, since_ns - then))
            spreads = Settling(together / 1000, seconds, line)
            lines[name] = (line_after(model, spreads), at_ns)
            held[spreads, share] = held.get((spreads, share), 0) + 1
            return at_ns - since_ns
        found, rest = passage(model, self._left(model, line, since_ns - then), together / 1000, seconds)
        if rest:
            lines[name] = (rest, at_ns)
        if found is None:
            return 0
        held[found, share] = held.get((found, share), 0) + 1
        return min(at_ns - since_ns, round(found.seconds * 1e9))

    @staticmethod
    def _left(model: QueueModel, line: float | bytes, idle_ns: int) -> float:
        """Of a line, after nothing was sent for so long."""
        requests = line if isinstance(line, float) else mean_line(model, line)
        return max(0.0, requests - model.capacity_rps * idle_ns / 1e9)

    def _upto(self, name: str, at_ns: int) -> _Service:
        service = self.services.get(name)
        if service is None:
            service = self.services[name] = _Service(since_ns=at_ns)
        at_ns = max(service.since_ns, at_ns)
        counts_from = min(max(service.since_ns, service.warm_ns), at_ns)
        spent = at_ns - counts_from
        service.sent_area += service.sent * spent
        service.lost_area += service.lost * spent
        service.unrouted_area += service.unrouted * spent
        service.warm_up_area += service.sent * (counts_from - service.since_ns)
        service.since_ns = at_ns
        return service

    def _lose(self, at_ns: int, uid: str, name: str, rate: int) -> None:
        """So much more is lost on the way to a pod from now on."""
        on = self._lost_on.setdefault(uid, {})
        held = on.get(name)
        if held is None:
            on[name] = [0, rate, at_ns]
        elif rate:
            held[0] += held[1] * max(0, at_ns - self._counted_from(name, held[2]))
            held[1] += rate
            held[2] = max(held[2], at_ns)

    def lost_on(self, uid: str, until_ns: int) -> dict[str, int]:
        """Requests lost on the way to a pod, milli-rps x ns, by the services that ever sent it any."""
        return {
            name: area + rate * max(0, until_ns - self._counted_from(name, since))
            for name, (area, rate, since) in self._lost_on.get(uid, {}).items()
        }

    def _counted_from(self, name: str, since_ns: int) -> int:
        """Warm-up counts for nothing."""
        return max(since_ns, self.warm_since(name))

    def warm_since(self, name: str) -> int:
        """When the warm-up of a service was over; beyond all instants where it never was sent any."""
        service = self.services.get(name)
        return service.warm_ns if service is not None else _FOREVER

    def unrouted_between(self, name: str, start_ns: int, end_ns: int) -> float:
        """Requests of a service that found no endpoint in [start_ns, end_ns)."""
        return _between(self._unrouted.get(name, ()), start_ns, end_ns)

    def lost_between(self, name: str, start_ns: int, end_ns: int) -> float:
        """Requests of a service lost in [start_ns, end_ns)."""
        return _between(self._log.get(name, ()), start_ns, end_ns)

    def metrics(self, until_ns: int) -> dict[str, Any]:
        """By service: sent, lost and why; of services with a model latencies and what became of the SLO, too."""
        for uid in list(self._queues):
            self._queue(until_ns, uid)
        out = {}
        for name in sorted(self.services):
            service = self._upto(name, until_ns)
            sent, missed = service.sent_area / 1e12, service.lost_area / 1e12
            nobody = service.unrouted_area / 1e12
            told: dict[str, Any] = {"sent": sent, "warmUp": service.warm_up_area / 1e12}
            by = {"noEndpoint": nobody, "unreachable": missed - nobody}
            model = self._models.get(name)
            if model is not None and sent:
                told |= self._queued(model, name, sent, max(1, until_ns - service.warm_ns) / 1e9, by)
            lost = sum(by.values())
            out[name] = told | {"lost": lost, **({"lostShare": lost / sent} if sent else {}), "lostBy": by}
        return out

    def _queued(
        self, model: QueueModel, name: str, sent: float, seconds: float, by: dict[str, float]
    ) -> dict[str, Any]:
        """Over all pods and rates, each for as long as it lasted. Adds what was lost there to `by`."""
        blocked = late = in_time = let_in = busy = served_s = total = 0.0
        tail = np.zeros(len(model.grid))
        rates = sorted(self._served.get(name, {}).items())
        steady = ((rate / 1000, ns / 1e9, outcome(model, together / 1000)) for (rate, together), ns in rates)
        passing = (
            (item.rate_rps * share, item.seconds * pods, _passing(model, item))
            for (item, share), pods in self._passages.get(name, {}).items()
        )
        for rate, lasted, found in (*steady, *passing):
            requests = rate * lasted
            blocked += requests * found.blocked
            late += requests * found.late
            in_time += requests * found.in_time
            inside = requests * (1 - found.blocked)
            let_in += inside
            total += inside * found.mean_s
            tail += inside * found.tail
            busy += found.busy * lasted
            served_s += lasted
        by |= {"overload": blocked, "timeout": late}
        attained = min(1.0, in_time / sent)
        out: dict[str, Any] = {
            "sloAttainment": attained,
            "goodput": in_time / seconds,
            "errorBudgetUsed": (1 - attained) / (1 - model.objective),
            "utilisation": busy / (served_s * model.concurrency) if served_s else 0.0,
        }
        if let_in:
            shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
            out["latencySeconds"] = {
                **{key: quantile(model, tail / let_in, share) for key, share in shares.items()},
                "mean": total / let_in,
            }
            unanswered = (sum(by.values()) - late) / sent
            unsure = [key for key, share in shares.items() if unanswered > 1 - share + 1e-9]
            if unsure:  # who was never answered waited for longer than that
                out["latencySeconds"]["atLeast"] = [*unsure, "mean"]
        return out


def _passing(model: QueueModel, of: Passage | Settling) -> Outcome:
    if isinstance(of, Settling):
        return settling_outcome(model, of, outcome(model, of.rate_rps))
    return passage_outcome(model, of)


def _between(log: Iterable[tuple[int, int]], start_ns: int, end_ns: int) -> float:
    """A step function in milli-rps, given by its changes, summed over [start_ns, end_ns), in requests."""
    total, rate, since = 0, 0, start_ns
    for at, changed in log:
        if at >= end_ns:
            break
        if at > since:
            total += rate * (at - since)
            since = at
        rate = changed
    return (total + rate * max(0, end_ns - since)) / 1e12
