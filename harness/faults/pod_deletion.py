"""Somebody deletes pods."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Delete, Effect
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets


class PodDeletion(FaultForm, frozen=True, kw_only=True):
    """`count` running pods of an `app`, drawn at random, are deleted with `graceSeconds`, else with their own."""

    app: Annotated[str, Meta(description="label app of the pods", examples=["web"])]
    count: Annotated[
        int, Meta(ge=1, description="pods that are deleted", examples=[2], extra_json_schema={"x-unit": "pods"})
    ] = 1
    grace_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="time to end in; none: the pod's own", examples=[0], extra_json_schema={"x-unit": "seconds"}),
    ] = None

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        chosen = targets.sample(targets.pods_of(self.app), self.count, rng)
        out: list[Effect] = []
        for _, key in chosen:
            namespace, _, name = key.partition("/")
            out.append(Delete("Pod", namespace, name, grace_s=self.grace_seconds))
        return out

    def lasts_ns(self) -> int | None:
        return 0
