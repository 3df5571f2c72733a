"""Helm 4 against a live cluster: it applies on the server, waits, upgrades, rolls back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.e2e.test_up import podyard_up

HELM = shutil.which("helm")
pytestmark = [pytest.mark.live, pytest.mark.skipif(HELM is None, reason="helm is not installed")]

VALUES = "replicaCount: 1\n"
TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}", labels: {app: "{{ .Release.Name }}"}}
spec:
  replicas: {{ .Values.replicaCount }}
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: "{{ .Release.Name }}"}, ports: [{port: 80}]}
"""


def test_a_chart_is_installed_upgraded_rolled_back_and_removed(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text(VALUES)
    (chart / "templates" / "all.yaml").write_text(TEMPLATE)
    config = tmp_path / "kubeconfig"
    with podyard_up(config, "--nodes", "2", "--time-scale", "4"):

        def helm(*arguments: str) -> str:
            assert HELM is not None
            environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(config)}
            done = subprocess.run(
                [HELM, *arguments], capture_output=True, text=True, timeout=90, env=environment, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        helm("install", "rel", str(chart), "--wait", "--timeout", "60s")
        helm("upgrade", "rel", str(chart), "--set", "replicaCount=3", "--wait", "--timeout", "60s")
        helm("rollback", "rel", "1", "--wait", "--timeout", "60s")
        history = json.loads(helm("history", "rel", "-o", "json"))
        assert [item["status"] for item in history] == ["superseded", "superseded", "deployed"]
        assert "deployed" in helm("status", "rel")
        helm("uninstall", "rel", "--wait", "--timeout", "60s")
        assert json.loads(helm("list", "-o", "json")) == []
