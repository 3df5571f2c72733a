"""What is wrong with an object, each with its field path; nothing wrong gives an empty tuple.

Source: pkg/apis/*/validation and apimachinery pkg/util/validation.
"""

from __future__ import annotations

import re
from typing import Any

from harness.model.core import Pod, PodSpec
from harness.model.objects import Kind
from harness.model.status import Cause

_ANY_PATH_SEGMENT = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def problems(kind: Kind, obj: Any, old: Any, name: str) -> tuple[Cause, ...]:
    """`old`: what it was, None for a new object; `name`: a generated one included."""
    found: list[Cause] = []
    if old is None:
        if not name:
            found.append(required("metadata.name", "name or generateName is required"))
        elif kind.kind in _ANY_PATH_SEGMENT:
            if name in (".", "..") or "/" in name or "%" in name:
                found.append(wrong("metadata.name", name, "may not be '.', '..' or contain '/' or '%'"))
        elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
            found.append(
                wrong(
                    "metadata.name",
                    name,
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
                    "and must start and end with an alphanumeric character",
                )
            )
    if isinstance(obj, Pod):
        spec = obj.spec
        known = _sound.get(id(spec))
        if known is not spec:
            before = len(found)
            found += pod_spec_problems(spec, "spec")
            if len(found) == before:
                if len(_sound) > 4096:
                    _sound.clear()
                _sound[id(spec)] = spec
    return tuple(found)


_sound: dict[int, PodSpec] = {}


def required(field: str, why: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def wrong(field: str, value: object, why: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else value
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")


def pod_spec_problems(spec: PodSpec, path: str) -> list[Cause]:
    found: list[Cause] = []
    if not spec.containers:
        found.append(required(f"{path}.containers"))
    for group, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for index, container in enumerate(containers):
            at = f"{path}.{group}[{index}]"
            if not container.name:
                found.append(required(f"{at}.name"))
            if not container.image:
                found.append(required(f"{at}.image"))
            for resource, amount in container.resources.requests.items():
                if amount.milli < 0:
                    where = f"{at}.resources.requests[{resource}]"
                    found.append(wrong(where, str(amount), "must be greater than or equal to 0"))
                limit = container.resources.limits.get(resource)
                if limit is not None and limit.milli < amount.milli:
                    where = f"{at}.resources.requests[{resource}]"
                    found.append(
                        wrong(where, str(amount), f"must be less than or equal to {resource} limit of {limit}")
                    )
    return found
