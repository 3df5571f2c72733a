"""Somebody deletes an object: a Deployment, a Job, a claim, a namespace with all that is in it."""

from __future__ import annotations

from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Delete, Effect
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.errors import UserError, did_you_mean
from harness.model.objects import KINDS


class ObjectDeletion(FaultForm, frozen=True, kw_only=True):
    """The object `name` of a `kind`; `propagation`: Background, Foreground or Orphan, else the kind's default."""

    kind: Annotated[str, Meta(description="kind of the object", examples=["Job"])]
    name: Annotated[str, Meta(description="name of the object", examples=["train"])]
    namespace: Annotated[str, Meta(description="its namespace, where its kind has one", examples=["default"])] = (
        "default"
    )
    propagation: Annotated[
        str,
        Meta(
            description="Background, Foreground or Orphan; none: the kind's default",
            examples=["Foreground"],
            extra_json_schema={"enum": ["", "Background", "Foreground", "Orphan"]},
        ),
    ] = ""

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        known = KINDS.get(self.kind)
        if known is None:
            hint = did_you_mean(self.kind, KINDS)
            raise UserError(f"kind: {self.kind!r} is no kind of object", expected="as Deployment, Pod, Node", hint=hint)
        if self.propagation not in ("", "Background", "Foreground", "Orphan"):
            raise ValueError(f"{self.propagation!r} is no propagation policy")
        namespace = self.namespace if known.namespaced else ""
        return [Delete(self.kind, namespace, self.name, propagation=self.propagation)]

    def lasts_ns(self) -> int | None:
        return 0
