"""How an object's JSON falls into fields that can each have a manager, as its OpenAPI schema says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from harness.model.wire import Json


class MergeType(Enum):
    WHOLE = auto()
    """A scalar, or a list or map that is managed as a whole."""
    MAP = auto()
    """Each field or key by itself."""
    SET = auto()
    """A list of scalars, each by itself."""
    KEYED = auto()
    """A list of objects, told apart by their keys."""
    ANY = auto()
    """No schema: maps by their keys, everything else as a whole."""


_ANY_KEY = "\0"


class Structure:
    """One node; those below are made when somebody asks for them, as schemas hold themselves."""

    __slots__ = ("_below", "_fields", "_named", "_rest", "form", "key_defaults", "keys")

    def __init__(self, schema: Json, named: Mapping[str, Json]) -> None:
        """`named`: the schemas that a $ref means."""
        while "$ref" in schema:
            schema = named[schema["$ref"].rpartition("/")[2]]
        self._named = named
        self._below: dict[str, Structure] = {}
        self._fields: Json = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        self._rest: Json | None = rest if isinstance(rest, dict) else None
        self.keys: tuple[str, ...] = ()
        self.key_defaults: Json = {}
        self.form = self._form(schema)

    def _form(self, schema: Json) -> MergeType:
        if schema.get("type") == "array":
            kind = schema.get("x-kubernetes-list-type")
            if kind not in ("map", "set"):
                return MergeType.WHOLE
            self._rest = schema.get("items") or {}
            if kind == "set":
                return MergeType.SET
            self.keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            item = Structure(self._rest, self._named)
            for key in self.keys:
                field = item._fields.get(key) or {}
                if "default" in field:
                    self.key_defaults[key] = field["default"]
            return MergeType.KEYED
        if schema.get("x-kubernetes-map-type") == "atomic":
            return MergeType.WHOLE
        if self._fields or self._rest is not None:
            return MergeType.MAP
        return MergeType.ANY if schema.get("type") in ("object", None) and "oneOf" not in schema else MergeType.WHOLE

    def field(self, name: str) -> Structure:
        """What is below a field of a map. Keys of a map are many; what is below them is one."""
        schema = self._fields.get(name)
        key = _ANY_KEY if schema is None else name
        found = self._below.get(key)
        if found is None:
            unknown = schema is None and self._rest is None
            found = ANY if unknown else Structure(schema or self._rest or {}, self._named)
            self._below[key] = found
        return found

    @property
    def item(self) -> Structure:
        """What a keyed list consists of."""
        found = self._below.get("")
        if found is None:
            found = self._below[""] = Structure(self._rest or {}, self._named)
        return found

    def has_field(self, name: str) -> bool:
        """It is a field of a struct and not a key of a map."""
        return name in self._fields

    def key_of(self, item: Any) -> tuple[Any, ...] | None:
        """What tells an item of a keyed list from the others; None for one that lacks it."""
        if not isinstance(item, dict):
            return None
        values = tuple(item.get(key, self.key_defaults.get(key)) for key in self.keys)
        return None if any(isinstance(value, (dict, list)) or value is None for value in values) else values


ANY = Structure({}, {})
