"""The protocol of a trace reader: how a format is recognised, and how its pods and nodes are read.

A module or an object, registered as an entry point of the group `podyard.trace_readers` under the format's name, or
named as `package.module:object` where a format is asked for (`--format`, `format:` in a scenario).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import polars as pl

from workloads.table import Provenance

GROUP = "podyard.trace_readers"

Frames: TypeAlias = Callable[..., Iterator[pl.DataFrame]]
"""(path, lint, **options) -> frames, block by block; the options are keyword arguments with defaults."""


class TraceReader(Protocol):
    """`PROVENANCE`: where traces of this format come from, and what was assumed in reading them.

    `pods`: frames in the columns of `workloads.readers.rows.SCHEMA` and `line`; what is wrong with a row is noted in
    `lint`, or raised as UserError where nothing can be read. A reader may have `nodes`, of the same form: name,
    cpu_milli, memory_bytes, and where present pods, gpu_count, gpu_model, zone, labels.
    """

    @property
    def PROVENANCE(self) -> Provenance: ...  # noqa: N802

    @property
    def pods(self) -> Frames: ...

    def sniff(self, name: str, head: str) -> bool:
        """Whether a file of this name that begins with `head` is of the format."""
        ...
