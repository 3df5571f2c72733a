"""The store in an etcd: opened again, killed, and its etcd killed; alone there, and told when it is not."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import RunFailed, UserError
from harness.store import etcd as module
from harness.store.codec import ObjectCodec
from harness.store.etcd import EtcdStore
from harness.store.etcd_client import EtcdClient, Refused, put_of
from harness.store.interface import Compacted, Put, Remove, Store
from tests.store.etcd import Etcd, running_etcd

pytestmark = pytest.mark.skipif(
    shutil.which("etcd") is None, reason="no etcd here (Debian: apt-get install etcd-server)"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Etcd]:
    with running_etcd() as etcd:
        yield etcd


@pytest.fixture
def etcd(shared: Etcd) -> Iterator[Etcd]:
    yield shared
    shared.empty()


def opened(etcd: Etcd) -> EtcdStore:
    return EtcdStore(etcd.url, ObjectCodec())


def is_free(etcd: Etcd) -> bool:
    """Whether a store could be opened there at once."""
    client = EtcdClient(etcd.url)
    granted = client.grant(module.LOCK, module.LOCK_S)
    client.revoke(module.LOCK)
    client.close()
    return granted


def told(store: Store) -> tuple[object, ...]:
    """Everything that it answers."""
    return store.revision, store.compacted, store.range(""), store.next_expiry_ns(), store.snapshot()


def test_what_was_closed_is_there_with_its_history(etcd: Etcd) -> None:
    store = opened(etcd)
    for number in range(20):
        store.put(f"/k/{number % 7}", number)
    store.delete("/k/3")
    lease = store.grant(5, now_ns=0)
    store.txn([], [Put("/a", 1, lease), Put("/b", "ä\U00010000"), Remove("/k/4")])
    store.txn([], [Remove("/k/5")])  # without a write that makes something
    store.compact(store.revision - 7)
    before, changes = told(store), list(store.changes("", store.compacted + 1))
    then = store.range("", revision=store.compacted)
    store.close()
    again = opened(etcd)
    assert told(again) == before
    assert list(again.changes("", again.compacted + 1)) == changes
    assert again.range("", revision=again.compacted) == then
    with pytest.raises(Compacted):
        again.changes("", again.compacted)  # what was deleted at it, nobody knows any more
    assert again.expire(10) == [lease]
    assert again.get("/a") is None
    again.close()


def test_more_keys_than_a_page_are_read(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    store = opened(etcd)
    for number in range(9):
        store.put(f"/k/{number}", number)
    before = told(store)
    store.close()
    again = opened(etcd)
    assert told(again) == before
    again.close()


def test_what_etcd_refuses_for_good_is_asked_once(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    store, asked = opened(etcd), []

    def refused(words: str) -> None:
        asked.append(words)
        raise Refused(words)

    for words, told_as in (("etcdserver: request is too large", ValueError), ("etcdserver: unknown", RunFailed)):
        with pytest.raises(told_as):
            store._asked(partial(refused, words))
    assert len(asked) == 2
    with pytest.raises(RunFailed, match="no leader"):
        store._asked(lambda: refused("etcdserver: no leader"))
    assert len(asked) > 3  # that may pass
    store.close()


def test_a_restore_moves_revisions_forward_for_good(etcd: Etcd) -> None:
    store = opened(etcd)
    for number in range(300):
        store.put(f"/k/{number}", number)
    saved, at = store.snapshot(), store.revision
    store.put("/k/0", "later")
    store.put("/new", 1)
    store.restore(saved)
    assert store.get("/k/0") is not None
    assert store.revision > at + 2
    restored = store.revision
    store.put("/k/1", "anew")
    changes = list(store.changes("", restored + 1))
    assert [change.revision for change in changes] == [restored + 1]
    before = told(store)
    store.close()
    again = opened(etcd)
    assert told(again) == before
    assert list(again.changes("", restored + 1)) == changes
    assert [entry.value for entry in again.range("/k/0")] == [0]
    with pytest.raises(Compacted):
        again.changes("", at + 1)
    again.close()


def test_an_interrupted_restore_is_told(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(etcd)
    store.put("/k", 1)
    saved = store.snapshot()

    def fail(key: bytes, value: bytes) -> Any:
        if key == b"s/k":
            raise KeyboardInterrupt
        return put_of(key, value)

    monkeypatch.setattr(module, "put_of", fail)
    with pytest.raises(KeyboardInterrupt):
        store.restore(saved)
    store.close()
    with pytest.raises(UserError, match="a restore of this store was interrupted"):
        opened(etcd)
    assert is_free(etcd)


def test_an_etcd_belongs_to_one_store_at_a_time(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(etcd)
    monkeypatch.setattr(module, "LOCK_S", -2)  # of waiting
    with pytest.raises(UserError, match="the store is in use"):
        opened(etcd)
    store.close()


def test_whoever_writes_there_is_noticed(etcd: Etcd) -> None:
    store = opened(etcd)
    store.put("/a", 1)
    etcd.put("x", "another's")
    with pytest.raises(RunFailed, match="somebody else writes"):
        store.put("/a", 2)
    store.close()


def test_an_etcd_of_another_is_left_alone(etcd: Etcd) -> None:
    etcd.put("x", "another's")
    with pytest.raises(UserError, match="the etcd is another's"):
        opened(etcd)
    assert is_free(etcd)
    assert [entry[0] for entry in etcd.range("")] == ["x"]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://127.0.0.1:1", "etcd cannot be reached"),
        ("127.0.0.1:2379", "no address of an etcd"),
        ("http://127.0.0.1:99999", "no address of an etcd"),
        ("http://me:secret@127.0.0.1:2379", "not supported"),
    ],
)
def test_no_etcd_is_told(url: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        EtcdStore(url, ObjectCodec())


def test_what_is_too_large_for_it_changes_nothing(etcd: Etcd) -> None:
    store = opened(etcd)
    store.put("/a", 1)
    with pytest.raises(ValueError, match="too large"):
        store.put("/a", "x" * 2_000_000)
    assert store.put("/a", 2) == store.revision == 3
    store.close()


_WRITER = """
import sys
from harness.store.codec import ObjectCodec
from harness.store.etcd import EtcdStore
from harness.store.etcd_client import EtcdClient, Refused, put_of
from harness.store.interface import Put

store = EtcdStore(sys.argv[1], ObjectCodec())
n = int(sys.argv[2])
print("open", store.revision, flush=True)
while True:
    n += 1
    print("put", store.put(f"/single/{n % 20}", n), n, flush=True)
    print("txn", store.txn([], [Put("/pair/left", n), Put(f"/many/{n}", n), Put("/pair/right", n)])[1], n, flush=True)
    if n % 23 == 0:
        store.compact(store.revision - 10)
"""


@pytest.mark.slow
def test_every_acknowledged_write_survives_a_kill() -> None:
    root, chance = Path(__file__).resolve().parents[2], random.Random("etcd")
    singles: dict[str, int] = {}
    revision = n = 0
    with running_etcd() as etcd:
        for _ in range(5):
            command = [sys.executable, "-c", _WRITER, etcd.url, str(n)]
            with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                said = writer.stdout.readline().split()
                assert int(said[1]) >= revision
                time.sleep(chance.uniform(0.1, 0.6))
                writer.send_signal(signal.SIGKILL)
                rest = writer.stdout.read()
            for line in rest.splitlines(keepends=True):
                if line.endswith("\n"):
                    what, number, step = line.split()
                    revision, n = int(number), int(step)
                    if what == "put":
                        singles[f"/single/{n % 20}"] = n
            store = opened(etcd)  # when the lease of the one that was killed has run out
            assert store.revision >= revision
            now = {entry.key: entry.value for entry in store.range("")}
            assert all(now[key] >= value for key, value in singles.items())
            assert now.get("/pair/left") == now.get("/pair/right"), "all of a transaction or nothing"
            revision = store.revision
            store.close()
    assert n > 50


def test_an_etcd_that_is_started_again_is_waited_for() -> None:
    with running_etcd() as etcd:
        store = opened(etcd)
        store.put("/a", 1)
        etcd.stop()
        etcd.start()
        assert store.put("/a", 2) == 3
        store.close()
        again = opened(etcd)
        assert [entry.value for entry in again.range("")] == [2]
        again.close()
