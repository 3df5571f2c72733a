"""What a waterfall comes to with other constants: each hop by its rule, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from harness.measure.waterfall.away import SOON_NS
from harness.measure.waterfall.hops import Hop, Rule, Waterfall
from harness.measure.waterfall.timers import (
    FIRST_BACKOFF,
    HOUSEKEEPING,
    LEASE,
    LONGEST_BACKOFF,
    PLEG,
    RELIST,
    RESOLUTION,
    SCALER,
    SCRAPE,
    SECOND,
    SYNC_PERIOD,
    Timers,
)
from harness.model.constants import doubts


def predict(fall: Waterfall, before: Timers, after: Timers) -> list[Hop]:
    """The same hops with the timers of `after`. What happens is taken to be the same, only at other times: where other
    hops follow (a node that is back before its pods are evicted), a run shows it."""
    return _predicted(fall.hops, fall.start_ns, before, after)


def _predicted(hops: Sequence[Hop], start_ns: int, before: Timers, after: Timers) -> list[Hop]:
    at = start_ns
    out: list[Hop] = []
    moved: dict[str, int] = {}  # the end of a hop by its name: how much later
    for hop in hops:
        if hop.rule == "since":
            end = max(at, hop.end_ns + moved[hop.of])
        else:
            end = max(at, _end(hop, at, start_ns, before, after))
        out.append(msgspec.structs.replace(hop, start_ns=at, end_ns=end))
        moved[hop.name] = end - hop.end_ns
        at = end
    return out


def follows(fall: Waterfall, others: Sequence[Waterfall], changed: Iterable[str]) -> str:
    """Why a scale-up is not predicted that comes while one before it goes on, '' where that does not matter: how many
    replicas that one had made, and what they used when the autoscaler looked, decides about it."""
    if fall.kind != "scale-up":
        return ""
    target = fall.title.partition(" ")[0]
    for other in others:
        if other.number >= fall.number or other.title.partition(" ")[0] != target or other.end_ns <= fall.start_ns:
            continue
        for name in changed:
            if name in LOOKS:
                return f"how {name} bears on the scale-ups before it is not predicted"
    return ""


def refusal(fall: Waterfall, hops: Sequence[Hop], before: Timers, after: Timers, changed: Iterable[str]) -> str:
    """Why `hops`, as predicted, cannot be what comes with the timers of `after`, '' where they can: another chain of
    hops follows, or the rule by which a constant bears on it is none that is known here."""
    told = doubts(after.constants)
    if told:
        return "healthy nodes would be NotReady: " + told[0].partition(": ")[0]
    for name in changed:
        if name in UNPREDICTED[fall.kind] or any(hop.timer == name and hop.rule == "fixed" for hop in fall.hops):
            return f"how {name} bears on it is not predicted"
        if name in BEFORE_NODES and any(hop.name == "pool decision" for hop in hops):
            return f"how {name} bears on which nodes are bought, and when, is not predicted"
    if not before.value_ns(PLEG) and after.value_ns(PLEG):
        return f"without {PLEG} its record does not say what waits for it"
    ends: dict[str, int] = {}
    for hop in hops:
        ends[hop.name] = hop.end_ns
    for bound in fall.bounds:
        at = after.noticed_ns(bound.node, fall.start_ns) if bound.node else ends.get(bound.hop, fall.start_ns)
        at += after.value_ns(bound.timer) or 0
        if (at < bound.at_ns) != bound.before:
            return bound.why
    return _other_order(fall, hops, before, after)


def _other_order(fall: Waterfall, hops: Sequence[Hop], before: Timers, after: Timers) -> str:
    """Of several pods another may become the last, and of several nodes another the first to be tainted."""
    if fall.unended or not hops:
        return ""
    ways = [_predicted(way, fall.start_ns, before, after) for way in fall.ways if way]
    if any(way[-1].end_ns > hops[-1].end_ns + SOON_NS for way in ways):
        return "another of its pods would be the last to be served"
    rate = before.constants.node_eviction_rate
    turn_ns = round(SECOND / rate) if rate > 0 else 0
    if _gaps(fall.ways, turn_ns) != _gaps(ways, turn_ns):
        return "whose turn for the taint it is, in its zone, would be another"
    return ""


def _gaps(ways: Iterable[Sequence[Hop]], turn_ns: int) -> list[tuple[str, int]]:
    """Nodes in the order in which they are seen to be NotReady, and how long after the one before them, where that is
    sooner than another may be tainted; in whole tenths of a second."""
    seen: dict[str, int] = {}
    for way in ways:
        node = next((hop.of for hop in way if hop.rule == "grace"), "")
        if node:
            seen[node] = next((hop.end_ns for hop in way if hop.name == "NotReady written"), way[-1].end_ns)
    order = sorted(seen.items(), key=lambda item: (item[1], item[0]))
    apart = [(node, at - before) for (_, before), (node, at) in pairwise(order)]
    return [(node, round(gap, -8)) for node, gap in apart if gap < turn_ns]


def _end(hop: Hop, at: int, begun: int, before: Timers, after: Timers) -> int:
    match hop.rule:
        case "until":
            return hop.end_ns
        case "wait":
            return at + hop.ns - (before.value_ns(hop.timer) or 0) + (after.value_ns(hop.timer) or 0)
        case "tick":
            if not after.period_ns(hop.of):
                return at
            first = after.next_tick(hop.of, at - 1 if hop.of == SCRAPE or hop.of.startswith(RELIST) else at)
            return first + (hop.count - 1) * after.period_ns(hop.of)
        case "resync":
            # What was seen is as new as the last scrape before it.
            scraped = before.last_tick(SCRAPE, hop.since_ns)
            seen = after.next_tick(SCRAPE, scraped - before.period_ns(SCRAPE)) + hop.since_ns - scraped
            return at if at > seen else after.next_tick(hop.of, seen)  # what comes at that instant is not seen yet
        case "renewal" | "grace":
            renewed = hop.since_ns
            if before.last_renewal(hop.of, begun) == renewed:
                renewed = after.last_renewal(hop.of, begun)
            over = renewed + after.constants.node_monitor_grace_period_ns
            return over if hop.rule == "grace" else min(over, renewed + after.constants.lease_renewal_ns)
        case "backoff":
            return at - (hop.start_ns - hop.since_ns) + after.backoff_ns(hop.count)
        case _:
            return at + hop.ns


UNPREDICTED: Mapping[str, frozenset[str]] = {
    "recovery": frozenset(
        {
            "node-eviction-rate", "secondary-node-eviction-rate", "unhealthy-zone-threshold",
            "large-cluster-size-threshold", "initialCrashLoopBackOff", "maxContainerRestartPeriod", "minSyncPeriod",
            "gcCheckPeriod", "quarantineTime", "DefaultJobPodFailureBackOff", "MaxJobPodFailureBackOff", "baseDelay",
            "maxDelay", "pod-max-in-unschedulable-pods-duration", "syncPeriod", "default-not-ready-toleration-seconds",
            "endpointslice-updates-batch-period",
        }
    ),
    "scale-up": frozenset(
        {
            "horizontal-pod-autoscaler-tolerance", "horizontal-pod-autoscaler-downscale-stabilization",
            "horizontal-pod-autoscaler-cpu-initialization-period",
            "horizontal-pod-autoscaler-initial-readiness-delay", "HPAScaleToZero", "minSyncPeriod", "baseDelay",
            "maxDelay", "pod-max-in-unschedulable-pods-duration", "endpointslice-updates-batch-period",
        }
    ),
}  # fmt: skip
"""Constants whose bearing on a chain is more than when a hop of it ends: how many replicas there are, which node's turn
it is, what is tried again. A run shows it."""

LOOKS = frozenset({SYNC_PERIOD, RESOLUTION, HOUSEKEEPING})
"""When an autoscaler looks, and how old what it sees is."""

BEFORE_NODES = frozenset(
    {
        "expander", "frequent-loops-enabled", "bypassed-scheduler-names", "max-nodes-total", "max-node-provision-time",
        "initial-node-group-backoff-duration", "max-node-group-backoff-duration", "node-group-backoff-reset-timeout",
        "balance-similar-node-groups", "memory-difference-ratio", "max-free-difference-ratio",
        "max-allocatable-difference-ratio", "expendable-pods-priority-cutoff", "new-pod-scale-up-delay",
        "balancing-label", "balancing-ignore-label", "startup-taint", "startup-taint-prefix", "status-taint",
        "ignore-taint", "max-node-startup-time", "max-nodes-per-scaleup", "max-total-unready-percentage",
        "ok-total-unready-count", "cores-total", "memory-total",
    }
)  # fmt: skip
"""Flags of cluster-autoscaler that decide which pools grow, when and by how much, and from when on a pod counts."""

ELSEWHERE = frozenset(
    {
        "record-duplicated-events", "scale-down-enabled", "scale-down-unready-enabled", "scale-down-delay-after-add",
        "scale-down-delay-after-delete", "scale-down-delay-after-failure", "scale-down-unneeded-time",
        "scale-down-unready-time", "scale-down-utilization-threshold", "scale-down-gpu-utilization-threshold",
        "ignore-daemonsets-utilization", "ignore-mirror-pods-utilization", "unremovable-node-recheck-timeout",
        "max-scale-down-parallelism", "max-drain-parallelism", "max-bulk-soft-taint-count",
        "node-delete-delay-after-taint", "node-deletion-delay-timeout", "max-graceful-termination-sec",
        "max-pod-eviction-time", "daemonset-eviction-for-empty-nodes", "daemonset-eviction-for-occupied-nodes",
        "skip-nodes-with-system-pods", "skip-nodes-with-local-storage", "skip-nodes-with-custom-controller-pods",
        "blocking-system-pod-distruption-timeout", "scale-down-delay-type-local",
    }
)  # fmt: skip
"""Its flags that bear on which nodes are taken away, and on Events: no hop of a chain waits for one of these."""

DEPENDS: Mapping[str, tuple[Rule, ...]] = {
    LEASE: ("renewal", "grace"),
    SYNC_PERIOD: ("resync",),
    RESOLUTION: ("resync",),
    "nodeLeaseRenewIntervalFraction": ("renewal", "grace"),
    FIRST_BACKOFF: ("backoff",),
    LONGEST_BACKOFF: ("backoff",),
}
"""Rules that a constant bears on besides the hops that it is the timer of."""


def depending(fall: Waterfall, changed: set[str]) -> list[str]:
    """Names of the hops that are predicted to depend on one of these constants."""
    rules = {rule for name in changed for rule in DEPENDS.get(name, ())}
    return [
        hop.name
        for hop in fall.hops
        if hop.rule in rules
        or (hop.timer in changed and hop.rule not in ("fixed", "until"))
        or (hop.rule == "tick" and hop.of == SCALER and SYNC_PERIOD in changed)
    ]
