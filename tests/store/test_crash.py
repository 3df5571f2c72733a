"""A store's process is killed at any moment: what it had acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.store.codec import ObjectCodec
from harness.store.sqlite import SqliteStore

# Writes pairs at one revision, singles and leased keys, compacts now and then, and says what it was told.
_WRITER = """
import sys
from harness.store.codec import ObjectCodec
from harness.store.interface import Put
from harness.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1], ObjectCodec(), synchronous=sys.argv[2])
n = int(sys.argv[3])
print("open", store.revision, flush=True)
while True:
    n += 1
    key = f"/single/{n % 50}"
    revision = store.put(key, n)
    print("put", revision, n, flush=True)
    held, revision = store.txn([], [Put("/pair/left", n), Put(f"/many/{n}", "x" * (n % 3000)), Put("/pair/right", n)])
    print("txn", revision, n, flush=True)
    if n % 7 == 0:
        lease = store.grant(10, now_ns=n)
        store.put(f"/leased/{lease}", lease, lease=lease)
        print("lease", lease, n, flush=True)
    if n % 23 == 0:
        store.compact(store.revision - 10)
        print("compact", store.revision - 10, n, flush=True)
"""


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_every_acknowledged_write_survives_a_kill(tmp_path: Path, synchronous: str) -> None:
    path = tmp_path / "store.db"
    root = Path(__file__).resolve().parents[2]
    chance = random.Random(f"crash/{synchronous}")
    singles: dict[str, int] = {}
    leases: set[int] = set()
    revision = n = compacted = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), synchronous, str(n)], cwd=root, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            said = writer.stdout.readline().split()
            assert said[0] == "open"
            assert int(said[1]) >= revision
            time.sleep(chance.uniform(0.0, 0.15))
            writer.send_signal(signal.SIGKILL)
            told = writer.stdout.read()
        acknowledged = [line.split() for line in told.splitlines(keepends=True) if line.endswith("\n")]
        for what, number, step in acknowledged:
            n = int(step)
            if what == "put":
                singles[f"/single/{n % 50}"] = n
            if what == "lease":
                leases.add(int(number))
            elif what == "compact":
                compacted = int(number)
            else:
                revision = int(number)

        store = SqliteStore(path, ObjectCodec(), synchronous="NORMAL")
        assert store.revision >= revision
        assert store.compacted >= compacted
        now = {entry.key: entry.value for entry in store.range("")}
        for key, value in singles.items():
            # The write under way when the kill came may be there, though nobody heard of it.
            assert now[key] in (value, n + 1)
        singles = {key: now[key] for key in singles}
        assert now.get("/pair/left") == now.get("/pair/right")
        last = max((int(key.removeprefix("/many/")) for key in now if key.startswith("/many/")), default=0)
        assert now.get("/pair/left", 0) == last >= n - 1
        assert [key for key in now if key.startswith("/many/")] == sorted(f"/many/{i}" for i in range(1, last + 1))
        for lease in leases:
            assert now[f"/leased/{lease}"] == lease
        changes = list(store.changes("", store.compacted + 1))
        first = max(store.compacted, 1) + 1  # a new store begins at revision 1, with no change
        assert sorted({change.revision for change in changes}) == list(range(first, store.revision + 1))
        assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        n = last
        store.close()
    assert n > 0, "no round got as far as a write"
