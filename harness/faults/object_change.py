"""Somebody patches an object: cordons a node, scales, suspends, relabels, narrows a quota."""

from __future__ import annotations

from random import Random
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from harness.apiserver.http.patches.merge import merge_patch
from harness.engine.component import Effect, Update
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model import schema
from harness.model.errors import UserError, did_you_mean
from harness.model.objects import KINDS, from_wire, to_wire


class ObjectChange(FaultForm, frozen=True, kw_only=True):
    """The object `name` of a `kind` gets a JSON merge `patch` (RFC 7386), as by `kubectl patch --type merge`.

    Of pods, those that run. Made again of the newest version where somebody else wrote meanwhile.
    """

    kind: Annotated[str, Meta(description="kind of the object", examples=["Node"])]
    name: Annotated[str, Meta(description="name of the object", examples=["n-0"])]
    namespace: Annotated[str, Meta(description="its namespace, where its kind has one", examples=["default"])] = (
        "default"
    )
    patch: Annotated[
        dict[str, Any], Meta(description="JSON merge patch (RFC 7386)", examples=[{"spec": {"unschedulable": True}}])
    ]

    @property
    def watches(self) -> tuple[str, ...]:
        return (self.kind,)

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        known = KINDS.get(self.kind)
        if known is None:
            hint = did_you_mean(self.kind, KINDS)
            raise UserError(f"kind: {self.kind!r} is no kind of object", expected="as Deployment, Pod, Node", hint=hint)
        for found in schema.walk(known.api_version, self.kind, self.patch):
            if isinstance(found, schema.Problem):
                hint = f", did you mean {found.hint}?" if found.hint else ""
                raise ValueError(f"patch.{found.path}: {found.what}{hint}")
        old = self._found(targets, f"{self.namespace}/{self.name}" if known.namespaced else self.name)
        if old is None:
            return []
        try:
            patched = merge_patch(to_wire(old), self.patch)
            assert isinstance(patched, dict)
            new = from_wire(patched)
        except (ValueError, KeyError) as error:
            raise ValueError(f"patch: {error}") from None
        meta = old.metadata
        kept = replace(new.metadata, uid=meta.uid, resource_version=meta.resource_version)
        return [Update(replace(new, metadata=kept))]

    def _found(self, targets: Targets, key: str) -> Any:
        if self.kind == "Node":
            return targets.nodes.get(key)
        if self.kind == "Pod":
            return next((held[key] for held in targets.pods.values() if key in held), None)
        return targets.objects.get(self.kind, {}).get(key)

    def lasts_ns(self) -> int | None:
        return 0
