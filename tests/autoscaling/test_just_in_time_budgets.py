"""Budgets of pods and of pools that keep just-in-time nodes: rows of Karpenter's own suites as small clusters.

Source: kubernetes-sigs/karpenter pkg/utils/pdb/suite_test.go, pkg/apis/v1/nodepool_budgets_test.go (1.14).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.autoscaling.provisioning.disruption.budgets import allowed
from harness.engine.component import HOUR, MINUTE
from harness.model.karpenter import NodePool
from harness.model.objects import from_wire
from tests.autoscaling.just_in_time import Story, budget, deployment, node_pool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "ready_after", "stays"),
    [
        ({"minAvailable": "100%"}, "0s", True),
        ({"maxUnavailable": "0%"}, "0s", True),
        ({"maxUnavailable": 0}, "0s", True),
        ({"maxUnavailable": 1}, "0s", False),
        ({"minAvailable": "100%"}, "3h", True),
        ({"minAvailable": "100%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, "3h", False),
        ({"minAvailable": "100%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, "0s", True),
    ],
)
def test_budgets_of_pods(path: Path, spec: dict[str, Any], ready_after: str, stays: bool) -> None:
    """CanEvictPods: five pods on an s.large, of which two are left: an s.medium would do."""
    guard = budget("web", 1)
    guard["spec"] = {"selector": guard["spec"]["selector"], **spec}
    web = deployment("web", 5, annotations={"podyard.dev/ready-after": ready_after})
    story = Story(path, node_pool(), web, guard)
    assert story.types() == {"s.large": 1}, (
        "its pods are not ready under AlwaysAllow: it was deleted as if it were empty"
    )
    story.scale("web", 2)
    story.go(420)
    assert story.types() == ({"s.large": 1} if stays else {"s.medium": 1})


def test_a_budget_of_other_pods_keeps_nothing(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 5), budget("other", 1))
    story.scale("web", 2)
    story.go(420)
    assert story.types() == {"s.medium": 1}


def pool(*budgets: dict[str, Any]) -> NodePool:
    found = from_wire(node_pool(disruption={"budgets": list(budgets)}))
    assert isinstance(found, NodePool)
    return found


@pytest.mark.parametrize(
    ("budgets", "nodes", "reason", "most"),
    [
        ([{"nodes": "10"}], 100, "Empty", 10),
        ([{"nodes": "0"}], 100, "Empty", 0),
        ([{"nodes": "10%"}], 100, "Empty", 10),
        ([{"nodes": "10%"}], 1, "Empty", 1),
        ([{"nodes": "10%"}], 0, "Empty", 0),
        ([{"nodes": "100%"}], 7, "Drifted", 7),
        ([{"nodes": "10"}, {"nodes": "5", "reasons": ["Drifted"]}], 100, "Drifted", 5),
        ([{"nodes": "10"}, {"nodes": "5", "reasons": ["Drifted"]}], 100, "Empty", 10),
        ([{"nodes": "0", "schedule": "@yearly", "duration": "1h"}, {"nodes": "4"}], 100, "Empty", 4),
        ([{"nodes": "0", "schedule": "* * * * *", "duration": "10m"}, {"nodes": "4"}], 100, "Empty", 0),
        ([{"nodes": "0", "reasons": []}], 100, "Empty", None),
    ],
)
def test_budgets_of_a_pool(budgets: list[dict[str, Any]], nodes: int, reason: str, most: int | None) -> None:
    """GetAllowedDisruptionsByReason: the least of the active ones for the reason; percentages round up. An empty list
    of reasons names none (budget.Reasons is not nil, and contains nothing)."""
    # 10 h after an instant that is no first of January
    found = allowed(pool(*budgets), nodes, reason, 40 * 24 * HOUR + 10 * HOUR + 5 * MINUTE)
    assert found == (1 << 31 if most is None else most)
