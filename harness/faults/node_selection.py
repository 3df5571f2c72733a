"""Which nodes a fault hits."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.faults.fault import FaultForm
from harness.faults.targets import Targets


class NodeSelection(FaultForm, frozen=True, kw_only=True):
    """Which nodes: by `names`, those in a `zone`, those with `labels`, those that run most pods of an `app`, or any
    `count` of all."""

    names: Annotated[list[str], Meta(description="by name", examples=[["n-0"]])] = []
    zone: Annotated[str, Meta(description="those of a zone", examples=["a"])] = ""
    labels: Annotated[dict[str, str], Meta(description="those with labels", examples=[{"tier": "web"}])] = {}
    app: Annotated[str, Meta(description="those that run most pods with this label app", examples=["web"])] = ""
    count: Annotated[
        int,
        Meta(
            ge=1,
            description="how many of an app, or of all, drawn at random",
            examples=[2],
            extra_json_schema={"x-unit": "nodes"},
        ),
    ] = 1

    def nodes(self, targets: Targets, rng: Random) -> list[str]:
        if self.names:
            return targets.named(self.names)
        if self.zone:
            return targets.in_zone(self.zone)
        if self.labels:
            return targets.labelled(self.labels)
        if self.app:
            return targets.running(self.app)[: self.count]
        return targets.drawn(self.count, rng)
