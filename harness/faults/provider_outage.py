"""The provider of machines does not do what it is asked, for a while."""

from __future__ import annotations

from random import Random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from harness.engine.component import DisturbProvider, Effect
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.times import SCHEMA, parse_duration


class ProviderOutage(FaultForm, frozen=True, kw_only=True):
    """Orders for nodes of `pools` are refused (`quota`), fail for want of machines (`outOfStock`), never arrive
    (`silent`) or are `lateBy` late (`late`), `for` so long."""

    of_pools: ClassVar[bool] = True
    pools: Annotated[list[str], Meta(min_length=1, description="of these pools", examples=[["burst"]])]
    does: Annotated[
        Literal["quota", "outOfStock", "silent", "late"],
        Meta(description="what becomes of orders", examples=["outOfStock"]),
    ]
    for_: Annotated[str, Meta(description="how long", examples=["20m"], extra_json_schema=SCHEMA)]
    late_by: Annotated[
        str, Meta(description="so much later machines come", examples=["5m"], extra_json_schema=SCHEMA)
    ] = "10m"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        late_ns = parse_duration(self.late_by)
        return [DisturbProvider(tuple(self.pools), self.does, parse_duration(self.for_), late_ns)]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.for_)
