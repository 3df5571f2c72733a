"""What the stores cost: a write, a transaction, a list, resuming a watch; in memory, and on the disk."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.model.objects import Container, ObjectMeta, Pod, PodSpec
from harness.store.codec import ObjectCodec
from harness.store.interface import Compare, Put, Store
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore

KEYS = (5_000, 150_000, 1_000_000) if FULL else (5_000,)
# Writes in a round: in memory, on the disk.
WRITES = 20_000 if FULL else 2_000
DISK_WRITES = 2_000 if FULL else 100


def pod(i: int) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=f"pod-{i}", namespace="default", labels={"app": "web"}),
        spec=PodSpec(containers=(Container(name="c", image="registry.example/web:1"),)),
    )


POD = pod(0)


def filled(keys: int) -> tuple[MemoryStore, list[str]]:
    """Pods of 100 namespaces."""
    store = MemoryStore(ObjectCodec())
    names = [f"/registry/pods/ns-{i % 100}/pod-{i}" for i in range(keys)]
    for name in names:
        store.put(name, POD)
    return store, names


def per_call(benchmark: BenchmarkFixture, calls: int, work: Callable[[], object]) -> None:
    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
    note(benchmark, us_per_call=lambda s: round(1e6 * s / calls, 3))


@pytest.mark.parametrize("keys", KEYS)
def test_put(benchmark: BenchmarkFixture, keys: int) -> None:
    store, names = filled(keys)
    turn = itertools.cycle(names)

    def work() -> None:
        for name in itertools.islice(turn, WRITES):
            store.put(name, POD)

    per_call(benchmark, WRITES, work)


@pytest.mark.parametrize("keys", KEYS)
def test_compare_and_set(benchmark: BenchmarkFixture, keys: int) -> None:
    store, names = filled(keys)
    turn = itertools.cycle(names)

    def work() -> None:
        for name in itertools.islice(turn, WRITES):
            entry = store.get(name)
            assert entry is not None
            assert store.put(name, POD, expect=entry.mod_revision)

    per_call(benchmark, WRITES, work)


@pytest.mark.parametrize("ranged", [False, True])
@pytest.mark.parametrize("keys", KEYS)
def test_create_and_delete(benchmark: BenchmarkFixture, keys: int, ranged: bool) -> None:
    """`ranged`: somebody keeps listing one namespace between the writes, so the keys must stay in order."""
    store, _ = filled(keys)

    def work() -> None:
        for i in range(WRITES // 2):
            store.put(f"/registry/pods/ns-{i % 100}/new-{i}", POD)
            if ranged and i % 100 == 0:
                store.range("/registry/pods/ns-7/", limit=10)
        for i in range(WRITES // 2):
            store.delete(f"/registry/pods/ns-{i % 100}/new-{i}")

    per_call(benchmark, WRITES, work)


def test_transaction_of_three(benchmark: BenchmarkFixture) -> None:
    store, names = filled(5_000)

    def work() -> None:
        for i in range(WRITES):
            a, b, c = names[i % 4_000 : i % 4_000 + 3]
            entry = store.get(a)
            assert entry is not None
            store.txn([Compare(a, entry.mod_revision)], [Put(a, POD), Put(b, POD), Put(c, POD)])

    per_call(benchmark, WRITES, work)


@pytest.mark.parametrize("log", [10_000, 1_000_000] if FULL else [10_000])
def test_resume_a_watch_near_the_end(benchmark: BenchmarkFixture, log: int) -> None:
    store = MemoryStore(ObjectCodec())
    for i in range(log):
        store.put(f"/registry/pods/ns-{i % 100}/pod-{i % 5_000}", POD)

    def work() -> None:
        for back in range(1_000):
            list(store.changes("/registry/pods/ns-7/", store.revision - back % 20))

    per_call(benchmark, 1_000, work)


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("prefix", ["/registry/pods/", "/registry/pods/ns-7/"])
def test_range(benchmark: BenchmarkFixture, keys: int, prefix: str) -> None:
    store, _ = filled(keys)
    found = len(store.range(prefix))
    per_call(benchmark, 1, lambda: store.range(prefix))
    benchmark.extra_info["entries"] = found


@pytest.mark.parametrize("leases", KEYS)
def test_keep_leases_alive(benchmark: BenchmarkFixture, leases: int) -> None:
    """Every holder renews in time, and the driver asks after each when the next one ends."""
    store = MemoryStore(ObjectCodec())
    ids = [store.grant(40, now_ns=0) for _ in range(leases)]
    turn, clock = itertools.cycle(ids), itertools.count(1)

    def work() -> None:
        for lease in itertools.islice(turn, WRITES):
            store.keep_alive(lease, next(clock))
            store.next_expiry_ns()

    per_call(benchmark, WRITES, work)


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_put_on_disk(benchmark: BenchmarkFixture, tmp_path: Path, synchronous: Literal["FULL", "NORMAL"]) -> None:
    store = SqliteStore(tmp_path / "store.db", ObjectCodec(), synchronous=synchronous)

    def work() -> None:
        for i in range(DISK_WRITES):
            store.put(f"/registry/pods/default/pod-{i}", POD)

    per_call(benchmark, DISK_WRITES, work)
    store.close()


@pytest.mark.parametrize("cold", [False, True])
def test_range_on_disk(benchmark: BenchmarkFixture, tmp_path: Path, cold: bool) -> None:
    """`cold`: nothing decoded yet, as after a restart."""
    keys = 20_000 if FULL else 1_000
    store = SqliteStore(tmp_path / "store.db", ObjectCodec(), synchronous="NORMAL")
    for first in range(0, keys, 1_000):
        store.txn([], [Put(f"/registry/pods/default/pod-{i}", POD) for i in range(first, first + 1_000)])

    def reopen() -> None:
        nonlocal store
        if cold:
            store.close()
            store = SqliteStore(tmp_path / "store.db", ObjectCodec(), synchronous="NORMAL")

    def work() -> list[object]:
        return list(store.range("/registry/pods/"))

    found = benchmark.pedantic(work, setup=reopen, rounds=5)
    assert len(found) == keys
    note(benchmark, us_per_entry=lambda s: round(1e6 * s / keys, 3))
    store.close()


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_codec(benchmark: BenchmarkFixture, direction: str) -> None:
    codec = ObjectCodec()
    data = codec.encode(POD)

    def work() -> None:
        for _ in range(WRITES):
            if direction == "encode":
                codec.encode(POD)
            else:
                codec.decode(data)

    per_call(benchmark, WRITES, work)


def test_snapshot_and_restore(benchmark: BenchmarkFixture) -> None:
    store: Store = filled(5_000)[0]
    new = MemoryStore(ObjectCodec())
    per_call(benchmark, 5_000, lambda: new.restore(store.snapshot()))
