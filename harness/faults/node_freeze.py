"""A node stands still and goes on."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, InjectFault
from harness.faults.fault import FaultForm
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets
from harness.model.faults import Freeze
from harness.model.times import SCHEMA, parse_duration


class NodeFreeze(FaultForm, frozen=True, kw_only=True):
    """Everything stands still `for` so long, then goes on."""

    for_: Annotated[str, Meta(description="how long", examples=["30s"], extra_json_schema=SCHEMA)]
    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"zone": "a"}])] = NodeSelection()

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        nodes = self.select.nodes(targets, rng)
        fault = Freeze(parse_duration(self.for_))
        return [InjectFault(tuple(nodes), fault)] if nodes else []

    def lasts_ns(self) -> int | None:
        return parse_duration(self.for_)
