"""Every constraint at once against kube-scheduler's filters in plain loops: node by node, reason by reason."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, seed, settings
from hypothesis import strategies as st

from harness.model.core import Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView
from tests.examples import examples
from tests.scheduling import filter_worlds as worlds
from tests.scheduling import naive, naive_filters

TURNS = (
    "empty node selector term",
    "malformed node selector term",
    "fields looked at",
    "node that is not named",
    "terms at odds",
    "port taken",
    "port taken on another address",
    "sidecar",
    "init containers need most",
    "overhead",
    "zero request",
    "resource that the node lacks",
    "short of several",
    "matchLabelKeys without a selector",
    "node without a spreading label",
    "node left out of the counts by affinity",
    "node left out of the counts by taints",
    "pod being deleted not counted",
    "fewer domains than minDomains",
    "domain that is not counted",
    "pod outside its own spreading selector",
    "namespace nobody told of taken for one without labels",
    "node without an affinity label",
    "first of its kind",
    "mates by several terms",
    "untolerated taint",
    "Too many pods",
    "Insufficient cpu",
    "Insufficient memory",
    "Insufficient ephemeral-storage",
    "Insufficient example.com/a",
    "Insufficient other.org/b",
    "Insufficient hugepages-2Mi",
    "node(s) were unschedulable",
    "node(s) didn't match the requested node name",
    "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't have free ports for the requested pod ports",
    "node(s) didn't match pod topology spread constraints",
    "node(s) didn't match pod topology spread constraints (missing required label)",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't satisfy existing pods anti-affinity rules",
)


def pod(name: str, meta: tuple[str, dict[str, str]], spec: PodSpec, deleted: bool = False) -> Pod:
    space, labels = meta
    gone: Any = 1 if deleted else None
    return Pod(metadata=ObjectMeta(name=name, namespace=space, labels=labels, deletion_timestamp=gone), spec=spec)


def agree(on: Snapshot, world: naive.World, item: Pod, view: PodView, note: naive_filters.Note) -> None:
    """Both say the same of every node, in every way there is to ask."""
    expected = naive_filters.judge(item, world, note)
    cls = on.classes.class_now(view)
    mask = on.feasible(view)
    found = diagnose(on, view)
    if expected.before:
        assert found.pre_filter_message.startswith(expected.before)
        assert found.nodes == len(world.nodes)
        assert not mask.any()
        return
    for name, why in expected.reasons.items():
        at = on.node_table.index[name]
        assert bool(mask[at]) == on.verdicts.holds(cls, at) == (not why), (name, why)
        if not any("didn't satisfy plugin" in reason for reason in why):  # which is said of many nodes at once
            assert sorted(reasons_on_node(on, cls, at)) == sorted(why), name
    assert np.count_nonzero(mask) == sum(not why for why in expected.reasons.values())
    assert not found.pre_filter_message
    assert found.reasons == dict(sorted(expected.counts().items()))
    text = ", ".join(sorted(f"{count} {reason}" for reason, count in expected.counts().items()))
    assert str(found) == f"0/{len(world.nodes)} nodes are available:" + (f" {text}." if text else "")


@st.composite
def clusters(draw: Any, theme: str) -> tuple[naive.World, list[Pod]]:
    """A cluster in which pods run where somebody put them, and pods that want in."""
    specs = worlds.pod_specs(theme)
    world = naive.World()
    for name in draw(worlds.lists(st.sampled_from(worlds.NAMES), 3, 4, 6, by=str)):
        world.nodes[name] = worlds.node(name, *draw(worlds.node_parts(theme)))
    for space in ("a", "b"):
        labels = draw(worlds.namespace_labels)
        if labels is not None:
            world.namespaces[space] = labels
    there = st.tuples(worlds.metas, specs, st.integers(0, 5), st.sampled_from(sorted(world.nodes)))
    for i, (meta, spec, deleted, at) in enumerate(draw(worlds.lists(there, 0, 1, 3, 5, 8))):
        item = pod(f"p{i}", meta, spec, not deleted)
        world.running[item.metadata.key] = (item, at)
    wanting = draw(worlds.lists(st.tuples(worlds.metas, specs), 2))
    return world, [pod(f"w{i}", *parts) for i, parts in enumerate(wanting)]


def built(world: naive.World) -> Snapshot:
    on = Snapshot()
    for name, labels in world.namespaces.items():
        on.tables.put_namespace(name, labels)
    for node in world.nodes.values():
        on.add_node(**node_columns(node))
    for item, at in world.running.values():
        on.assume(on.classes.view(item), on.node_table.index[at])
    return on


@pytest.mark.parametrize("theme", worlds.THEMES)
def test_feasible_nodes_and_reasons_are_kube_schedulers(theme: str) -> None:
    @given(clusters(theme))
    @settings(max_examples=examples(60), deadline=None)
    def held_against_each_other(case: tuple[naive.World, list[Pod]]) -> None:
        world, wanting = case
        on = built(world)
        turns: set[str] = set()
        for item in wanting:
            agree(on, world, item, on.classes.view(item), turns.add)
        for turn in sorted(turns):
            event(turn)

    held_against_each_other()


@pytest.mark.slow
def test_every_turn_of_the_rules_is_taken() -> None:
    """What the random clusters are worth: each rule, and each exception to one, decides somewhere."""
    seen: set[str] = set()
    for number, theme in itertools.product(range(10), worlds.THEMES):

        @seed(number)
        @given(clusters(theme))
        @settings(max_examples=50, database=None)
        def look(case: tuple[naive.World, list[Pod]]) -> None:
            for item in case[1]:
                naive_filters.judge(item, case[0], seen.add)

        look()
        if seen.issuperset(TURNS):
            return
    assert [turn for turn in TURNS if turn not in seen] == []
