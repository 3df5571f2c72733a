"""What pods use, which is not what they request: idle usage and what requests cost, told when a scrape finds a change.

Source: metrics-server scrapes every kubelet each --metric-resolution. Here the instantaneous usage is told, in a
PodMetrics object of its own, and only for pods that requests cost something: nobody looks at others.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.engine.component import Create, Delete, Effect, Update, WakeAt, next_tick
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.objects import PodMetrics
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import ContainerMetrics
from harness.node.pod_annotations import IDLE_PERCENT
from harness.node.pod_worker import PodWorker, Stage


class Flow(msgspec.Struct, frozen=True):
    """From `since_ns` on a node's clients send `milli_rps` of `service` to the pod (by uid)."""

    pod: str
    service: str
    milli_rps: int
    since_ns: int


class Usage:
    """`_flows` is what is on its way to a pod, whatever becomes of it here: it outlives the kubelet."""

    __slots__ = ("_due", "_flows", "_resolution_ns", "_unreported")

    def __init__(self, resolution_ns: int) -> None:
        """`resolution_ns`: how often it is scraped."""
        self._resolution_ns = resolution_ns
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

    def power_lost(self) -> None:
        self._unreported.clear()
        self._due = -1

    def changed(self, now: int, uid: str, effects: list[Effect]) -> None:
        """Look at it at the next scrape."""
        self._unreported[uid] = None
        self.arm(now, effects)

    def arm(self, now: int, effects: list[Effect]) -> None:
        if self._unreported and self._due <= now:
            self._due = next_tick(now, self._resolution_ns, 0)
            effects.append(WakeAt(self._due, ("scrape", self._due)))

    def scrape(self, now: int, workers: Mapping[str, PodWorker], effects: list[Effect]) -> None:
        """Say what changed by a percent or more; a pod that does not run has no metrics."""
        uids, self._unreported = self._unreported, {}
        for uid in uids:
            worker = workers.get(uid)
            if worker is None or worker.annotations.request_micro < 0:
                continue
            before, meta = worker.reported_milli, worker.pod.metadata
            if worker.stage not in (Stage.RUNNING, Stage.STOPPING):
                if before >= 0:
                    worker.reported_milli = -1
                    effects.append(Delete("PodMetrics", meta.namespace, meta.name))
                continue
            usage = self.milli(worker)
            if before >= 0 and (usage == before or abs(usage - before) * 100 < before):
                continue
            worker.reported_milli = usage
            metrics = _metrics(worker, usage, now)
            effects.append(Create(metrics) if before < 0 else Update(metrics))

    def milli(self, worker: PodWorker) -> int:
        """CPU in thousandths, rounded up, at most its limit."""
        annotations, run_spec = worker.annotations, worker.run_spec
        usage = run_spec.cpu_milli * IDLE_PERCENT // 100 if annotations.idle_milli < 0 else annotations.idle_milli
        flows = self._flows.get(worker.pod.metadata.uid)
        if flows and annotations.request_micro > 0 and not worker.sick:
            # milli-requests/s times micro-CPU-seconds: 10^-9 cores.
            usage += -(-sum(rate for _, rate in flows.values()) * annotations.request_micro // 10**6)
        return min(usage, run_spec.cpu_limit_milli) if run_spec.cpu_limit_milli else usage


def _metrics(worker: PodWorker, usage: int, now: int) -> PodMetrics:
    meta = worker.pod.metadata
    return PodMetrics(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=meta.labels,
            owner_references=(OwnerReference(api_version="v1", kind="Pod", name=meta.name, uid=meta.uid),),
        ),
        timestamp=Time(now),
        window="15s",
        containers=(ContainerMetrics(name=worker.run_spec.keep[0].name, usage={"cpu": milli_quantity(usage)}),),
    )
