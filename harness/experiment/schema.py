"""The JSON Schema of a scenario, made from its forms: what an editor completes and checks.

It is draft 7, which editors know best. What it refuses the loader refuses, too; the loader knows more (files that are
not there, sums that do not fit).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

import msgspec

from harness.autoscaling.policy import NODE_POLICIES
from harness.cluster.controllers import CONTROLLERS
from harness.experiment import forms
from harness.experiment.constants import defaults
from harness.experiment.field_notes import DURATION, QUANTITY, note_of
from harness.experiment.scenario import API_VERSION, KIND
from harness.faults.registry import FAULTS
from harness.jobs.registry import STRATEGIES as ROUND_STRATEGIES
from harness.measure.registry import catalogue
from harness.model import quantity, times
from harness.model.constants import TABLE
from harness.model.errors import UserError
from harness.scheduling.registry import STRATEGIES
from workloads.generators.load import FORMS, RATE

DRAFT = "http://json-schema.org/draft-07/schema#"
_AT = "#/definitions/{name}"
_REFERENCE = {"$ref": "#/definitions/Reference"}
_MODULE = {"type": "string", "pattern": ":"}
_TAINTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

Schema = dict[str, Any]


def shipped_forms() -> list[type[forms.Form]]:
    """Every form of a scenario, in the order in which they are written."""
    found = [kind for kind in vars(forms).values() if isinstance(kind, type) and issubclass(kind, forms.Form)]
    return [kind for kind in found if kind is not forms.Form]


def fault_forms() -> dict[str, type[Any]]:
    """The forms of registered faults by name, but for those that do not load."""
    found = {}
    for name in FAULTS.names():
        try:
            found[name] = FAULTS.load(name)
        except UserError:
            continue
    return found


def scenario_schema() -> Schema:
    """As plain data. Names of what is installed (strategies, controllers, faults, measures) are those of this
    installation."""
    faults = fault_forms()
    of_faults, nodes = _of_faults(faults)
    _, made = msgspec.json.schema_components(shipped_forms(), ref_template=_AT)
    for form in shipped_forms():
        _noted(form, made[form.__name__])
    _narrowed(made)
    root = made.pop("Scenario")
    outside = {name: made.pop(name) for name in ("Metadata",)}
    curves = {
        "LoadCurve": _curves(made["RateFileForm"], value=False),
        "MetricSeries": _curves(made["RateFileForm"], value=True),
    }
    inside = {**made, **nodes, **curves, "Fault": of_faults}
    variables = inside["Spec"]["properties"].pop("variables")
    inside = {name: _referring(schema) for name, schema in inside.items()}
    inside["Spec"]["properties"]["variables"] = variables
    return {
        "$schema": DRAFT,
        "title": "Podyard scenario",
        **root,
        "definitions": {**outside, **inside, "Reference": _reference()},
    }


def _reference() -> Schema:
    return {
        "description": "a variable of spec.variables, as {name}",
        "anyOf": [
            {"type": "string", "pattern": r"\{[A-Za-z_][\w-]*\}"},
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "null"}},
        ],
    }


def _noted(form: type[forms.Form], schema: Schema) -> None:
    for name, field in schema["properties"].items():
        note = note_of(form, name)
        field = {**field, **_made_default(form, name)}
        schema["properties"][name] = described(field, note.says, note.unit, note.example)


def _made_default(form: type[forms.Form], name: str) -> Schema:
    """Of a field whose default is made anew each time; JSON Schema's maker leaves it out."""
    field = next(item for item in msgspec.structs.fields(form) if item.encode_name == name)
    return {} if field.default_factory is msgspec.NODEFAULT else {"default": field.default_factory()}


def described(field: Schema, says: str, unit: str, example: Any) -> Schema:
    """With the sentence, the unit and an example; texts of a duration or a quantity with their pattern."""
    if unit == DURATION:
        field = _patterned(field, times.PATTERN)
    elif unit == QUANTITY:
        field = _patterned(field, quantity.PATTERN)
    return {
        **field,
        "description": f"{says} ({unit})" if unit else says,
        "examples": [example],
        **({"x-unit": unit} if unit else {}),
    }


def _patterned(field: Schema, pattern: str) -> Schema:
    """Texts with the pattern, and numbers that are not negative."""
    field = {key: _below(key, value, pattern) for key, value in field.items()}
    if field.get("type") == "string":
        return {**field, "pattern": pattern}
    if field.get("type") in ("integer", "number"):
        return {"minimum": 0, **field}
    return field


def _below(key: str, value: Any, pattern: str) -> Any:
    if key == "anyOf":
        return [_patterned(item, pattern) for item in value]
    return _patterned(value, pattern) if key in ("items", "additionalProperties") and isinstance(value, dict) else value


def _narrowed(made: Schema) -> None:
    """What the loader asks for beyond the types."""
    fields = {name: schema["properties"] for name, schema in made.items()}
    fields["Scenario"]["apiVersion"]["const"] = API_VERSION
    fields["Scenario"]["kind"]["const"] = KIND
    fields["Metadata"]["name"]["pattern"] = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
    fields["TraceTasks"]["mode"]["enum"] = ["departures", "fill"]
    fields["TaintForm"]["effect"]["enum"] = list(_TAINTS)
    bare = [name for name in get_args(forms.Distribution) if name in ("exponential", "deterministic")]
    for form in ("ServiceTasks", "ClientTasks"):
        fields[form]["serviceTime"]["anyOf"] = [
            {"$ref": _AT.format(name="ServiceTimeForm")},
            {"type": "string", "enum": bare},
        ]
        fields[form]["load"]["$ref"] = _AT.format(name="LoadCurve")
    fields["MetricForm"]["series"]["$ref"] = _AT.format(name="MetricSeries")
    spec = fields["Spec"]
    spec["schedulers"] |= {"minItems": 1, "items": _named({*STRATEGIES.names(), *ROUND_STRATEGIES.names()})}
    spec["controllers"]["items"] = _named({"*", *(sign + name for sign in ("", "-") for name in CONTROLLERS.names())})
    spec["autoscaler"] |= _named(NODE_POLICIES.names())
    spec["measures"]["items"] = _MODULE
    spec["faults"]["items"] = {"$ref": _AT.format(name="Fault")}
    value = spec["constants"].pop("additionalProperties")
    spec["constants"] |= {
        "properties": {name: {**value, "description": _decides(name, text)} for name, text in defaults().items()},
        "additionalProperties": False,
    }
    values = spec["variables"]["additionalProperties"]
    values["minItems"] = 1
    spec["variables"] |= {"propertyNames": {"pattern": r"^(?!seed$)[A-Za-z_][\w-]*$"}}
    paths = [measure.path for measure in catalogue() if "*" not in measure.path]
    fields["Gate"]["metric"] |= _named(paths)
    fields["CompareForm"]["primary"]["items"] = _named(paths)
    for form in ("NodeSource", "TaskSource"):
        made[form]["oneOf"] = [_given(name) for name in fields[form]]
    made["Gate"]["anyOf"] = [_given("atLeast"), _given("atMost")]
    made["LatencyForm"]["anyOf"] = [_given("constant"), _given("median", "p99"), _given("samples")]


def _decides(name: str, default: str) -> str:
    told = TABLE[name].decides if name in TABLE else "of the cluster autoscaler"
    return f"{told}; default {default}"


def _named(known: Collection[str]) -> Schema:
    """Completed from what is installed here, with the versions' numbers left out, too; it may be another."""
    names = {*known, *(re.sub(r"-v[0-9]+$", "", name) for name in known)}
    return {"anyOf": [{"type": "string", "enum": sorted(names)}, {"type": "string"}]}


def _given(*names: str) -> Schema:
    """Says all of these, and none of them is null."""
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


def _of_faults(faults: Mapping[str, type[Any]]) -> tuple[Schema, Schema]:
    """(an entry of spec.faults, the definitions of what is in it)."""
    fields: Schema = {
        "at": _time("the instant at which it happens"),
        "every": _time("on average so long between two of them, drawn exponentially; 1s or more"),
        "until": _time("none of `every` from then on; without it until the end"),
    }
    definitions: Schema = {}
    for name, kind in faults.items():
        try:
            (found,), below = msgspec.json.schema_components([kind], ref_template=_AT)
        except TypeError:  # a type of somebody else's that JSON Schema has no word for
            found, below = {}, {}
        fields[name] = {"description": (kind.__doc__ or "").strip(), **found}
        definitions |= below
    once = {**_given("at"), "not": {"anyOf": [{"required": ["every"]}, {"required": ["until"]}]}}
    again = {**_given("every"), "not": {"anyOf": [{"required": ["at"]}, {"required": ["until"]}]}}
    ending = {**_given("every", "until"), "not": {"required": ["at"]}}
    entry = {
        "type": "object",
        "description": "one fault, `at` an instant or again and again (`every`, `until`)",
        "properties": fields,
        "patternProperties": {":": {"description": "a fault of somebody else's, as module:object"}},
        "additionalProperties": False,
        "oneOf": [
            {**once, "minProperties": 2, "maxProperties": 2},
            {**again, "minProperties": 2, "maxProperties": 2},
            {**ending, "minProperties": 3, "maxProperties": 3},
        ],
    }
    return entry, definitions


def _time(says: str) -> Schema:
    return described({"type": "string"}, says, DURATION, "2m")


def _curves(file: Schema, value: bool) -> Schema:
    """A load curve, or a list of them; `value`: a constant may have a value in place of a rate."""
    kinds: Schema = {}
    for kind, (demanded, optional) in FORMS.items():
        fields: Schema = {
            name: _rate(name) if meaning == RATE else _instant(name) for name, meaning in demanded.items()
        }
        fields |= {name: {**_instant(name), "default": times.duration_text(ns)} for name, ns in optional.items()}
        kinds[kind] = {
            "type": "object",
            "properties": fields,
            "required": list(demanded),
            "additionalProperties": False,
        }
    if value:
        kinds["constant"]["properties"]["value"] = _rate("value")
        kinds["constant"] |= {"required": [], "anyOf": [{"required": ["rps"]}, {"required": ["value"]}]}
    kinds["file"] = {"$ref": _AT.format(name="RateFileForm"), "description": file["description"]}
    name = "MetricSeries" if value else "LoadCurve"
    return {
        "description": "values over time; of a list they are added up",
        "anyOf": [
            {
                "type": "object",
                "properties": kinds,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
            {"type": "array", "minItems": 1, "items": {"$ref": _AT.format(name=name)}},
        ],
    }


_CURVES = {
    "rps": "the rate",
    "value": "the value",
    "start": "when the change begins",
    "end": "when it has ended",
    "from": "the rate up to `start`",
    "to": "the rate from `end` on",
    "at": "when the rate changes",
    "before": "the rate up to then",
    "after": "the rate from then on",
    "base": "the rate before and after",
    "peak": "the rate at its highest",
    "rise": "from `base` to `peak`",
    "hold": "how long the peak lasts",
    "fall": "from `peak` back to `base`",
    "low": "the lowest rate of a period",
    "high": "the highest rate of a period",
    "period": "from one lowest rate to the next",
    "lowestAt": "when the rate is lowest",
}
"""What each field of a load curve is; instants count from the load's beginning."""


def _rate(name: str) -> Schema:
    schema = {"type": "number", "minimum": 0, "exclusiveMaximum": 1e12}
    return described(schema, _CURVES[name], RATE, 400)


def _instant(name: str) -> Schema:
    schema = {"anyOf": [{"type": "string", "pattern": times.PATTERN}, {"const": 0}]}
    return {**schema, "description": _CURVES[name], "examples": ["5m"], "x-unit": DURATION}


def _referring(schema: Schema) -> Schema:
    """A variable may stand wherever a value does."""
    out = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in out:
            out[key] = {name: _value(field) for name, field in out[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _value(out[key])
    if "anyOf" in out and "properties" not in out:
        out["anyOf"] = [_referring(item) for item in out["anyOf"]]
    return out


def _value(field: Schema) -> Schema:
    if any(_is_scalar(item) for item in _choices(field)):
        told: Schema = {key: field[key] for key in ("description", "default", "examples", "x-unit") if key in field}
        rest = {key: value for key, value in field.items() if key not in told}
        alone = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
        return {**told, "anyOf": [*(_referring(item) for item in alone), _REFERENCE]}
    return _referring(field)


def _choices(field: Schema) -> Iterator[Schema]:
    yield field
    for item in field.get("anyOf", ()):
        yield from _choices(item)


def _is_scalar(field: Schema) -> bool:
    return field.get("type") in ("string", "integer", "number", "boolean") or "enum" in field or "const" in field
