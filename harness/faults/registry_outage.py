"""Images cannot be pulled, for a while."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal

from msgspec import Meta

from harness.engine.component import DisturbRegistry, Effect
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.times import SCHEMA, parse_duration


class RegistryOutage(FaultForm, frozen=True, kw_only=True):
    """Pulls fail `for` so long, of all images or of those whose names match: the registry answers with errors
    (`unavailable`), does not have the image (`notFound`), lets nobody in (`denied`), or has had too many requests
    (`rateLimit`). Images that are on a node's disk are there, unless their container says `imagePullPolicy: Always`;
    a pull that is under way goes on. Pods wait in ErrImagePull and ImagePullBackOff, as long as a kubelet has them
    wait."""

    images: Annotated[
        list[str],
        Meta(description="shell patterns of images as pods name them; without any, all", examples=[["shop/web:2.*"]]),
    ] = []
    does: Annotated[
        Literal["unavailable", "notFound", "denied", "rateLimit"],
        Meta(description="what the registry answers", examples=["notFound"]),
    ] = "unavailable"
    for_: Annotated[str, Meta(description="how long", examples=["20m"], extra_json_schema=SCHEMA)]

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return [DisturbRegistry(tuple(self.images), self.does, parse_duration(self.for_))]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.for_)
