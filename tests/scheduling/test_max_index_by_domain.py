"""The index by domain chooses what a pass over all nodes would, whatever comes and goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.core import (
    Affinity,
    Container,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    ResourceRequirements,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import milli_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.ranking import max_index_by_domain, score_table
from harness.scheduling.ranking.score_table import ScoreTable
from harness.scheduling.strategy import PodView
from schedulers.greedy import Fullness
from tests.examples import examples

HOST, ZONE, RACK = "kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"
KEYS = (HOST, ZONE, RACK)


@st.composite
def specs(draw: st.DrawFn) -> tuple[str, PodSpec]:
    """A label value, and a spec with one or two constraints that look elsewhere."""
    app = draw(st.sampled_from("ab"))
    spread: list[TopologySpreadConstraint] = []
    groups: dict[str, PodAffinity] = {}
    for kind in draw(st.lists(st.sampled_from(["spread", "affinity", "anti"]), min_size=1, max_size=2)):
        key = draw(st.sampled_from(KEYS))
        selector = LabelSelector(match_labels={"app": draw(st.sampled_from("ab"))})
        if kind == "spread":
            skew = draw(st.integers(1, 2))
            spread.append(
                TopologySpreadConstraint(
                    max_skew=skew, topology_key=key, when_unsatisfiable="DoNotSchedule", label_selector=selector
                )
            )
        else:
            term = PodAffinityTerm(topology_key=key, label_selector=selector)
            groups[kind] = PodAffinity(required_during_scheduling_ignored_during_execution=(term,))
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": milli_quantity(1000)}))
    affinity = Affinity(pod_affinity=groups.get("affinity"), pod_anti_affinity=groups.get("anti")) if groups else None
    return app, PodSpec(containers=(container,), affinity=affinity, topology_spread_constraints=tuple(spread))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["place"] * 10 + ["drop"] * 3 + ["join", "leave", "move"]), st.integers(0, 1000)),
    max_size=60,
)


def chosen_by_pass(on: Snapshot, pod: PodView) -> int:
    """The same from the columns of all nodes."""
    nodes = np.flatnonzero(on.feasible(pod))
    if not len(nodes):
        return -1
    scores = Fullness(-1.0).score(pod, on, nodes)
    best = nodes[scores == scores.max()]
    return int(min(best.tolist(), key=lambda node: (int(on.rank[node]), node)))


def add(on: Snapshot, number: int, zone: int) -> None:
    labels = {HOST: f"n{number}", ZONE: f"z{zone % 3}"}
    if zone % 5:
        labels[RACK] = f"r{zone % 4}"
    on.add_node(f"n{number}", {"cpu": 2000 + 1000 * (zone % 3), "memory": 1 << 30, "pods": 10}, labels=labels)


@pytest.mark.parametrize("coarse", [0, 3, 64])
@settings(deadline=None, max_examples=examples(60))
@given(zones=st.lists(st.integers(0, 20), min_size=1, max_size=14), kinds=st.lists(specs(), min_size=1), events=EVENTS)
def test_it_chooses_what_a_pass_would(
    coarse: int, zones: list[int], kinds: list[tuple[str, PodSpec]], events: list[tuple[str, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(max_index_by_domain, "COARSE", coarse)
        patch.setattr(score_table, "_WORTH", 0)
        on = Snapshot()
        for number, zone in enumerate(zones):
            add(on, number, zone)
        table = ScoreTable(Fullness(-1.0), on)
        placed: list[str] = []
        count = len(zones)
        for turn, (event, draw) in enumerate(events):
            if event == "place":
                app, spec = kinds[draw % len(kinds)]
                meta = ObjectMeta(name=f"p{turn}", namespace="d", labels={"app": app})
                pod = on.classes.view(Pod(metadata=meta, spec=spec))
                node = table.best(pod)
                assert node == chosen_by_pass(on, pod)
                if node >= 0:
                    on.assume(pod, node)
                    placed.append(pod.key)
            elif event == "drop" and placed:
                on.forget(placed.pop(draw % len(placed)))
            elif event == "join":
                add(on, count, draw)
                count += 1
            elif on.node_table.index:
                name = sorted(on.node_table.index)[draw % len(on.node_table.index)]
                if event == "leave":
                    on.remove_node(name)
                elif event == "move":
                    labels = {HOST: name, ZONE: f"z{draw % 3}"}
                    on.update_node(name, {"cpu": 3000, "memory": 1 << 30, "pods": 10}, labels=labels)
