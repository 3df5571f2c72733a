"""The controller manager's process stops, and another one starts with nothing in memory."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, RestartProcess
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.constants import MANAGER
from harness.model.times import SCHEMA, parse_duration


class ControllerManagerOutage(FaultForm, frozen=True, kw_only=True):
    """No controller of Kubernetes' works for `downFor`: nothing is replaced, evicted, rescaled or collected. With a
    standby it is as long as of a scheduler."""

    down_for: Annotated[
        str, Meta(description="until the next one starts", examples=["15s"], extra_json_schema=SCHEMA)
    ] = "30s"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return [RestartProcess(MANAGER, parse_duration(self.down_for))]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for)
