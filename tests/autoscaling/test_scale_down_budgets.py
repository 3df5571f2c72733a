"""How many nodes are looked at, and how many go at once: rows of cluster-autoscaler's own tables.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37, core/scaledown/budgets/budgets_test.go
TestCropNodesToBudgets and core/scaledown/planner/planner_test.go TestUpdateClusterStatUnneededNodesLimit. Rows with
atomic groups are left out: pools that go as a whole or not at all (ZeroOrMaxNodeScaling) are not modelled.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.removals import Removal
from harness.autoscaling.cluster.scale_down import Removable, ScaleDownPlanner
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.pool import NodePool
from harness.engine.component import MINUTE, SECOND, Watch
from harness.engine.latency import Constant
from harness.model.core import Node, NodeStatus, Pod
from harness.model.meta import Condition, ObjectMeta
from harness.model.quantity import count_quantity, milli_quantity

CAPACITY = {"cpu": milli_quantity(4000), "pods": count_quantity(110)}


def planner(nodes: int, **flags: Any) -> ScaleDownPlanner:
    """Of empty nodes n-0, n-1, .."""
    ready = (Condition(type="Ready", status="True"),)
    status = NodeStatus(capacity=CAPACITY, allocatable=CAPACITY, conditions=ready)
    template = Node(metadata=ObjectMeta(labels={"podyard.dev/pool": "n"}), status=status)
    pool = NodePool(name="n", template=template, least=0, most=1000, provisioning=Constant(SECOND))
    state = ClusterState((pool,), ClusterAutoscalerSettings(**flags))
    for index in range(nodes):
        state.observe(0, Watch("ADDED", pool.node(f"n-{index}")))
    state.settle_starting(0)
    return ScaleDownPlanner(state)


def unneeded(made: ScaleDownPlanner, count: int, drained: int = 0) -> dict[str, Removable]:
    """Empty nodes, then ones with a pod."""
    state, pod = made._state, Pod(metadata=ObjectMeta(name="p", namespace="d"))
    found = {}
    for index in range(count + drained):
        name, pods = f"n-{index}", () if index < count else (pod,)
        removal = Removal(state.nodes[name], Fork(state.snapshot), pods, frozenset(), {}, is_risky=False, waits=False)
        found[name] = Removable(name, 0, removal)
    return found


@pytest.mark.parametrize(
    ("going", "there", "go"),
    [
        ((0, 0), (0, 0), (0, 0)),
        ((0, 0), (10, 0), (10, 0)),
        ((0, 0), (11, 0), (10, 0)),
        ((1, 1), (8, 0), (8, 0)),
        ((1, 1), (10, 0), (8, 0)),
        ((5, 5), (10, 0), (0, 0)),
        ((50, 50), (10, 0), (0, 0)),
        ((0, 0), (0, 5), (0, 5)),
        ((0, 0), (0, 10), (0, 5)),
        ((0, 0), (0, 6), (0, 5)),
        ((1, 2), (0, 3), (0, 3)),
        ((1, 2), (0, 5), (0, 3)),
        ((1, 5), (0, 5), (0, 0)),
        ((1, 50), (0, 5), (0, 0)),
        ((7, 1), (0, 4), (0, 2)),
        ((10, 0), (0, 4), (0, 0)),
        ((50, 0), (0, 4), (0, 0)),
        ((0, 0), (5, 5), (5, 5)),
        ((0, 0), (8, 8), (8, 2)),
        ((0, 0), (2, 8), (2, 5)),
        ((10, 0), (5, 5), (0, 0)),
        ((50, 0), (5, 5), (0, 0)),
        ((0, 5), (5, 5), (5, 0)),
        ((0, 9), (5, 5), (1, 0)),
        ((5, 3), (5, 2), (2, 0)),
        ((5, 3), (1, 2), (1, 1)),
        ((1, 3), (4, 5), (4, 2)),
    ],
)
def test_how_many_go_at_once(going: tuple[int, int], there: tuple[int, int], go: tuple[int, int]) -> None:
    """(empty, drained) that are going, that could go, that go: ten at once, five of them drained."""
    made = planner(sum(there), max_scale_down_parallelism=10, max_drain_parallelism=5)
    made._unneeded = unneeded(made, *there)
    empty, drain = made.to_delete(20 * MINUTE, *going, set())
    assert (len(empty), len(drain)) == go


@pytest.mark.parametrize(
    ("before", "unneeded_time_s", "interval_s", "expected"),
    [
        (0, 60, 10, 20),
        (3, 60, 10, 23),
        (70, 60, 10, 70),
        (77, 60, 10, 70),
        (0, 0, 10, 20),
        (13, 60, 1, 33),
        (13, 60, 30, 30),
    ],
)
def test_how_many_are_looked_at(before: int, unneeded_time_s: int, interval_s: int, expected: int) -> None:
    """Of 100 empty nodes, `before` of which were unneeded at the last look."""
    made = planner(100, scale_down_unneeded_time_ns=unneeded_time_s * SECOND, scan_interval_ns=interval_s * SECOND)
    made._unneeded = unneeded(made, before)
    made.update(20 * MINUTE, set())
    assert len(made.unneeded) == expected
