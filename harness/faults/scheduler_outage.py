"""The scheduler's process stops, and another one starts with nothing in memory; or its watches break."""

from __future__ import annotations

from typing import ClassVar

from harness.faults.process_outage import ProcessOutage
from harness.model.constants import SCHEDULER


class SchedulerOutage(ProcessOutage, frozen=True, kw_only=True):
    """Nobody schedules for `downFor`. Where a standby waits for the lease of its leader, that is 13 to 19 s: the lease
    lasts 15 s, is renewed and tried for every 2 s. Source: client-go tools/leaderelection, defaults of 1.32."""

    stops: ClassVar[str] = SCHEDULER
