"""Somebody scales a workload, restarts it, or gives it another image; a rollout is followed to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from harness.engine.component import SECOND, Effect, Update, WakeAt
from harness.faults.action import CONFLICT_RETRY_NS, ActionForm, said
from harness.faults.targets import Targets
from harness.model.core import PodTemplateSpec
from harness.model.status import ApiError
from harness.model.times import SCHEMA, parse_duration
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, time_text

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""Annotation of the pod template. Source: kubectl pkg/polymorphichelpers/objectrestarter.go."""
LOOK_NS = SECOND
"""How often a rollout is looked at."""


class WorkloadChange(ActionForm, frozen=True, kw_only=True):
    """Base of what is done to a controller of pods."""

    name: Annotated[str, Meta(description="name of the workload", examples=["web"])]
    kind: Annotated[
        Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"],
        Meta(description="its kind", examples=["StatefulSet"]),
    ] = "Deployment"
    namespace: Annotated[str, Meta(description="its namespace", examples=["default"])] = "default"
    timeout: Annotated[
        str, Meta(description="after which nobody waits for it any more", examples=["10m"], extra_json_schema=SCHEMA)
    ] = "10m"

    @property
    def watches(self) -> tuple[str, ...]:
        return (self.kind,)

    def change(self, now: int) -> Callable[[Any], Any]:
        """Workload -> workload, as it is to be. Raises ValueError."""
        raise NotImplementedError

    def begin(self, targets: Targets, rng: Random) -> Changing:
        key = f"{self.namespace}/{self.name}"
        return Changing(self.kind, key, self.change, parse_duration(self.timeout))

    def lasts_ns(self) -> int | None:
        return 0


class Scale(WorkloadChange, frozen=True, kw_only=True):
    """A workload gets `replicas`, as by `kubectl scale`, and is waited for."""

    replicas: Annotated[int, Meta(ge=0, description="its new size", examples=[10])]

    def change(self, now: int) -> Callable[[Any], Any]:
        if self.kind == "DaemonSet":
            raise ValueError("a DaemonSet has no replicas")
        return lambda found: replace(found, spec=replace(found.spec, replicas=self.replicas))


class RolloutRestart(WorkloadChange, frozen=True, kw_only=True):
    """Every pod of a workload is made anew, by its strategy: `kubectl rollout restart`."""

    def change(self, now: int) -> Callable[[Any], Any]:
        _check_rollout(self.kind)
        at = {RESTARTED_AT: time_text(now, VIRTUAL_EPOCH_UNIX_NS)}

        def restarted(template: PodTemplateSpec) -> PodTemplateSpec:
            meta = template.metadata
            return replace(template, metadata=replace(meta, annotations={**meta.annotations, **at}))

        return lambda found: _with_template(found, restarted)


class SetImage(WorkloadChange, frozen=True, kw_only=True):
    """A workload's containers get another `image`, all or `container` alone: `kubectl set image`."""

    image: Annotated[str, Meta(min_length=1, description="the new image", examples=["example.com/web:2"])]
    container: Annotated[str, Meta(description="of this container; none: of all", examples=["main"])] = ""

    def change(self, now: int) -> Callable[[Any], Any]:
        _check_rollout(self.kind)

        return lambda found: _with_template(found, lambda template: with_image(template, self.image, self.container))

    def effects(self, targets: Targets, rng: Random) -> Sequence[Effect]:
        """Raises ValueError where the workload has no such container."""
        found = targets.objects.get(self.kind, {}).get(f"{self.namespace}/{self.name}")
        if found is not None and self.container:
            names = [item.name for item in found.spec.template.spec.containers]
            if self.container not in names:
                raise ValueError(f"no container {self.container!r}: {', '.join(names)}")
        return super().effects(targets, rng)


def with_image(template: PodTemplateSpec, image: str, container: str = "") -> PodTemplateSpec:
    """With another image of all its containers, or of this one."""
    containers = tuple(
        replace(item, image=image) if container in ("", item.name) else item for item in template.spec.containers
    )
    return replace(template, spec=replace(template.spec, containers=containers))


def _check_rollout(kind: str) -> None:
    """Raises ValueError."""
    if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        raise ValueError(f"a {kind} does not roll out: Deployment, StatefulSet or DaemonSet")


def _with_template(found: Any, change: Callable[[PodTemplateSpec], PodTemplateSpec]) -> Any:
    return replace(found, spec=replace(found.spec, template=change(found.spec.template)))


class Changing:
    """The write, again after a conflict, and looks whether it has had its effect. Tokens are words."""

    def __init__(self, kind: str, key: str, change: Callable[[int], Callable[[Any], Any]], timeout_ns: int) -> None:
        change(0)  # a wrong field is told at once
        self.done = False
        self.failed: list[str] = []
        self._kind = kind
        self._key = key
        self._change = change
        self._until_ns = timeout_ns
        self._generation = 0

    def start(self, now: int, targets: Targets) -> list[Effect]:
        self._until_ns += now
        written = self._write(now, targets)
        return [*written, said("changed", f"{self._kind} {self._key}")] if written else []

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        if token == "write":
            return self._write(now, targets)
        found = self._found(targets)
        if found is None or self.done:
            self.done = True
            return []
        if (found.metadata.generation or 0) >= self._generation and rolled_out(found):
            self.done = True
            return [said("rolled out", f"{self._kind} {self._key}")]
        if now >= self._until_ns:
            self.done, self.failed = True, ["timed out waiting for the condition"]
            return [said("timed out", f"{self._kind} {self._key}")]
        return [WakeAt(now + LOOK_NS, "look")]

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        if error is not None and error.reason == "Conflict":
            return [WakeAt(now + CONFLICT_RETRY_NS, "write")]
        if error is not None:
            self.done, self.failed = True, [error.message]
            return [said("refused", f"{self._kind} {self._key}", error.message)]
        return [WakeAt(now + LOOK_NS, "look")]

    def _found(self, targets: Targets) -> Any:
        found = targets.objects.get(self._kind, {}).get(self._key)
        return None if found is None or found.metadata.deletion_timestamp is not None else found

    def _write(self, now: int, targets: Targets) -> list[Effect]:
        found = self._found(targets)
        if found is None:
            self.done = True
            return []
        changed = self._change(now)(found)
        self._generation = (found.metadata.generation or 0) + (changed != found)
        return [Update(changed, token="write")]


def rolled_out(found: Any) -> bool:
    """Source: kubectl pkg/polymorphichelpers/rollout_status.go."""
    status, spec = found.status, found.spec
    if (status.observed_generation or 0) < (found.metadata.generation or 0):
        return False
    if hasattr(status, "desired_number_scheduled"):
        wanted = status.desired_number_scheduled or 0
        return (status.updated_number_scheduled or 0) >= wanted and (status.number_available or 0) >= wanted
    wanted = 1 if spec.replicas is None else spec.replicas
    updated = getattr(status, "updated_replicas", None)
    if updated is not None or hasattr(status, "updated_replicas"):
        if (updated or 0) < wanted or (status.replicas or 0) > (updated or 0):
            return False
    elif (status.replicas or 0) != wanted:
        return False
    return (getattr(status, "available_replicas", None) or 0) >= wanted
