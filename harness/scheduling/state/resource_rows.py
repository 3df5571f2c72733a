"""Which row of every column a resource has."""

from __future__ import annotations

import weakref
from typing import Protocol

from harness.scheduling.strategy import CPU, MEMORY, PODS


class HasRows(Protocol):
    def fit_rows(self) -> None:
        """There are rows for resources that were not heard of before."""


class ResourceRows:
    """`names`: resources by row. A resource keeps its row for good; a new one adds a row."""

    def __init__(self) -> None:
        self.names: list[str] = ["cpu", "memory", "pods"]
        self._rows: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "pods": PODS}
        self._followers: weakref.WeakSet[HasRows] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self.names)

    def follow(self, follower: HasRows) -> None:
        """`follower` is told of every new row (and not kept alive for it)."""
        self._followers.add(follower)

    def row(self, resource: str) -> int:
        row = self._rows.get(resource)
        if row is None:
            row = self._rows[resource] = len(self.names)
            self.names.append(resource)
            for follower in list(self._followers):
                follower.fit_rows()
        return row
