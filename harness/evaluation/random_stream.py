"""The state of a strategy's random stream (PCG64) on the pipe between judge and host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def encode_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """128-bit numbers as text: MessagePack has no numbers for them."""
    inner = state["state"]
    numbers = {"state": str(inner["state"]), "inc": str(inner["inc"])}
    return {**numbers, "has": state["has_uint32"], "uinteger": state["uinteger"], "kind": state["bit_generator"]}


def decode_state(encoded: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bit_generator": encoded["kind"],
        "state": {"state": int(encoded["state"]), "inc": int(encoded["inc"])},
        "has_uint32": encoded["has"],
        "uinteger": encoded["uinteger"],
    }
