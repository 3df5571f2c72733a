"""When a run's metrics-server scrapes: as its constants and its seed have it, for all who must agree on it."""

from __future__ import annotations

from harness.engine.streams import phase_of
from harness.model.constants import Constants
from harness.model.pod_usage import Scrapes


def scrapes_of(seed: int, constants: Constants) -> Scrapes:
    """It was not started together with anything: its phase is drawn from the seed."""
    period_ns = constants.metric_resolution_ns
    phase_ns = phase_of(seed, "metrics-server/phase", period_ns)
    return Scrapes(period_ns, constants.housekeeping_interval_ns, phase_ns)
