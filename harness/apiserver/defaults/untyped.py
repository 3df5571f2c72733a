"""Defaults of what no type models: volumes, environment, probe handlers, and the kinds that are kept whole.

Source: pkg/apis/{core,rbac,networking}/v1/defaults.go. Values are parsed JSON; nothing given is changed, what
has another shape than it should is left for validation and the reader.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

MODE = 0o644
"""Of files in a volume made from an object. Source: core/v1 ConfigMapVolumeSourceDefaultMode."""

_WITH_MODE = ("configMap", "secret", "downwardAPI", "projected")


def volumes(found: Any) -> Any:
    """Every volume has a source, and files from objects have a mode."""
    if not isinstance(found, list):
        return found
    return [_volume(item) if isinstance(item, dict) else item for item in found]


def _volume(volume: Json) -> Json:
    if set(volume) == {"name"}:
        return {**volume, "emptyDir": {}}
    out = dict(volume)
    for field in _WITH_MODE:
        if isinstance(out.get(field), dict):
            out[field] = {"defaultMode": MODE, **out[field]}
    if isinstance(out.get("hostPath"), dict):
        out["hostPath"] = {"type": "", **out["hostPath"]}
    return out


def container(extra: Json) -> Json:
    """Environment variables from fields name the version."""
    env = extra.get("env")
    if not isinstance(env, list):
        return extra
    return {**extra, "env": [_variable(item) if isinstance(item, dict) else item for item in env]}


def _variable(variable: Json) -> Json:
    source = variable.get("valueFrom")
    reference = source.get("fieldRef") if isinstance(source, dict) else None
    if not isinstance(reference, dict) or reference.get("apiVersion"):
        return variable
    return {**variable, "valueFrom": {**source, "fieldRef": {"apiVersion": "v1", **reference}}}  # type: ignore[dict-item]


def handler(extra: Json | None) -> Json | None:
    """Of a probe."""
    if not extra:
        return extra
    if isinstance(extra.get("httpGet"), dict):
        found = extra["httpGet"]
        wanted = {**found, "path": found.get("path") or "/", "scheme": found.get("scheme") or "HTTP"}
        return extra if wanted == found else {**extra, "httpGet": wanted}
    if isinstance(extra.get("grpc"), dict) and "service" not in extra["grpc"]:
        return {**extra, "grpc": {**extra["grpc"], "service": ""}}
    return extra


def service(kind: str, extra: Json) -> Json:
    """`kind`: the service's type."""
    out: Json = {"internalTrafficPolicy": "Cluster"}
    if kind == "ExternalName":
        out = {}
    else:
        out |= {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    if kind in ("NodePort", "LoadBalancer"):
        out["externalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer":
        out["allocateLoadBalancerNodePorts"] = True
    return {**out, **extra}


def _secret(extra: Json) -> Json:
    """stringData is for writing only: it becomes data."""
    out = {**extra, "type": extra.get("type") or "Opaque"}
    text = out.pop("stringData", None)
    if isinstance(text, dict) and text:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
        out["data"] = {**(out.get("data") or {}), **encoded}
    return out


_RBAC = "rbac.authorization.k8s.io"


def _binding(extra: Json) -> Json:
    out = dict(extra)
    if isinstance(out.get("roleRef"), dict):
        out["roleRef"] = {**out["roleRef"], "apiGroup": out["roleRef"].get("apiGroup") or _RBAC}
    if isinstance(out.get("subjects"), list):
        out["subjects"] = [_subject(item) if isinstance(item, dict) else item for item in out["subjects"]]
    return out


def _subject(subject: Json) -> Json:
    if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
        return {**subject, "apiGroup": _RBAC}
    return subject


def _network_policy(extra: Json) -> Json:
    spec = extra.get("spec")
    if not isinstance(spec, dict) or spec.get("policyTypes"):
        return extra
    types = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return {**extra, "spec": {**spec, "policyTypes": types}}


KINDS: dict[str, Callable[[Json], Json]] = {
    "Secret": _secret,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "NetworkPolicy": _network_policy,
}
