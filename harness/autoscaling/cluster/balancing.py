"""Pools that are alike, and a scale-up spread over them.

Source: cluster-autoscaler processors/nodegroupset/compare_nodegroups.go and balancing_processor.go (1.32).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, names_of
from harness.autoscaling.pool import POOL_LABEL
from harness.model.core import Node

IGNORED_LABELS = (
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/fluentd-ds-ready",
    "kops.k8s.io/instancegroup",
    POOL_LABEL,  # ours: it tells pools apart, as a provider's own labels do, which its comparator ignores
)


def are_similar(
    one: Node,
    other: Node,
    settings: ClusterAutoscalerSettings,
    taken: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> bool:
    """`taken`: of each, thousandths of CPUs and bytes that DaemonSet pods take."""
    chosen = names_of(settings.balancing_label)
    if chosen:  # nothing else counts. Source: label_nodegroups.go
        mine, theirs = one.metadata.labels, other.metadata.labels
        return all(label in mine and mine[label] == theirs.get(label) for label in chosen)
    a, b = one.status.capacity, other.status.capacity
    if a.keys() != b.keys():
        return False
    for name, amount in a.items():
        ratio = settings.memory_difference_ratio if name == "memory" else 0.0
        if not _within(amount.milli, b[name].milli, ratio):
            return False
    a, b = one.status.allocatable, other.status.allocatable
    if a.keys() != b.keys():
        return False
    if not all(
        _within(amount.milli, b[name].milli, settings.max_allocatable_difference_ratio) for name, amount in a.items()
    ):
        return False
    free = settings.max_free_difference_ratio
    if not all(
        _within(mine, theirs, free) for mine, theirs in zip(_free(one, taken[0]), _free(other, taken[1]), strict=True)
    ):
        return False
    ignored = {*IGNORED_LABELS, *names_of(settings.balancing_ignore_label)}
    return _compared_labels(one, ignored) == _compared_labels(other, ignored)


def balance(pools: Sequence[PoolState], nodes: int) -> list[tuple[PoolState, int]]:
    """(pool, new nodes), the smallest pools first and in the order given; no more than the pools have room for."""
    order = sorted((pool for pool in pools if pool.room > 0), key=lambda pool: pool.size)
    more = {pool.pool.name: 0 for pool in order}
    for _ in range(min(nodes, sum(pool.room for pool in order))):
        open_pools = [pool for pool in order if more[pool.pool.name] < pool.room]
        least = min(open_pools, key=lambda pool: pool.size + more[pool.pool.name])
        more[least.pool.name] += 1
    return [(pool, more[pool.pool.name]) for pool in order if more[pool.pool.name]]


def _within(a: int, b: int, ratio: float) -> bool:
    return max(a, b) - min(a, b) <= max(a, b) * ratio


def _free(node: Node, taken: tuple[int, int]) -> list[int]:
    """Of what a template has, what its DaemonSet pods leave, in thousandths; of devices nobody asks there."""
    there = node.status.allocatable
    used = {"cpu": taken[0], "memory": taken[1] * 1000}
    return [there[name].milli - used.get(name, 0) for name in sorted(there) if name in ("cpu", "memory", "pods")]


def _compared_labels(node: Node, ignored: set[str]) -> dict[str, str]:
    return {key: value for key, value in node.metadata.labels.items() if key not in ignored}
