"""Faults of nodes: a crash, with or without a return, and a freeze."""

from __future__ import annotations

from random import Random

from harness.engine.component import Effect, InjectFault
from harness.faults.world import Form, World
from harness.model.faults import Crash, Freeze, NodeFault
from harness.model.times import parse_duration


class Select(Form, frozen=True, kw_only=True):
    """Which nodes: by `names`, those in a `zone`, those that run most pods of an `app`, or any `count` of all."""

    names: list[str] = []
    zone: str = ""
    app: str = ""
    count: int = 1

    def nodes(self, world: World, rng: Random) -> list[str]:
        if self.names:
            return world.named(self.names)
        if self.zone:
            return world.in_zone(self.zone)
        if self.app:
            return world.running(self.app)[: self.count]
        return world.drawn(self.count, rng)


class NodeCrash(Form, frozen=True, kw_only=True):
    """Power is lost; back after `downFor`, else never."""

    select: Select = Select()
    down_for: str = "0s"

    def effects(self, world: World, rng: Random) -> list[Effect]:
        return _disturb(self.select, world, rng, Crash(parse_duration(self.down_for)))


class NodeFreeze(Form, frozen=True, kw_only=True):
    """Everything stands still `for` so long, then goes on."""

    for_: str
    select: Select = Select()

    def effects(self, world: World, rng: Random) -> list[Effect]:
        return _disturb(self.select, world, rng, Freeze(parse_duration(self.for_)))


def _disturb(select: Select, world: World, rng: Random, fault: NodeFault) -> list[Effect]:
    nodes = select.nodes(world, rng)
    return [InjectFault(tuple(nodes), fault)] if nodes else []
