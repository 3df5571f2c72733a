"""metrics.k8s.io at one instant: what metrics-server would answer about a pod's CPU and memory."""

from __future__ import annotations

from collections.abc import Mapping

from harness.engine.component import STANDING_LEASE, Instant
from harness.model.core import Pod
from harness.model.pod_usage import Scrapes, measured
from harness.model.workloads import Lease, PodMetrics


class ResourceMetrics:
    """`reports`: PodMetrics of kubelets by key of the pod; `leases` by node."""

    def __init__(
        self,
        now: Instant,
        reports: Mapping[str, PodMetrics],
        leases: Mapping[str, Lease],
        scrapes: Scrapes,
        lease_renewal_ns: int,
    ) -> None:
        self._now = now
        self._reports = reports
        self._leases = leases
        self._scrapes = scrapes
        # A scrape is missed like a renewal: where leases are renewed less often than pods are scraped, later.
        self._silent_ns = max(scrapes.resolution_ns, lease_renewal_ns * 3 // 2)

    def of(self, pod: Pod) -> PodMetrics | None:
        if self.is_silent(pod.spec.node_name):
            return None
        return measured(pod, self._reports.get(pod.metadata.key), self._now, self._scrapes)

    def is_silent(self, node: str) -> bool:
        """A node that has not renewed its lease for so long could not be scraped, and its pods have no metrics. Source:
        metrics-server drops pods that are not in its latest scrape (pkg/storage/pod.go); the lease stands for it."""
        lease = self._leases.get(node)
        if lease is None or STANDING_LEASE in lease.metadata.annotations:
            return False
        return (lease.spec.renew_time or 0) + self._silent_ns < self._now
