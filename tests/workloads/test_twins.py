"""Small twins of manifests that many people have: they are read, what is not modelled is told, all pods get ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.dump import dump_of
from harness.experiment.manifests import Notices, read_checked_manifests
from harness.experiment.run import Home, Run
from harness.experiment.scenario import read_scenario
from harness.experiment.strategies import load_strategy
from harness.model.core import Pod
from tests.experiment.scenarios import written

TWINS = Path(__file__).parent / "twins"
NODES = [{"group": {"name": "n", "count": 4, "cpu": 8, "memory": "32Gi", "zones": ["a", "b"]}}]

TOLD = {
    "microservices": [],
    "old-style": [],
    "monitoring": ["ServiceMonitor k8s is left out", "Prometheus k8s is left out", "APIService", "hostNetwork"],
    "stateful": [],
    "platform": ["IngressClass", "ValidatingWebhookConfiguration", "ClusterIssuer", "Application", "Ingress"],
    "batch": [],
}
READY = {"microservices": 4, "old-style": 4, "monitoring": 6, "stateful": 6, "platform": 2, "batch": 4}
"""Pods that run and are ready at the end, of nodes that are four."""


def _played(path: Path) -> tuple[Run, dict[str, Pod]]:
    made = read_scenario(path)
    run = Run(made, load_strategy(made, "kube")(), 1, Home())
    run.play()
    return run, run.cluster.server.objects("Pod")


def _ready(pods: Any) -> list[str]:
    return [
        pod.metadata.key
        for pod in pods.values()
        if any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)
    ]


@pytest.mark.parametrize("name", sorted(READY))
def test_a_twin_runs_to_all_ready(tmp_path: Path, name: str) -> None:
    path = written(
        tmp_path, nodes=NODES, workload=[{"manifests": [str(TWINS / f"{name}.yaml")]}], duration="5m", bound=False
    )
    run, pods = _played(path)
    assert not run.cluster.component_faults
    waiting = [key for key, pod in pods.items() if key not in _ready(pods) and pod.status.phase not in ("Succeeded",)]
    assert waiting == []
    assert len(_ready(pods)) == READY[name]


@pytest.mark.parametrize("name", sorted(READY))
def test_what_is_not_modelled_is_told_by_name(name: str) -> None:
    notices = Notices(lenient=True)
    read_checked_manifests([TWINS / f"{name}.yaml"], notices)
    told = "\n".join(notices)
    assert [words for words in TOLD[name] if words not in told] == []


def test_all_of_them_as_one_folder(tmp_path: Path) -> None:
    """As `podyard import` and `podyard verdicts --pod` take them."""
    result = CliRunner().invoke(app, ["import", str(TWINS), "--out", str(tmp_path / "out"), "-o", "json"])
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["objects"]["StatefulSet"] == 2
    assert CliRunner().invoke(app, ["lint", str(tmp_path / "out" / "scenario.yaml")]).exit_code == 0
    assert dump_of([tmp_path / "out" / "cluster"]).added
