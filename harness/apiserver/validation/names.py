"""The syntax of names, labels, annotations and references. Source: apimachinery pkg/util/validation/validation.go."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from harness.apiserver.validation.causes import required, too_long, unsupported, wrong
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.status import Cause

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all annotations. Source: apimachinery pkg/api/validation TotalAnnotationSizeLimitB."""

_NOT_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NOT_A_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_NOT_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NOT_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_NOT_A_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def is_subdomain(name: str) -> bool:
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def label_problem(name: str) -> str:
    """Why `name` is no DNS label; empty when it is one."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL.fullmatch(name) else _NOT_A_LABEL


def label_1035_problem(name: str) -> str:
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL_1035.fullmatch(name) else _NOT_A_1035


def subdomain_problem(name: str) -> str:
    """Why `name` is no DNS subdomain, as most names are; empty when it is one."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.fullmatch(name) else _NOT_A_SUBDOMAIN


def path_segment_problem(name: str) -> str:
    """Why `name` cannot stand between two slashes of a URL; empty when it can."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    held = next((mark for mark in "/%" if mark in name), "")
    return f"may not contain '{held}'" if held else ""


@lru_cache(maxsize=4096)
def qualified_problem(name: str) -> str:
    """Why `name` is no qualified name (prefix/name); empty when it is."""
    prefix, slash, rest = name.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if "/" in prefix:
        return (
            "a qualified name " + _NOT_QUALIFIED.removeprefix("name part ") + " with an optional DNS subdomain prefix"
        )
    if prefix and not is_subdomain(prefix):
        return "prefix part " + _NOT_A_SUBDOMAIN
    if not rest:
        return "name part must be non-empty"
    if len(rest) > 63:
        return "name part must be no more than 63 characters"
    return "" if _QUALIFIED.fullmatch(rest) else _NOT_QUALIFIED


@lru_cache(maxsize=4096)
def label_value_problem(value: str) -> str:
    if len(value) > 63:
        return "must be no more than 63 characters"
    return "" if not value or _QUALIFIED.fullmatch(value) else _NOT_A_VALUE


def config_key_problem(key: str) -> str:
    """Of a ConfigMap or Secret."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in (".", "..") or key.startswith(".."):
        return "must not be '.', '..' or start with '..'"
    if _CONFIG_KEY.fullmatch(key):
        return ""
    return (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME', "
        " or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )


def port_name_problem(name: str) -> str:
    """An IANA service name."""
    if len(name) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not any("a" <= mark <= "z" for mark in name):
        return "must contain at least one letter (a-z)"
    return "must not contain consecutive hyphens" if "--" in name else ""


def label_problems(labels: Mapping[str, str], path: str) -> list[Cause]:
    found = []
    for key, value in labels.items():
        if why := qualified_problem(key):
            found.append(wrong(path, key, why))
        if why := label_value_problem(value):
            found.append(wrong(path, value, why))
    return found


def meta_problems(
    meta: ObjectMeta, name: str, name_problem: Callable[[str], str] = subdomain_problem, path: str = "metadata"
) -> list[Cause]:
    """`name`: a generated one included."""
    found: list[Cause] = []
    if not name:
        found.append(required(f"{path}.name", "name or generateName is required"))
    elif why := name_problem(name):
        found.append(wrong(f"{path}.name", name, why))
    found += part_problems(meta, path)
    return found


def part_problems(meta: ObjectMeta, path: str = "metadata") -> list[Cause]:
    """Of everything but the name."""
    found = label_problems(meta.labels, f"{path}.labels") if meta.labels else []
    size = 0
    for key, value in meta.annotations.items():
        size += len(key) + len(value)
        if why := qualified_problem(key.lower()):
            found.append(wrong(f"{path}.annotations", key, why))
    if size > ANNOTATIONS_LIMIT:
        found.append(too_long(f"{path}.annotations", ANNOTATIONS_LIMIT))
    for index, finalizer in enumerate(meta.finalizers):
        if why := qualified_problem(finalizer):
            found.append(wrong(f"{path}.finalizers[{index}]", finalizer, why))
    if meta.owner_references:
        found += owner_problems(meta.owner_references, f"{path}.ownerReferences")
    return found


def owner_problems(owners: tuple[OwnerReference, ...], path: str) -> list[Cause]:
    found: list[Cause] = []
    controllers = 0
    for index, owner in enumerate(owners):
        for field, value in (
            ("apiVersion", owner.api_version),
            ("kind", owner.kind),
            ("name", owner.name),
            ("uid", owner.uid),
        ):
            if not value:
                found.append(required(f"{path}[{index}].{field}", "must not be empty"))
        controllers += bool(owner.controller)
    if controllers > 1:
        found.append(
            wrong(path, [owner.name for owner in owners], "Only one reference can have Controller set to true")
        )
    return found


_SELECTOR_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def selector_problems(selector: LabelSelector | None, path: str) -> list[Cause]:
    if selector is None:
        return []
    found = label_problems(selector.match_labels, f"{path}.matchLabels")
    for index, item in enumerate(selector.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        if item.operator not in _SELECTOR_OPERATORS:
            found.append(wrong(f"{at}.operator", item.operator, "not a valid selector operator"))
        elif item.operator in ("In", "NotIn") and not item.values:
            found.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif item.operator in ("Exists", "DoesNotExist") and item.values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(Cause(f"{at}.values", "FieldValueForbidden", f"Forbidden: {why}"))
        if why := qualified_problem(item.key):
            found.append(wrong(f"{at}.key", item.key, why))
        for place, value in enumerate(item.values):
            if why := label_value_problem(value):
                found.append(wrong(f"{at}.values[{place}]", value, why))
    return found


PROTOCOLS = ("TCP", "UDP", "SCTP")


def port_problems(found: list[Cause], field: str, port: int | None, *, least: int = 1) -> None:
    if port is not None and not least <= port <= 65535:
        found.append(wrong(field, port, f"must be between {least} and 65535, inclusive"))


def protocol_problems(found: list[Cause], field: str, protocol: str) -> None:
    if protocol not in PROTOCOLS:
        found.append(unsupported(field, protocol, PROTOCOLS))


def is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
