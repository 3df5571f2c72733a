"""Somebody deletes an object: a Deployment, a Job, a claim, a namespace with all that is in it."""

from __future__ import annotations

from random import Random

from harness.engine.component import Delete, Effect
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.objects import KINDS


class ObjectDeletion(FaultForm, frozen=True, kw_only=True):
    """The object `name` of a `kind`; `propagation`: Background, Foreground or Orphan, else the kind's default."""

    kind: str
    name: str
    namespace: str = "default"
    propagation: str = ""

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        known = KINDS.get(self.kind)
        if known is None:
            raise ValueError(f"{self.kind!r} is no kind of object")
        if self.propagation not in ("", "Background", "Foreground", "Orphan"):
            raise ValueError(f"{self.propagation!r} is no propagation policy")
        namespace = self.namespace if known.namespaced else ""
        return [Delete(self.kind, namespace, self.name, propagation=self.propagation)]

    def lasts_ns(self) -> int | None:
        return 0
