"""A worked example: a Filter plugin is one file and one line in filters/order.py.

`ReservedNodes` keeps pods without priority off nodes with the label `reserved`. A fixture lists it in order.py;
classes, verdicts, fit errors and the cycle take it from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from msgspec.structs import replace

from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters import order
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool
from tests.golden import manifests
from tests.golden.rig import Story, node

REASON = "node(s) were reserved"


@dataclass(frozen=True, slots=True)
class ReservedNodes:
    plugin = "ReservedNodes"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.array([self.holds(state, node) for node in range(len(state.node_table))], dtype=np.bool_)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return "reserved" not in state.node_table.labels[node]

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)


def make_filters(pod: Pod) -> tuple[ReservedNodes, ...]:
    return () if pod.spec.priority else (ReservedNodes(),)


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a line after NodeName in FILTER_PLUGINS."""
    place = next(at for at, plugin in enumerate(order.FILTER_PLUGINS) if plugin.name == "NodeName") + 1
    new = order.Plugin("ReservedNodes", "somebody's decision about the node", make_filters)
    plugins = (*order.FILTER_PLUGINS[:place], new, *order.FILTER_PLUGINS[place:])
    monkeypatch.setattr(order, "FILTER_PLUGINS", plugins)
    monkeypatch.setattr(order, "_PLACE", {plugin.name: at for at, plugin in enumerate(plugins)})


def pod(name: str, priority: int = 0, cpu: str = "1") -> Pod:
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": parse_quantity(cpu)}))
    return Pod(metadata=ObjectMeta(name=name, namespace="d"), spec=PodSpec(containers=(container,), priority=priority))


def cluster(*reserved: bool) -> Snapshot:
    on = Snapshot()
    for number, kept in enumerate(reserved):
        on.add_node(f"n{number}", {"cpu": 4000, "pods": 9}, labels={"reserved": "yes"} if kept else {})
    return on


def test_it_keeps_pods_off_and_says_why() -> None:
    on = cluster(True, False, True)
    low, high = on.classes.view(pod("low")), on.classes.view(pod("high", priority=5))
    assert on.feasible(low).tolist() == [False, True, False]
    assert on.feasible(high).tolist() == [True, True, True]
    assert str(diagnose(cluster(True, True), low)) == f"0/2 nodes are available: 2 {REASON}."


def test_its_reason_comes_at_its_place() -> None:
    """A node that is reserved and too small is counted under the plugin that stands first."""
    on = cluster(True)
    assert diagnose(on, on.classes.view(pod("large", cpu="9"))).reasons == {REASON: 1}
    assert diagnose(on, on.classes.view(pod("large", priority=5, cpu="9"))).reasons == {"Insufficient cpu": 1}


def test_a_verdict_follows_the_node() -> None:
    on = cluster(True)
    view = on.classes.view(pod("low"))
    assert not on.feasible(view)[0]
    on.update_node("n0", {"cpu": 4000, "pods": 9}, labels={})
    assert on.feasible(view)[0]


def test_a_whole_cluster_obeys_it() -> None:
    free, kept = node("n0"), node("n1")
    meta = kept.metadata
    story = Story(free, replace(kept, metadata=replace(meta, labels={**meta.labels, "reserved": "yes"})))
    story.until(2)
    story.apply(manifests.pod("first", cpu="3") + "---\n" + manifests.pod("second", cpu="3"))
    story.until(5)
    assert (story.pods_on("n0"), story.pods_on("n1")) == (["first"], [])
    assert f"0/2 nodes are available: 1 Insufficient cpu, 1 {REASON}." in story.text()
