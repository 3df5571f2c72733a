"""A container's process ends although nobody asked it to."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, InjectFault
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.faults import ContainerCrash as Exit


class ContainerCrash(FaultForm, frozen=True, kw_only=True):
    """The containers of `count` pods of an `app`, drawn at random, exit with `exitCode`."""

    app: Annotated[str, Meta(description="label app of the pods", examples=["web"])]
    count: Annotated[
        int, Meta(ge=1, description="pods that are hit", examples=[2], extra_json_schema={"x-unit": "pods"})
    ] = 1
    exit_code: Annotated[int, Meta(ge=0, le=255, description="code that the containers exit with", examples=[137])] = (
        137
    )

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        chosen = targets.sample(targets.pods_of(self.app), self.count, rng)
        return [InjectFault((node,), Exit(pod=key, exit_code=self.exit_code)) for node, key in chosen]

    def lasts_ns(self) -> int | None:
        return 0
