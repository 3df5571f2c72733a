"""Nodes decided by group go where they go when every node is scored, through any course of events."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from harness.model.core import (
    Affinity,
    Container,
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    PreferredSchedulingTerm,
    ResourceRequirements,
    Taint,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.scores import Grouping
from harness.scheduling.strategy import Bind
from schedulers.kube import Kube, Profile

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
NODES = 90  # more hosts and racks than are told apart by name, fewer zones
APPS = ("a", "b", "c")


def near(app: str, key: str, weight: int) -> PodAffinity:
    term = PodAffinityTerm(topology_key=key, label_selector=LabelSelector(match_labels={"app": app}))
    weighted = WeightedPodAffinityTerm(weight=weight, pod_affinity_term=term)
    return PodAffinity(preferred_during_scheduling_ignored_during_execution=(weighted,))


def apart(app: str, *keys: str) -> tuple[TopologySpreadConstraint, ...]:
    return tuple(
        TopologySpreadConstraint(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=LabelSelector(match_labels={"app": app}),
        )
        for key in keys
    )


def liking(*zones: str) -> NodeAffinity:
    expression = NodeSelectorRequirement(key=ZONE, operator="In", values=zones)
    term = PreferredSchedulingTerm(weight=5, preference=NodeSelectorTerm(match_expressions=(expression,)))
    return NodeAffinity(preferred_during_scheduling_ignored_during_execution=(term,))


CONTAINERS = (
    Container(name="c", resources=ResourceRequirements(requests={"cpu": parse_quantity("300m")})),
    Container(name="c", resources=ResourceRequirements(requests={"memory": parse_quantity("1Gi")})),
)
KINDS = tuple(
    (app, PodSpec(containers=(CONTAINERS[i % 2],), **rest))  # type: ignore[arg-type]
    for i, (app, rest) in enumerate(
        (
            ("a", {}),
            ("a", {"topology_spread_constraints": apart("a", ZONE)}),
            ("a", {"topology_spread_constraints": apart("a", HOST, ZONE)}),
            ("b", {"affinity": Affinity(pod_anti_affinity=near("b", HOST, 10))}),
            ("b", {"affinity": Affinity(pod_affinity=near("a", "rack", 7), pod_anti_affinity=near("b", ZONE, 3))}),
            ("c", {"affinity": Affinity(node_affinity=liking("z1", "z2"), pod_affinity=near("c", HOST, 90))}),
            ("c", {"topology_spread_constraints": apart("c", "rack")}),  # too many domains to be grouped by
        )
    )
)


class Course:
    """Both ways side by side on one snapshot."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.on = Snapshot()
        self.made = 0
        for i in range(NODES):
            self.put_node(f"n{i}")
        self.grouped = Kube([Profile(percentage=100)], grouping=Grouping(nodes=0, alike=2))
        self.plain = Kube([Profile(percentage=100)], grouping=Grouping(nodes=10**9))

    def put_node(self, name: str) -> None:
        draw = self.random
        labels = {HOST: name, ZONE: f"z{draw.randrange(3)}", "rack": f"r{draw.randrange(40)}"}
        for key in (ZONE, "rack"):
            if not draw.randrange(12):
                del labels[key]
        change = self.on.update_node if name in self.on.node_table.index else self.on.add_node
        change(
            name,
            {"cpu": draw.choice((2000, 4000)), "memory": 8 << 30, "pods": 6},
            labels=labels,
            taints=(Taint(key="t", effect="PreferNoSchedule"),) if not draw.randrange(5) else (),
        )

    def pod(self) -> Pod:
        app, spec = self.random.choice(KINDS)
        self.made += 1
        return Pod(metadata=ObjectMeta(name=f"p{self.made}", namespace="d", labels={"app": app}), spec=spec)

    def decide(self) -> None:
        view = self.on.classes.view(self.pod())
        rng = np.random.default_rng(0)
        (one,), (other,) = (list(way.place([view], self.on, rng)) for way in (self.grouped, self.plain))
        assert isinstance(one, Bind) == isinstance(other, Bind)
        if isinstance(one, Bind) and isinstance(other, Bind):
            assert one.node == other.node
            self.on.assume(view, one.node)

    def disturb(self) -> None:
        on, draw = self.on, self.random
        keys = list(on.placements.node_of)
        match draw.randrange(8):
            case 0 | 1 | 2 if keys:
                on.forget(draw.choice(keys))
            case 3 if keys:
                name = draw.choice(keys).rpartition("/")[2]
                node = on.where(f"d/{name}")
                assert node is not None
                old = next(pod for pod in on.pods_on(node) if pod.key == f"d/{name}")
                spec = next(spec for app, spec in KINDS if app == old.labels["app"])
                meta = ObjectMeta(name=name, namespace="d", labels={"app": draw.choice(APPS)})
                on.update_pod(on.classes.view(Pod(metadata=meta, spec=spec)))
            case 4 | 5:
                on.assume(on.classes.view(self.pod()), draw.choice(list(on.node_table.index.values())))
            case 6:
                selector = draw.choice(({"app": "a"}, None))
                on.tables.owner_selectors.put_service("d", "a", selector)
            case _:
                name = draw.choice(list(on.node_table.index))
                if draw.randrange(2):
                    for pod in on.pods_on(on.node_table.index[name]):
                        on.forget(pod.key)
                    on.remove_node(name)
                self.put_node(name)


@pytest.mark.parametrize("seed", range(6))
def test_groups_lead_where_every_node_scored_leads(seed: int) -> None:
    course = Course(seed)
    for turn in range(260):
        course.decide()
        if turn % 90 >= 40 and course.random.randrange(3) == 0:  # quiet times, and others
            course.disturb()


def test_groups_were_at_work_in_it() -> None:
    course = Course(1)
    for _ in range(60):
        course.decide()
    (selection,) = course.grouped._selections.values()
    groups = [kind.groups for kind in selection.framework.groups._kinds.values() if kind.groups is not None]
    assert len(groups) >= 4
    keys = [feature.key for made in groups for feature in made.features]
    assert {"domain", "host", "code"} <= {key[0] for key in keys if isinstance(key, tuple)}
