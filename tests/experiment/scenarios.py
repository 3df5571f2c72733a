"""Small scenarios that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.experiment.scenario import LoadedScenario, from_data

SERVICE = {
    "service": {
        "name": "web",
        "replicas": 4,
        "cpu": 1,
        "memory": "1Gi",
        "minAvailable": 2,
        "load": {"constant": {"rps": 40}},
    }
}


def scenario(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "small"},
        "spec": {
            "seed": 3,
            "nodes": [{"group": {"name": "n", "count": 6, "cpu": 4, "memory": "16Gi", "zones": ["a", "b", "c"]}}],
            "workload": [{"openbLike": {"pods": 40, "longest": "3m", "load": 60}}],
            **spec,
        },
    }


def loaded(**spec: Any) -> LoadedScenario:
    return from_data(scenario(**spec), "small.yaml")


def written(folder: Path, **spec: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(scenario(**spec), sort_keys=False))
    return path
