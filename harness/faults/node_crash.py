"""A node loses power, with or without a return."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, InjectFault
from harness.faults.fault import FaultForm
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets
from harness.model.faults import Crash
from harness.model.times import SCHEMA, parse_duration


class NodeCrash(FaultForm, frozen=True, kw_only=True):
    """Power is lost; back after `downFor`, else never."""

    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"app": "web"}])] = NodeSelection()
    down_for: Annotated[
        str, Meta(description="until power is back; 0s: never", examples=["10m"], extra_json_schema=SCHEMA)
    ] = "0s"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        nodes = self.select.nodes(targets, rng)
        fault = Crash(parse_duration(self.down_for))
        return [InjectFault(tuple(nodes), fault)] if nodes else []

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for) or None
