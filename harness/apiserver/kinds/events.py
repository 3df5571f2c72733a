"""Event, in both of its versions. Source: pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, OtherVersion, Table
from harness.apiserver.registry.fields import attribute
from harness.apiserver.registry.table_cells import Moment, name_of
from harness.apiserver.validation.causes import wrong
from harness.model.core import Event
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json


def _event_problems(new: Event, old: Event | None) -> list[Cause]:
    about = new.involved_object.namespace or "default"
    if new.metadata.namespace and new.metadata.namespace != about:
        return [wrong("involvedObject.namespace", new.involved_object.namespace, "does not match event.namespace")]
    return []


def _cells(obj: Json, moment: Moment) -> list[Any]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        moment.age(last),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        moment.age(first),
        obj.get("count") or obj.get("deprecatedCount") or 1,
        name_of(obj),
    ]


_V1_AND_EVENTS_V1: tuple[tuple[str, str, Any], ...] = (
    ("eventTime", "eventTime", None),
    ("involvedObject", "regarding", {}),
    ("message", "note", ""),
    ("reason", "reason", ""),
    ("type", "type", ""),
    ("action", "action", ""),
    ("reportingComponent", "reportingController", ""),
    ("reportingInstance", "reportingInstance", ""),
    ("source", "deprecatedSource", {}),
    ("count", "deprecatedCount", None),
    ("firstTimestamp", "deprecatedFirstTimestamp", None),
    ("lastTimestamp", "deprecatedLastTimestamp", None),
    ("series", "series", None),
    ("related", "related", None),
)
"""A field's name in v1 and in events.k8s.io/v1, and what it is where it is absent or null.
Source: pkg/apis/events/v1 conversion.go (1.32)."""


def _to_events_v1(obj: Json) -> Json:
    out: Json = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": obj.get("metadata") or {}}
    for old, new, absent in _V1_AND_EVENTS_V1:
        out[new] = obj.get(old) or absent
    if out["eventTime"] is None and obj.get("firstTimestamp"):
        # Clients refuse an event of this version without a time.
        out["eventTime"] = obj["firstTimestamp"].replace("Z", ".000000Z")
    return {name: value for name, value in out.items() if value not in (None, "")}


def _from_events_v1(obj: Json) -> Json:
    out: Json = {"apiVersion": "v1", "kind": "Event", "metadata": obj.get("metadata") or {}}
    for old, new, absent in _V1_AND_EVENTS_V1:
        out[old] = obj.get(new) or absent
    return {name: value for name, value in out.items() if value not in (None, "")}


_COLUMNS = (
    "Last Seen", "Type", "Reason", "Object", "Subobject*", "Source*", "Message", "First Seen*", "Count*", "Name*",
)  # fmt: skip

_FIELDS = {
    "reason": attribute("reason"),
    "reportingComponent": attribute("reporting_component"),
    "reportingController": attribute("reporting_component"),
    "type": attribute("type"),
    "source": lambda event: event.source.component or event.reporting_component,
}
for _name in ("kind", "namespace", "name", "uid", "api_version", "resource_version", "field_path"):
    _first, *_rest = _name.split("_")
    _camel = _first + "".join(word.title() for word in _rest)
    # events.k8s.io names the same object `regarding`.
    _FIELDS[f"involvedObject.{_camel}"] = _FIELDS[f"regarding.{_camel}"] = attribute("involved_object", _name)


RULES = (
    KindRules(
        kind=KINDS["Event"],
        validate=_event_problems,
        counted=False,
        table=Table(_COLUMNS, _cells),
        fields=_FIELDS,
        versions=(OtherVersion("events.k8s.io/v1", _to_events_v1, _from_events_v1),),
    ),
)
