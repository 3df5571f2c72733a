"""Training jobs in rounds: not all wait while a gang fits on GPUs that are free."""

from __future__ import annotations

from typing import Any

from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import MINUTE
from harness.model.objects import KINDS, from_wire
from harness.model.training import ROUND_SCHEDULER, TRAINING

READY = [{"type": "Ready", "status": "True"}]


def node(name: str, **spec: Any) -> Any:
    status = {"allocatable": {"cpu": "4", "nvidia.com/gpu": "1"}, "conditions": READY}
    return from_wire({"kind": "Node", "metadata": {"name": name}, "spec": spec, "status": status})


def job(name: str = "a", gang: int = 2, *conditions: str) -> Any:
    meta = {"name": name, "namespace": "d", "uid": name, "annotations": {TRAINING: "{}"}}
    said = [{"type": kind, "status": "True"} for kind in conditions]
    spec = {"suspend": True, "parallelism": gang, "template": {}}
    return from_wire({"kind": "Job", "metadata": meta, "spec": spec, "status": {"conditions": said}})


def pod(of: str, at: str, phase: str = "Running") -> Any:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": of, "uid": of, "controller": True}
    meta = {"name": f"{of}-{at}", "namespace": "d", "ownerReferences": [owner]}
    spec = {"nodeName": at, "schedulerName": ROUND_SCHEDULER, "containers": []}
    return from_wire({"kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": phase}})


def found(*objects: Any, rounds: bool = True) -> list[str]:
    held: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for obj in objects:
        held[type(obj).__name__][obj.metadata.key] = obj
    schedulers = (ROUND_SCHEDULER,) if rounds else ()
    state = ClusterState(lambda kind: held[kind], 60 * MINUTE, schedulers=schedulers)
    return [str(item) for item in check(state, ("training",))]


def test_a_gang_that_fits_does_not_wait_for_nobody() -> None:
    nodes = (node("x"), node("y"))
    waits = ["training: Job d/a: waits, though 2 GPUs are free and no training job runs"]
    assert found(*nodes, job()) == waits
    assert found(*nodes, job(), rounds=False) == []
    assert found(*nodes, job("a", 3)) == []
    assert found(*nodes, job("a", 2, "Complete")) == []
    assert found(node("x"), node("y", unschedulable=True), job()) == []
    assert found(*nodes, job(), pod("gone", "x")) == [], "a pod that its Job left keeps the GPU"
    assert found(*nodes, job(), job("b", 1), pod("b", "x")) == [], "another one runs"
    assert found(*nodes, job(), pod("gone", "x", "Succeeded")) == waits
