"""Ephemeral containers: the one part of a pod's spec that grows while it runs.

Source: pkg/registry/core/pod/strategy.go podEphemeralContainersStrategy; pkg/apis/core/validation
ValidatePodEphemeralContainersUpdate.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import Pod
from harness.model.status import Cause, invalid

FIELD = "ephemeralContainers"


def with_containers(old: Pod, new: Pod) -> Pod:
    """`old` with the ephemeral containers of `new`. Raises ApiError Invalid: one that was there is gone or changed."""
    before: list[Any] = (old.spec.extra or {}).get(FIELD) or []
    after: list[Any] = (new.spec.extra or {}).get(FIELD) or []
    causes: list[Cause] = []
    by_name = {item.get("name"): item for item in after}
    for item in before:
        if item.get("name") not in by_name:
            told = f'Forbidden: existing ephemeral containers "{item.get("name")}" may not be removed'
            causes.append(Cause(f"spec.{FIELD}", "FieldValueForbidden", told))
        elif by_name[item["name"]] != item:
            told = f'Forbidden: existing ephemeral containers "{item["name"]}" may not be changed'
            causes.append(Cause(f"spec.{FIELD}", "FieldValueForbidden", told))
    taken = {container.name for container in (*old.spec.containers, *old.spec.init_containers)}
    for index, item in enumerate(after):
        at = f"spec.{FIELD}[{index}]"
        causes += [
            Cause(f"{at}.{field}", "FieldValueRequired", "Required value")
            for field in ("name", "image")
            if not item.get(field)
        ]
        if item.get("name") in taken:
            causes.append(Cause(f"{at}.name", "FieldValueDuplicate", f'Duplicate value: "{item["name"]}"'))
        taken.add(item.get("name"))
    if causes:
        raise invalid("Pod", old.metadata.name, tuple(causes))
    defaults = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    extra = {**(old.spec.extra or {}), FIELD: [{**defaults, **item} for item in after]}
    return replaced(old, spec=replaced(old.spec, extra=extra))
