"""Which nodes a fault hits."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.faults.fault import FaultForm
from harness.faults.targets import Targets


class NodeSelection(FaultForm, frozen=True, kw_only=True):
    """Which nodes: by `names`, those in a `zone`, those with `labels`, those that run most pods of an `app`, or any
    `count` of all. With `count`, so many of a zone's or of those with the labels, drawn at random."""

    names: Annotated[list[str], Meta(description="by name", examples=[["n-0"]])] = []
    zone: Annotated[str, Meta(description="those of a zone", examples=["a"])] = ""
    labels: Annotated[dict[str, str], Meta(description="those with labels", examples=[{"tier": "web"}])] = {}
    app: Annotated[str, Meta(description="those that run most pods with this label app", examples=["web"])] = ""
    count: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="how many, drawn at random (of an app, those that run most of it); none: 1 of an app or of all "
            "nodes, all of a zone or of those with the labels",
            examples=[2],
            extra_json_schema={"x-unit": "nodes"},
        ),
    ] = None

    def __post_init__(self) -> None:
        ways = [name for name in ("names", "zone", "labels", "app") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"nodes are selected in one way, not by {' and '.join(ways)}")
        if self.names and self.count is not None:
            raise ValueError("names say which nodes, so count says nothing beside them")

    def nodes(self, targets: Targets, rng: Random) -> list[str]:
        if self.names:
            return targets.named(self.names)
        if self.app:
            return targets.first(targets.running(self.app), self.count or 1)
        if self.zone or self.labels:
            found = targets.in_zone(self.zone) if self.zone else targets.labelled(self.labels)
            return found if self.count is None else targets.sample(found, self.count, rng)
        return targets.drawn(self.count or 1, rng)

    def most(self, targets: Targets) -> int | None:
        """As many as can match at most, whatever runs where; None where no number is asked for."""
        if self.count is None:
            return None
        if self.zone:
            return len(targets.in_zone(self.zone))
        return len(targets.labelled(self.labels) if self.labels else targets.to_draw())
