"""A gang that fits somehow is placed, whatever its members' order and the strategy's preference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.objects import from_wire
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.gangs import first_fit
from harness.scheduling.registry import load
from harness.scheduling.strategy import BindTogether, PodView, Wait
from tests.examples import examples

HOST = "kubernetes.io/hostname"
SELECTOR = {"matchLabels": {"app": "gang"}}
ONE_A_NODE = {
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": SELECTOR}
    ]
}


def beside(kind: str) -> dict[str, Any]:
    term = {"topologyKey": HOST, "labelSelector": SELECTOR}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def member(on: Snapshot, name: str, cpu: str, size: int, **spec: Any) -> PodView:
    requests = {"requests": {"cpu": cpu}}
    labels = {"app": "gang", "scheduling.x-k8s.io/pod-group": "gang"}
    pod = {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "d", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": requests}], **spec},
    }
    return on.classes.view(from_wire(pod), group_min=size)


def cluster(*cpus: int) -> Snapshot:
    on = Snapshot()
    for index, cpu in enumerate(cpus):
        amounts = {"cpu": cpu * 1000, "memory": 1 << 40, "pods": 9}
        on.add_node(f"n{index}", amounts, labels={HOST: f"n{index}"})
    return on


GANGS: dict[str, tuple[tuple[int, ...], list[tuple[str, dict[str, Any]]]]] = {
    # The small one likes the large node best, where the large ones must go. Seed 3321 of podyard simulate.
    "the smallest first": ((1, 3), [("250m", {}), ("1500m", {}), ("1500m", {})]),
    # One must find its node without others of its kind. Seed 3488.
    "one that spreads, last": ((8, 8), [("250m", {}), ("1", {}), ("1", {}), ("1", ONE_A_NODE)]),
    # One must have others beside it, the other must not. Seed 232.
    "one that keeps away, first": (
        (4, 4),
        [("1", beside("podAntiAffinity")), ("250m", beside("podAffinity")), ("250m", beside("podAffinity"))],
    ),
}


@pytest.mark.parametrize("strategy", ["greedy", "least-allocated", "kube", "random", "binpack"])
@pytest.mark.parametrize("name", GANGS)
def test_a_gang_that_fits_is_placed(name: str, strategy: str) -> None:
    cpus, wanted = GANGS[name]
    on = cluster(*cpus)
    members = [member(on, f"g{index}", cpu, len(wanted), **spec) for index, (cpu, spec) in enumerate(wanted)]
    members = [on.classes.current(view) for view in members]
    free = on.free.copy()
    decisions = list(load(strategy)().place(members, on, np.random.default_rng(1)))
    assert [type(decision) for decision in decisions] == [BindTogether]
    assert (on.free == free).all(), "tried, and taken back"


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_members_are_found_a_place_in_whatever_order_they_come(data: st.DataObject) -> None:
    on = cluster(*data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), label="nodes"))
    spec = st.sampled_from([{}, {}, ONE_A_NODE, beside("podAffinity"), beside("podAntiAffinity")])
    drawn = data.draw(st.lists(st.tuples(st.sampled_from(("250m", "1", "2")), spec), min_size=2, max_size=5))
    members = [member(on, f"g{index}", cpu, len(drawn), **more) for index, (cpu, more) in enumerate(drawn)]
    members = [on.classes.current(view) for view in members]
    version = on.free.copy()
    found = first_fit(members, on)
    shuffled = data.draw(st.permutations(members))
    assert first_fit(shuffled, on) == found
    assert (on.free == version).all()
    if len(found) == len(members):
        decisions = list(load("least-allocated")().place(shuffled, on, np.random.default_rng(1)))
        assert [type(decision) for decision in decisions] == [BindTogether]


@pytest.mark.parametrize(
    "strategy", ["greedy", "least-allocated", "kube", "random", "fgd", "ranked", "binpack", "migrating"]
)
@pytest.mark.parametrize("spec", [{}, ONE_A_NODE, beside("podAffinity"), {"nodeSelector": {"a": "b"}}], ids=str)
def test_a_scheduler_that_has_just_started_knows_no_node(strategy: str, spec: dict[str, Any]) -> None:
    """Seed 2155 of podyard simulate: pods were heard of before nodes, and a constraint on other pods raised."""
    on = Snapshot()
    pod = {
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "d", "labels": {"app": "gang"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }
    made: Any = load(strategy)()
    decisions = list(made.place([on.classes.view(from_wire(pod))], on, np.random.default_rng(1)))
    assert [type(decision) for decision in decisions] == [Wait]
