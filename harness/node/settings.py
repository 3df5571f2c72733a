"""What machines are told at power-on, shared by all of them where they do not differ."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from harness.engine.component import SECOND
from harness.engine.latency import Latencies

LEASE_DURATION_S = 40
"""Source: KubeletConfiguration nodeLeaseDurationSeconds, 40."""

LEASE_RENEWAL_NS = 10 * SECOND
"""Source: kubelet renews at a quarter of the duration (nodelease: renewIntervalFraction 0.25)."""

NODE_STATUS_NS = 10 * SECOND
"""How often the kubelet compares its node's status with what it knows. Source: KubeletConfiguration
nodeStatusUpdateFrequency, 10s."""

METRICS_NS = 15 * SECOND
"""Source: metrics-server --metric-resolution, 15s."""

RETRY_FIRST_NS, RETRY_MOST_NS = SECOND, 10 * SECOND
"""Until what the server could not take is said again, doubling. Source: the status manager's syncPeriod, 10 s."""


class LoadCurve(Protocol):
    """What clients send: see workloads.generators.load."""

    def rate_milli_rps(self, t_ns: int) -> int: ...

    def next_change_ns(self, t_ns: int) -> int | None: ...


class Route(msgspec.Struct, frozen=True):
    """Clients on this node that send `curve` to `service` ('namespace/name')."""

    service: str
    curve: Any


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`folded`: the lease stands instead of being renewed one by one. `record_events`: Normal events are told, too.

    `traffic_step_ns`: how often clients look at a load that is changing.
    """

    latencies: Latencies
    folded: bool = True
    record_events: bool = True
    routes: tuple[Route, ...] = ()
    traffic_step_ns: int = SECOND
