"""The OpenAPI v3 schemas of all kinds, made of the table of fields and, where a kind is not in it, of its type.

Source of the form: kubernetes.io/docs/concepts/overview/kubernetes-api (OpenAPI v3) and
docs/reference/using-api/server-side-apply (x-kubernetes-list-type, -list-map-keys, -map-type).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from harness.apiserver.http.resources import Resource
from harness.model.field_table import SET, Marks, field_marks, kind_messages, messages
from harness.model.objects import Unstructured
from harness.model.quantity import Quantity
from harness.model.wire import Json, MicroTime, Time, Wire

REFERENCE = "#/components/schemas/"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_META_MESSAGES = frozenset({
    "Condition", "DeleteOptions", "FieldSelectorRequirement", "LabelSelector", "LabelSelectorRequirement", "ListMeta",
    "ManagedFieldsEntry", "ObjectMeta", "OwnerReference", "Preconditions",
})  # fmt: skip

_SCALARS: dict[str, tuple[str, Json]] = {
    "s": ("", {"type": "string"}),
    "b": ("", {"type": "boolean"}),
    "i": ("", {"type": "integer", "format": "int32"}),
    "l": ("", {"type": "integer", "format": "int64"}),
    "d": ("", {"type": "number", "format": "double"}),
    "B": ("", {"type": "string", "format": "byte"}),
    "ExtraValue": ("", {"type": "array", "items": {"type": "string"}}),
    "Quantity": (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        {"description": "An amount, as 250m, 2 or 1.5Gi.", "oneOf": [{"type": "string"}, {"type": "number"}]},
    ),
    "IntOrString": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {
            "description": "A number or a text.",
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        },
    ),
    "Time": (f"{_META}Time", {"description": "An RFC 3339 time.", "format": "date-time", "type": "string"}),
    "MicroTime": (
        f"{_META}MicroTime",
        {"description": "An RFC 3339 time with microseconds.", "format": "date-time", "type": "string"},
    ),
    "Raw": (
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        {"description": "Any object.", "type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ),
    "JSONSchemaPropsOrArray": (f"{_EXTENSIONS}JSONSchemaPropsOrArray", {"description": "A schema, or a list of them."}),
    "JSONSchemaPropsOrBool": (f"{_EXTENSIONS}JSONSchemaPropsOrBool", {"description": "A schema, true or false."}),
}
"""Type of the table to (name of its schema, empty: it stands in place; schema)."""

_LETTERS: dict[Any, str] = {
    str: "s", int: "l", bool: "b", float: "d", Quantity: "Quantity", Time: "Time", MicroTime: "MicroTime", Any: "Raw",
}  # fmt: skip

_KEY_DEFAULTS = {("ContainerPort", "protocol"): "TCP", ("ServicePort", "protocol"): "TCP"}
"""Fields that are keys of a list's items and may be left out. Source: the defaults of the OpenAPI definitions."""

LIST_META: Json = {
    "description": "What a list has besides its items.",
    "type": "object",
    "properties": {
        "continue": {"type": "string"},
        "remainingItemCount": {"type": "integer", "format": "int64"},
        "resourceVersion": {"type": "string"},
        "selfLink": {"type": "string"},
    },
}


def root_name(resource: Resource) -> str:
    """The schema of a kind in one version."""
    if resource.group and "." in resource.group and not resource.group.endswith(".k8s.io"):
        group = ".".join(reversed(resource.group.split(".")))
        return f"{group}.{resource.version}.{resource.kind.wire}"
    return f"io.k8s.api.{_short(resource.group)}.{resource.version}.{resource.kind.wire}"


def _short(group: str) -> str:
    return group.removesuffix(".k8s.io").partition(".")[0] or "core"


class Schemas:
    """The schemas that some kinds of one group-version need; `of` adds a kind's, with all below it."""

    def __init__(self) -> None:
        self.named: Json = {}

    def add(self, resource: Resource) -> str:
        """The name under which the kind's schema is."""
        name = root_name(resource)
        if resource.schema is not None:
            self.named[name] = {**resource.schema, **_group_version_kind(resource, resource.kind.wire)}
            self._complete_custom(name)
        else:
            message = kind_messages().get((resource.api_version, resource.kind.kind))
            home = (_short(resource.group), resource.version)
            if message is not None:
                self._message(message, home, name)
            elif resource.kind.type is not Unstructured:
                self._typed(resource.kind.type, home, name)
            else:
                self.named[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            of_kind = self.named[name]
            of_kind["description"] = _described(resource)
            of_kind["properties"] = {**_HEAD, **of_kind.get("properties", {})}
            of_kind.update(_group_version_kind(resource, resource.kind.wire))
        self.named.setdefault(f"{_META}ListMeta", LIST_META)
        self.named[f"{name}List"] = {
            "description": f"A list of {resource.kind.wire}.",
            "type": "object",
            "required": ["items"],
            "properties": {
                **_HEAD,
                "items": {"type": "array", "items": _reference(name)},
                "metadata": _reference(f"{_META}ListMeta"),
            },
            **_group_version_kind(resource, f"{resource.kind.wire}List"),
        }
        return name

    def _complete_custom(self, name: str) -> None:
        """What every custom resource has besides its schema."""
        of_kind = self.named[name]
        self._message("ObjectMeta", ("core", "v1"), f"{_META}ObjectMeta")
        metadata = _reference(f"{_META}ObjectMeta")
        of_kind["properties"] = {**of_kind.get("properties", {}), **_HEAD, "metadata": metadata}

    # -- by the table --------------------------------------------------------------------------------------------------

    def _message(self, message: str, home: tuple[str, str], name: str = "") -> str:
        name = name or _message_name(message, home)
        if name in self.named:
            return name
        schema: Json = {"type": "object"}
        self.named[name] = schema  # before its fields: some messages hold themselves
        marks = field_marks().get(message, Marks())
        properties, required = self._fields(message, home)
        if properties:
            schema["properties"] = {field: properties[field] for field in sorted(properties)}
        required = tuple(field for field in required if field in properties)
        if required:
            schema["required"] = list(required)
        if marks.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        return name

    def _fields(self, message: str, home: tuple[str, str]) -> tuple[Json, tuple[str, ...]]:
        marks = field_marks().get(message, Marks())
        out: Json = {}
        required = marks.required
        for field in messages()[message]:
            if field.embedded:
                inner, more = self._fields(field.type, home)
                out |= inner
                required += more
                continue
            value = self._value(field.type, home)
            if (message, field.name) in _KEY_DEFAULTS:
                value = {**value, "default": _KEY_DEFAULTS[message, field.name]}
            if field.repeated:
                value = {"type": "array", "items": value, **list_type(marks.lists.get(field.name, ()))}
            elif field.mapped:
                value = {"type": "object", "additionalProperties": value}
                if field.name in marks.atomic_fields:
                    value["x-kubernetes-map-type"] = "atomic"
            out[field.name] = value
        return out, required

    def _value(self, kind: str, home: tuple[str, str]) -> Json:
        scalar = _SCALARS.get(kind)
        if scalar is None:
            return _reference(self._message(kind, home))
        name, schema = scalar
        if not name:
            return dict(schema)
        self.named.setdefault(name, schema)
        return _reference(name)

    # -- by a type -----------------------------------------------------------------------------------------------------

    def _typed(self, kind: type[Wire], home: tuple[str, str], name: str = "") -> str:
        name = name or f"io.k8s.api.{home[0]}.{home[1]}.{kind.__name__}"
        if name in self.named:
            return name
        schema: Json = {"type": "object"}
        self.named[name] = schema
        hints = typing.get_type_hints(kind)
        fields = [field for field in msgspec.structs.fields(kind) if field.name != "extra"]
        if fields:
            schema["properties"] = {field.encode_name: self._hint(hints[field.name], home) for field in fields}
        return name

    def _hint(self, hint: Any, home: tuple[str, str]) -> Json:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            options = [arg for arg in args if arg is not type(None)]
            return self._hint(options[0], home) if len(options) == 1 else self._value("IntOrString", home)
        if origin is tuple:
            return {"type": "array", "items": self._hint(args[0], home), "x-kubernetes-list-type": "atomic"}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self._hint(args[1], home)}
        if isinstance(hint, type) and issubclass(hint, Wire):
            if hint.__name__ in ("ObjectMeta", "LabelSelector"):
                return _reference(self._message(hint.__name__, home))
            return _reference(self._typed(hint, home))
        return self._value(_LETTERS[hint], home)


def list_type(keys: tuple[str, ...]) -> Json:
    if not keys:
        return {"x-kubernetes-list-type": "atomic"}
    if keys == SET:
        return {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(keys),
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": keys[0],
    }


_HEAD: Json = {
    "apiVersion": {"type": "string", "description": "The group and version in which the object is written."},
    "kind": {"type": "string", "description": "The kind of the object."},
}


def _described(resource: Resource) -> str:
    where = "in a namespace" if resource.kind.namespaced else "of the whole cluster"
    return f"{resource.kind.wire}: an object {where}, as the Kubernetes API defines it."


def _group_version_kind(resource: Resource, kind: str) -> Json:
    named = {"group": resource.group, "version": resource.version, "kind": kind}
    return {"x-kubernetes-group-version-kind": [named]}


def _reference(name: str) -> Json:
    return {"$ref": REFERENCE + name}


def _message_name(message: str, home: tuple[str, str]) -> str:
    """As Kubernetes names it: by the group that it is of, found from the kinds that hold it."""
    if message in _META_MESSAGES:
        return _META + message
    qualifier, _, bare = message.rpartition(".")
    if qualifier:
        group, _, version = qualifier.partition("/")
        return f"io.k8s.api.{group}.{version}.{bare}"
    group, version = _home_of().get(message, home)
    return f"io.k8s.api.{group}.{version}.{bare}"


@cache
def _home_of() -> dict[str, tuple[str, str]]:
    """The group and version of each message: core where a kind of core holds it, else the first that does."""
    out: dict[str, tuple[str, str]] = {}
    ordered = sorted(kind_messages().items(), key=lambda item: "/" in item[0][0])  # core first
    for (api_version, _), root in ordered:
        group, _, version = api_version.rpartition("/")
        waiting = [root]
        while waiting:
            name = waiting.pop()
            if name in messages() and name not in out:
                out[name] = (_short(group), version)
                waiting += [field.type for field in messages()[name]]
    return out
