"""The store is lost, and restored from a backup: what happened since the backup was taken has not happened."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, RestoreSnapshot, TakeSnapshot
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.times import SCHEMA, parse_duration


class EtcdRestore(FaultForm, frozen=True, kw_only=True):
    """etcd is restored from a snapshot that is `age` old; the API server is away for `downFor` meanwhile. Revisions go
    on from where they were, every watch expires, controllers and kubelets list anew: pods that were bound since are
    unbound, and killed by their kubelets; what was deleted since is there again. Nodes that have joined since register
    again, those that have left are deleted."""

    age: Annotated[
        str, Meta(description="the snapshot was taken so long before", examples=["5m"], extra_json_schema=SCHEMA)
    ] = "5m"
    down_for: Annotated[
        str, Meta(description="until the API server is back", examples=["60s"], extra_json_schema=SCHEMA)
    ] = "30s"

    @property
    def prepares_ns(self) -> int:
        """So long before its instant there is something to be done: the snapshot is taken."""
        age = parse_duration(self.age)
        if not age:
            raise ValueError("age: a snapshot is taken before it is restored, found 0s")
        return age

    def prepared(self, name: str) -> list[Effect]:
        return [TakeSnapshot(name)]

    def of_prepared(self, name: str) -> list[Effect]:
        """What it does with what was prepared under that name."""
        return [RestoreSnapshot(name, parse_duration(self.down_for))]

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        return self.of_prepared("")

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for)
