"""What a request says besides its object: options of a write, a deletion or a list, checked before it is done.

Source: apimachinery pkg/apis/meta/v1/validation/validation.go, pkg/apis/meta/internalversion/validation (v0.34).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.apiserver.validation.causes import forbidden, too_long, unsupported, wrong
from harness.model.status import Cause, invalid

LONGEST_MANAGER = 128
"""Bytes of a field manager's name. Source: FieldManagerMaxLength."""

POLICIES = ("Foreground", "Background", "Orphan")
"""Of a deletion, in the order in which Kubernetes lists them."""

OF_VERB = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}
"""The kind of a request's options."""


def refuse(options: str, causes: Iterable[Cause]) -> None:
    """Raises ApiError Invalid where there is a cause. `options`: the kind of them, as DeleteOptions."""
    found = tuple(causes)
    if found:
        raise invalid(options, "", found, "meta.k8s.io")


def is_true(query: Mapping[str, str], name: str) -> bool:
    """A boolean of a query: one that is absent, `0` or `false` is false; any other is true (`True` of a Python client).
    Source: apimachinery pkg/runtime/conversion.go Convert_Slice_string_To_bool."""
    return query.get(name, "false").lower() not in ("0", "false")


def manager_causes(name: str) -> list[Cause]:
    if len(name.encode()) > LONGEST_MANAGER:
        return [too_long("fieldManager", LONGEST_MANAGER)]
    for position, letter in enumerate(name):
        if not letter.isprintable():
            told = f"invalid character U+{ord(letter):04X} (at position {position})"
            return [wrong("fieldManager", name, told)]
    return []


def deletion_causes(options: Mapping[str, Any]) -> list[Cause]:
    """`options`: DeleteOptions, from the body or from the query."""
    causes = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        told = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(wrong("propagationPolicy", policy, told))
    if policy is not None and policy not in POLICIES:
        causes.append(_unsupported("propagationPolicy", policy, (*POLICIES, "nil")))
    causes += dry_run_causes(options.get("dryRun") or ())
    return causes


def dry_run_causes(values: Iterable[str]) -> list[Cause]:
    held = list(values)
    return [] if all(value == "All" for value in held) else [unsupported("dryRun", held, ("All",))]


def list_causes(query: Mapping[str, str], *, watch: bool) -> list[Cause]:
    """Of a list's or a watch's resourceVersionMatch and sendInitialEvents."""
    match, initial = query.get("resourceVersionMatch", ""), query.get("sendInitialEvents")
    if not match and initial is None:
        return []
    causes = []
    of_match = "resourceVersionMatch"
    if watch:
        if initial is not None and match != "NotOlderThan":
            told = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            causes.append(forbidden(of_match, told))
        if match:
            if initial is None:
                told = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                causes.append(forbidden(of_match, told))
            if match != "NotOlderThan":
                causes.append(unsupported(of_match, match, ("NotOlderThan",)))
            if query.get("continue"):
                causes.append(forbidden(of_match, "resourceVersionMatch is forbidden when continue is provided"))
        return causes
    if match:
        version = query.get("resourceVersion", "")
        if not version:
            causes.append(forbidden(of_match, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if query.get("continue"):
            causes.append(forbidden(of_match, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            causes.append(_unsupported(of_match, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            told = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            causes.append(forbidden(of_match, told))
    if initial is not None:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _unsupported(field: str, value: str, known: Iterable[str]) -> Cause:
    """With what is known in the order given, which is Kubernetes' and not the alphabet's."""
    names = ", ".join(f'"{name}"' for name in known)
    return Cause(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {names}')
