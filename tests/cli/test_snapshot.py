"""podyard snapshot and podyard restore: all of it or nothing, and no way back in time."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.apiserver.server import ApiServer
from harness.cli.app import app
from harness.cluster.live import CLOCK_KEY
from harness.model.core import ConfigMap
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.store.codec import ObjectCodec
from harness.store.interface import Compacted
from harness.store.snapshots import pack
from harness.store.sqlite import SqliteStore


def note(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"a": name})


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, ObjectCodec())


def names(path: Path) -> list[str]:
    store = opened(path)
    try:
        return sorted(ApiServer(store).objects("ConfigMap"))
    finally:
        store.close()


def write(path: Path, *maps: str, now_ns: int = 0) -> int:
    """The store's revision after it."""
    store = opened(path)
    server = ApiServer(store)
    for name in maps:
        server.create(note(name))
    store.put(CLOCK_KEY, {"epochUnixNs": 5, "nowNs": now_ns})
    revision = store.revision
    store.close()
    return revision


def podyard(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def done(*arguments: str | Path) -> str:
    result = podyard(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stderr


def refused(*arguments: str | Path) -> str:
    result = podyard(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.db"
    write(path, "one", "two")
    return path


@pytest.fixture
def saved(store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "saved"
    done("snapshot", path, "--store", f"sqlite:{store}")
    return path


def test_a_restore_moves_forward_and_watchers_list_again(store: Path, saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    last = write(store, "three", now_ns=10**12)
    told = done("restore", saved, "--store", f"sqlite:{store}")
    assert f"revision {last} before" in told
    assert names(store) == ["default/one", "default/two"]
    restored = opened(store)
    assert restored.revision > last
    for since in range(last + 2):
        with pytest.raises(Compacted):
            restored.changes("", since)
    clock = restored.get(CLOCK_KEY)
    assert clock is not None
    assert clock.value == {"epochUnixNs": 5, "nowNs": 10**12}, "the clock is not turned back"
    restored.close()


def test_a_restore_into_a_new_file(store: Path, saved: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    done("restore", saved, "--store", f"sqlite:{new}")
    assert names(new) == names(store)
    revision = int(done("restore", saved, "--store", f"sqlite:{tmp_path / 'more.db'}").split()[-2])
    bumped = done("restore", saved, "--store", f"sqlite:{tmp_path / 'bumped.db'}", "--bump-revision", "1000")
    assert int(bumped.split()[-2]) == revision + 1000
    assert not [item for item in tmp_path.iterdir() if item.name.startswith(".")], "nothing is left beside it"


def test_a_new_file_beside_kept_keys_is_far_ahead_of_what_clients_saw(store: Path, saved: Path) -> None:
    last = write(store, "three")
    store.with_name("cluster.db-identity").touch()
    store.unlink()
    told = done("restore", saved, "--store", f"sqlite:{store}")
    assert int(told.split()[-2]) > last + 10**8


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_whole_snapshot_is_refused_and_changes_nothing(
    store: Path, saved: Path, tmp_path: Path, *, there: bool
) -> None:
    data = saved.read_bytes()
    pod = ("/registry/pods/default/x", b"Pod\n\x00", 2, 2, 1, 0)
    cases = {
        b"": "an empty file",
        b"hello": "not a store snapshot",
        data[:10]: "not a store snapshot",
        data[:30]: "cut short",
        data[:-1]: "cut short",
        data + b"x": "checksum",
        data.replace(b"two", b"TWO"): "checksum",
        gzip.compress(data): "a gzip file",
        store.read_bytes(): "an SQLite database",
        bytes(16) + b"\xed\xda\x0c\xed" + bytes(100): "a database of etcd",
        pack(9, [pod], {}, 1): "a value that this version cannot read",
        pack(9, [(pod[0], b"Nothing\n", 2, 2, 1, 0)], {}, 1): "a value that this version cannot read",
        pack(1, [pod], {}, 1): "contradicts itself",
    }
    target = store if there else tmp_path / "new.db"
    before = store.read_bytes()
    wrong = tmp_path / "wrong"
    for content, why in cases.items():
        wrong.write_bytes(content)
        told = refused("restore", wrong, "--store", f"sqlite:{target}")
        assert why in told
        assert str(wrong) in told
    assert "No such file" in refused("restore", tmp_path / "none", "--store", f"sqlite:{target}")
    assert "directory" in refused("restore", tmp_path, "--store", f"sqlite:{target}")
    assert store.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cluster.db", "saved", "wrong"]


def test_a_cluster_that_runs_is_left_alone(store: Path, saved: Path, tmp_path: Path) -> None:
    held = opened(store)
    assert "in use" in refused("restore", saved, "--store", f"sqlite:{store}")
    assert "in use" in refused("snapshot", tmp_path / "more", "--store", f"sqlite:{store}")
    held.close()
    assert names(store) == ["default/one", "default/two"]


def test_what_is_there_is_never_replaced(store: Path, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    assert "never replaces" in refused("snapshot", saved, "--store", f"sqlite:{store}")
    assert saved.read_bytes() == before
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"not a store")
    assert "not a store" in refused("restore", saved, "--store", f"sqlite:{foreign}")
    assert foreign.read_bytes() == b"not a store"


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert "no such store" in refused("snapshot", tmp_path / "saved", "--store", f"sqlite:{tmp_path / 'none.db'}")
    assert not list(tmp_path.iterdir())


def test_wrong_usage_is_told(saved: Path, tmp_path: Path) -> None:
    assert "which cluster" in refused("snapshot", tmp_path / "x")
    assert "not understood" in refused("snapshot", tmp_path / "x", "--store", "memory")
    assert "no address of an etcd" in refused("restore", saved, "--store", "etcd:x")
    assert "out of range" in refused(
        "restore", saved, "--store", f"sqlite:{tmp_path / 'x'}", "--bump-revision", str(10**13)
    )
    assert "no such folder" in refused("snapshot", tmp_path / "no" / "x", "--store", f"sqlite:{saved}")
    assert "no such folder" in refused("restore", saved, "--store", f"sqlite:{tmp_path / 'no' / 'x'}")
