"""Structural schemas: what a custom resource may hold, its defaults, and what is pruned. Pure functions of JSON.

Source: apiextensions-apiserver pkg/apiserver/schema (pruning, defaulting) and pkg/apiserver/validation; JSON Schema as
OpenAPI v3 knows it. Rules in CEL (x-kubernetes-validations) are not evaluated: a definition that has them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.apiserver.validation.causes import forbidden, required, too_long, unsupported, wrong
from harness.model.status import Cause
from harness.model.wire import Json

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
CEL = "x-kubernetes-validations"

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (type(value) is int) or (isinstance(value, float) and value.is_integer()),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")


# -- the schema itself -------------------------------------------------------------------------------------------------


def schema_problems(schema: Any, path: str, *, root: bool = True, typed: bool = True) -> list[Cause]:
    """Why a schema is not structural, or not served here. `typed` False: within allOf and its like, where a schema says
    something of values and need not name their type."""
    if not isinstance(schema, dict):
        return [wrong(path, schema, "must be an object")]
    found: list[Cause] = []
    kind = schema.get("type")
    if typed and not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        found.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind and (not isinstance(kind, str) or kind not in _TYPES):
        found.append(unsupported(f"{path}.type", kind, tuple(_TYPES)))
    if root and kind and kind != "object":
        found.append(wrong(f"{path}.type", kind, "must be object at the root"))
    if schema.get(CEL):
        found.append(forbidden(f"{path}.{CEL}", "rules in CEL are not evaluated by this cluster"))
    if "$ref" in schema:
        found.append(forbidden(f"{path}.$ref", "$ref is not supported"))
    if schema.get("properties") and isinstance(schema.get("additionalProperties"), (dict, bool)):
        told = "additionalProperties and properties are mutual exclusive"
        found.append(forbidden(f"{path}.additionalProperties", told))
    if schema.get("uniqueItems"):
        told = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(forbidden(f"{path}.uniqueItems", told))
    pattern = schema.get("pattern")
    if pattern and _pattern(pattern) is None:
        found.append(wrong(f"{path}.pattern", pattern, "must be a valid regular expression"))
    if typed and kind == "array" and not schema.get("items"):
        found.append(required(f"{path}.items", "must be specified"))
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get("x-kubernetes-list-map-keys"):
        told = "must not be empty if x-kubernetes-list-type is map"
        found.append(required(f"{path}.x-kubernetes-list-map-keys", told))
    for name, below in (schema.get("properties") or {}).items():
        if root and name == "metadata":
            continue
        found += schema_problems(below, f"{path}.properties[{name}]", root=False, typed=typed)
    for part in ("items", "additionalProperties"):
        below = schema.get(part)
        if below is not None and not (part == "additionalProperties" and isinstance(below, bool)):
            found += schema_problems(below, f"{path}.{part}", root=False, typed=typed)
    for part in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(part) or ()):
            found += schema_problems(below, f"{path}.{part}[{index}]", root=False, typed=False)
    if schema.get("not") is not None:
        found += schema_problems(schema["not"], f"{path}.not", root=False, typed=False)
    return found


def _pattern(text: Any) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except (re.error, TypeError, RecursionError, OverflowError):
        return None


# -- values ------------------------------------------------------------------------------------------------------------


def pruned(value: Any, schema: Json, unknown: list[str], path: str = "", *, root: bool = True) -> Any:
    """Without the fields that the schema does not name, whose paths go to `unknown`."""
    if isinstance(value, dict) and (schema.get("properties") is not None or not schema.get("additionalProperties")):
        if schema.get("type") not in ("object", None):
            return value
        fields = schema.get("properties") or {}
        if schema.get(EMBEDDED) or root:
            fields = {**fields, **{key: {PRESERVE: True} for key in _ROOT_FIELDS}}
        out: Json = {}
        for name, item in value.items():
            at = f"{path}.{name}" if path else name
            if name in fields:
                below = fields[name]
                out[name] = item if root and name in _ROOT_FIELDS else pruned(item, below, unknown, at, root=False)
            elif schema.get(PRESERVE):
                out[name] = item
            else:
                unknown.append(at)
        return out
    more = schema.get("additionalProperties")
    if isinstance(value, dict) and isinstance(more, dict):
        return {name: pruned(item, more, unknown, f"{path}.{name}", root=False) for name, item in value.items()}
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return [pruned(item, items, unknown, f"{path}[{at}]", root=False) for at, item in enumerate(value)]
    return value


def defaulted(value: Any, schema: Json) -> Any:
    """With what the schema says of fields that are missing. A null where none may be counts as missing."""
    if isinstance(value, dict):
        fields = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        out: Json = {}
        for name, item in value.items():
            below = fields.get(name, more if isinstance(more, dict) else {})
            if item is None and "default" in below and not below.get("nullable"):
                continue
            out[name] = defaulted(item, below)
        for name, below in fields.items():
            if name not in out and "default" in below:
                out[name] = defaulted(below["default"], below)
        return out
    if isinstance(value, list):
        return [defaulted(item, schema.get("items") or {}) for item in value]
    return value


def problems(value: Any, schema: Json, path: str = "") -> list[Cause]:
    """What is wrong with a value by its schema, in the words of Kubernetes."""
    found: list[Cause] = []
    if value is None:
        if not schema.get("nullable") and (schema.get("type") or schema.get(INT_OR_STRING)):
            found.append(_mistyped(path, value, schema.get("type") or "integer,string"))
        return found
    if schema.get(INT_OR_STRING):
        if not isinstance(value, str) and type(value) is not int:
            found.append(_mistyped(path, value, "integer,string"))
    elif schema.get("type") and not _TYPES.get(schema["type"], lambda _: True)(value):
        return [_mistyped(path, value, schema["type"])]
    if "enum" in schema and value not in schema["enum"]:
        found.append(unsupported(path, value, tuple(map(str, schema["enum"]))))
    if isinstance(value, str):
        found += _text_problems(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number_problems(value, schema, path)
    elif isinstance(value, list):
        found += _list_problems(value, schema, path)
    elif isinstance(value, dict):
        found += _object_problems(value, schema, path)
    return found + _combination_problems(value, schema, path)


def _mistyped(path: str, value: Any, kind: str) -> Cause:
    found = next((name for name, holds in _TYPES.items() if holds(value)), "null")
    told = f'Invalid value: "{found}": {path or "<root>"} in body must be of type {kind}: "{found}"'
    return Cause(path, "FieldValueTypeInvalid", told)


def _in_body(path: str, value: Any, should: str) -> Cause:
    return wrong(path, value, f"{path} in body should {should}")


def _text_problems(value: str, schema: Json, path: str) -> list[Cause]:
    found = []
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        found.append(too_long(path, schema["maxLength"]))
    if "minLength" in schema and len(value) < schema["minLength"]:
        found.append(_in_body(path, value, f"be at least {schema['minLength']} chars long"))
    pattern = _pattern(schema["pattern"]) if schema.get("pattern") else None
    if pattern is not None and not pattern.search(value):
        found.append(_in_body(path, value, f"match '{schema['pattern']}'"))
    return found


def _number_problems(value: float, schema: Json, path: str) -> list[Cause]:
    found = []
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value < least or (value == least and schema.get("exclusiveMinimum"))):
        more = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        found.append(_in_body(path, value, f"be {more} {least}"))
    if most is not None and (value > most or (value == most and schema.get("exclusiveMaximum"))):
        less = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        found.append(_in_body(path, value, f"be {less} {most}"))
    step = schema.get("multipleOf")
    if step and value % step:
        found.append(_in_body(path, value, f"be a multiple of {step}"))
    return found


def _list_problems(value: list[Any], schema: Json, path: str) -> list[Cause]:
    found = []
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        told = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        found.append(Cause(path, "FieldValueTooMany", told))
    if "minItems" in schema and len(value) < schema["minItems"]:
        found.append(_in_body(path, len(value), f"have at least {schema['minItems']} items"))
    below = schema.get("items") or {}
    for index, item in enumerate(value):
        found += problems(item, below, f"{path}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    kind = schema.get("x-kubernetes-list-type")
    seen: list[Any] = []
    for index, item in enumerate(value) if kind in ("map", "set") else ():
        key = [item.get(name) for name in keys] if isinstance(item, dict) else item
        if key in seen:
            found.append(Cause(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {key!r}"))
        seen.append(key)
    return found


def _object_problems(value: Json, schema: Json, path: str) -> list[Cause]:
    found = []
    fields = schema.get("properties") or {}
    more = schema.get("additionalProperties")
    missing = [name for name in schema.get("required") or () if name not in value]
    found += [required(f"{path}.{name}" if path else name) for name in missing]
    for name, item in value.items():
        below = fields.get(name, more if isinstance(more, dict) else None)
        if below is not None and not (not path and name in _ROOT_FIELDS):
            found += problems(item, below, f"{path}.{name}" if path else name)
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        found.append(_in_body(path, len(value), f"have at most {schema['maxProperties']} properties"))
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        found.append(_in_body(path, len(value), f"have at least {schema['minProperties']} properties"))
    return found


def _combination_problems(value: Any, schema: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for below in schema.get("allOf") or ():
        found += problems(value, below, path)
    some = schema.get("anyOf")
    if some and not any(not problems(value, below, path) for below in some):
        found.append(_in_body(path, value, "match at least one schema (anyOf)"))
    one = schema.get("oneOf")
    if one and sum(not problems(value, below, path) for below in one) != 1:
        found.append(_in_body(path, value, "match exactly one schema (oneOf)"))
    not_ = schema.get("not")
    if not_ and not problems(value, not_, path):
        found.append(_in_body(path, value, "not match the schema (not)"))
    return found
