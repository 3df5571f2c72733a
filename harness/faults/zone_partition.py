"""A zone is cut off: its nodes reach neither the API server nor other nodes."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, InjectFault
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.faults import Partition
from harness.model.times import SCHEMA, parse_duration


class ZonePartition(FaultForm, frozen=True, kw_only=True):
    """The nodes of a `zone` are cut off `for` so long; their containers run on."""

    zone: Annotated[str, Meta(description="label topology.kubernetes.io/zone of its nodes", examples=["a"])]
    for_: Annotated[str, Meta(description="how long", examples=["4m"], extra_json_schema=SCHEMA)]

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        nodes = targets.in_zone(self.zone)
        fault = Partition(parse_duration(self.for_))
        return [InjectFault(tuple(nodes), fault)] if nodes else []

    def lasts_ns(self) -> int | None:
        return parse_duration(self.for_)
