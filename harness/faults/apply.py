"""Somebody applies manifests: what is not there is created, what is there gets the fields that they say."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from harness.apiserver.http.patches.strategic import strategic_patch
from harness.engine.component import Create, Effect, Update, WakeAt
from harness.faults.action import CONFLICT_RETRY_NS, ActionForm, said
from harness.faults.targets import Targets
from harness.model import schema
from harness.model.errors import did_you_mean
from harness.model.objects import KINDS, from_wire, to_wire
from harness.model.status import ApiError


class Apply(ActionForm, frozen=True, kw_only=True):
    """`objects`, or those of `manifests`, are applied in order, as by `kubectl apply`: created, or given the fields
    that they say, lists of containers and the like merged by name, as by a strategic merge patch. What is not said
    stays, also what an earlier version of the same file had said."""

    manifests: Annotated[
        list[str], Meta(description="files of Kubernetes objects, instead of objects", examples=[["v2.yaml"]])
    ] = []
    objects: Annotated[
        list[Any],
        Meta(description="Kubernetes objects, as in a manifest",
             examples=[[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}]]),
    ] = []  # fmt: skip

    @property
    def watches(self) -> tuple[str, ...]:
        kinds = (item.get("kind") for item in self.objects if isinstance(item, dict))
        return tuple(dict.fromkeys(kind for kind in kinds if isinstance(kind, str) and kind in KINDS))

    def begin(self, targets: Targets, rng: Random) -> Applying:
        if not self.objects:
            raise ValueError("nothing to apply: objects, or manifests")
        return Applying([_read(item, index) for index, item in enumerate(self.objects)], self.objects)


def _read(item: Any, index: int) -> Any:
    """Raises ValueError."""
    where = f"objects[{index}]"
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise ValueError(f"{where}: expected apiVersion, kind, metadata")
    kind = KINDS.get(item["kind"])
    if kind is None:
        raise ValueError(
            f"{where}.kind: {item['kind']!r} is no kind of object; {did_you_mean(item['kind'], KINDS) or ''}"
        )
    if item.get("apiVersion") != kind.api_version:
        raise ValueError(f"{where}.apiVersion: expected {kind.api_version}")
    for found in schema.walk(kind.api_version, kind.kind, item):
        if isinstance(found, schema.Problem):
            hint = f", did you mean {found.hint}?" if found.hint else ""
            raise ValueError(f"{where}.{found.path}: {found.what}{hint}")
    obj = from_wire(item)
    if not obj.metadata.name:
        raise ValueError(f"{where}.metadata.name is missing")
    if kind.namespaced and not obj.metadata.namespace:
        obj = replace(obj, metadata=replace(obj.metadata, namespace="default"))
    return obj


class Applying:
    """One object after the other. Tokens: the object's place in the list."""

    def __init__(self, objects: Sequence[Any], texts: Sequence[Any]) -> None:
        self.failed: list[str] = []
        self._objects = objects
        self._texts = texts
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._objects)

    def start(self, now: int, targets: Targets) -> list[Effect]:
        return [] if self.done else self._apply(targets)

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        return self.start(now, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        if error is not None and error.reason in ("Conflict", "AlreadyExists"):
            return [WakeAt(now + CONFLICT_RETRY_NS, self._at)]
        text = self._texts[self._at]
        about = f"{text['kind']} {self._objects[self._at].metadata.key}"
        out: list[Effect] = [
            said("applied" if error is None else "refused", about, "" if error is None else error.message)
        ]
        if error is not None:
            self.failed.append(f"{about}: {error.message}")
        self._at += 1
        return [*out, *self.start(now, targets)]

    def _apply(self, targets: Targets) -> list[Effect]:
        new, text = self._objects[self._at], self._texts[self._at]
        old = targets.objects.get(text["kind"], {}).get(new.metadata.key)
        if text["kind"] == "Node":
            old = targets.nodes.get(new.metadata.name)
        if old is None:
            return [Create(new, token=self._at)]
        patched = from_wire(strategic_patch(to_wire(old), text, text["kind"]))
        meta = replace(patched.metadata, uid=old.metadata.uid, resource_version=old.metadata.resource_version)
        return [Update(replace(patched, metadata=meta), token=self._at)]
