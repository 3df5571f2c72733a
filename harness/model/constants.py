"""Kubernetes' constants: each once, under its own name, with default, source and what it decides.

A scenario sets them (`spec.constants`), components are handed them; `podyard constants` prints this table. Sources are
those of Kubernetes 1.34 unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from harness.model.errors import UserError, did_you_mean
from harness.model.times import duration_text, parse_duration

Unit: TypeAlias = Literal["duration", "seconds", "number", "count", "gate"]
"""How Kubernetes writes it: 40s; a whole number of seconds; 0.1; a whole number; a feature gate, true or false."""

SECOND, MINUTE = 10**9, 60 * 10**9
SHORTEST_PERIOD_NS = 10 * 10**6
"""Of what comes again and again: a run whose components look more often would be about nothing else."""
LONGEST_NS = 10 * 365 * 86_400 * SECOND
"""Ten years: sums stay within 64 bits."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant. `name`: flag or field of `component`, or the identifier in its code. `default`: in ns, seconds or
    as a number, by `unit`. `positive`: 0 is refused. `note`: where Podyard's default is not Kubernetes'."""

    name: str
    component: str
    unit: Unit
    default: int | float
    decides: str
    source: str
    positive: bool = True
    note: str = ""

    @property
    def default_text(self) -> str:
        return self.text(self.default)

    def text(self, value: int | float) -> str:
        if self.unit == "gate":
            return str(bool(value)).lower()
        return duration_text(int(value)) if self.unit == "duration" else f"{value:g}"

    def ns(self, value: int | float) -> int:
        """As a duration; of what is none, 0."""
        return int(value) if self.unit == "duration" else int(value) * SECOND if self.unit == "seconds" else 0

    @property
    def expected(self) -> str:
        least = "above 0" if self.positive else "0 or more"
        return {
            "duration": f"a duration such as {duration_text(int(self.default) or SECOND)}, {least}",
            "seconds": f"a whole number of seconds, {least}",
            "number": f"a number such as {self.default:g}, {least}",
            "count": f"a whole number, {least}",
            "gate": "true or false",
        }[self.unit]


MANAGER, API_SERVER, KUBELET = "kube-controller-manager", "kube-apiserver", "kubelet"
SCHEDULER, METRICS_SERVER, PROXY = "kube-scheduler", "metrics-server", "kube-proxy"


def _of(*args: Any, **about: Any) -> Any:
    constant = Constant(*args, **about)
    return field(default=constant.default, metadata={"constant": constant})


@dataclass(frozen=True, slots=True)
class Constants:
    """What a cluster's components are set to."""

    node_monitor_period_ns: int = _of(
        "node-monitor-period", MANAGER, "duration", 5 * SECOND,
        "how often the node lifecycle controller looks at each node",
        "pkg/controller/nodelifecycle: --node-monitor-period",
    )  # fmt: skip
    node_monitor_grace_period_ns: int = _of(
        "node-monitor-grace-period", MANAGER, "duration", 50 * SECOND,
        "how long after its last renewal a node's lease is good",
        "--node-monitor-grace-period, 50s since 1.32 (40s before)",
    )  # fmt: skip
    node_eviction_rate: float = _of(
        "node-eviction-rate", MANAGER, "number", 0.1,
        "nodes a second of one zone that get the NoExecute taint", "--node-eviction-rate", positive=False,
    )  # fmt: skip
    secondary_node_eviction_rate: float = _of(
        "secondary-node-eviction-rate", MANAGER, "number", 0.01,
        "the same in a zone that is partly down", "--secondary-node-eviction-rate", positive=False,
    )  # fmt: skip
    unhealthy_zone_threshold: float = _of(
        "unhealthy-zone-threshold", MANAGER, "number", 0.55,
        "share of a zone's nodes (three at least) that are not ready when it is partly down",
        "--unhealthy-zone-threshold",
    )  # fmt: skip
    large_cluster_size_threshold: int = _of(
        "large-cluster-size-threshold", MANAGER, "count", 50,
        "zones up to this size evict nothing when partly down", "--large-cluster-size-threshold", positive=False,
    )  # fmt: skip
    not_ready_toleration_s: int = _of(
        "default-not-ready-toleration-seconds", API_SERVER, "seconds", 300,
        "how long a pod stays on a node that is not ready, where it does not say",
        "plugin/pkg/admission/defaulttolerationseconds",
        positive=False,
    )  # fmt: skip
    unreachable_toleration_s: int = _of(
        "default-unreachable-toleration-seconds", API_SERVER, "seconds", 300,
        "how long a pod stays on a node that is unreachable, where it does not say",
        "plugin/pkg/admission/defaulttolerationseconds",
        positive=False,
    )  # fmt: skip
    gc_check_period_ns: int = _of(
        "gcCheckPeriod", MANAGER, "duration", 20 * SECOND,
        "how often pods of nodes that are gone are looked for", "pkg/controller/podgc/gc_controller.go gcCheckPeriod",
    )  # fmt: skip
    quarantine_time_ns: int = _of(
        "quarantineTime", MANAGER, "duration", 40 * SECOND,
        "how long a node must have been gone before its pods are",
        "pkg/controller/podgc/gc_controller.go quarantineTime",
        positive=False,
    )  # fmt: skip
    terminated_pod_gc_threshold: int = _of(
        "terminated-pod-gc-threshold", MANAGER, "count", 12_500,
        "pods that have ended and are kept", "--terminated-pod-gc-threshold", positive=False,
    )  # fmt: skip
    max_wait_for_unmount_ns: int = _of(
        "maxWaitForUnmountDuration", MANAGER, "duration", 6 * MINUTE,
        "how long a volume that nobody uses stays attached to a node that is not ready and has it mounted",
        "pkg/controller/volume/attachdetach DefaultTimerConfig", positive=False,
    )  # fmt: skip
    hpa_sync_period_ns: int = _of(
        "horizontal-pod-autoscaler-sync-period", MANAGER, "duration", 15 * SECOND,
        "how often replicas are reckoned", "--horizontal-pod-autoscaler-sync-period",
    )  # fmt: skip
    hpa_tolerance: float = _of(
        "horizontal-pod-autoscaler-tolerance", MANAGER, "number", 0.1,
        "how far usage may be off the target before anything changes, where the HPA does not say",
        "--horizontal-pod-autoscaler-tolerance", positive=False,
    )  # fmt: skip
    hpa_downscale_stabilization_ns: int = _of(
        "horizontal-pod-autoscaler-downscale-stabilization", MANAGER, "duration", 300 * SECOND,
        "the highest recommendation of so long counts when scaling down, where the HPA does not say",
        "--horizontal-pod-autoscaler-downscale-stabilization", positive=False,
    )  # fmt: skip
    hpa_cpu_initialization_period_ns: int = _of(
        "horizontal-pod-autoscaler-cpu-initialization-period", MANAGER, "duration", 5 * MINUTE,
        "after a pod's start its usage counts only with a scrape since it was ready",
        "--horizontal-pod-autoscaler-cpu-initialization-period", positive=False,
    )  # fmt: skip
    hpa_initial_readiness_delay_ns: int = _of(
        "horizontal-pod-autoscaler-initial-readiness-delay", MANAGER, "duration", 30 * SECOND,
        "a pod that was last ready within so long of its start counts as never ready",
        "--horizontal-pod-autoscaler-initial-readiness-delay", positive=False,
    )  # fmt: skip
    pvclaimbinder_sync_period_ns: int = _of(
        "pvclaimbinder-sync-period", MANAGER, "duration", 15 * SECOND,
        "how often a claim that is bound to nothing is looked at", "--pvclaimbinder-sync-period",
    )  # fmt: skip
    resource_quota_sync_period_ns: int = _of(
        "resource-quota-sync-period", MANAGER, "duration", 5 * MINUTE,
        "how often a quota's usage is counted anew", "--resource-quota-sync-period",
    )  # fmt: skip
    queue_base_delay_ns: int = _of(
        "baseDelay", MANAGER, "duration", 5 * 10**6,
        "wait of a controller before it tries an object again whose reconciliation failed; it doubles",
        "client-go util/workqueue DefaultTypedControllerRateLimiter",
    )  # fmt: skip
    queue_max_delay_ns: int = _of(
        "maxDelay", MANAGER, "duration", 1000 * SECOND, "the longest such wait",
        "client-go util/workqueue DefaultTypedControllerRateLimiter",
    )  # fmt: skip
    job_pod_failure_backoff_ns: int = _of(
        "DefaultJobPodFailureBackOff", MANAGER, "duration", 10 * SECOND,
        "wait before a Job's failed pod is made anew; it doubles with each failure in a row",
        "pkg/controller/job/job_controller.go",
    )  # fmt: skip
    max_job_pod_failure_backoff_ns: int = _of(
        "MaxJobPodFailureBackOff", MANAGER, "duration", 10 * MINUTE, "the longest such wait",
        "pkg/controller/job/job_controller.go: 10 min since 1.28; the documentation of Jobs still says six",
    )  # fmt: skip
    daemon_failed_pods_backoff_ns: int = _of(
        "failedPodsBackoff", MANAGER, "duration", SECOND,
        "wait before a failed pod of a DaemonSet is replaced; it doubles with each failure on that node",
        "cmd/kube-controller-manager/app/apps.go startDaemonSetController",
    )  # fmt: skip
    daemon_max_failed_pods_backoff_ns: int = _of(
        "failedPodsBackoff.max", MANAGER, "duration", 15 * MINUTE, "the longest such wait",
        "cmd/kube-controller-manager/app/apps.go startDaemonSetController",
    )  # fmt: skip
    max_endpoints_per_slice: int = _of(
        "max-endpoints-per-slice", MANAGER, "count", 100,
        "endpoints of one EndpointSlice", "--max-endpoints-per-slice",
    )  # fmt: skip
    endpointslice_batch_period_ns: int = _of(
        "endpointslice-updates-batch-period", MANAGER, "duration", 0,
        "how long changes of pods are gathered before endpoints are written", "--endpointslice-updates-batch-period",
        positive=False,
    )  # fmt: skip
    node_lease_duration_s: int = _of(
        "nodeLeaseDurationSeconds", KUBELET, "seconds", 40,
        "what a node's lease says it is good for; it is renewed at a share of it", "KubeletConfiguration",
    )  # fmt: skip
    node_lease_renew_interval_fraction: float = _of(
        "nodeLeaseRenewIntervalFraction", KUBELET, "number", 0.25,
        "the share of the lease's duration after which it is renewed",
        "pkg/kubelet/kubelet.go nodeLeaseRenewIntervalFraction",
    )  # fmt: skip
    node_status_update_frequency_ns: int = _of(
        "nodeStatusUpdateFrequency", KUBELET, "duration", 10 * SECOND,
        "how often a kubelet compares its node's status with the API server's", "KubeletConfiguration",
    )  # fmt: skip
    status_sync_period_ns: int = _of(
        "syncPeriod", KUBELET, "duration", 10 * SECOND,
        "the longest wait until a status that the API server did not take is sent again",
        "pkg/kubelet/status/status_manager.go syncPeriod",
    )  # fmt: skip
    initial_crash_loop_backoff_ns: int = _of(
        "initialCrashLoopBackOff", KUBELET, "duration", 10 * SECOND,
        "wait before the second restart of a container; it doubles", "pkg/kubelet/kubelet.go initialCrashLoopBackOff",
    )  # fmt: skip
    max_container_restart_period_ns: int = _of(
        "maxContainerRestartPeriod", KUBELET, "duration", 300 * SECOND,
        "the longest such wait", "KubeletConfiguration crashLoopBackOff.maxContainerRestartPeriod; MaxContainerBackOff",
    )  # fmt: skip
    pleg_relist_period_ns: int = _of(
        "genericPlegRelistPeriod", KUBELET, "duration", SECOND,
        "how often a kubelet looks at its containers: a start or an end is told at the next look",
        "pkg/kubelet/kubelet.go genericPlegRelistPeriod", positive=False,
        note="0s: told at once, as by the evented PLEG",
    )  # fmt: skip
    housekeeping_interval_ns: int = _of(
        "housekeeping-interval", KUBELET, "duration", 10 * SECOND,
        "how often a kubelet takes a sample of its containers' usage: a scrape gets the last one",
        "kubelet --housekeeping-interval (cAdvisor)",
    )  # fmt: skip
    metric_resolution_ns: int = _of(
        "metric-resolution", METRICS_SERVER, "duration", 15 * SECOND,
        "how often the usage of pods is scraped", "metrics-server --metric-resolution",
    )  # fmt: skip
    hpa_scale_to_zero: bool = _of(
        "HPAScaleToZero", API_SERVER, "gate", False,
        "whether minReplicas may be 0, with an Object or External metric", "pkg/features: alpha since 1.16, off",
        positive=False,
    )  # fmt: skip
    pod_initial_backoff_s: int = _of(
        "podInitialBackoffSeconds", SCHEDULER, "seconds", 1,
        "wait of a pod that did not fit before its second attempt; it doubles", "KubeSchedulerConfiguration",
    )  # fmt: skip
    pod_max_backoff_s: int = _of(
        "podMaxBackoffSeconds", SCHEDULER, "seconds", 10, "the longest such wait", "KubeSchedulerConfiguration",
    )  # fmt: skip
    max_in_unschedulable_ns: int = _of(
        "pod-max-in-unschedulable-pods-duration", SCHEDULER, "duration", 5 * MINUTE,
        "after so long a pod is tried again though nothing has helped it", "--pod-max-in-unschedulable-pods-duration",
    )  # fmt: skip
    bind_timeout_s: int = _of(
        "bindTimeoutSeconds", SCHEDULER, "seconds", 600,
        "how long the volumes of a pod may take to be bound", "KubeSchedulerConfiguration VolumeBindingArgs",
    )  # fmt: skip
    proxy_min_sync_period_ns: int = _of(
        "minSyncPeriod", PROXY, "duration", SECOND,
        "the shortest time between two changes of where requests are sent",
        "KubeProxyConfiguration iptables.minSyncPeriod",
        positive=False, note="0s, which Kubernetes reads as 1s: each change of an EndpointSlice counts at once",
    )  # fmt: skip

    @property
    def lease_renewal_ns(self) -> int:
        """How often a node's lease is renewed. Source: kubelet.go, renewInterval."""
        return round(self.node_lease_duration_s * SECOND * self.node_lease_renew_interval_fraction)

    def value(self, name: str) -> int | float:
        """Of a constant by its Kubernetes name."""
        found: int | float = getattr(self, _FIELDS[name])
        return found

    def text(self, name: str) -> str:
        return TABLE[name].text(self.value(name))

    @property
    def texts(self) -> dict[str, str]:
        """All of them by name, as text."""
        return {name: self.text(name) for name in TABLE}

    @property
    def changed(self) -> dict[str, str]:
        """Those that are not the default, by name, as text."""
        return {name: self.text(name) for name, constant in TABLE.items() if self.value(name) != constant.default}


TABLE: dict[str, Constant] = {item.metadata["constant"].name: item.metadata["constant"] for item in fields(Constants)}
"""By name, in the order of the components."""
_FIELDS = {item.metadata["constant"].name: item.name for item in fields(Constants)}

DEFAULTS = Constants()

UNMODELLED = {
    "node-startup-grace-period": "a node that was never heard of has node-monitor-grace-period, too",
    "pod-eviction-timeout": "Kubernetes 1.27 removed it: default-unreachable-toleration-seconds says it",
    "nodeStatusReportFrequency": "a node's status is written when it differs",
    "syncFrequency": "a kubelet looks at a pod when something about it changes",
    "concurrent-service-endpoint-syncs": "controllers have no workers: what is due is done",
    "leader-elect-lease-duration": "there is one of each component",
    "leader-elect-renew-deadline": "there is one of each component",
    "leader-elect-retry-period": "there is one of each component",
    "kube-api-qps": "clients are not limited",
    "kube-api-burst": "clients are not limited",
}
"""What Kubernetes has and Podyard does not model: why."""

_PERIODS = {
    "node-monitor-period", "gcCheckPeriod", "horizontal-pod-autoscaler-sync-period", "pvclaimbinder-sync-period",
    "resource-quota-sync-period", "nodeStatusUpdateFrequency", "syncPeriod", "metric-resolution",
    "housekeeping-interval",
}  # fmt: skip


class ConstantError(UserError):
    """A constant that cannot be set. `name`: which."""

    def __init__(self, what: str, *, name: str = "", **about: Any) -> None:
        self.name = name
        super().__init__(what, **about)


def parse_constants(values: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> Constants:
    """Constants as a person writes them over the defaults. `others`: names that are somebody else's to read, for
    suggestions. Raises ConstantError."""
    found: dict[str, int | float] = {}
    for name, value in values.items():
        constant = TABLE.get(name)
        if constant is None:
            known = [*TABLE, *(others or ())]
            if name in UNMODELLED:
                raise ConstantError("this constant is not modelled", name=name, found=name, hint=UNMODELLED[name])
            hint = did_you_mean(name, known) or "podyard constants"
            expected = "a constant under Kubernetes' own name, as of `podyard constants`"
            raise ConstantError("there is no such constant", name=name, found=name, expected=expected, hint=hint)
        found[_FIELDS[name]] = _parse(constant, value)
    made = replace(DEFAULTS, **found)  # type: ignore[arg-type]
    for name, holds, words in _RULES:
        if not holds(made):
            raise ConstantError(words(made), name=name, found=made.text(name))
    return made


def _parse(constant: Constant, value: Any) -> int | float:
    """Raises ConstantError."""

    def wrong(what: str) -> ConstantError:
        return ConstantError(what, name=constant.name, found=repr(value)[:80], expected=constant.expected)

    number: int | float
    if constant.unit == "gate":
        if not isinstance(value, bool):
            raise wrong("not true or false")
        return value
    if constant.unit == "duration":
        if not isinstance(value, str):
            raise wrong("not a duration")
        try:
            number = parse_duration(value)
        except ValueError:
            raise wrong("not a duration") from None
        if number > LONGEST_NS:
            raise wrong("too long a duration")
        if constant.name in _PERIODS and 0 < number < SHORTEST_PERIOD_NS:
            raise ConstantError(
                "too short a period", name=constant.name, found=value, expected=duration_text(SHORTEST_PERIOD_NS)
            )
    else:
        kinds = (int, float) if constant.unit == "number" else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise wrong("not a number" if constant.unit == "number" else "not a whole number")
        number = value
        if not number < 1 << 31:  # int32, as Kubernetes holds most of them; NaN neither
            raise wrong("too large a number")
    if constant.name in _OWN_WORDS:
        return number
    if number < 0 or (constant.positive and not number):
        raise wrong("too small")
    return number


_OWN_WORDS = {
    "nodeLeaseDurationSeconds", "podInitialBackoffSeconds", "podMaxBackoffSeconds", "max-endpoints-per-slice",
}  # fmt: skip

_Rule: TypeAlias = tuple[str, Callable[[Constants], bool], Callable[[Constants], str]]
_RULES: tuple[_Rule, ...] = (
    (
        "nodeLeaseDurationSeconds",
        lambda c: c.node_lease_duration_s > 0,
        lambda c: "invalid configuration: nodeLeaseDurationSeconds must be greater than 0",
    ),
    (
        "maxContainerRestartPeriod",
        lambda c: SECOND <= c.max_container_restart_period_ns <= 300 * SECOND,
        lambda c: (
            "invalid configuration: CrashLoopBackOff.MaxContainerRestartPeriod "
            f"(got: {c.max_container_restart_period_ns / 1e9:g} seconds) must be set between 1s and 300s"
        ),
    ),
    (
        "podInitialBackoffSeconds",
        lambda c: c.pod_initial_backoff_s > 0,
        lambda c: f"podInitialBackoffSeconds: Invalid value: {c.pod_initial_backoff_s}: must be greater than 0",
    ),
    (
        "podMaxBackoffSeconds",
        lambda c: c.pod_max_backoff_s >= c.pod_initial_backoff_s,
        lambda c: (
            f"podMaxBackoffSeconds: Invalid value: {c.pod_max_backoff_s}: "
            "must be greater than or equal to PodInitialBackoffSeconds"
        ),
    ),
    (
        "metric-resolution",
        lambda c: c.metric_resolution_ns >= c.housekeeping_interval_ns,
        lambda c: (
            f"metric-resolution {duration_text(c.metric_resolution_ns)} is shorter than housekeeping-interval "
            f"{duration_text(c.housekeeping_interval_ns)}: scrapes that find no new sample are not modelled "
            "(metrics-server refuses less than 10s)"
        ),
    ),
    (
        "max-endpoints-per-slice",
        lambda c: c.max_endpoints_per_slice >= 1,
        lambda c: f"max-endpoints-per-slice must not be less than 1, but got {c.max_endpoints_per_slice}",
    ),
    (
        "max-endpoints-per-slice",
        lambda c: c.max_endpoints_per_slice <= 1000,
        lambda c: f"max-endpoints-per-slice must not be more than 1000, but got {c.max_endpoints_per_slice}",
    ),
)
"""What Kubernetes refuses itself, in its words. Source: pkg/kubelet/apis/config/validation, pkg/scheduler/apis/config/
validation, cmd/kube-controller-manager/app/options/endpointslicecontroller.go."""


def doubts(constants: Constants) -> list[str]:
    """What Kubernetes starts with and its documentation warns of: leases that run out before they are renewed."""
    grace, renewal = constants.node_monitor_grace_period_ns, constants.lease_renewal_ns
    if grace > renewal:
        return []
    return [
        f"node-monitor-grace-period {duration_text(grace)} is no longer than the {duration_text(renewal)} between two "
        "renewals of a node's lease: healthy nodes will be NotReady. It must be N times more than the kubelet's "
        "interval, N being the number of retries"
    ]
