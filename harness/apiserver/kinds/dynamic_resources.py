"""Devices and claims of them, in each version that a kube-scheduler of 1.32 to 1.34 asks for, and their defaults.

Source: pkg/apis/resource/v1/defaults.go, pkg/printers/internalversion/printers.go (Kubernetes 1.34).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, OtherVersion, Table
from harness.apiserver.registry.dynamic_resources import GROUP, from_beta1, to_beta1, versioned
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, part
from harness.model.objects import KINDS, Unstructured
from harness.model.wire import Json

_VERSIONS = (
    OtherVersion(f"{GROUP}/v1beta2", versioned("v1beta2"), versioned("v1")),
    OtherVersion(f"{GROUP}/v1beta1", to_beta1, from_beta1),
)


def _exact(request: Json) -> Json:
    """One device, unless something else is said."""
    out = dict(request)
    for field in ("exactly", "firstAvailable"):
        said = request.get(field)
        if isinstance(said, dict):
            out[field] = _counted(said)
        elif isinstance(said, list):
            out[field] = [_counted(item) if isinstance(item, dict) else item for item in said]
    return out


def _counted(said: Json) -> Json:
    mode = said.get("allocationMode") or "ExactCount"
    more = {"allocationMode": mode} | ({"count": said.get("count") or 1} if mode == "ExactCount" else {})
    return said if said == said | more else {**said, **more}


def _default_spec(spec: Any) -> Any:
    requests = part(spec, "devices", "requests")
    if not isinstance(requests, list):
        return spec
    made = [_exact(item) if isinstance(item, dict) else item for item in requests]
    return spec if made == requests else {**spec, "devices": {**spec["devices"], "requests": made}}


def _default_claim(obj: Unstructured) -> Unstructured:
    body = obj.extra or {}
    spec = _default_spec(body.get("spec"))
    return obj if spec is body.get("spec") else replaced(obj, extra={**body, "spec": spec})


def _default_template(obj: Unstructured) -> Unstructured:
    body = obj.extra or {}
    outer = body.get("spec")
    inner = outer.get("spec") if isinstance(outer, dict) else None
    spec = _default_spec(inner)
    return obj if spec is inner else replaced(obj, extra={**body, "spec": {**(outer or {}), "spec": spec}})


def _claim_state(obj: Json) -> str:
    """Source: printers.go resourceClaimState."""
    states = ["deleted"] if part(obj, "metadata", "deletionTimestamp") else []
    if part(obj, "status", "allocation") is None:
        return ",".join([*states, *([] if states else ["pending"])])
    states.append("allocated")
    if part(obj, "status", "reservedFor"):
        states.append("reserved")
    return ",".join(states)


def _claim_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), _claim_state(obj), moment.age(created(obj))]


def _slice_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    pool = part(spec, "pool", "name") or ""
    return [name_of(obj), spec.get("nodeName") or "<unset>", spec.get("driver", ""), pool, moment.age(created(obj))]


RULES = (
    KindRules(kind=KINDS["DeviceClass"], versions=_VERSIONS),
    KindRules(
        kind=KINDS["ResourceClaim"],
        defaults=_default_claim,
        versions=_VERSIONS,
        table=Table(("Name", "State", "Age"), _claim_cells),
    ),
    KindRules(kind=KINDS["ResourceClaimTemplate"], defaults=_default_template, versions=_VERSIONS),
    KindRules(
        kind=KINDS["ResourceSlice"],
        versions=_VERSIONS,
        table=Table(("Name", "Node", "Driver", "Pool", "Age"), _slice_cells),
    ),
)
