"""What clients know a cluster by, kept beside its store, and the kubeconfig that is nobody else's."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth import certs, identity, kubeconfig
from harness.model.errors import UserError
from tests.apiserver.live import live

NOBODY = "https://127.0.0.1:9"  # the discard port


def config(of: identity.Identity, server: str = NOBODY, store: Path | None = None) -> dict[str, Any]:
    return kubeconfig.kubeconfig(server, of.authority.certificate.encode(), of.token, store=store)


def test_an_identity_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = identity.path_of(tmp_path / "cluster.db")
    assert identity.load(path) is None
    made = msgspec.structs.replace(identity.new(), port=12345)
    identity.save(path, made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity.load(path) == made
    assert [item.name for item in tmp_path.iterdir()] == ["cluster.db-identity"], "nothing is left beside it"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"", "Input data was truncated"),
        (lambda data: data[:200], "truncated"),
        (lambda data: data.replace(b"podyard-identity-1", b"podyard-identity-9"), "podyard-identity-9"),
        (lambda data: data.replace(b"BEGIN CERTIFICATE", b"BEGIN NOTHING"), "PEM"),
        (lambda data: data.replace(b'"port": 0', b'"port": 70000'), "port"),
        (lambda data: b"SQLite format 3\x00", "malformed"),
    ],
)
def test_a_damaged_identity_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    path = tmp_path / "cluster.db-identity"
    identity.save(path, identity.new())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=why):
        identity.load(path)


def test_an_authority_with_another_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db-identity"
    one, other = identity.new(), identity.new()
    mixed = certs.Authority(one.authority.certificate, other.authority.key)
    identity.save(path, msgspec.structs.replace(one, authority=mixed))
    with pytest.raises(UserError, match="not that of its key"):
        identity.load(path)


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db-identity"
    identity.save(path, identity.new())
    path.chmod(0o640)
    with pytest.raises(UserError, match="mode 0640"):
        identity.load(path)


def test_what_a_user_added_to_his_kubeconfig_stays(tmp_path: Path) -> None:
    path, own = tmp_path / "kubeconfig", identity.new()
    kubeconfig.write(path, config(own))
    there = yaml.safe_load(path.read_text())
    there["users"].append({"name": "alice", "user": {"token": "hers"}})
    there["contexts"][0]["context"]["namespace"] = "team"
    path.write_text(yaml.safe_dump(there))
    kubeconfig.write(path, config(own, "https://127.0.0.1:10"))
    after = yaml.safe_load(path.read_text())
    assert after["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:10"
    assert after["users"] == there["users"]
    assert after["contexts"] == there["contexts"]


@pytest.mark.parametrize(
    "text",
    [
        "note: mine\n",
        "- a\n- list\n",
        "plain text",
        "{not: [yaml",
        "apiVersion: v1\nkind: Config\nclusters: [{name: work, cluster: {server: x}}]\n",
        "apiVersion: v1\nkind: Config\nusers: [{name: alice, user: {}}]\n",
        "apiVersion: v1\nkind: ConfigMap\nclusters: [{name: podyard, cluster: {}}]\n",
    ],
)
def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(UserError, match="somebody else's"):
        kubeconfig.write(path, config(identity.new()))
    assert path.read_text() == text


def test_no_device_or_folder_is_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(UserError, match="somebody else's"):
            kubeconfig.write(path, config(identity.new()))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    kubeconfig.write(link, config(identity.new()))
    assert link.is_symlink()
    assert yaml.safe_load(target.read_text())["kind"] == "Config"


def test_a_cluster_in_memory_that_is_gone_makes_room(tmp_path: Path) -> None:
    path, new = tmp_path / "kubeconfig", config(identity.new())
    kubeconfig.write(path, config(identity.new()))
    kubeconfig.write(path, new)
    assert yaml.safe_load(path.read_text()) == new


def test_the_kubeconfig_of_a_cluster_that_runs_stays(tmp_path: Path) -> None:
    with live() as cluster:
        path = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        before = path.read_text()
        with pytest.raises(UserError, match="another cluster's, which runs") as told:
            kubeconfig.write(path, config(identity.new()))
        assert cluster.http.url in str(told.value)
        assert path.read_text() == before
        cluster.write_kubeconfig(path)
    # Somebody else may listen there since.
    with live():
        kubeconfig.write(path, config(identity.new()))


def test_the_kubeconfig_of_a_cluster_in_a_file_stays_while_the_file_does(tmp_path: Path) -> None:
    path, store = tmp_path / "kubeconfig", tmp_path / "cluster.db"
    store.touch()
    kubeconfig.write(path, config(identity.new(), store=store))
    with pytest.raises(UserError, match="another cluster's") as told:
        kubeconfig.write(path, config(identity.new()))
    assert str(store) in str(told.value)
    store.unlink()
    kubeconfig.write(path, config(identity.new()))
