"""What must hold on every run: a fold that reports what did not.

No node over capacity (as the Occupancy fold sees it), no pod bound twice, none lost, disruption budgets respected by
evictions, and at the end every watcher's view equal to the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.occupancy import Occupancy
from harness.measure.pods import PodLives

MOST = 100
"""Violations that are named; more are only counted."""


class Invariants:
    kinds = ("Pod", "PodDisruptionBudget")

    def __init__(self, lives: PodLives, occupancy: Occupancy) -> None:
        self._lives = lives
        self._occupancy = occupancy
        self.broken: list[str] = []
        self.count = 0

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod" and old is not None and change == "MODIFIED":
            before, after = old.spec.node_name, obj.spec.node_name
            if before and before != after:
                self._say(f"{at_ns / 1e9:.3f}s pod {obj.metadata.key} moved from {before} to {after or 'nowhere'}")
            if old.status.phase in ("Succeeded", "Failed") and obj.status.phase != old.status.phase:
                self._say(f"{at_ns / 1e9:.3f}s pod {obj.metadata.key} was {old.status.phase}, is {obj.status.phase}")
        elif kind == "PodDisruptionBudget" and change == "MODIFIED":
            allowed = obj.status.disruptions_allowed
            if allowed is not None and allowed < 0:
                self._say(f"{at_ns / 1e9:.3f}s budget {obj.metadata.key} is overspent: {allowed}")

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def finish(self, pods: Mapping[str, Any], created: int, differences: Sequence[str]) -> None:
        """At the end. `pods`: the server's, by key. `created`: Pods that the workload asked for and was not refused.
        `differences`: where watchers' views differ from the store."""
        alive = {life.key for life in self._lives.alive.values()}
        for key in sorted(alive ^ set(pods)):
            self._say(f"pod {key} is {'lost: the journal has it' if key in alive else 'there: the journal has it not'}")
        if created > len(self._lives.all):
            self._say(f"{created - len(self._lives.all)} pods of the workload were never seen by the server")
        for text in differences:
            self._say(text)
        for text in self._occupancy.overfull:
            self._say(f"over capacity: {text}")

    def _say(self, text: str) -> None:
        self.count += 1
        if len(self.broken) < MOST:
            self.broken.append(text)
