"""What autoscalers found and did nothing about, for a record: why nodes stayed, what held autoscalers back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.autoscaling.spells import NotesStays, Spell, Spells
from harness.engine.component import DELETED
from harness.model.workloads import HorizontalPodAutoscaler

COLUMNS = ("kind", "name", "group", "reason", "from_ns", "until_ns")
"""Of `autoscalers.parquet`: a row for each spell. `kind`: Node, of whose pool `group` is the name, or
HorizontalPodAutoscaler, of whose condition it is the type. `until_ns`: -1 for what lasted at the end."""

_USUAL = ("DesiredWithinRange", "ReadyForNewScale", "ValidMetricFound", "SucceededRescale", "SucceededGetScale")
"""Reasons of conditions that hold nothing back."""


class AutoscalerNotes:
    """A fold over the journal: conditions of horizontal autoscalers in which something holds them back. And what node
    autoscalers note from `attach` on; without it they note nothing."""

    kinds = ("HorizontalPodAutoscaler",)

    def __init__(self) -> None:
        self._conditions: dict[str, Spells] = {}  # by type of condition
        self._nodes: list[Spells] = []

    def attach(self, components: Iterable[Any]) -> None:
        for component in components:
            if isinstance(component, NotesStays):
                component.stays = Spells()
                self._nodes.append(component.stays)

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        assert isinstance(obj, HorizontalPodAutoscaler), kind
        key = obj.metadata.key
        if change == DELETED:
            for spells in self._conditions.values():
                spells.tell(at_ns, key, "")
            return
        for item in obj.status.conditions:
            spells = self._conditions.setdefault(item.type, Spells())
            spells.tell(at_ns, key, "" if item.reason in _USUAL else item.reason, item.type)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        """Nothing."""

    def columns(self) -> dict[str, list[Any]]:
        """{} where nothing was noted."""
        found: list[tuple[str, Spell]] = [("Node", spell) for spells in self._nodes for spell in spells.all()]
        for kind in sorted(self._conditions):
            found += [("HorizontalPodAutoscaler", spell) for spell in self._conditions[kind].all()]
        if not found:
            return {}
        rows = [(kind, *spell) for kind, spell in found]
        return {name: list(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
