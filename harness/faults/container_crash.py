"""A container's process ends although nobody asked it to."""

from __future__ import annotations

from random import Random

from harness.engine.component import Effect, InjectFault
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.faults import ContainerCrash as Exit


class ContainerCrash(FaultForm, frozen=True, kw_only=True):
    """The containers of `count` pods of an `app`, drawn at random, exit with `exitCode`."""

    app: str
    count: int = 1
    exit_code: int = 137

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        pods = targets.pods_of(self.app)
        chosen = sorted(rng.sample(pods, min(self.count, len(pods))))
        return [InjectFault((node,), Exit(pod=key, exit_code=self.exit_code)) for node, key in chosen]

    def lasts_ns(self) -> int | None:
        return 0
