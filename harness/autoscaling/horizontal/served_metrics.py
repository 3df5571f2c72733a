"""The metrics APIs of a cluster at one instant: what metrics-server and the adapter would answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter
from harness.autoscaling.metrics_client import MetricError, PodMetric, Samples, container_samples, pod_samples
from harness.autoscaling.pod_index import PodIndex
from harness.autoscaling.resource_metrics import ResourceMetrics
from harness.engine.component import MINUTE, Instant
from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.model.objects import KINDS
from harness.model.pod_usage import Scrapes, reported_requests
from harness.model.workloads import CrossVersionObjectReference, Lease, PodMetrics


@dataclass(frozen=True, slots=True)
class Seen:
    """`reports`: PodMetrics of kubelets by key; `leases` by node; `targets`: scalable objects by (kind, key)."""

    pods: PodIndex
    reports: Mapping[str, PodMetrics]
    leases: Mapping[str, Lease]
    targets: Mapping[tuple[str, str], Any]


class ServedMetrics:
    """A MetricsClient. Custom and external metrics are those of the last scrape, too."""

    def __init__(
        self, now: Instant, seen: Seen, adapter: MetricsAdapter, scrapes: Scrapes, lease_renewal_ns: int
    ) -> None:
        self._now = now
        self._index = seen.pods
        self._reports = seen.reports
        self._targets = seen.targets
        self._adapter = adapter
        self._scrapes = scrapes
        self._resources = ResourceMetrics(now, seen.reports, seen.leases, scrapes, lease_renewal_ns)

    def resource(self, name: str, pods: Sequence[Pod], container: str) -> Samples:
        found = [item for pod in pods if (item := self._resources.of(pod)) is not None]
        return container_samples(found, name, container) if container else pod_samples(found, name)

    def pods(self, name: str, pods: Sequence[Pod], selector: LabelSelector | None) -> Samples:
        if not self._adapter.knows("Pods", name):
            raise _not_found(name, "pods")
        at = self._last_scrape
        samples = {}
        for pod in pods:
            value = self._of_pod(name, pod, selector)
            if value is not None:
                samples[pod.metadata.name] = PodMetric(value, at, MINUTE)
        if not samples:
            raise MetricError("no metrics returned from custom metrics API")
        return samples

    @property
    def _last_scrape(self) -> int:
        return max(0, self._scrapes.last_ns(self._now))

    def _of_pod(self, name: str, pod: Pod, selector: LabelSelector | None) -> int | None:
        report = self._reports.get(pod.metadata.key)
        if report is None or pod.status.phase != "Running" or self._resources.is_silent(pod.spec.node_name):
            return None
        requests = reported_requests(report)
        if selector is not None:
            requests = {
                service: rate
                for service, rate in requests.items()
                if selector.matches({"service": service.partition("/")[2]})
            }
            if not requests:
                return None
        return self._adapter.of_pod(name, requests)

    def object(
        self, name: str, namespace: str, described: CrossVersionObjectReference, selector: LabelSelector | None
    ) -> int:
        kind, of = described.kind, described.name
        at = self._last_scrape
        value = self._adapter.declared(name, namespace, kind, of, at)
        if value is None and kind == "Service":
            value = self._adapter.offered(name, f"{namespace}/{of}", at)
        if value is None and self._adapter.knows("Pods", name):
            pods = self._pods_of(kind, namespace, of)
            values = [found for pod in pods or () if (found := self._of_pod(name, pod, selector)) is not None]
            if pods is not None:
                value = self._adapter.of_all(name, values)
        if value is None:
            known = KINDS.get(kind)
            raise _not_found(name, f"{known.plural if known else kind.lower()} {of}")
        return value

    def _pods_of(self, kind: str, namespace: str, name: str) -> Sequence[Pod] | None:
        """Of a workload, or those that are sent requests of a service."""
        if kind == "Service":
            service = f"{namespace}/{name}"
            if self._adapter.load(service) is None:
                return None
            keys = sorted(key for key, item in self._reports.items() if service in reported_requests(item))
            return [pod for key in keys if (pod := self._index.get(key)) is not None]
        target = self._targets.get((kind, f"{namespace}/{name}"))
        return None if target is None else self._index.selected(namespace, target.spec.selector)

    def external(self, name: str, namespace: str, selector: LabelSelector | None) -> list[int]:
        found = self._adapter.external(name, namespace, selector, self._last_scrape)
        if not found:
            raise MetricError("no metrics returned from external metrics API")
        return found


def _not_found(name: str, what: str) -> MetricError:
    """Source: custom-metrics-apiserver pkg/provider/errors.go NewMetricNotFoundError."""
    why = f"the server could not find the metric {name} for {what}"
    return MetricError(f"unable to fetch metrics from custom metrics API: {why}")
