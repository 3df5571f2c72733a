"""The cluster autoscaler's flags, under their own names, with its defaults.

Source: kubernetes/autoscaler cluster-autoscaler/main.go and config/const.go (1.32). The default expander is that of
1.34 (config/flags/flags.go): deterministic but for ties, where that of 1.32 draws. --frequent-loops-enabled is false up
to 1.34, and true from 1.35 on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.engine.component import HOUR, MINUTE, MS, SECOND
from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number

STARTUP_PREFIXES = ("ignore-taint.cluster-autoscaler.kubernetes.io/", "startup-taint.cluster-autoscaler.kubernetes.io/")
STATUS_PREFIX = "status-taint.cluster-autoscaler.kubernetes.io/"
"""Of taints that need no flag. Source: utils/taints/taints.go IgnoreTaintPrefix, StartupTaintPrefix, StatusTaintPrefix
(1.37)."""
CONDITION_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/pid-pressure",
        "node.cloudprovider.kubernetes.io/uninitialized",
        "node.cloudprovider.kubernetes.io/shutdown",
        "cloud.google.com/impending-node-termination",
        "NodeWithImpairedVolumes",
    }
)
"""What nodes have for a while. Source: utils/taints/taints.go NodeConditionTaints."""


class UnknownFlag(ValueError):
    """Not a flag that is modelled; `known`: those that are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known = tuple(FLAGS)
        super().__init__(f"unknown flag {name!r}")


def _flag(name: str, default: Any) -> Any:
    return field(default=default, metadata={"flag": name})


@dataclass(frozen=True, slots=True)
class ClusterAutoscalerSettings:
    """Durations in ns, ratios from 0 to 1."""

    expander: str = _flag("expander", "least-waste")
    scan_interval_ns: int = _flag("scan-interval", 10 * SECOND)
    frequent_loops_enabled: bool = _flag("frequent-loops-enabled", False)
    bypassed_scheduler_names: str = _flag("bypassed-scheduler-names", "")
    max_nodes_total: int = _flag("max-nodes-total", 0)
    cores_total: str = _flag("cores-total", "0:320000")
    memory_total: str = _flag("memory-total", "0:6400000")
    max_node_provision_time_ns: int = _flag("max-node-provision-time", 15 * MINUTE)
    initial_node_group_backoff_duration_ns: int = _flag("initial-node-group-backoff-duration", 5 * MINUTE)
    max_node_group_backoff_duration_ns: int = _flag("max-node-group-backoff-duration", 30 * MINUTE)
    node_group_backoff_reset_timeout_ns: int = _flag("node-group-backoff-reset-timeout", 180 * MINUTE)
    balance_similar_node_groups: bool = _flag("balance-similar-node-groups", False)
    memory_difference_ratio: float = _flag("memory-difference-ratio", 0.015)
    max_free_difference_ratio: float = _flag("max-free-difference-ratio", 0.05)
    max_allocatable_difference_ratio: float = _flag("max-allocatable-difference-ratio", 0.05)
    expendable_pods_priority_cutoff: int = _flag("expendable-pods-priority-cutoff", -10)
    new_pod_scale_up_delay_ns: int = _flag("new-pod-scale-up-delay", 0)
    balancing_label: str = _flag("balancing-label", "")
    balancing_ignore_label: str = _flag("balancing-ignore-label", "")
    startup_taint: str = _flag("startup-taint", "")
    startup_taint_prefix: str = _flag("startup-taint-prefix", "")
    status_taint: str = _flag("status-taint", "")
    ignore_taint: str = _flag("ignore-taint", "")
    max_node_startup_time_ns: int = _flag("max-node-startup-time", 15 * MINUTE)
    record_duplicated_events: bool = _flag("record-duplicated-events", False)
    max_nodes_per_scaleup: int = _flag("max-nodes-per-scaleup", 1000)
    max_total_unready_percentage: float = _flag("max-total-unready-percentage", 45.0)
    ok_total_unready_count: int = _flag("ok-total-unready-count", 3)
    scale_down_enabled: bool = _flag("scale-down-enabled", True)
    scale_down_unready_enabled: bool = _flag("scale-down-unready-enabled", True)
    scale_down_delay_after_add_ns: int = _flag("scale-down-delay-after-add", 10 * MINUTE)
    scale_down_delay_after_delete_ns: int = _flag("scale-down-delay-after-delete", 0)
    scale_down_delay_after_failure_ns: int = _flag("scale-down-delay-after-failure", 3 * MINUTE)
    scale_down_delay_type_local: bool = _flag("scale-down-delay-type-local", False)
    scale_down_unneeded_time_ns: int = _flag("scale-down-unneeded-time", 10 * MINUTE)
    scale_down_unready_time_ns: int = _flag("scale-down-unready-time", 20 * MINUTE)
    scale_down_utilization_threshold: float = _flag("scale-down-utilization-threshold", 0.5)
    scale_down_gpu_utilization_threshold: float = _flag("scale-down-gpu-utilization-threshold", 0.5)
    ignore_daemonsets_utilization: bool = _flag("ignore-daemonsets-utilization", False)
    ignore_mirror_pods_utilization: bool = _flag("ignore-mirror-pods-utilization", False)
    unremovable_node_recheck_timeout_ns: int = _flag("unremovable-node-recheck-timeout", 5 * MINUTE)
    max_scale_down_parallelism: int = _flag("max-scale-down-parallelism", 10)
    max_drain_parallelism: int = _flag("max-drain-parallelism", 1)
    max_bulk_soft_taint_count: int = _flag("max-bulk-soft-taint-count", 10)
    node_delete_delay_after_taint_ns: int = _flag("node-delete-delay-after-taint", 5 * SECOND)
    node_deletion_delay_timeout_ns: int = _flag("node-deletion-delay-timeout", 2 * MINUTE)
    max_graceful_termination_s: int = _flag("max-graceful-termination-sec", 600)
    max_pod_eviction_time_ns: int = _flag("max-pod-eviction-time", 2 * MINUTE)
    daemonset_eviction_for_empty_nodes: bool = _flag("daemonset-eviction-for-empty-nodes", False)
    daemonset_eviction_for_occupied_nodes: bool = _flag("daemonset-eviction-for-occupied-nodes", True)
    skip_nodes_with_system_pods: bool = _flag("skip-nodes-with-system-pods", True)
    blocking_system_pod_distruption_timeout_ns: int = _flag("blocking-system-pod-distruption-timeout", HOUR)
    skip_nodes_with_local_storage: bool = _flag("skip-nodes-with-local-storage", True)
    skip_nodes_with_custom_controller_pods: bool = _flag("skip-nodes-with-custom-controller-pods", True)

    def is_startup_taint(self, key: str) -> bool:
        """Whether a node with such a taint is still starting. Source: utils/taints/taints.go TaintConfig."""
        prefixes = (*STARTUP_PREFIXES, *names_of(self.startup_taint_prefix))
        return key in names_of(f"{self.startup_taint},{self.ignore_taint}") or key.startswith(prefixes)

    def is_left_out(self, key: str) -> bool:
        """Whether templates are without such a taint. Source: SanitizeTaints."""
        status = key in names_of(self.status_taint) or key.startswith(STATUS_PREFIX)
        return self.is_startup_taint(key) or status or key in CONDITION_TAINTS


def names_of(text: str) -> tuple[str, ...]:
    """Of a flag that can be given more than once: here with commas."""
    return tuple(name for item in text.split(",") if (name := item.strip()))


def least_and_most(text: str) -> tuple[int, int]:
    """Of '<min>:<max>'. Raises ValueError. Source: config/flags/flags.go parseMinMaxFlag."""
    first, _, second = text.partition(":")
    least, most = whole_number(first), whole_number(second)
    if least is None or most is None:
        raise ValueError(f"expected <min>:<max> in whole numbers, found {text!r}")
    if most < least:
        raise ValueError(f"its max is below its min: {text!r}")
    return least, most


FLAGS = {item.metadata["flag"]: item for item in fields(ClusterAutoscalerSettings)}

_BUFFERS = "CapacityBuffers are not modelled"
_REQUESTS = "ProvisioningRequests are not modelled"
_NO_TIME = "a simulation takes no virtual time"
REFUSED = {
    "allowed-scheduler-names": "pods of all schedulers are looked at",
    "async-node-groups": "pools are given, none is made",
    "capacity-buffer-controller-enabled": _BUFFERS,
    "capacity-buffer-pod-dry-run-enabled": _BUFFERS,
    "capacity-buffer-pod-injection-enabled": _BUFFERS,
    "capacity-quotas-enabled": "CapacityQuotas are not modelled",
    "check-capacity-batch-processing": _REQUESTS,
    "check-capacity-processor-instance": _REQUESTS,
    "check-capacity-provisioning-request-batch-timebox": _REQUESTS,
    "check-capacity-provisioning-request-max-batch-size": _REQUESTS,
    "cordon-node-before-terminating": "the taint keeps pods away, as by default",
    "drain-priority-config": "pods of all priorities are evicted together",
    "dynamic-node-delete-delay-after-taint-enabled": "node-delete-delay-after-taint is what it is",
    "enable-csi-node-aware-scheduling": "limits of CSINodes are respected where there are any",
    "enable-dynamic-resource-allocation": "templates have no devices of dynamic resources",
    "enable-proactive-scaleup": "replicas that have no pods yet are not looked at",
    "enable-provisioning-requests": _REQUESTS,
    "enforce-node-group-min-size": "pools always grow to their min",
    "estimator": "binpacking is the only one there",
    "fastpath-binpacking-enabled": "it changes how fast the estimate is",
    "feature-gates": "none is modelled",
    "force-delete-failed-nodes": "pools keep their min",
    "force-delete-unregistered-nodes": "machines that do not register are given up",
    "force-ds": "DaemonSet pods that do not fit a template are left out",
    "gpu-total": "limits of the whole cluster are by nodes, cores and memory",
    "grpc-expander-cert": "expanders are Python: module:object",
    "grpc-expander-url": "expanders are Python: module:object",
    "max-binpacking-time": _NO_TIME,
    "max-bulk-soft-taint-time": _NO_TIME,
    "max-empty-bulk-delete": "it is called max-scale-down-parallelism",
    "max-nodegroup-binpacking-duration": _NO_TIME,
    "min-replica-count": "deprecated there",
    "node-deletion-batcher-interval": "nodes are deleted one by one, as by default",
    "node-deletion-candidate-ttl": "taints of candidates do not expire, as by default",
    "nodes": "pools are spec.pools",
    "parallel-scale-up": "one pool grows a scan, as by default",
    "pod-injection-limit": "replicas that have no pods yet are not looked at",
    "provisioning-request-initial-backoff-time": _REQUESTS,
    "provisioning-request-max-backoff-cache-size": _REQUESTS,
    "provisioning-request-max-backoff-time": _REQUESTS,
    "scale-down-candidates-pool-min-count": "all nodes are candidates",
    "scale-down-candidates-pool-ratio": "all nodes are candidates",
    "scale-down-non-empty-candidates-count": "all nodes are candidates",
    "scale-down-simulation-timeout": _NO_TIME,
    "scale-from-unschedulable": "templates are schedulable",
    "scale-up-from-zero": "pools grow whether or not a node is ready, as by default",
    "scheduler-config-file": "constraints are those of the scheduler that runs",
}
"""Flags that change what is decided and are not modelled: why. Those that change nothing are taken and told so."""


def parse_flags(flags: Mapping[str, Any]) -> ClusterAutoscalerSettings:
    """Settings from flags as a person writes them. Raises UnknownFlag, or ValueError '<flag>: <what is wrong>'."""
    values: dict[str, Any] = {}
    for name, value in flags.items():
        item = FLAGS.get(name)
        if name in REFUSED:
            raise ValueError(f"{name} is not modelled: {REFUSED[name]}")
        if item is None:
            raise UnknownFlag(name)
        try:
            values[item.name] = _parse(item.name, item.default, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    made = ClusterAutoscalerSettings(**values)
    for flag, text in (("cores-total", made.cores_total), ("memory-total", made.memory_total)):
        try:
            least_and_most(text)
        except ValueError as error:
            raise ValueError(f"{flag}: {error}") from None
    if made.balancing_label and made.balancing_ignore_label:
        raise ValueError("balancing-label: cannot be combined with balancing-ignore-label")
    return made


def _parse(name: str, default: Any, value: Any) -> Any:
    """By the type of the default. Raises ValueError."""
    if isinstance(default, bool):
        if value in ("true", "false"):
            return value == "true"
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, found {value!r}")
        return value
    if isinstance(default, str):
        if not isinstance(value, str):
            raise ValueError(f"expected text, found {value!r}")
        return value
    if name.endswith("_ns"):
        found = parse_duration(value if isinstance(value, str) else f"{value}s")
        if name == "scan_interval_ns" and found < MS:
            raise ValueError(f"expected 1ms or more, found {value!r}")
        return found
    try:
        number = float(value) if isinstance(default, float) else int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected a number, found {value!r}") from None
    if (
        isinstance(value, bool)
        or not math.isfinite(number)
        or (number < 0 and name != "expendable_pods_priority_cutoff")
    ):
        raise ValueError(f"expected a number from 0, found {value!r}")
    return number
