"""How large, deep and numerous the values of one document may be."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import UserError

MIB = 1 << 20

INT64_MAX = (1 << 63) - 1
"""Kubernetes' integers are int64 (apimachinery 1.32, util/json: numbers become int64 or float64)."""

MAX_DEPTH = 100
"""Mappings and lists within each other. The schemas of CRDs that are in use nest about 60 levels."""

MAX_VALUES = 4_000_000
"""Values in one document, aliases followed."""

MAX_ALIASED = 100_000
"""Values that aliases and merge keys may add to what is written out."""

YAML_BYTES = 32 * MIB
JSON_BYTES = 128 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one document. A limit is the largest amount that is still read."""

    yaml_bytes: int = YAML_BYTES
    json_bytes: int = JSON_BYTES
    depth: int = MAX_DEPTH
    values: int = MAX_VALUES
    aliased: int = MAX_ALIASED


DUMP = Limits()
"""For what a cluster or a program wrote: manifests, records."""

BY_HAND = Limits(yaml_bytes=4 * MIB, json_bytes=4 * MIB, values=400_000)
"""For what a person writes: scenarios, configurations, settings."""


class TooLarge(UserError):
    """A document beyond its limits of size or of the number of its values (over HTTP: 413)."""


class Malformed(UserError):
    """A text that is no YAML or no JSON."""
