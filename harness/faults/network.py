"""Faults of the network: a zone whose nodes reach neither the API server nor other nodes."""

from __future__ import annotations

from random import Random

from harness.engine.component import Effect, InjectFault
from harness.faults.world import Form, World
from harness.model.faults import Partition
from harness.model.times import parse_duration


class ZonePartition(Form, frozen=True, kw_only=True):
    zone: str
    for_: str

    def effects(self, world: World, rng: Random) -> list[Effect]:
        nodes = world.in_zone(self.zone)
        return [InjectFault(tuple(nodes), Partition(parse_duration(self.for_)))] if nodes else []
