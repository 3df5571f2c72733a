"""Scans that begin where the last one ended: what stands is as good as what a whole one finds."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler
from harness.autoscaling.cluster.removals import Removal, Removals
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.pool import NodePool, replaced
from harness.engine.component import MINUTE, SECOND, Start, Timer, WakeAt, Watch
from harness.engine.latency import Constant
from harness.model.core import Node, NodeStatus
from harness.model.meta import ObjectMeta
from tests.autoscaling.test_cluster_autoscaler_slo import CAPACITY, READY, pod

TEMPLATE = Node(
    metadata=ObjectMeta(labels={"podyard.dev/pool": "p"}),
    status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY, conditions=READY),
)


class Scans:
    """An autoscaler of one pool that shrinks after a day at most, told by hand; `bound`: where pods run, by name."""

    def __init__(self, nodes: int, others: int = 0) -> None:
        self.pool = NodePool(name="p", template=TEMPLATE, least=0, most=nodes, provisioning=Constant(MINUTE))
        flags = ClusterAutoscalerSettings(
            max_bulk_soft_taint_count=0,
            unremovable_node_recheck_timeout_ns=20 * SECOND,
            scale_down_unneeded_time_ns=24 * 60 * MINUTE,
        )
        self.autoscaler = ClusterAutoscaler((self.pool,), Random(1), flags)
        self.bound: dict[str, tuple[str, int]] = {}
        self.wake: WakeAt | None = None
        self.now = 0
        self._step([Start(), *(Watch("ADDED", self.pool.node(f"p-{at}")) for at in range(nodes))])
        for at in range(others):
            status = NodeStatus(capacity=CAPACITY, allocatable=CAPACITY, conditions=READY)
            self._step([Watch("ADDED", Node(metadata=ObjectMeta(name=f"n-{at}"), status=status))])
        self._step([Watch("ADDED", pod("waits", "", 5000))])  # so that there is something to scan for

    def _step(self, events: list[Any]) -> None:
        for effect in self.autoscaler.step(self.now, events):
            if isinstance(effect, WakeAt):
                self.wake = effect

    def bind(self, name: str, node: str, cpu: int) -> None:
        self.bound[name] = (node, cpu)
        self._step([Watch("ADDED", pod(name, node, cpu))])

    def end(self, name: str) -> None:
        node, cpu = self.bound.pop(name)
        self._step([Watch("DELETED", pod(name, node, cpu))])

    def report(self, node: str) -> None:
        """Its kubelet says that it is there."""
        self._step([Watch("MODIFIED", self.pool.node(node))])

    def scan(self) -> tuple[str, ...]:
        """Nodes that are not needed."""
        assert self.wake is not None
        self.now = self.wake.at
        self._step([Timer(self.wake.token)])
        return self.autoscaler._planner.unneeded

    def free(self) -> dict[str, int]:
        """Free CPU of the nodes that the simulation has left."""
        snapshot = self.autoscaler._state.snapshot
        return {name: int(snapshot.free[0, at]) for name, at in snapshot.node_table.index.items()}

    def truth(self) -> dict[str, int]:
        out = dict.fromkeys(self.autoscaler._state.nodes, 4000)
        for node, cpu in self.bound.values():
            out[node] -= cpu
        return out


def test_pods_that_moved_to_a_node_move_on_with_it() -> None:
    """p-0's pod would go to p-1; then both would have to go to n-0, which has room for one."""
    scans = Scans(2, others=1)
    scans.bind("a", "p-0", 1800)
    scans.bind("b", "p-1", 1800)
    scans.bind("c", "n-0", 1500)
    assert scans.scan() == ("p-0",)


def test_only_what_changed_is_simulated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 nodes one changes: it and what counted on it are looked at, not the others."""
    scans = Scans(60)
    for at in range(60):
        scans.bind(f"x-{at}", f"p-{at}", 1200)
    scans.scan()
    scans.scan()
    found = scans.scan()
    assert len(found) == 40  # three fit on a node
    made: list[str] = []
    before = Removals.remove

    def remove(self: Removals, now: int, name: str) -> Removal | str:
        made.append(name)
        return before(self, now, name)

    monkeypatch.setattr(Removals, "remove", remove)
    scans.bind("more", found[-1], 100)
    scans.report("p-59")
    assert found[-1] in scans.scan()
    assert found[-1] in made, made
    assert len(made) <= 3 + 20, made
    assert len(set(made) & set(found)) <= 3


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("bind"), st.integers(0, 9), st.sampled_from([200, 700, 1500])),
        st.tuples(st.just("end"), st.integers(0, 99), st.just(0)),
        st.tuples(st.just("report"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("scan"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(start=st.lists(st.sampled_from([0, 300, 900, 1800, 3500]), min_size=2, max_size=10), operations=OPERATIONS)
def test_what_stands_is_possible_and_goes_again(start: list[int], operations: list[tuple[str, int, int]]) -> None:
    """However pods come and go between scans: nodes that are not needed are out, their pods stand on others that have
    room, none twice and none missing; and when all is taken back, the snapshot is what there is."""
    scans = Scans(len(start))
    for at, cpu in enumerate(start):
        if cpu:
            scans.bind(f"x-{at}", f"p-{at}", cpu)
    made = 0
    for what, which, cpu in [*operations, ("scan", 0, 0)]:
        node = f"p-{which % len(start)}"
        if what == "bind" and scans.truth()[node] >= cpu:
            made += 1
            scans.bind(f"new-{made}", node, cpu)
        elif what == "end" and scans.bound:
            scans.end(sorted(scans.bound)[which % len(scans.bound)])
        elif what == "report":
            scans.report(node)
        elif what == "scan":
            found = scans.scan()
            free = scans.free()
            assert not set(found) & free.keys()
            assert min(free.values(), default=0) >= 0
            assert sum(free.values()) == sum(scans.truth().values()) - 4000 * len(found)
    changed = scans.pool.node("p-0")
    labels = {**changed.metadata.labels, "changed": "yes"}
    scans._step([Watch("MODIFIED", replaced(changed, metadata=replaced(changed.metadata, labels=labels)))])
    assert scans.free() == scans.truth()


@settings(max_examples=40)
@given(start=st.lists(st.sampled_from([0, 300, 900, 1800]), min_size=2, max_size=8), operations=OPERATIONS)
def test_no_empty_node_is_overlooked(start: list[int], operations: list[tuple[str, int, int]]) -> None:
    """Whatever came and went between the scans: a node of a pool on which nothing is left goes."""
    scans = Scans(len(start))
    for at, cpu in enumerate(start):
        if cpu:
            scans.bind(f"x-{at}", f"p-{at}", cpu)
    made = 0
    for what, which, cpu in operations:
        node = f"p-{which % len(start)}"
        if what == "bind" and scans.truth()[node] >= cpu:
            made += 1
            scans.bind(f"new-{made}", node, cpu)
        elif what == "end" and scans.bound:
            scans.end(sorted(scans.bound)[which % len(scans.bound)])
        elif what == "scan":
            scans.scan()
    for _ in range(4):  # until all may be looked at again
        found = scans.scan()
    used = {node for node, _ in scans.bound.values()}
    stay = [name for name, cpu in scans.free().items() if name.startswith("p-") and name not in used and cpu == 4000]
    assert not stay, f"{stay} are empty and stay, though {found} go"
