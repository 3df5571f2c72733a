"""Kinds about how an API server treats requests: admission webhooks and policies, extension servers, priorities.

None of them has an effect here: nothing that runs in a simulated pod could answer a call. What would change the fate of
a request is refused by name; what Kubernetes itself goes on without when it cannot be reached is kept, with a warning.
Source: pkg/apis/admissionregistration/{v1/defaults.go,validation}, pkg/printers/internalversion/printers.go (1.34);
kube-aggregator pkg/registry/apiservice/etcd.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, part
from harness.apiserver.validation.causes import duplicate, forbidden, required, wrong
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause
from harness.model.wire import Json

_SIDE_EFFECTS = ("None", "NoneOnDryRun")


def _webhooks(obj: Unstructured) -> list[Json]:
    return [item for item in (obj.extra or {}).get("webhooks") or () if isinstance(item, dict)]


def _default_webhooks(obj: Unstructured) -> Unstructured:
    held = _webhooks(obj)
    if not held:
        return obj
    mutating = (obj.extra or {}).get("kind") == "MutatingWebhookConfiguration"
    made = [_completed(item, mutating=mutating) for item in held]
    return obj if made == held else replaced(obj, extra={**(obj.extra or {}), "webhooks": made})


def _completed(webhook: Json, *, mutating: bool) -> Json:
    defaults: Json = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
    defaults |= {"namespaceSelector": {}, "objectSelector": {}} | ({"reinvocationPolicy": "Never"} if mutating else {})
    out = {**defaults, **{name: item for name, item in webhook.items() if item is not None}}
    if rules := out.get("rules"):
        out["rules"] = [{"scope": "*", **rule} for rule in rules]
    service = part(out, "clientConfig", "service")
    if service:
        out["clientConfig"] = {**out["clientConfig"], "service": {"port": 443, **service}}
    return out


def _webhook_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, webhook in enumerate(_webhooks(new)):
        at, name = f"webhooks[{index}]", str(webhook.get("name") or "")
        if not name:
            found.append(required(f"{at}.name"))
        elif name.count(".") < 2:
            found.append(wrong(f"{at}.name", name, "should be a domain with at least three segments separated by dots"))
        if name in seen:
            found.append(duplicate(f"{at}.name", name))
        seen.add(name)
        config = webhook.get("clientConfig") or {}
        if ("url" in config) == ("service" in config):
            found.append(required(f"{at}.clientConfig", "exactly one of url or service is required"))
        if webhook.get("sideEffects") not in _SIDE_EFFECTS:
            found.append(required(f"{at}.sideEffects", "must specify one of None, NoneOnDryRun"))
        if not webhook.get("admissionReviewVersions"):
            found.append(required(f"{at}.admissionReviewVersions", "must specify one of v1, v1beta1"))
        if webhook.get("failurePolicy") != "Ignore":
            why = f"admission webhooks are not modelled, and without {name} its requests would be refused"
            found.append(forbidden(f"{at}.failurePolicy", f"{why}; failurePolicy: Ignore keeps it as an object"))
    return found


def _webhook_warnings(obj: Unstructured) -> list[str]:
    return [
        f"webhook {item.get('name')} is kept and never called: admission webhooks are not modelled"
        for item in _webhooks(obj)
    ]


def _webhook_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or ()), moment.age(created(obj))]


def _policy_warnings(obj: Unstructured) -> list[str]:
    name = obj.metadata.name
    return [f"ValidatingAdmissionPolicy {name} is kept and never evaluated: admission policies are not modelled"]


def _policy_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    of = spec.get("paramKind") or {}
    params = f"{of.get('apiVersion')}/{of.get('kind')}" if of else "<unset>"
    return [name_of(obj), len(spec.get("validations") or ()), params, moment.age(created(obj))]


def _binding_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    of = spec.get("paramRef") or {}
    params = f"{of.get('namespace', '*')}/{of.get('name', '*')}" if of else "<unset>"
    return [name_of(obj), spec.get("policyName", ""), params, moment.age(created(obj))]


def _refused(field: str, why: str) -> Any:
    """A kind of which nothing can be made here."""
    return lambda new, old: [forbidden(field, why)]


def _service_cells(obj: Json, moment: Moment) -> list[Any]:
    conditions = part(obj, "status", "conditions") or ()
    available = next((str(item.get("status")) for item in conditions if item.get("type") == "Available"), "Unknown")
    return [name_of(obj), "Local", available, moment.age(created(obj))]


def _schema_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    level = part(spec, "priorityLevelConfiguration", "name") or ""
    by = part(spec, "distinguisherMethod", "type") or "<none>"
    return [name_of(obj), level, spec.get("matchingPrecedence", 0), by, moment.age(created(obj)), "False"]


def _level_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    shares = part(spec, "limited", "nominalConcurrencyShares")
    queuing = part(spec, "limited", "limitResponse", "queuing") or {}
    queues = [queuing.get(name, "<none>") for name in ("queues", "handSize", "queueLengthLimit")]
    return [
        name_of(obj),
        spec.get("type", ""),
        "<none>" if shares is None else shares,
        *queues,
        moment.age(created(obj)),
    ]


_WEBHOOKS = Table(("Name", "Webhooks", "Age"), _webhook_cells)
_NO_QUEUES = "API Priority and Fairness is not modelled: requests are answered in the order in which they come"

RULES = (
    *(
        KindRules(
            kind=KINDS[name],
            defaults=_default_webhooks,
            validate=_webhook_problems,
            warnings=_webhook_warnings,
            counts_generation=True,
            table=_WEBHOOKS,
        )
        for name in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    ),
    KindRules(
        kind=KINDS["ValidatingAdmissionPolicy"],
        warnings=_policy_warnings,
        counts_generation=True,
        table=Table(("Name", "Validations", "ParamKind", "Age"), _policy_cells),
    ),
    KindRules(
        kind=KINDS["ValidatingAdmissionPolicyBinding"],
        validate=_refused("spec.validationActions", "admission policies are not modelled: no expression is evaluated"),
        table=Table(("Name", "PolicyName", "ParamRef", "Age"), _binding_cells),
    ),
    KindRules(
        kind=KINDS["APIService"],
        counted=False,
        read_only="extension API servers are not modelled: every group is served by this one",
        table=Table(("Name", "Service", "Available", "Age"), _service_cells),
    ),
    KindRules(
        kind=KINDS["FlowSchema"],
        validate=_refused("spec", _NO_QUEUES),
        table=Table(
            ("Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"), _schema_cells
        ),
    ),
    KindRules(
        kind=KINDS["PriorityLevelConfiguration"],
        validate=_refused("spec", _NO_QUEUES),
        table=Table(
            ("Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"), _level_cells
        ),
    ),
)
