"""The cluster autoscaler's flags, under their own names, with its defaults.

Source: kubernetes/autoscaler cluster-autoscaler/main.go and config/const.go (1.32). The default expander is that of
1.34 (config/flags/flags.go): deterministic but for ties, where that of 1.32 draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.engine.component import MINUTE, SECOND
from harness.model.times import parse_duration


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
    max_nodes_total: int = _flag("max-nodes-total", 0)
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
    max_nodes_per_scaleup: int = _flag("max-nodes-per-scaleup", 1000)
    max_total_unready_percentage: float = _flag("max-total-unready-percentage", 45.0)
    ok_total_unready_count: int = _flag("ok-total-unready-count", 3)
    scale_down_enabled: bool = _flag("scale-down-enabled", True)
    scale_down_unready_enabled: bool = _flag("scale-down-unready-enabled", True)
    scale_down_delay_after_add_ns: int = _flag("scale-down-delay-after-add", 10 * MINUTE)
    scale_down_delay_after_delete_ns: int = _flag("scale-down-delay-after-delete", 0)
    scale_down_delay_after_failure_ns: int = _flag("scale-down-delay-after-failure", 3 * MINUTE)
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
    max_graceful_termination_s: int = _flag("max-graceful-termination-sec", 600)
    max_pod_eviction_time_ns: int = _flag("max-pod-eviction-time", 2 * MINUTE)
    daemonset_eviction_for_empty_nodes: bool = _flag("daemonset-eviction-for-empty-nodes", False)
    daemonset_eviction_for_occupied_nodes: bool = _flag("daemonset-eviction-for-occupied-nodes", True)
    skip_nodes_with_system_pods: bool = _flag("skip-nodes-with-system-pods", True)
    skip_nodes_with_local_storage: bool = _flag("skip-nodes-with-local-storage", True)
    skip_nodes_with_custom_controller_pods: bool = _flag("skip-nodes-with-custom-controller-pods", True)


FLAGS = {item.metadata["flag"]: item for item in fields(ClusterAutoscalerSettings)}


def parse_flags(flags: Mapping[str, Any]) -> ClusterAutoscalerSettings:
    """Settings from flags as a person writes them. Raises UnknownFlag, or ValueError '<flag>: <what is wrong>'."""
    values: dict[str, Any] = {}
    for name, value in flags.items():
        item = FLAGS.get(name)
        if item is None:
            raise UnknownFlag(name)
        try:
            values[item.name] = _parse(item.name, item.default, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return ClusterAutoscalerSettings(**values)


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
        return parse_duration(value if isinstance(value, str) else f"{value}s")
    try:
        number = float(value) if isinstance(default, float) else int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected a number, found {value!r}") from None
    if isinstance(value, bool) or (number < 0 and name != "expendable_pods_priority_cutoff"):
        raise ValueError(f"expected a number from 0, found {value!r}")
    return number
