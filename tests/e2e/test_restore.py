"""podyard restore of a cluster that runs: revisions go forward, watches end and expire, what came since is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.remote import call
from harness.model.errors import UserError
from tests.e2e.test_fault import WEB, running
from tests.e2e.test_up import eventually, podyard_up

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("up")]

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"


def podyard(*words: str) -> str:
    found = CliRunner().invoke(app, list(words))
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stderr


def test_a_cluster_that_runs_is_restored(tmp_path: Path) -> None:
    config, saved = tmp_path / "config", tmp_path / "saved"
    with podyard_up(config, "--nodes", "2", "--time-scale", "20") as process:

        def got(path: str) -> Any:
            return json.loads(call(config, "GET", path))

        call(config, "POST", DEPLOYMENTS, WEB)
        eventually(lambda: len(running(config)) == 3, "the pods run")
        kept = {pod["metadata"]["uid"] for pod in running(config)}
        call(config, "POST", MAPS, {"metadata": {"name": "early"}})
        podyard("snapshot", str(saved), "--kubeconfig", str(config))
        call(config, "POST", MAPS, {"metadata": {"name": "late"}})
        call(config, "DELETE", f"{MAPS}/early")
        call(config, "PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 6}}, MERGE)
        eventually(lambda: len(running(config)) == 6, "more pods run")
        seen = got("/api/v1/pods")["metadata"]["resourceVersion"]
        told = podyard("restore", str(saved), "--kubeconfig", str(config))
        before, after = (int(part.split()[-1]) for part in told.replace(" before", "").replace(" now", "").split(","))
        assert int(seen) <= before < after
        maps = {item["metadata"]["name"] for item in got(MAPS)["items"]}
        assert "early" in maps
        assert "late" not in maps
        expired = call(config, "GET", f"/api/v1/pods?watch=true&resourceVersion={seen}&timeoutSeconds=5")
        assert json.loads(expired.splitlines()[0])["object"]["code"] == 410
        eventually(lambda: {pod["metadata"]["uid"] for pod in running(config)} == kept, "the pods of then, no others")
        call(config, "PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 4}}, MERGE)
        eventually(lambda: len(running(config)) == 4, "the cluster goes on")
        with pytest.raises(UserError, match="not a snapshot"):
            call(config, "PUT", "/podyard/snapshot", b"nonsense", "application/octet-stream")
        assert len(running(config)) == 4, "nothing was changed"
        assert process.poll() is None
    assert "component" not in config.with_name("up.log").read_text()
