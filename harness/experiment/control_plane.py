"""The components that every cluster has besides API server and scheduler, and those that a scenario asks for."""

from __future__ import annotations

from harness.controllers.deployment import DeploymentController
from harness.controllers.replicaset import ReplicaSetController
from harness.engine.component import Component
from harness.engine.latency import Latencies
from harness.experiment.scenario import Loaded
from harness.experiment.workload import Plan


def controllers() -> list[Component]:
    """kube-controller-manager's, in the order in which it starts them."""
    return [
        DeploymentController(),
        ReplicaSetController(),
    ]


def control_plane(loaded: Loaded, plan: Plan, latencies: Latencies, seed: int) -> list[Component]:
    """Raises UserError for faults that are malformed."""
    return controllers()
