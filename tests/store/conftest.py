"""Both stores, new, behind one fixture: what holds for one holds for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.store.codec import ObjectCodec
from harness.store.interface import Store
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore

NewStore = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Makes stores of one implementation, each empty, closed when the test ends."""
    made: list[Store] = []

    def make() -> Store:
        store: Store
        if request.param == "memory":
            store = MemoryStore(ObjectCodec())
        else:
            store = SqliteStore(tmp_path / f"{len(made)}.db", ObjectCodec(), synchronous="NORMAL")
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()
