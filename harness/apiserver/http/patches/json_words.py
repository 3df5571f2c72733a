"""What Go's encoding/json calls a JSON value."""

from __future__ import annotations


def json_name(value: object) -> str:
    """Source: Go encoding/json decode.go, UnmarshalTypeError.Value."""
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case str():
            return "string"
        case bool():
            return "bool"
        case None:
            return "null"
        case _:
            return "number"
