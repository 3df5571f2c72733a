"""The reference page of a scenario, generated from its schema: one table per form, one row per field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.experiment.field_notes import DURATION, QUANTITY

_WORDS = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "nothing",
    "array": "list", "object": "mapping",
}  # fmt: skip
_REFERENCE = "Reference"
_OF_UNIT = re.compile(r"text( or (whole number|number) ≥ 0)*( or `0`)?")
_HEAD = ("| field | type | unit | default | example | what it is |", "|---|---|---|---|---|---|")

Schema = dict[str, Any]


def markdown(schema: Schema) -> str:
    """Of `harness.experiment.schema.scenario_schema()`."""
    definitions = schema["definitions"]
    faults = definitions["Fault"]
    of_faults = {name: field for name, field in faults["properties"].items() if "$ref" in field or _refers(field)}
    kinds = {_target(field): name for name, field in of_faults.items()}
    below = {"NodeSelection"} & definitions.keys()
    curves = ("LoadCurve", "MetricSeries", "RateFileForm")
    out = [
        "# The fields of a scenario",
        "",
        "Made from the forms of `harness/experiment/forms.py` by `podyard schema --markdown`. `podyard schema` prints",
        "the same for editors: with `podyard schema > scenario.schema.json` and the line",
        "`# yaml-language-server: $schema=scenario.schema.json` at the top of a scenario they complete and check it.",
        "",
        "A *duration* is text such as `90s`, `1h30m` or `250ms`; a *quantity* is Kubernetes' (`500m`, `16Gi`) or a",
        "number. Wherever below `spec` a value stands, `{name}` may stand for a variable of `spec.variables`.",
        "",
        "## Scenario",
        "",
        *_rows(schema),
        "",
    ]
    skipped = {*kinds, *below, *curves, "Fault", _REFERENCE}
    for name in (item for item in definitions if item not in skipped):
        out += _section(name, definitions[name])
    out += ["## Fault", "", f"An item of `spec.faults`: {faults['description']}.", ""]
    out += [*_rows({**faults, "properties": {k: v for k, v in faults["properties"].items() if k not in of_faults}}), ""]
    for target, name in kinds.items():
        out += _section(name, definitions[target], "###")
    for name in below:
        out += _section(name, definitions[name], "###")
    out += ["## LoadCurve", "", "One of these, or a list of them that are added up.", ""]
    choices = definitions["LoadCurve"]["anyOf"][0]["properties"]
    for name, curve in choices.items():
        if "properties" in curve:
            out += [f"### {name}", "", *_rows(curve), ""]
    out += _section("RateFileForm", definitions["RateFileForm"], "###", title="file")
    out += ["## MetricSeries", "", "As a load curve; a constant may be `{constant: {value: 10}}`, too.", ""]
    return "\n".join(out)


def _section(name: str, schema: Schema, level: str = "##", title: str = "") -> list[str]:
    says = " ".join(schema.get("description", "").split())
    return [f"{level} {title or name}", "", *([says, ""] if says else []), *_rows(schema), ""]


def _rows(schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    yield from _HEAD
    for name, field in schema["properties"].items():
        default = "required" if name in required else _code(field["default"]) if "default" in field else ""
        example = _code(field["examples"][0]) if "examples" in field else ""
        unit = field.get("x-unit", "")
        says = field.get("description", "").removesuffix(f" ({unit})")
        kind = _type(field)
        if unit in (DURATION, QUANTITY):
            kind, unit = _OF_UNIT.sub(unit, kind), ""
        yield f"| `{name}` | {kind} | {unit} | {default} | {example} | {says} |"


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|") if value is not None else "none"


def _type(field: Schema) -> str:
    """The type in words, with its range."""
    if "$ref" in field:
        return _link(_target(field))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"] if value)
    if "anyOf" in field and "type" not in field:
        found = [item for item in field["anyOf"] if _target(item) != _REFERENCE]
        plain = {"type": "string"} in found
        words = [_type(item) for item in found if not (plain and "enum" in item)]
        return " or ".join(word for word in dict.fromkeys(words) if word != "nothing")
    word = _WORDS.get(str(field.get("type")), "anything")
    if word == "list" and field.get("items"):
        return f"list of {_type(field['items'])}"
    if word == "mapping" and field.get("additionalProperties"):
        return f"mapping to {_type(field['additionalProperties'])}"
    limits = [
        f"{sign} {_number(field[key])}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in field
    ]
    return f"{word} {', '.join(limits)}".strip()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _target(field: Schema) -> str:
    for item in (field, *field.get("anyOf", ()), *field.get("allOf", ())):
        if "$ref" in item:
            return str(item["$ref"]).rpartition("/")[2]
    return ""


def _refers(field: Schema) -> bool:
    return bool(_target(field)) and _target(field) != _REFERENCE


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"
