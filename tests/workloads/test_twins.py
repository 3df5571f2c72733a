"""Small twins of manifests that many people have: they are read, what is not modelled is told, all pods get ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
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


def _scaled(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """A horizontal autoscaler of its own replicas, and a vertical one that recommends only."""
    meta = {"name": workload["metadata"]["name"], "namespace": workload["metadata"].get("namespace", "default")}
    of = {"apiVersion": workload["apiVersion"], "kind": workload["kind"], "name": meta["name"]}
    least = workload["spec"].get("replicas", 1)
    cpu = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1"}}
    horizontal = {
        "scaleTargetRef": of, "minReplicas": least, "maxReplicas": least + 2,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }  # fmt: skip
    vertical = {"targetRef": of, "updatePolicy": {"updateMode": "Off"}}
    return [
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": horizontal},
        {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": meta, "spec": vertical},
    ]


@pytest.mark.parametrize("name", ["microservices", "monitoring", "stateful"])
def test_a_twin_runs_with_autoscalers_of_all_of_its_workloads(tmp_path: Path, name: str) -> None:
    """On one node and a pool: the cluster autoscaler brings what its pods need, and both others have their metrics."""
    twin = TWINS / f"{name}.yaml"
    objects = [item for item in yaml.safe_load_all(twin.read_text()) if item]
    scalable = [item for item in objects if item["kind"] in ("Deployment", "StatefulSet")]
    scalers = [scaler for item in scalable for scaler in _scaled(item)]
    path = written(
        tmp_path,
        nodes=[{"group": {"name": "n", "count": 1, "cpu": 1, "memory": "4Gi", "zones": ["a"]}}],
        pools=[{"name": "p", "min": 0, "max": 6, "cpu": 4, "memory": "16Gi", "zone": "a"}],
        workload=[{"manifests": [str(twin)]}, {"objects": scalers}],
        duration="12m",
        bound=False,
    )
    run, pods = _played(path)
    assert not run.cluster.component_faults
    ready = _ready(pods)
    assert [key for key, pod in pods.items() if key not in ready and pod.status.phase != "Succeeded"] == []
    found = run.cluster.server.objects("HorizontalPodAutoscaler")
    assert len(found) >= len(scalable) > 0
    for key, scaler in found.items():
        states = {item.type: item.status for item in scaler.status.conditions}
        assert states["AbleToScale"] == states["ScalingActive"] == "True", key
    for key, vpa in run.cluster.server.objects("VerticalPodAutoscaler").items():
        assert vpa.status.recommendation is not None, key


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
