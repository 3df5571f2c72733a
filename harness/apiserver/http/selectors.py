"""Label and field selectors as they come in a query string, parsed once and asked of typed objects.

Source: apimachinery pkg/labels/selector.go, pkg/fields/selector.go; the fields that each kind can be selected by:
pkg/apis/core/v1/conversion.go and the registries' SelectableFields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from harness.model.meta import LabelSelectorRequirement
from harness.model.objects import Kind
from harness.model.status import bad_request


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

    def matches(self, kind: Kind, obj: Any) -> bool:
        labels = obj.metadata.labels
        for requirement in self.labels:
            if not _label_matches(requirement, labels):
                return False
        return all((_FIELDS[kind.kind, field](obj) == value) is equal for field, equal, value in self.fields)


_EVERYTHING = Selector()


def parse(kind: Kind, label_selector: str, field_selector: str) -> Selector:
    """Raises ApiError BadRequest on bad syntax, or on a field that `kind` cannot be selected by."""
    if not label_selector and not field_selector:
        return _EVERYTHING
    fields = parse_fields(field_selector)
    for field, _, _ in fields:
        if (kind.kind, field) not in _FIELDS:
            raise bad_request(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    return Selector(parse_labels(label_selector), fields)


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
            if operator in ("Gt", "Lt") and not match["value"].isdigit():
                raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {match['value']!r}")
            out.append(LabelSelectorRequirement(key=match["key"], operator=operator, values=(match["value"],)))
        else:
            out.append(LabelSelectorRequirement(key=match["key"], operator="Exists"))
    return tuple(out)


def _label_matches(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    if requirement.operator in ("Gt", "Lt"):
        found = labels.get(requirement.key, "")
        if not found.lstrip("-").isdigit():
            return False
        bound = int(requirement.values[0])
        return int(found) > bound if requirement.operator == "Gt" else int(found) < bound
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


Getter = Callable[[Any], str]


def _path(*names: str) -> Getter:
    def read(obj: Any) -> str:
        for name in names:
            obj = getattr(obj, name, None)
            if obj is None:
                return ""
        return str(obj).lower() if isinstance(obj, bool) else str(obj)

    return read


def _raw(*names: str) -> Getter:
    """Of what no type models."""

    def read(obj: Any) -> str:
        found: Any = obj.extra or {}
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return "" if found is None else str(found)

    return read


def _known_fields() -> dict[tuple[str, str], Getter]:
    from harness.model.objects import KINDS

    out: dict[tuple[str, str], Getter] = {}
    for name in KINDS:
        out[name, "metadata.name"] = _path("metadata", "name")
        out[name, "metadata.namespace"] = _path("metadata", "namespace")
    of_pods: dict[str, tuple[str, ...]] = {
        "spec.nodeName": ("spec", "node_name"),
        "spec.restartPolicy": ("spec", "restart_policy"),
        "spec.schedulerName": ("spec", "scheduler_name"),
        "spec.serviceAccountName": ("spec", "service_account_name"),
        "status.phase": ("status", "phase"),
        "status.podIP": ("status", "pod_ip"),
        "status.nominatedNodeName": ("status", "nominated_node_name"),
    }
    for field, attributes in of_pods.items():
        out["Pod", field] = _path(*attributes)
    out["Node", "spec.unschedulable"] = lambda node: "true" if node.spec.unschedulable else "false"
    out["Namespace", "status.phase"] = _path("status", "phase")
    out["Job", "status.successful"] = lambda job: str(job.status.succeeded or 0)
    out["ReplicaSet", "status.replicas"] = lambda rs: str(rs.status.replicas or 0)
    out["Service", "spec.clusterIP"] = _path("spec", "cluster_ip")
    out["Service", "spec.type"] = _path("spec", "type")
    out["Secret", "type"] = _raw("type")
    of_events: dict[str, tuple[str, ...]] = {
        "involvedObject.kind": ("involved_object", "kind"),
        "involvedObject.namespace": ("involved_object", "namespace"),
        "involvedObject.name": ("involved_object", "name"),
        "involvedObject.uid": ("involved_object", "uid"),
        "involvedObject.apiVersion": ("involved_object", "api_version"),
        "involvedObject.resourceVersion": ("involved_object", "resource_version"),
        "involvedObject.fieldPath": ("involved_object", "field_path"),
        "reason": ("reason",),
        "reportingComponent": ("reporting_component",),
        "type": ("type",),
    }
    for field, attributes in of_events.items():
        out["Event", field] = _path(*attributes)
        # events.k8s.io names the same object `regarding`.
        out["Event", field.replace("involvedObject", "regarding")] = out["Event", field]
    out["Event", "source"] = lambda event: event.source.component or event.reporting_component
    out["Event", "reportingController"] = out["Event", "reportingComponent"]
    return out


_FIELDS = _known_fields()
