"""What a waterfall comes to with other constants: each hop by its rule, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.measure.waterfall.hops import Hop, Rule, Waterfall
from harness.measure.waterfall.timers import (
    FIRST_BACKOFF,
    LEASE,
    LONGEST_BACKOFF,
    RESOLUTION,
    SCRAPE,
    SYNC_PERIOD,
    Timers,
)


def predict(fall: Waterfall, before: Timers, after: Timers) -> list[Hop]:
    """The same hops with the timers of `after`. What happens is taken to be the same, only at other times: where other
    hops follow (a node that is back before its pods are evicted), a run shows it."""
    at = fall.start_ns
    out: list[Hop] = []
    for hop in fall.hops:
        end = max(at, _end(hop, at, fall.start_ns, before, after))
        out.append(msgspec.structs.replace(hop, start_ns=at, end_ns=end))
        at = end
    return out


def _end(hop: Hop, at: int, begun: int, before: Timers, after: Timers) -> int:
    match hop.rule:
        case "until":
            return hop.end_ns
        case "wait":
            return at + hop.ns - (before.value_ns(hop.timer) or 0) + (after.value_ns(hop.timer) or 0)
        case "tick":
            first = after.next_tick(hop.of, at - 1 if hop.of == SCRAPE else at)
            return first + (hop.count - 1) * after.period_ns(hop.of)
        case "resync":
            # What was seen is as new as the last scrape before it.
            scraped = before.last_tick(SCRAPE, hop.since_ns)
            seen = after.next_tick(SCRAPE, scraped - before.period_ns(SCRAPE)) + hop.since_ns - scraped
            return at if at >= seen else after.next_tick(hop.of, seen)
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
        if hop.rule in rules or (hop.timer in changed and hop.rule not in ("fixed", "until"))
    ]
