"""podyard up on a real etcd: killed, started again, saved and restored, and its clients go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.remote import call
from tests.e2e.test_up import podyard_up
from tests.store.etcd import running_etcd

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("up"),
    pytest.mark.skipif(shutil.which("etcd") is None, reason="no etcd here (Debian: apt-get install etcd-server)"),
]
MAPS = "/api/v1/namespaces/default/configmaps"


def podyard(*words: str) -> str:
    found = CliRunner().invoke(app, list(words))
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stderr


def made(config: Path, name: str) -> Any:
    return json.loads(call(config, "POST", MAPS, {"metadata": {"name": name}, "data": {"a": "b"}}))


def names(config: Path) -> set[str]:
    return {item["metadata"]["name"] for item in json.loads(call(config, "GET", MAPS))["items"]}


@pytest.mark.slow
def test_a_cluster_in_etcd_stays_itself(tmp_path: Path) -> None:
    config, saved = tmp_path / "config", tmp_path / "saved"
    with running_etcd() as etcd:
        store = f"etcd:{etcd.url}"
        options = ("--nodes", "2", "--store", store)
        with podyard_up(config, *options) as process:
            first = made(config, "first")
            podyard("snapshot", str(saved), "--kubeconfig", str(config))
            made(config, "second")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        known = config.read_bytes()
        with podyard_up(config, *options):
            assert config.read_bytes() == known, "clients go on with the kubeconfig that they have"
            assert {"first", "second"} <= names(config)
            last = made(config, "third")["metadata"]["resourceVersion"]
        told = podyard("restore", str(saved), "--store", store)
        assert "now" in told
        with podyard_up(config, *options):
            assert "second" not in names(config)
            found = json.loads(call(config, "GET", f"{MAPS}/first"))
            assert found["metadata"]["uid"] == first["metadata"]["uid"]
            assert int(made(config, "fourth")["metadata"]["resourceVersion"]) > int(last), "revisions move forward"
            events = call(config, "GET", f"{MAPS}?watch=true&resourceVersion={last}&timeoutSeconds=5").splitlines()
            assert json.loads(events[0])["object"]["code"] == 410, "who watched before lists again"
