"""A snapshot of a cluster that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth.rbac import AUTHENTICATED, User
from harness.cli.app import app
from harness.model.errors import UserError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import Live, live


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live({"guest": User("guest", (AUTHENTICATED,))}) as found:
        yield found


def test_a_snapshot_over_https(cluster: Live, tmp_path: Path) -> None:
    config = cluster.write_kubeconfig(tmp_path / "config")
    done = CliRunner().invoke(app, ["snapshot", str(tmp_path / "saved"), "--kubeconfig", str(config)])
    assert done.exit_code == 0, done.output
    here = cluster.driver_queue.submit(lambda server: server.store.snapshot()).result(20)
    assert (tmp_path / "saved").read_bytes() == here
    MemoryStore(ObjectCodec()).restore(here)


def test_who_may_not_gets_none(cluster: Live) -> None:
    code, told = cluster.request("GET", "/podyard/snapshot", token="guest")
    assert code == 403
    assert 'cannot get path "/podyard/snapshot"' in told["message"]
    assert cluster.request("GET", "/podyard/snapshot", token="nobody")[0] == 401
    assert cluster.request("POST", "/podyard/snapshot", {})[0] == 404


def test_a_cluster_that_is_gone_is_told(tmp_path: Path) -> None:
    with live() as one:
        config = one.write_kubeconfig(tmp_path / "config")
    for file, why in ((config, "cannot be reached"), (tmp_path / "none", "none")):
        result = CliRunner().invoke(app, ["snapshot", str(tmp_path / "saved"), "--kubeconfig", str(file)])
        assert isinstance(result.exception, UserError)
        assert why in str(result.exception)
    assert not (tmp_path / "saved").exists()
