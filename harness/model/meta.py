"""Names, labels, owners, selectors and conditions: what every kind shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec.structs import replace

from harness.model.wire import Time, Wire

ApiObject: TypeAlias = Any
"""An object of any kind (a struct of `harness.model.objects.KINDS`): its `metadata` is an ObjectMeta. What else it has
depends on its kind, so that whoever reads a field of it has looked at the kind first."""


class OwnerReference(Wire, frozen=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Wire, frozen=True, kw_only=True):
    name: str = ""
    namespace: str = ""
    generate_name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int | None = None
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """'namespace/name', or 'name' for what belongs to no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def controller(self) -> OwnerReference | None:
        for owner in self.owner_references:
            if owner.controller:
                return owner
        return None


class LabelSelectorRequirement(Wire, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                raise ValueError(f"{self.operator!r} is not a label selector operator")


class LabelSelector(Wire, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """An empty selector matches everything, as in Kubernetes."""
        for key, value in self.match_labels.items():
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self.match_expressions)

    @property
    def empty(self) -> bool:
        return not self.match_labels and not self.match_expressions


class Condition(Wire, frozen=True, kw_only=True):
    type: str
    status: str  # True, False, Unknown
    reason: str = ""
    message: str = ""
    last_transition_time: Time | None = None
    last_heartbeat_time: Time | None = None
    last_update_time: Time | None = None
    observed_generation: int | None = None


def condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    for item in conditions:
        if item.type == kind:
            return item
    return None


def is_ready(conditions: Iterable[Condition]) -> bool:
    """Whether the condition Ready, of a pod or of a node, is True."""
    for item in conditions:
        if item.type == "Ready":
            return item.status == "True"
    return False


def with_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """`new` in place of the one of its type; the transition time stays when the status did not change."""
    out = []
    found = False
    for item in conditions:
        if item.type != new.type:
            out.append(item)
            continue
        found = True
        if item.status == new.status and new.last_transition_time != item.last_transition_time:
            new = replace(new, last_transition_time=item.last_transition_time)
        out.append(new)
    return tuple(out) if found else (*out, new)
