"""Label and field selectors as they come in a query string, parsed once and asked of typed objects.

Source: apimachinery pkg/labels/selector.go, pkg/fields/selector.go. The fields that a kind can be selected by stand in
its rules (`harness.apiserver.kinds`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from harness.apiserver.kinds import RULES
from harness.apiserver.registry.fields import attribute
from harness.model.meta import ApiObject, LabelSelectorRequirement
from harness.model.objects import Kind
from harness.model.status import bad_request
from harness.model.whole_numbers import whole_number


class Selector(msgspec.Struct, frozen=True):
    """Both selectors of a request; an empty one selects everything."""

    labels: tuple[LabelSelectorRequirement, ...] = ()
    fields: tuple[tuple[str, bool, str], ...] = ()  # (field, equal or not, value)

    @property
    def empty(self) -> bool:
        return not self.labels and not self.fields

    @property
    def name(self) -> str | None:
        """The one name that can match, where the field selector says so."""
        for field, equal, value in self.fields:
            if field == "metadata.name" and equal:
                return value
        return None

    def matches(self, kind: Kind, obj: ApiObject) -> bool:
        labels = obj.metadata.labels
        for requirement in self.labels:
            if not _label_matches(requirement, labels):
                return False
        return all((_getter(kind, field)(obj) == value) is equal for field, equal, value in self.fields)


_EVERYTHING = Selector()
_METADATA = {"metadata.name": attribute("metadata", "name"), "metadata.namespace": attribute("metadata", "namespace")}


def _getter(kind: Kind, field: str) -> Callable[[Any], str]:
    return _METADATA.get(field) or RULES[kind.kind].fields[field]


def parse(kind: Kind, label_selector: str, field_selector: str) -> Selector:
    """Raises ApiError BadRequest on bad syntax, or on a field that `kind` cannot be selected by."""
    if not label_selector and not field_selector:
        return _EVERYTHING
    fields = parse_fields(field_selector)
    for field, _, _ in fields:
        if field not in _METADATA and field not in RULES[kind.kind].fields:
            raise bad_request(_unknown(kind, field))
    return Selector(parse_labels(label_selector), fields)


def _unknown(kind: Kind, field: str) -> str:
    """In the words of the kind's own conversion. Source: pkg/apis/{core,batch}/v1/conversion.go,
    apimachinery pkg/runtime/converter.go DefaultMetaV1FieldSelectorConversion."""
    if kind.kind == "Job":
        return f'field label "{field}" not supported for Job'
    if RULES[kind.kind].fields or kind.wire_name:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>{_KEY})
      | (?P<key>{_KEY})\s*(?:
            (?P<operator>===?|=|!=|>|<)\s*(?P<value>{_VALUE})
          | (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
          | )
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_SET = {"in": "In", "notin": "NotIn"}
_COMPARE = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> tuple[LabelSelectorRequirement, ...]:
    """'a=b,c!=d,e in (x,y),!f'. Raises ApiError BadRequest."""
    out = []
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or match.end() == at:
            raise bad_request(f"unable to parse requirement: {text[at:]!r} in the label selector {text!r}")
        at = match.end()
        if match["absent"]:
            out.append(LabelSelectorRequirement(key=match["absent_key"], operator="DoesNotExist"))
        elif match["set"]:
            values = tuple(sorted(value.strip() for value in match["values"].split(",")))
            out.append(LabelSelectorRequirement(key=match["key"], operator=_SET[match["set"]], values=values))
        elif match["operator"]:
            operator = _COMPARE[match["operator"]]
            if operator in ("Gt", "Lt") and whole_number(match["value"]) is None:
                raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {match['value']!r}")
            out.append(LabelSelectorRequirement(key=match["key"], operator=operator, values=(match["value"],)))
        else:
            out.append(LabelSelectorRequirement(key=match["key"], operator="Exists"))
    return tuple(out)


def _label_matches(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    if requirement.operator in ("Gt", "Lt"):
        text = labels.get(requirement.key, "")
        found, bound = whole_number(text.removeprefix("-")), whole_number(requirement.values[0])
        if found is None or bound is None:
            return False
        found = -found if text.startswith("-") else found
        return found > bound if requirement.operator == "Gt" else found < bound
    return requirement.matches(labels)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[tuple[str, bool, str], ...]:
    r"""'metadata.name=x,status.phase!=Running'; a backslash escapes. Raises ApiError BadRequest."""
    out = []
    for part in re.findall(r"(?:\\.|[^,\\])+", text):
        match = re.match(r"\s*([^=!\s]+)\s*(==|!=|=)(.*)$", part)
        if match is None:
            raise bad_request(f"invalid selector: {part!r}; can't understand {part!r}")
        field, operator, value = match.groups()
        out.append((field, operator != "!=", re.sub(r"\\(.)", r"\1", value)))
    return tuple(out)
