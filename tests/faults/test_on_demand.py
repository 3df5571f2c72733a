"""Faults when somebody asks for them, and their end when somebody asks for that, in virtual time."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.convergence.checkers import HEAL_NS, converged
from harness.engine.component import SECOND
from harness.faults.on_demand import FaultsOnDemand, Order, Recall
from harness.faults.timeline import read_fault
from harness.measure.journal import node_ready
from harness.model.objects import from_wire
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from harness.testing.worlds import WorldNode
from schedulers.greedy import least_allocated

NODES = 3


class Story:
    """Three nodes, a Deployment of six; `seconds` go by."""

    def __init__(self, *, folded: bool = True) -> None:
        nodes = [WorldNode(f"n{rank}", cpu_milli=4000, memory_mib=8192, zone="z").object(rank) for rank in range(NODES)]
        self.injector = FaultsOnDemand(Random(1))
        plan = ClusterPlan(
            settings=ClusterSettings(folded=folded),
            nodes=nodes,
            strategy=least_allocated(),
            components=(self.injector,),
        )
        self.cluster: Cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.observed: list[str] = []
        self.cluster.api.observers.append(lambda at, source, topic, data: self.observed.append(topic))
        self.scale(6)
        self.run(30)

    def scale(self, replicas: int) -> None:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        }
        body = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        server = self.cluster.server
        if "default/web" in server.objects("Deployment"):
            server.update(from_wire(body))
        else:
            server.create(from_wire(body))
        self.cluster.api.flush(self.cluster.now)

    def run(self, seconds: float) -> None:
        self.cluster.run(self.cluster.now + round(seconds * SECOND))

    def order(self, called: str, kind: str, **fields: Any) -> None:
        self.cluster.tell(self.injector.name, Order(called, read_fault(kind, fields, kind)))

    def undo(self, name: str) -> None:
        self.cluster.tell(self.injector.name, Recall(name))

    def not_ready(self) -> list[str]:
        nodes = self.cluster.server.objects("Node")
        return sorted(name for name, node in nodes.items() if node_ready(node) != "True")

    def running(self) -> int:
        pods = self.cluster.server.objects("Pod").values()
        return sum(pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None for pod in pods)


NODE_FAULTS: dict[str, dict[str, Any]] = {
    "nodeCrash": {"select": {"names": ["n0"]}},
    "nodeFreeze": {"select": {"names": ["n0"]}, "for": "1h"},
}


@pytest.mark.parametrize("kind", sorted(NODE_FAULTS))
def test_a_node_is_back_as_soon_as_it_is_asked_for(kind: str) -> None:
    story = Story()
    story.order("f", kind, **NODE_FAULTS[kind])
    story.run(60)
    assert story.not_ready() == ["n0"]
    assert [(found.name, found.targets, found.undoable) for found in story.injector.take()] == [("f", ("n0",), True)]
    story.undo("f")
    story.run(15)
    assert story.not_ready() == []
    assert "faultUndone" in story.observed
    story.run(400)
    assert story.running() == 6


def test_a_cut_off_zone_is_connected_again() -> None:
    story = Story()
    story.order("f", "zonePartition", zone="z", **{"for": "2h"})
    story.run(60)
    assert len(story.not_ready()) == NODES
    story.undo("f")
    story.run(15)
    assert story.not_ready() == []


def test_a_process_is_started_again_once() -> None:
    """The start that the outage would have ended with still comes, an hour later: it changes nothing."""
    story = Story()
    for name in ("first", "second"):
        story.order(name, "schedulerOutage", downFor="1h")
        story.run(5)
        story.scale(8 if name == "first" else 9)
        story.run(30)
        assert story.running() == (6 if name == "first" else 8)
        story.undo(name)
        story.run(20)
        assert story.running() == (8 if name == "first" else 9)
    story.run(3700)
    story.scale(10)
    story.run(20)
    assert story.running() == 10


def test_what_does_not_last_cannot_be_undone() -> None:
    story = Story()
    story.order("f", "podDeletion", app="web", count=2)
    story.run(30)
    (found,) = story.injector.take()
    assert (found.effects, found.undoable) == (2, False)
    story.undo("f")
    story.undo("nobody")
    story.run(30)
    assert story.running() == 6


def test_a_kind_that_nobody_watched_is_looked_at_first() -> None:
    story = Story()
    story.order("f", "deploymentChange", name="web", replicas=2)
    story.run(30)
    assert story.running() == 2
    (found,) = story.injector.take()
    assert found.targets == ("web",)


def test_nothing_to_hit_is_told() -> None:
    story = Story()
    story.order("f", "nodeCrash", select={"names": ["nobody"]})
    story.run(1)
    (found,) = story.injector.take()
    assert found.effects == 0


ORDERS = st.sampled_from(
    [
        ("nodeCrash", {"select": {"count": 1}}),
        ("nodeCrash", {"downFor": "40s"}),
        ("nodeFreeze", {"for": "30m", "select": {"count": 2}}),
        ("zonePartition", {"zone": "z", "for": "30m"}),
        ("schedulerOutage", {"downFor": "30m"}),
        ("controllerManagerOutage", {"downFor": "30m"}),
        ("apiServerRestart", {"downFor": "5s"}),
        ("podDeletion", {"app": "web", "count": 3}),
    ]
)


@settings(max_examples=8)
@given(st.lists(st.tuples(ORDERS, st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=4))
def test_everything_heals_when_all_is_undone(orders: list[tuple[tuple[str, dict[str, Any]], int, int]]) -> None:
    story = Story()
    names = []
    for index, ((kind, fields), before, after) in enumerate(orders):
        story.order(f"f{index}", kind, **fields)
        story.run(before)
        names.append(f"f{index}")
        if after % 2:
            story.undo(names.pop(0))
        story.run(after)
    for name in names:
        story.undo(name)
    story.run(HEAL_NS / SECOND)
    assert converged(story.cluster) == []
    assert story.running() == 6


def test_an_action_that_is_asked_for_goes_on_to_its_end() -> None:
    story = Story()
    story.order("maintenance", "drain", select={"names": ["n0"]})
    story.run(10)
    told = story.injector.take()
    assert [(item.name, item.targets, item.undoable) for item in told] == [("maintenance", ("n0",), False)]
    left = [pod for pod in story.cluster.server.objects("Pod").values() if pod.spec.node_name == "n0"]
    assert left == []
    assert story.cluster.server.get("Node", "", "n0").spec.unschedulable is True
    assert story.running() == 6
    assert "actionStep" in story.observed
