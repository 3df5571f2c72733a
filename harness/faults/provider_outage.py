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
    """Orders for machines are refused (`quota`), fail for want of machines (`outOfStock`), are answered with an error
    of the provider's API (`error`), never arrive (`silent`) or are `lateBy` late (`late`), `for` so long. It hits all
    pools and NodePools, or those named; and of their machines all, or those of the named zones, instance types and
    capacity types. Just-in-time nodes are then made of another offering, and one that was not to be had is not asked
    for in the next three minutes, as Karpenter does it."""

    of_pools: ClassVar[bool] = True
    pools: Annotated[
        list[str], Meta(description="of these pools or NodePools; without any, of all", examples=[["burst"]])
    ] = []
    zones: Annotated[list[str], Meta(description="machines in these zones alone", examples=[["us-east-1a"]])] = []
    instance_types: Annotated[
        list[str],
        Meta(description="machines of these instance types alone", examples=[["m5.large"]]),
    ] = []
    capacity_types: Annotated[
        list[Literal["on-demand", "spot"]],
        Meta(description="machines that are bought so alone", examples=[["spot"]]),
    ] = []
    does: Annotated[
        Literal["quota", "outOfStock", "error", "silent", "late"],
        Meta(description="what becomes of orders", examples=["outOfStock"]),
    ]
    for_: Annotated[str, Meta(description="how long", examples=["20m"], extra_json_schema=SCHEMA)]
    late_by: Annotated[
        str, Meta(description="so much later machines come", examples=["5m"], extra_json_schema=SCHEMA)
    ] = "10m"

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return [
            DisturbProvider(
                tuple(self.pools),
                self.does,
                parse_duration(self.for_),
                parse_duration(self.late_by),
                tuple(self.zones),
                tuple(self.instance_types),
                tuple(self.capacity_types),
            )
        ]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.for_)
