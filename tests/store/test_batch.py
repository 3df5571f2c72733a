"""Writes of a batch become durable together; each is whole by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.server import ApiServer
from harness.model.core import ConfigMap
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.interface import Compare, LeaseNotFound, Put
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore
from tests.store.conftest import NewStore


def value(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name))


def test_what_is_written_is_seen_at_once_and_an_error_takes_back_one_write(new_store: NewStore) -> None:
    store = new_store()
    store.put("/a", value("a"))
    before = store.revision
    with store.batch():
        store.put("/b", value("b"))
        assert store.get("/b") is not None
        with pytest.raises(LeaseNotFound):
            store.txn([Compare("/c", 0)], [Put("/c", value("c")), Put("/d", value("d"), lease=77)])
        with store.batch():  # within another: nothing of its own
            store.put("/e", value("e"))
    assert store.revision == before + 2
    assert [entry.key for entry in store.range("/")] == ["/a", "/b", "/e"]
    assert [change.key for change in store.changes("/", before + 1)] == ["/b", "/e"]


def test_an_exception_of_the_caller_takes_nothing_back(new_store: NewStore) -> None:
    store = new_store()

    def interrupted() -> None:
        with store.batch():
            store.put("/a", value("a"))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert store.get("/a") is not None


def after_a_crash(path: Path, to: Path) -> SqliteStore:
    """The store that another process finds when this one is killed now."""
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, to.with_name(part.name.replace(path.name, to.name)))
    return SqliteStore(to, ObjectCodec())


def test_a_batch_is_on_the_disk_whole_when_it_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path, ObjectCodec())
    before = store.revision
    with store.batch():
        for name in "abc":
            store.put(f"/{name}", value(name))
        found = after_a_crash(path, tmp_path / "1.db")
        assert (found.revision, found.range("/")) == (before, [])
        found.close()
    found = after_a_crash(path, tmp_path / "2.db")
    assert [entry.key for entry in found.range("/")] == ["/a", "/b", "/c"]
    found.close()
    store.close()


def test_nobody_is_answered_or_told_before_the_disk_has_it() -> None:
    told: list[str] = []

    class Slow(MemoryStore):
        def batch(self):  # type: ignore[no-untyped-def]
            return Ends()

    class Ends:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            told.append("durable")

    server = ApiServer(Slow(ObjectCodec()))
    queue = DriverQueue(server)
    queue.on_durable = lambda: told.append("events")
    server.listeners.append(lambda *_: told.append("written"))
    futures = [queue.submit(lambda s, name=name: s.create(value(name))) for name in "ab"]  # type: ignore[misc]
    bad = queue.submit(lambda s: s.create(value("a")))
    for future in (*futures, bad):
        future.add_done_callback(lambda _: told.append("answered"))
    assert queue.run_pending() == 3
    assert told == ["written", "written", "durable", "events", "answered", "answered", "answered"]
    with pytest.raises(ApiError, match="already exists"):
        bad.result(0)


def test_who_waits_is_refused_when_the_disk_fails() -> None:
    class Full(MemoryStore):
        def batch(self):  # type: ignore[no-untyped-def]
            return Ends()

    class Ends:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            raise OSError("no space left on device")

    queue = DriverQueue(ApiServer(Full(ObjectCodec())))
    waiting = queue.submit(lambda s: s.create(value("a")))
    with pytest.raises(OSError, match="no space"):
        queue.run_pending()
    with pytest.raises(ApiError) as refused:
        waiting.result(0)
    assert refused.value.code == 503
