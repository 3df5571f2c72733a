"""What machines are told at power-on, shared by all of them where they do not differ."""

from __future__ import annotations

import msgspec

from harness.engine.component import SECOND
from harness.engine.latency import Latencies
from harness.model.constants import DEFAULTS, Constants
from harness.model.load import LoadCurve
from harness.model.pod_usage import Scrapes

RETRY_FIRST_NS = SECOND
"""Until what the server could not take is said again; it doubles up to the status manager's syncPeriod."""


class Route(msgspec.Struct, frozen=True):
    """Clients on this node that send `curve` to `service` ('namespace/name'); with `ingress`, the name of one in that
    namespace, they ask for `path` of `host`, and wherever the Ingress sends that they are served, or nowhere."""

    service: str
    curve: LoadCurve
    ingress: str = ""
    host: str = ""
    path: str = "/"


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`folded`: the lease stands instead of being renewed one by one. `record_events`: Normal events are told, too.

    `commands`: containers end when the commands of their specs do, where those are known (live clusters only).
    `references`: a ConfigMap, Secret or image that a pod names must be there (live clusters without a scenario).
    `traffic_step_ns`: how often clients look at a load that is changing. `reports_requests`: what pods are sent is told
    whenever it changes, and not only with their CPU usage: somebody scales by it. `scrapes`: when metrics-server asks.
    """

    latencies: Latencies
    constants: Constants = DEFAULTS
    folded: bool = True
    record_events: bool = True
    routes: tuple[Route, ...] = ()
    traffic_step_ns: int = SECOND
    commands: bool = False
    references: bool = False
    reports_requests: bool = False
    scrapes: Scrapes = Scrapes()
