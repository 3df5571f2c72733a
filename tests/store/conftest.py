"""Every store, new, behind one fixture: what holds for one holds for the others."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.store.codec import ObjectCodec
from harness.store.etcd import EtcdStore
from harness.store.interface import Store
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore
from tests.store.etcd import Etcd, running_etcd

NewStore = Callable[[], Store]


NO_ETCD = "no etcd here (Debian: apt-get install etcd-server)"
needs_etcd = pytest.mark.skipif(shutil.which("etcd") is None, reason=NO_ETCD)

idle: list[Etcd] = []
"""That tests have given back, emptied."""


@pytest.fixture(scope="session")
def etcds() -> Iterator[Callable[[], Etcd]]:
    """Gives an etcd that holds nothing, an idle one or another."""
    with contextlib.ExitStack() as undo:
        yield lambda: idle.pop() if idle else undo.enter_context(running_etcd())
        idle.clear()


@pytest.fixture(params=["memory", "sqlite", pytest.param("etcd", marks=needs_etcd)])
def new_store(request: pytest.FixtureRequest, tmp_path: Path, etcds: Callable[[], Etcd]) -> Iterator[NewStore]:
    """Makes stores of one implementation, each empty, closed when the test ends."""
    if request.param == "etcd" and request.node.get_closest_marker("thousands_of_writes"):
        pytest.skip("thousands of writes to etcd take long; its store keeps keys in order as the one in memory does")
    made: list[Store] = []
    used: list[Etcd] = []

    def make() -> Store:
        store: Store
        match request.param:
            case "memory":
                store = MemoryStore(ObjectCodec())
            case "sqlite":
                store = SqliteStore(tmp_path / f"{len(made)}.db", ObjectCodec(), synchronous="NORMAL")
            case _:
                used.append(etcds())
                store = EtcdStore(used[-1].url, ObjectCodec())
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
    for etcd in used:
        etcd.empty()
        idle.append(etcd)


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()
