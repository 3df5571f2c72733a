"""What is wrong with a NodePool, and what of one is not modelled: refused by its name.

Source: kubernetes-sigs/karpenter pkg/apis/v1 nodepool.go (CEL rules), nodeclaim_validation.go, labels.go (1.14).
"""

from __future__ import annotations

import re

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import forbidden, required, unsupported, wrong
from harness.model.cron import parse_cron
from harness.model.karpenter import (
    AWS,
    CAPACITY_TYPE,
    DRIFTED,
    EMPTY,
    HOSTNAME,
    INITIALIZED,
    NEVER,
    NODEPOOL,
    OF_INSTANCE_TYPES,
    ON_DEMAND,
    REGISTERED,
    SPOT,
    UNDERUTILIZED,
    WHEN_EMPTY,
    WHEN_UNDERUTILIZED,
    DisruptionBudget,
    MinValuesRequirement,
    NodeClaim,
    NodePool,
)
from harness.model.status import Cause
from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte")
NUMERIC = ("Gt", "Lt", "Gte", "Lte")
RESTRICTED = (NODEPOOL, HOSTNAME, REGISTERED, INITIALIZED)
"""Labels that Karpenter sets itself. Source: labels.go RestrictedLabels; WellKnownLabels without nodepool."""

_NODES = re.compile(r"(100|[0-9]{1,2})%|[0-9]+")
_SOME, _OR_NEVER = re.compile(r"([0-9]+[smh])+"), re.compile(r"([0-9]+[smh])+|Never")
_MINUTES = re.compile(r"([0-9]+h)?([0-9]+m)?(0s)?")


def node_pool_problems(new: NodePool, old: NodePool | None) -> list[Cause]:
    found: list[Cause] = []
    spec, template = new.spec, new.spec.template.spec
    if spec.replicas is not None:
        found.append(forbidden("spec.replicas", "static capacity (alpha) is not modelled"))
    if spec.weight is not None and not 1 <= spec.weight <= 100:
        found.append(wrong("spec.weight", spec.weight, "must be from 1 to 100"))
    at = "spec.template.spec"
    _requirements(found, template.requirements, f"{at}.requirements")
    _duration(found, template.expire_after, f"{at}.expireAfter", _OR_NEVER)
    _duration(found, template.termination_grace_period, f"{at}.terminationGracePeriod", _SOME)
    for name in new.spec.template.metadata.labels:
        _key(found, name, f"spec.template.metadata.labels[{name}]")
    disruption = spec.disruption
    policies = (WHEN_EMPTY, WHEN_UNDERUTILIZED)
    if disruption.consolidation_policy == "Balanced":
        found.append(forbidden("spec.disruption.consolidationPolicy", "Balanced is not modelled"))
    elif disruption.consolidation_policy not in ("", *policies):
        found.append(unsupported("spec.disruption.consolidationPolicy", disruption.consolidation_policy, policies))
    _duration(found, disruption.consolidate_after or None, "spec.disruption.consolidateAfter", _OR_NEVER)
    for index, budget in enumerate(disruption.budgets or ()):
        _budget(found, budget, f"spec.disruption.budgets[{index}]")
    return found


def node_claim_problems(new: NodeClaim, old: NodeClaim | None) -> list[Cause]:
    found: list[Cause] = []
    # Those that come from a NodePool name it.
    own = tuple(item for item in new.spec.requirements if item.key != NODEPOOL)
    _requirements(found, own, "spec.requirements")
    _duration(found, new.spec.expire_after, "spec.expireAfter", _OR_NEVER)
    _duration(found, new.spec.termination_grace_period, "spec.terminationGracePeriod", _SOME)
    if old is not None and new.spec != old.spec:
        found.append(wrong("spec", "object", "spec is immutable"))
    return found


def _requirements(found: list[Cause], requirements: tuple[MinValuesRequirement, ...], where: str) -> None:
    for index, item in enumerate(requirements):
        at = f"{where}[{index}]"
        _key(found, item.key, f"{at}.key")
        if item.operator not in OPERATORS:
            found.append(unsupported(f"{at}.operator", item.operator, OPERATORS))
        elif item.operator in ("In", "NotIn") and not item.values:
            found.append(required(f"{at}.values", f"operator {item.operator} must have a value defined"))
        elif item.operator in NUMERIC and (len(item.values) != 1 or whole_number(item.values[0]) is None):
            found.append(wrong(f"{at}.values", list(item.values), "must be a single positive integer"))
        if item.min_values is not None:
            if not 1 <= item.min_values <= 50:
                found.append(wrong(f"{at}.minValues", item.min_values, "must be from 1 to 50"))
            elif item.operator == "In" and len(item.values) < item.min_values:
                found.append(wrong(f"{at}.minValues", item.min_values, "there are fewer values than that"))
        if item.key == CAPACITY_TYPE and item.operator == "In":
            known = (ON_DEMAND, SPOT)
            found += [unsupported(f"{at}.values", value, known) for value in item.values if value not in known]


def _key(found: list[Cause], key: str, at: str) -> None:
    problem = names.qualified_problem(key)
    if problem:
        found.append(wrong(at, key, problem))
    elif key in RESTRICTED:
        found.append(wrong(at, key, "label is restricted"))
    elif key.startswith(AWS) and key not in OF_INSTANCE_TYPES:
        found.append(unsupported(at, key, OF_INSTANCE_TYPES))


def _duration(found: list[Cause], text: str | None, at: str, form: re.Pattern[str]) -> None:
    if text is not None and not form.fullmatch(text):
        found.append(wrong(at, text, f"should match '^{form.pattern}$'"))
    elif text is not None and text != NEVER:
        try:
            parse_duration(text)
        except ValueError as error:
            found.append(wrong(at, text, str(error)))


def _budget(found: list[Cause], budget: DisruptionBudget, at: str) -> None:
    if not _NODES.fullmatch(budget.nodes):
        found.append(wrong(f"{at}.nodes", budget.nodes, "must be a number of nodes, or a percentage up to 100%"))
    known = (EMPTY, UNDERUTILIZED, DRIFTED)
    found += [unsupported(f"{at}.reasons", reason, known) for reason in budget.reasons or () if reason not in known]
    if (budget.schedule is None) != (budget.duration is None):
        found.append(wrong(at, budget.schedule or budget.duration, "'schedule' must be set with 'duration'"))
    if budget.schedule is not None:
        try:
            parse_cron(budget.schedule)
        except ValueError as error:
            found.append(wrong(f"{at}.schedule", budget.schedule, str(error)))
    if budget.duration is not None and not (budget.duration and _MINUTES.fullmatch(budget.duration)):
        found.append(wrong(f"{at}.duration", budget.duration, "must be hours and minutes, as 8h or 1h30m"))
