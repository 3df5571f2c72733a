"""Somebody changes a Deployment while other things go wrong: another size, another image."""

from __future__ import annotations

from random import Random
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from harness.engine.component import Effect, Update
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.faults.workload_change import with_image
from harness.model.workloads import Deployment


class DeploymentChange(FaultForm, frozen=True, kw_only=True):
    """`replicas` or `image` (of all containers) of the Deployment `name`, written once; `scale` and `setImage` follow
    what comes of it."""

    watches: ClassVar[tuple[str, ...]] = ("Deployment",)
    name: Annotated[str, Meta(description="name of the Deployment", examples=["web"])]
    namespace: Annotated[str, Meta(description="its namespace", examples=["default"])] = "default"
    replicas: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="its new size", examples=[10]),
    ] = None
    image: Annotated[str, Meta(description="new image of all its containers", examples=["example.com/web:2"])] = ""

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        found = targets.objects.get("Deployment", {}).get(f"{self.namespace}/{self.name}")
        if not isinstance(found, Deployment) or found.metadata.deletion_timestamp is not None:
            return []
        spec = found.spec
        if self.replicas is not None:
            spec = replace(spec, replicas=self.replicas)
        if self.image:
            spec = replace(spec, template=with_image(spec.template, self.image))
        # Without a version the change wins over whatever else has been written since it was looked at.
        return [Update(replace(found, metadata=replace(found.metadata, resource_version=""), spec=spec))]

    def lasts_ns(self) -> int | None:
        return 0
