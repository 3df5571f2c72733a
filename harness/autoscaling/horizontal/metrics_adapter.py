"""Metrics besides CPU and memory, as an adapter serves them: of the requests that pods are sent, and declared series.

Source of the shape: custom.metrics.k8s.io/v1beta2 and external.metrics.k8s.io/v1beta1 (k8s.io/metrics 0.34). Names
are the adapter's own matter in Kubernetes; here each metric has one, and those by which the walkthroughs of Kubernetes
and prometheus-adapter call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.measure.queue_model import QueueModel
from harness.measure.queueing import outcome, quantile
from harness.model.load import LoadCurve

REQUESTS_PER_SECOND = "requests_per_second"
QUEUE_LENGTH = "queue_length"
REQUESTS_IN_FLIGHT = "requests_in_flight"
LATENCY_SECONDS = "latency_seconds"
LATENCY_P99_SECONDS = "latency_p99_seconds"

NAMES: Mapping[str, tuple[str, ...]] = {
    REQUESTS_PER_SECOND: ("rps", "qps", "requests-per-second", "http_requests_per_second", "http_requests"),
    QUEUE_LENGTH: ("queue-length", "requests_waiting"),
    REQUESTS_IN_FLIGHT: ("inflight_requests", "concurrent_requests", "concurrency"),
    LATENCY_SECONDS: ("request_latency_seconds", "http_request_duration_seconds"),
    LATENCY_P99_SECONDS: (),
}
"""Of requests, and other names of the same. Requests waiting, in flight (waiting and worked on), and how long one
takes, on average and for 99 of 100, are what a pod's queue comes to at the rate that it is sent."""

_MEANT = {name: meant for meant, others in NAMES.items() for name in (meant, *others)}


@dataclass(frozen=True, slots=True)
class Series:
    """A metric that is declared. `namespace` "": in all. `described`: kind and name of the object that it is of; None:
    of none, it is external."""

    name: str
    curve: LoadCurve
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    described: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ServiceLoad:
    """What clients send to a service ('namespace/name'), and what one of its pods does with it."""

    service: str
    curve: LoadCurve
    model: QueueModel


@dataclass(frozen=True, slots=True)
class MetricsAdapter:
    series: Sequence[Series] = ()
    loads: Sequence[ServiceLoad] = ()

    def load(self, service: str) -> ServiceLoad | None:
        return next((item for item in self.loads if item.service == service), None)

    def knows_pods_metric(self, name: str) -> bool:
        return name in _MEANT

    def knows(self, kind: str, name: str) -> bool:
        """Whether any metric of the kind (Pods, Object, External) is called so."""
        if kind == "Pods":
            return name in _MEANT
        declared = any(item.name == name and (item.described is None) == (kind == "External") for item in self.series)
        return declared or (name in _MEANT if kind == "Object" else _MEANT.get(name) == REQUESTS_PER_SECOND)

    def of_pod(self, name: str, requests: Mapping[str, int]) -> int | None:
        """In thousandths, of a pod that is sent `requests` (milli-rps by service); None: no such metric."""
        meant = _MEANT.get(name)
        if meant is None:
            return None
        if meant == REQUESTS_PER_SECOND:
            return sum(requests.values())
        found = [
            value for service, rate in requests.items() if (value := self._queue(meant, service, rate)) is not None
        ]
        if meant in (LATENCY_SECONDS, LATENCY_P99_SECONDS):
            return max(found, default=0)
        return sum(found)

    def _queue(self, meant: str, service: str, milli_rps: int) -> int | None:
        load = self.load(service)
        if load is None:
            return None
        rate = milli_rps / 1000
        state = outcome(load.model, rate)
        if meant == LATENCY_P99_SECONDS:
            seconds = quantile(load.model, state.tail, 0.99)
            return round(1000 * seconds)
        if meant == LATENCY_SECONDS:
            return round(1000 * state.mean_s)
        in_flight = rate * (1.0 - state.blocked) * state.mean_s  # Little's law
        return round(1000 * (in_flight if meant == REQUESTS_IN_FLIGHT else max(0.0, in_flight - state.busy)))

    def of_all(self, name: str, values: Sequence[int]) -> int:
        """Of an object, from what its pods have: their sum, and of latencies the mean."""
        if _MEANT.get(name) in (LATENCY_SECONDS, LATENCY_P99_SECONDS):
            return sum(values) // len(values) if values else 0
        return sum(values)

    def declared(self, name: str, namespace: str, kind: str, of: str, at_ns: int) -> int | None:
        """Of an object, from the series; None: there is none."""
        for item in self.series:
            if item.name == name and item.described == (kind, of) and item.namespace in ("", namespace):
                return item.curve.rate_milli_rps(at_ns)
        return None

    def offered(self, name: str, service: str, at_ns: int) -> int | None:
        """Requests that clients send to a service, whether anyone takes them or not."""
        load = self.load(service) if _MEANT.get(name) == REQUESTS_PER_SECOND else None
        return None if load is None else load.curve.rate_milli_rps(at_ns)

    def external(self, name: str, namespace: str, selector: Any, at_ns: int) -> list[int]:
        """A value for each series that `selector` (None: all) matches: those that are declared, and the requests that
        clients send to services, labelled `service`."""
        found: list[tuple[Mapping[str, str], LoadCurve]] = [
            (item.labels, item.curve)
            for item in self.series
            if item.name == name and item.described is None and item.namespace in ("", namespace)
        ]
        if _MEANT.get(name) == REQUESTS_PER_SECOND:
            for load in self.loads:
                space, _, service = load.service.partition("/")
                if space == namespace:
                    found.append(({"service": service}, load.curve))
        return [curve.rate_milli_rps(at_ns) for labels, curve in found if selector is None or selector.matches(labels)]
