"""What is wrong, said as field.Error says it. Source: apimachinery pkg/util/validation/field/errors.go."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.model.status import Cause


def _shown(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, separators=(",", ":"))  # as Kubernetes shows them from 1.33 on
    return json.dumps(value) if isinstance(value, (str, bool)) or value is None else str(value)


def required(field: str, why: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def wrong(field: str, value: object, why: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}")


def unsupported(field: str, value: object, known: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in sorted(known))
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}")


def duplicate(field: str, value: object) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def not_there(field: str, value: object) -> Cause:
    return Cause(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def forbidden(field: str, why: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def too_long(field: str, most: int, *, what: str = "bytes") -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {most} {what}")


def immutable(field: str, value: object) -> Cause:
    return wrong(field, value, "field is immutable")


MOST_PODS = 1_000_000
"""Of one workload. Kubernetes takes any int32; a simulated cluster would make pods until there is no memory left."""


def pod_count(found: list[Cause], field: str, value: int | None) -> None:
    """What a workload asks for: not negative, and no more than is modelled."""
    at_least(found, field, value)
    if value is not None and value > MOST_PODS:
        found.append(wrong(field, value, f"more than {MOST_PODS} pods of one workload are not modelled"))


def at_least(found: list[Cause], field: str, value: int | None, least: int = 0) -> None:
    if value is not None and value < least:
        found.append(wrong(field, value, f"must be greater than or equal to {least}"))
