"""The strategy `kube` against a naive reading of kube-scheduler's scores, through any course of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import NodeAffinity, Pod, PodSpec
from harness.model.meta import LabelSelector
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.matching.pod_selectors import requirements
from harness.scheduling.scores import DefaultSpread, Grouping
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.state.node_selectors import preferred_terms
from harness.scheduling.strategy import Bind, PodView
from schedulers.kube import Kube, Profile
from tests.examples import examples
from tests.scheduling import naive_scores, scored_worlds, worlds
from tests.scheduling.naive_scores import Cluster, Setting
from tests.scheduling.scored_worlds import FPGA, GPU, PAGES, ZONE, MadeNode, Meta

settings_made = st.one_of(
    st.just(Setting()),
    st.builds(
        Setting,
        fit=st.sampled_from(["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]),
        resources=st.sampled_from(
            [
                (("cpu", 1), ("memory", 1)),
                (("cpu", 3), ("memory", 1), ("cpu", 2)),
                (("ephemeral-storage", 2), (FPGA, 5), ("memory", 1), ("pods", 9), ("unheard.of/thing", 7)),
                ((FPGA, 3), (PAGES, 1)),
                ((GPU, 3), ("cpu", 1)),
            ]
        ),
        shape=st.sampled_from([((0, 0), (100, 10)), ((0, 10), (100, 0)), ((10, 3), (40, 9), (73, 2)), ((50, 7),)]),
        balanced=st.sampled_from(
            [("cpu", "memory"), ("cpu", "memory", FPGA), ("cpu", GPU), ("cpu",), (PAGES, "memory", "cpu", FPGA)]
        ),
        hard_pod_affinity_weight=st.sampled_from([1, 0, 7, 100]),
        ignore_preferred_terms_of_existing_pods=st.booleans(),
        added=st.one_of(st.just(()), scored_worlds.node_preferences),
        constraints=st.sampled_from([None, (), (("zone", 1), ("rack", 2)), ((ZONE, 3),)]),
    ),
)
weights_made = st.one_of(
    st.just(dict(naive_scores.WEIGHTS)),
    st.dictionaries(st.sampled_from(sorted(naive_scores.WEIGHTS)), st.integers(1, 9), min_size=1),
)


def profile(setting: Setting, weights: Mapping[str, int]) -> Profile:
    more: dict[str, Any] = {}
    if setting.constraints is not None:
        spread = tuple(DefaultSpread(key, skew) for key, skew in setting.constraints)
        more = {"spread": spread, "system_spread": False}
    added = NodeAffinity(preferred_during_scheduling_ignored_during_execution=setting.added)
    return Profile(
        weights=dict(weights),
        fit=setting.fit,  # type: ignore[arg-type]
        resources=setting.resources,
        shape=tuple((utilization, 10 * score) for utilization, score in setting.shape),
        balanced=setting.balanced,
        hard_pod_affinity_weight=setting.hard_pod_affinity_weight,
        ignore_preferred_of_existing=setting.ignore_preferred_terms_of_existing_pods,
        added=preferred_terms(added),
        percentage=100,
        **more,
    )


groupings = st.sampled_from([Grouping(), Grouping(nodes=0, alike=0), Grouping(nodes=0, alike=1)])
"""By default no cluster as small as these is grouped."""


class Both:
    """The snapshot and the strategy on one side, the naive cluster on the other."""

    def begin(self, setting: Setting, weights: dict[str, int], grouping: Grouping) -> None:
        self.on = Snapshot()
        self.world = Cluster()
        self.made = 0
        self.setting, self.weights = setting, weights
        self.kube = Kube([profile(setting, weights)], grouping=grouping)

    def name(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def come(self, made: MadeNode) -> None:
        item = scored_worlds.node(self.name(), made)
        self.world.nodes[item.metadata.name] = item
        self.on.add_node(**node_columns(item))

    def place(self, item: Pod, node: str) -> None:
        self.world.running[item.metadata.key] = (item, node)
        self.on.assume(self.on.classes.view(item), self.on.node_table.index[node])

    def tell_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        self.world.namespaces.pop(name, None)
        if labels is not None:
            self.world.namespaces[name] = labels
        self.on.tables.put_namespace(name, labels)

    def tell_service(self, space: str, name: str, selector: dict[str, str] | None) -> None:
        self.world.services.pop((space, name), None)
        if selector is not None:
            self.world.services[space, name] = selector
        self.on.tables.owner_selectors.put_service(space, name, selector)

    def tell_controller(self, space: str, kind: str, selector: LabelSelector | None) -> None:
        self.world.controllers.pop((kind, space, "own"), None)
        if selector is not None:
            self.world.controllers[kind, space, "own"] = selector
        wanted = None if selector is None else requirements(selector)
        self.on.tables.owner_selectors.put_controller(kind, space, "own", wanted)

    def check(self, item: Pod) -> None:
        on = self.on
        view = on.classes.view(item)
        feasible = [on.names[node] for node in np.flatnonzero(on.feasible(view)).tolist()]
        nodes = [self.world.nodes[name] for name in feasible]
        expected = naive_scores.scores(item, nodes, self.world, self.setting, self.weights)
        found = self.kube.explain(view, on)
        assert set(found) == set(expected)
        for plugin, by_node in expected.items():
            column = found[plugin]
            got = {name: int(column[on.node_table.index[name]]) for name in feasible}
            assert got == by_node, plugin
            assert np.count_nonzero(np.isnan(column)) == len(column) - len(feasible)
        kept = self.kube._of(view).framework.table_of(on).column(view)  # brought up to date node by node
        own = [plugin for plugin in expected if plugin.startswith("NodeResources")]
        for name in feasible:
            node = on.node_table.index[name]
            assert kept[on.position_of[node]] == sum(expected[plugin][name] for plugin in own)
        total = {name: sum(by_node[name] for by_node in expected.values()) for name in feasible}
        self.check_choice(view, total)

    def check_choice(self, view: PodView, total: Mapping[str, int]) -> None:
        on = self.on
        decision = next(iter(self.kube.place([view], on, np.random.default_rng(0))))
        if not total:
            assert not isinstance(decision, Bind)
            return
        best = max(total.values())
        first = min(
            (name for name in total if total[name] == best), key=lambda name: on.rank[on.node_table.index[name]]
        )
        assert isinstance(decision, Bind)
        assert on.names[decision.node] == first


class ScoresMachine(RuleBasedStateMachine, Both):
    @initialize(
        nodes=st.lists(scored_worlds.nodes, min_size=2, max_size=5),
        setting=settings_made,
        weights=weights_made,
        grouping=groupings,
    )
    def start(self, nodes: list[MadeNode], setting: Setting, weights: dict[str, int], grouping: Grouping) -> None:
        self.begin(setting, weights, grouping)
        self.asked: list[Pod] = []
        for item in nodes:
            self.come(item)

    # -- nodes ----------------------------------------------------------------------------------------------------

    @rule(made=scored_worlds.nodes)
    def add_node(self, made: MadeNode) -> None:
        self.come(made)

    @precondition(lambda self: self.world.nodes)
    @rule(made=scored_worlds.nodes, data=st.data())
    def change_node(self, made: MadeNode, data: st.DataObject) -> None:
        item = scored_worlds.node(data.draw(st.sampled_from(sorted(self.world.nodes))), made)
        self.world.nodes[item.metadata.name] = item
        self.on.update_node(**node_columns(item))

    @precondition(lambda self: len(self.world.nodes) > 1)
    @rule(data=st.data())
    def remove_node(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.nodes)))
        for key, (_, at) in list(self.world.running.items()):
            if at == name:
                self.on.forget(key)
                del self.world.running[key]
        del self.world.nodes[name]
        self.on.remove_node(name)

    # -- pods -----------------------------------------------------------------------------------------------------

    @rule(meta=scored_worlds.metas, spec=scored_worlds.specs)
    def ask(self, meta: Meta, spec: PodSpec) -> None:
        self.asked = [*self.asked, scored_worlds.pod(self.name(), meta, spec)][-3:]

    @rule(meta=scored_worlds.metas, spec=scored_worlds.specs, deleted=st.booleans(), data=st.data())
    def bind_any(self, meta: Meta, spec: PodSpec, deleted: bool, data: st.DataObject) -> None:
        item = scored_worlds.pod(self.name(), meta, spec, deleted=deleted and data.draw(st.booleans()))
        self.place(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    @precondition(lambda self: self.asked)
    @rule(count=st.integers(1, 4), data=st.data())
    def bind_more_of_those_asked_for(self, count: int, data: st.DataObject) -> None:
        like = data.draw(st.sampled_from(self.asked))
        for _ in range(count):
            item = Pod(metadata=msgspec.structs.replace(like.metadata, name=self.name()), spec=like.spec)
            self.place(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    @precondition(lambda self: self.world.running)
    @rule(meta=scored_worlds.metas, deleted=st.booleans(), data=st.data())
    def change_pod(self, meta: Meta, deleted: bool, data: st.DataObject) -> None:
        """New labels on a pod that runs, or its deletion begins."""
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        old, at = self.world.running[key]
        item = scored_worlds.pod(old.metadata.name, (old.metadata.namespace, *meta[1:]), old.spec, deleted)
        self.world.running[key] = (item, at)
        self.on.update_pod(self.on.classes.view(item))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        del self.world.running[key]
        self.on.forget(key)

    # -- what else is looked at -------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(worlds.SPACES), labels=st.sampled_from([{}, {"team": "one"}, {"team": "two"}, None]))
    def change_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        self.tell_namespace(name, labels)

    @rule(
        space=st.sampled_from(worlds.SPACES),
        name=st.sampled_from(["one", "two"]),
        selector=st.sampled_from([{"app": "x"}, {"app": "x", "tier": "f"}, {}, None]),
    )
    def change_service(self, space: str, name: str, selector: dict[str, str] | None) -> None:
        self.tell_service(space, name, selector)

    @rule(
        space=st.sampled_from(worlds.SPACES),
        kind=st.sampled_from([kind for kind, _ in scored_worlds.CONTROLLERS]),
        selector=worlds.selectors,
        plain=st.sampled_from([{"app": "x"}, {"app": "y"}, {"tier": "f"}, {}]),
    )
    def change_controller(self, space: str, kind: str, selector: LabelSelector | None, plain: dict[str, str]) -> None:
        if kind == "ReplicationController":  # has a map of labels, no more
            selector = LabelSelector(match_labels=plain)
        self.tell_controller(space, kind, selector)

    @rule()
    def go_on_with_a_copy(self) -> None:
        self.on = self.on.copy()

    @rule()
    def count_anew(self) -> None:
        self.on.pod_counts.reset()

    @invariant()
    def scores_and_choice_are_those_of_the_source(self) -> None:
        for item in self.asked:
            self.check(item)


ScoresMachine.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=15, deadline=None)
TestScores = ScoresMachine.TestCase


services_made = st.dictionaries(
    st.tuples(st.sampled_from(worlds.SPACES), st.sampled_from(["one", "two"])),
    st.sampled_from([{"app": "x"}, {"app": "x", "tier": "f"}, {}]),
    max_size=2,
)
controllers_made = st.dictionaries(
    st.tuples(st.sampled_from(worlds.SPACES), st.sampled_from([kind for kind, _ in scored_worlds.CONTROLLERS])),
    st.sampled_from([{"app": "x"}, {"app": "y"}, {"tier": "f"}]),
    max_size=3,
)
namespaces_made = st.dictionaries(
    st.sampled_from(worlds.SPACES), st.sampled_from([{}, {"team": "one"}, {"team": "two"}])
)


# size: each parameter is a part of the cluster that Hypothesis draws.
@settings(max_examples=examples(150), deadline=None)
@given(
    made=st.lists(scored_worlds.nodes, min_size=3, max_size=7),
    running=st.lists(
        st.tuples(scored_worlds.metas, scored_worlds.specs, st.integers(0, 99), st.integers(0, 9)),
        min_size=6,
        max_size=14,
    ),
    asked=st.lists(st.tuples(scored_worlds.metas, scored_worlds.specs), min_size=2, max_size=4),
    setting=settings_made,
    weights=weights_made,
    grouping=groupings,
    services=services_made,
    controllers=controllers_made,
    namespaces=namespaces_made,
)
def test_a_full_cluster_is_scored_as_the_source_says(
    made: list[MadeNode],
    running: list[tuple[Meta, PodSpec, int, int]],
    asked: list[tuple[Meta, PodSpec]],
    setting: Setting,
    weights: dict[str, int],
    grouping: Grouping,
    services: dict[tuple[str, str], dict[str, str]],
    controllers: dict[tuple[str, str], dict[str, str]],
    namespaces: dict[str, dict[str, str]],
) -> None:
    """Where the course of events is of no matter: many pods run, each pod that is asked for runs a few times too."""
    both = Both()
    both.begin(setting, weights, grouping)
    for item in made:
        both.come(item)
    for name, labels in namespaces.items():
        both.tell_namespace(name, labels)
    for (space, name), plain in services.items():
        both.tell_service(space, name, plain)
    for (space, kind), plain in controllers.items():
        both.tell_controller(space, kind, LabelSelector(match_labels=plain))
    nodes = sorted(both.world.nodes)
    for meta, spec, at, deleted in running:
        both.place(scored_worlds.pod(both.name(), meta, spec, deleted == 0), nodes[at % len(nodes)])
    pods = [scored_worlds.pod(both.name(), meta, spec) for meta, spec in asked]
    for turn in range(3):
        for pod in pods:
            both.check(pod)
        for i, pod in enumerate(pods):
            more = msgspec.structs.replace(pod.metadata, name=both.name())
            both.place(Pod(metadata=more, spec=pod.spec), nodes[(turn * turn + i) % len(nodes)])
