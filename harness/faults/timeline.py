"""Faults at given instants, or drawn at a rate: a component like any other, that asks for disturbances."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeAlias

import msgspec

from harness.engine.component import Effect, Event, Instant, Observe, Relist, Start, Timer, WakeAt, Watch
from harness.faults.container import ContainerCrash
from harness.faults.control_plane import ApiServerRestart
from harness.faults.network import ZonePartition
from harness.faults.node import NodeCrash, NodeFreeze
from harness.faults.world import Form, World
from harness.model.errors import UserError, did_you_mean
from harness.model.times import parse_duration

FaultForm: TypeAlias = NodeCrash | NodeFreeze | ZonePartition | ContainerCrash | ApiServerRestart


class Entry(Form, frozen=True, kw_only=True):
    """One fault `at` an instant, or again and again `every` so long on average (exponentially), until the end."""

    at: str | None = None
    every: str | None = None
    node_crash: NodeCrash | None = None
    node_freeze: NodeFreeze | None = None
    zone_partition: ZonePartition | None = None
    container_crash: ContainerCrash | None = None
    api_server_restart: ApiServerRestart | None = None


FAMILIES = ("node_crash", "node_freeze", "zone_partition", "container_crash", "api_server_restart")


class Planned(msgspec.Struct, frozen=True):
    """`at_ns` of the first time; `every_ns` 0: once."""

    at_ns: int
    every_ns: int
    fault: FaultForm


def parse(items: Sequence[Any], where: str = "faults") -> tuple[Planned, ...]:
    """From plain data. Raises UserError naming the entry and what is wrong with it."""
    return tuple(_entry(item, f"{where}[{index}]") for index, item in enumerate(items))


def _entry(item: Any, where: str) -> Planned:
    names = {field.encode_name: field.name for field in msgspec.structs.fields(Entry)}
    if not isinstance(item, dict):
        raise UserError(f"{where}: not a fault", found=repr(item), expected="a mapping with at, and one of " + _known())
    for key in item:
        if key not in names:
            raise UserError(
                f"{where}: unknown key {key!r}", expected=", ".join(names), hint=did_you_mean(str(key), names)
            )
    try:
        entry = msgspec.convert(item, Entry)
    except msgspec.ValidationError as error:
        what, _, path = str(error).rstrip("`").partition(" - at `$")
        raise UserError(f"{where}{path}: {what}") from None
    given = [fault for name in FAMILIES if (fault := getattr(entry, name)) is not None]
    if len(given) != 1:
        raise UserError(f"{where}: one fault an entry", found=str(len(given)), expected="one of " + _known())
    if (entry.at is None) == (entry.every is None):
        raise UserError(f"{where}: when?", expected="either at or every")
    try:
        fault = given[0]
        fault.effects(World(), Random(0))  # its durations are read here, so that a wrong one is told at once
        at = parse_duration(entry.at) if entry.at is not None else 0
        every = parse_duration(entry.every) if entry.every is not None else 0
        for text in (getattr(fault, "for_", "0s"), getattr(fault, "down_for", "0s")):
            parse_duration(text)
    except ValueError as error:
        raise UserError(f"{where}: {error}", expected="durations such as 90s or 10m") from None
    return Planned(at, every, fault)


def _known() -> str:
    return ", ".join(field.encode_name for field in msgspec.structs.fields(Entry) if field.name in FAMILIES)


class Timeline:
    name = "faults"
    watches = ("Node", "Pod")

    def __init__(self, planned: tuple[Planned, ...], rng: Random) -> None:
        self._planned = planned
        self._rng = rng
        self._world = World()
        self._begun = False

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, (Watch, Relist)):
                self._world.hear(event)
            elif isinstance(event, Start) and not self._begun:
                self._begun = True
                for index, planned in enumerate(self._planned):
                    effects.append(WakeAt(planned.at_ns or self._draw(now, planned), index))
            elif isinstance(event, Timer):
                self._strike(now, event.token, effects)
        return effects

    def _draw(self, now: int, planned: Planned) -> int:
        return now + max(1, round(self._rng.expovariate(1.0) * planned.every_ns))

    def _strike(self, now: int, index: int, effects: list[Effect]) -> None:
        planned = self._planned[index]
        struck = planned.fault.effects(self._world, self._rng)
        effects.append(Observe("fault", (index, type(planned.fault).__name__, len(struck))))
        effects.extend(struck)
        if planned.every_ns:
            effects.append(WakeAt(self._draw(now, planned), index))
