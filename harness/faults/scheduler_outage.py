"""The scheduler's process stops, and another one starts with nothing in memory."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, RestartProcess
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.constants import SCHEDULER
from harness.model.times import SCHEMA, parse_duration


class SchedulerOutage(FaultForm, frozen=True, kw_only=True):
    """Nobody schedules for `downFor`. Where a standby waits for the lease of its leader, that is 13 to 19 s: the lease
    lasts 15 s, is renewed and tried for every 2 s. Source: client-go tools/leaderelection, defaults of 1.32."""

    down_for: Annotated[
        str, Meta(description="until the next one starts", examples=["15s"], extra_json_schema=SCHEMA)
    ] = "30s"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return [RestartProcess(SCHEDULER, parse_duration(self.down_for))]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for)
