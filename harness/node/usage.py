"""What pods use, which is not what they request: idle usage and what requests cost, told when a scrape finds a change.

Source: metrics-server scrapes every kubelet each --metric-resolution. Here the kubelet tells what there is at a scrape,
in a PodMetrics object of its own, with the averages that metrics-server would make of its samples, and only for pods
that requests cost something: what others use follows from their spec (`harness.model.pod_usage`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.engine.component import Create, Delete, Effect, Update, WakeAt
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.objects import PodMetrics
from harness.model.pod_usage import (
    CPU_WINDOWS,
    IDLE_CPU_PERCENT,
    REQUESTS,
    Scrapes,
    container_metrics,
    memory_milli,
)
from harness.model.times import duration_text
from harness.model.wire import Time
from harness.node.pod_worker import PodWorker, Stage


class Flow(msgspec.Struct, frozen=True):
    """From `since_ns` on a node's clients send `milli_rps` of `service` to the pod (by uid)."""

    pod: str
    service: str
    milli_rps: int
    since_ns: int


class _Counter(msgspec.Struct):
    """CPU that a pod has used since it started, in milli x ns, as cAdvisor counts it. `milli`: what it uses since
    `at_ns`. `sample`: the last one taken, (instant, count); `scraped`: the one that the last scrape got."""

    scrapes: Scrapes
    started_ns: int
    at_ns: int
    count: int = 0
    milli: int = 0
    sample: tuple[int, int] = (-1, 0)
    scraped: tuple[int, int] = (-1, 0)

    def advance(self, now: int) -> None:
        """Nothing has changed since the last time."""
        scrape = self.scrapes.last_ns(now)
        got = self.scrapes.sample_ns(scrape)
        if got > self.scraped[0]:
            self.scraped = self._at(got)
        taken = self.scrapes.sample_ns(now)
        if taken > self.sample[0]:
            self.sample = self._at(taken)
        self.count += self.milli * (now - self.at_ns)
        self.at_ns = now

    def _at(self, instant: int) -> tuple[int, int]:
        if instant < self.at_ns:  # before the last change: that sample was taken then
            return self.sample if self.sample[0] == instant else (instant, 0)
        return instant, self.count + self.milli * (instant - self.at_ns)

    def windows(self, now: int) -> tuple[int, int]:
        """Milli-CPU on average between the last two samples at a scrape, and at the next one if nothing changes; as it
        is where there are no two."""
        end, count = self.sample
        following = self.scrapes.sample_ns(now + self.scrapes.resolution_ns)
        later = self.count + self.milli * (following - now)
        return (
            self._average(now, (end, count), self.scraped),
            self._average(now + self.scrapes.resolution_ns, (following, later), (end, count)),
        )

    def _average(self, scrape_ns: int, last: tuple[int, int], before: tuple[int, int]) -> int:
        """Rounded up, as a Quantity of nanocores is in thousandths."""
        points = self.scrapes.window(self.started_ns, scrape_ns)
        if points is None:
            return self.milli
        begin, end = points
        counted = before[1] if begin == before[0] else 0  # it had not started
        return -((counted - last[1]) // (end - begin))


class Usage:
    """`_flows` is what is on its way to a pod, whatever becomes of it here: it outlives the kubelet."""

    __slots__ = ("_counters", "_due", "_flows", "_requests", "_scrapes", "_told", "_unreported")

    def __init__(self, scrapes: Scrapes, *, requests: bool = False) -> None:
        """`scrapes`: when it is scraped. `requests`: what pods are sent is told, too, when that changes."""
        self._scrapes = scrapes
        self._requests = requests
        self._told: dict[str, int] = {}  # milli-rps by uid
        self._counters: dict[str, _Counter] = {}
        self._flows: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}  # (since, rate) by (client node, service)
        self._unreported: dict[str, None] = {}
        self._due = -1

    def flow(self, source: str, flow: Flow, *, known: bool) -> None:
        """`known`: whether the pod is there. That nothing more is sent to what is gone need not be kept."""
        if not flow.milli_rps and not known:
            self._flows.pop(flow.pod, None)
            return
        flows = self._flows.setdefault(flow.pod, {})
        before = flows.get((source, flow.service))
        if before is None or before[0] < flow.since_ns:  # packets may overtake each other
            flows[source, flow.service] = (flow.since_ns, flow.milli_rps)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Uids of the pods that somebody sends to."""
        return tuple(self._flows)

    def forget(self, uid: str) -> None:
        self._flows.pop(uid, None)
        self._unreported.pop(uid, None)
        self._counters.pop(uid, None)
        self._told.pop(uid, None)

    def power_lost(self) -> None:
        self._unreported.clear()
        self._counters.clear()
        self._told.clear()
        self._due = -1

    def changed(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """What it uses has changed, or may have: look at it at the next scrape."""
        uid = worker.pod.metadata.uid
        self._count(now, uid, worker)
        self._unreported[uid] = None
        self.arm(now, effects)

    def _count(self, now: int, uid: str, worker: PodWorker) -> _Counter | None:
        """None: it does not run."""
        counter = self._counters.get(uid)
        if worker.stage not in (Stage.RUNNING, Stage.STOPPING):
            self._counters.pop(uid, None)
            return None
        if counter is None or counter.started_ns != worker.started_ns:
            counter = self._counters[uid] = _Counter(self._scrapes, worker.started_ns, worker.started_ns)
        counter.advance(now)
        counter.milli = self.milli(worker)
        return counter

    def arm(self, now: int, effects: list[Effect]) -> None:
        if self._unreported and self._due <= now:
            self._due = self._scrapes.next_ns(now)
            effects.append(WakeAt(self._due, ("scrape", self._due)))

    def scrape(self, now: int, workers: Mapping[str, PodWorker], effects: list[Effect]) -> None:
        """Say what changed by a percent or more; a pod that does not run has no metrics."""
        uids, self._unreported = self._unreported, {}
        for uid in uids:
            worker = workers.get(uid)
            if worker is None or worker.annotations.request_micro < 0:
                continue
            before, meta = worker.reported_milli, worker.pod.metadata
            counter = self._count(now, uid, worker)
            if counter is None:
                if before >= 0:
                    worker.reported_milli = -1
                    effects.append(Delete("PodMetrics", meta.namespace, meta.name))
                continue
            usage, sent = counter.milli, self._sent(uid)
            if before >= 0 and not _shows(usage, before) and not (self._requests and self._tells(uid, sent)):
                continue
            worker.reported_milli = usage
            self._told[uid] = sum(sent.values())
            metrics = _metrics(worker, now, counter, sent)
            effects.append(Create(metrics) if before < 0 else Update(metrics))

    def _sent(self, uid: str) -> dict[str, int]:
        """Milli-rps by service."""
        out: dict[str, int] = {}
        for (_, service), (_, rate) in self._flows.get(uid, {}).items():
            out[service] = out.get(service, 0) + rate
        return out

    def _tells(self, uid: str, sent: Mapping[str, int]) -> bool:
        return _shows(sum(sent.values()), self._told.get(uid, 0))

    def milli(self, worker: PodWorker) -> int:
        """CPU in thousandths, rounded up, at most its limit."""
        annotations, run_spec = worker.annotations, worker.run_spec
        idle = run_spec.cpu_milli * IDLE_CPU_PERCENT // 100
        usage = idle if annotations.idle_milli < 0 else annotations.idle_milli
        flows = self._flows.get(worker.pod.metadata.uid)
        if flows and annotations.request_micro > 0 and not worker.sick:
            # milli-requests/s times micro-CPU-seconds: 10^-9 cores.
            usage += -(-sum(rate for _, rate in flows.values()) * annotations.request_micro // 10**6)
        return min(usage, run_spec.cpu_limit_milli) if run_spec.cpu_limit_milli else usage


def _shows(now: int, before: int) -> bool:
    """A change of a percent or more."""
    return now != before and abs(now - before) * 100 >= before


def _metrics(worker: PodWorker, now: int, counter: _Counter, sent: Mapping[str, int]) -> PodMetrics:
    meta = worker.pod.metadata
    annotations = {CPU_WINDOWS: ",".join(map(str, counter.windows(now)))}
    if sent:
        annotations[REQUESTS] = ",".join(f"{service}={rate}" for service, rate in sorted(sent.items()))
    return PodMetrics(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=meta.labels,
            annotations=annotations,
            owner_references=(OwnerReference(api_version="v1", kind="Pod", name=meta.name, uid=meta.uid),),
        ),
        timestamp=Time(now),
        window=duration_text(counter.scrapes.resolution_ns),
        containers=container_metrics(worker.pod, counter.milli, memory_milli(worker.pod, sum(sent.values()))),
    )
