"""The API server's process stops, and is back recovered from its store."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, RestartApiServer
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.times import SCHEMA, parse_duration


class ApiServerRestart(FaultForm, frozen=True, kw_only=True):
    """The API server is away for `downFor`."""

    down_for: Annotated[str, Meta(description="until it is back", examples=["15s"], extra_json_schema=SCHEMA)] = "5s"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return [RestartApiServer(parse_duration(self.down_for))]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for)
