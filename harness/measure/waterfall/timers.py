"""When timers of a run go off: its constants, and the phases that its seed gave to whatever looks at intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.model.constants import TABLE, Constants
from harness.model.pod_usage import Scrapes
from harness.model.times import duration_text

SECOND = 10**9

MONITOR, SCALER, CLUSTER_AUTOSCALER = "node-lifecycle-controller", "horizontal-pod-autoscaler", "cluster-autoscaler"
"""Components whose ticks hops wait for."""
SCRAPE, SAMPLE = "metrics-server", "kubelet"
RELIST = "kubelet/"
"""Before the name of a node: its kubelet's looks at its containers."""

MONITOR_PERIOD, GRACE, LEASE = "node-monitor-period", "node-monitor-grace-period", "nodeLeaseDurationSeconds"
SYNC_PERIOD, RESOLUTION, SCAN_INTERVAL = "horizontal-pod-autoscaler-sync-period", "metric-resolution", "scan-interval"
FIRST_BACKOFF, LONGEST_BACKOFF = "podInitialBackoffSeconds", "podMaxBackoffSeconds"
HOUSEKEEPING = "housekeeping-interval"
PLEG, PROXY_SYNC = "genericPlegRelistPeriod", "minSyncPeriod"
NODE_STATUS, UNMOUNT_WAIT = "nodeStatusUpdateFrequency", "maxWaitForUnmountDuration"
BATCH = "endpointslice-updates-batch-period"
TOLERATION, EVICTION_RATE = "default-unreachable-toleration-seconds", "node-eviction-rate"


def is_constant(timer: str) -> bool:
    """Whether a timer is one of Kubernetes' constants, and not a setting of the scenario or its workload."""
    return timer in TABLE or timer in (SCAN_INTERVAL, "unschedulablePodTimeBuffer")


@dataclass(frozen=True, slots=True)
class Timers:
    """`phase`: (name of a random stream, period in ns) -> how long after each whole number of periods."""

    constants: Constants
    scan_interval_ns: int
    phase: Callable[[str, int], int]

    def value_ns(self, timer: str) -> int | None:
        """A constant as a duration; None for what is none of Kubernetes'."""
        if timer == SCAN_INTERVAL:
            return self.scan_interval_ns
        constant = TABLE.get(timer)
        return None if constant is None else constant.ns(self.constants.value(timer))

    def text(self, timer: str) -> str:
        if timer == SCAN_INTERVAL:
            return duration_text(self.scan_interval_ns)
        return self.constants.text(timer) if timer in TABLE else ""

    def next_tick(self, component: str, after_ns: int) -> int:
        """The first tick after `after_ns`."""
        period, phase = self._ticks(component)
        return ((after_ns - phase) // period + 1) * period + phase

    def last_tick(self, component: str, until_ns: int) -> int:
        """The last tick at or before `until_ns`."""
        period, phase = self._ticks(component)
        return (until_ns - phase) // period * period + phase

    @property
    def scrapes(self) -> Scrapes:
        period, phase = self._ticks(SCRAPE)
        return Scrapes(period, self.constants.housekeeping_interval_ns, phase)

    def period_ns(self, component: str) -> int:
        return self._ticks(component)[0]

    def _ticks(self, component: str) -> tuple[int, int]:
        constants = self.constants
        if component == SCRAPE:
            return constants.metric_resolution_ns, self.phase(f"{SCRAPE}/phase", constants.metric_resolution_ns)
        if component == SAMPLE:
            return constants.housekeeping_interval_ns, 0
        if component.startswith(RELIST):
            node = component.removeprefix(RELIST)
            period = constants.pleg_relist_period_ns
            return period, self.phase(f"lease/{node}", constants.lease_renewal_ns) % max(period, 1)
        period = {
            MONITOR: constants.node_monitor_period_ns,
            SCALER: constants.hpa_sync_period_ns,
            CLUSTER_AUTOSCALER: self.scan_interval_ns,
        }[component]
        return period, self.phase(f"{component}/phase", period)

    def noticed_ns(self, node: str, silent_ns: int) -> int:
        """When a node that falls silent then is seen to be NotReady, if it stays silent."""
        over = self.last_renewal(node, silent_ns) + self.constants.node_monitor_grace_period_ns
        return self.next_tick(MONITOR, over)

    def last_renewal(self, node: str, before_ns: int) -> int:
        """When the lease of a node was last renewed before `before_ns`, by a kubelet that was up then."""
        period = self.constants.lease_renewal_ns
        phase = self.phase(f"lease/{node}", period)
        return (before_ns - 1 - phase) // period * period + phase

    def next_status(self, node: str, after_ns: int) -> int:
        """When a kubelet tells the status of its node next."""
        period = self.constants.node_status_update_frequency_ns
        phase = self.phase(f"lease/{node}", self.constants.lease_renewal_ns) % period
        return ((after_ns - phase) // period + 1) * period + phase

    def backoff_ns(self, attempts: int) -> int:
        """How long a pod rests after so many attempts."""
        constants = self.constants
        first, longest = constants.pod_initial_backoff_s * SECOND, constants.pod_max_backoff_s * SECOND
        return min(first << min(max(attempts - 1, 0), 30), longest)
