"""PriorityClass, PodGroup. Source: pkg/apis/scheduling: validation and v1/defaults.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.priority import SYSTEM_PRIORITIES
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, number
from harness.apiserver.validation.causes import at_least, forbidden, immutable, unsupported
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.status import forbidden as refused
from harness.model.wire import Json
from harness.model.workloads import PodGroup, PriorityClass

HIGHEST_USER_PRIORITY = 1_000_000_000
"""Source: pkg/apis/scheduling/types.go HighestUserDefinablePriority."""


def _defaults(obj: PriorityClass) -> PriorityClass:
    return obj if obj.preemption_policy else replaced(obj, preemption_policy="PreemptLowerPriority")


def _problems(new: PriorityClass, old: PriorityClass | None) -> list[Cause]:
    found: list[Cause] = []
    system = SYSTEM_PRIORITIES.get(new.metadata.name)
    if system is not None:
        # Source: pkg/apis/scheduling/helpers.go IsKnownSystemPriorityClass.
        if new.value != system or new.global_default:
            why = f"value of {new.metadata.name} PriorityClass must be {system}, and it is no global default"
            found.append(forbidden("value", why))
    elif new.metadata.name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only"
        found.append(forbidden("metadata.name", why))
    elif new.value > HIGHEST_USER_PRIORITY:
        why = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        found.append(forbidden("value", why))
    if new.preemption_policy not in (None, "PreemptLowerPriority", "Never"):
        found.append(unsupported("preemptionPolicy", new.preemption_policy, ("Never", "PreemptLowerPriority")))
    if old is not None:
        if new.value != old.value:
            found.append(forbidden("value", "may not be changed in an update."))
        if new.preemption_policy != old.preemption_policy:
            found.append(immutable("preemptionPolicy", new.preemption_policy))
    return found


def _on_delete(obj: PriorityClass) -> PriorityClass:
    """Source: pkg/registry/scheduling/priorityclass/storage/storage.go Delete. Raises ApiError Forbidden."""
    if obj.metadata.name in SYSTEM_PRIORITIES:
        why = "this is a system priority class and cannot be deleted"
        raise refused("priorityclasses.scheduling.k8s.io", obj.metadata.name, why)
    return obj


def _cells(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "value"),
        bool(obj.get("globalDefault")),
        moment.age(created(obj)),
        obj.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


def _complete_wire(data: Json) -> None:
    data.setdefault("value", 0)


def _group_problems(new: PodGroup, old: PodGroup | None) -> list[Cause]:
    found: list[Cause] = []
    at_least(found, "spec.minMember", new.spec.min_member)
    at_least(found, "spec.scheduleTimeoutSeconds", new.spec.schedule_timeout_seconds)
    return found


RULES = (
    KindRules(
        kind=KINDS["PriorityClass"],
        defaults=_defaults,
        validate=_problems,
        counts_generation=True,
        on_delete=_on_delete,
        table=Table(("Name", "Value", "Global-Default", "Age", "PreemptionPolicy"), _cells),
        complete_wire=_complete_wire,
    ),
    KindRules(kind=KINDS["PodGroup"], validate=_group_problems),
)
