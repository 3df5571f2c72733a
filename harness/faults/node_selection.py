"""Which nodes a fault hits."""

from __future__ import annotations

from random import Random

from harness.faults.fault import FaultForm
from harness.faults.targets import Targets


class NodeSelection(FaultForm, frozen=True, kw_only=True):
    """Which nodes: by `names`, those in a `zone`, those that run most pods of an `app`, or any `count` of all."""

    names: list[str] = []
    zone: str = ""
    app: str = ""
    count: int = 1

    def nodes(self, targets: Targets, rng: Random) -> list[str]:
        if self.names:
            return targets.named(self.names)
        if self.zone:
            return targets.in_zone(self.zone)
        if self.app:
            return targets.running(self.app)[: self.count]
        return targets.drawn(self.count, rng)
