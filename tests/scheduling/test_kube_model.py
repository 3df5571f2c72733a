"""The strategy `kube` against a naive reading of kube-scheduler's scores, through any course of events."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import ContainerImage, Pod, PodSpec, Taint
from harness.scheduling.classes import node_columns
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import Bind
from schedulers.kube import kube
from tests.scheduling import naive, naive_scores, worlds

MadeNode = tuple[dict[str, str], tuple[Taint, ...], str, tuple[ContainerImage, ...]]


class ScoresMachine(RuleBasedStateMachine):
    @initialize(nodes=st.lists(worlds.scored_nodes, min_size=2, max_size=5))
    def start(self, nodes: list[MadeNode]) -> None:
        self.on = Snapshot()
        self.world = naive.World()
        self.made = 0
        self.asked: list[Pod] = []
        self.kube = kube()
        for item in nodes:
            self.add_node(item)

    def name(self) -> str:
        self.made += 1
        return f"n{self.made}"

    @rule(made=worlds.scored_nodes)
    def add_node(self, made: MadeNode) -> None:
        item = worlds.scored_node(self.name(), made)
        self.world.nodes[item.metadata.name] = item
        self.on.add_node(**node_columns(item))

    @precondition(lambda self: self.world.nodes)
    @rule(made=worlds.scored_nodes, data=st.data())
    def change_node(self, made: MadeNode, data: st.DataObject) -> None:
        item = worlds.scored_node(data.draw(st.sampled_from(sorted(self.world.nodes))), made)
        self.world.nodes[item.metadata.name] = item
        self.on.update_node(**node_columns(item))

    @rule(meta=worlds.metas, spec=worlds.wishing_specs)
    def ask(self, meta: tuple[str, dict[str, str]], spec: PodSpec) -> None:
        self.asked = [*self.asked, worlds.pod(self.name(), meta, spec)][-3:]

    @rule(meta=worlds.metas, spec=worlds.wishing_specs, data=st.data())
    def bind_any(self, meta: tuple[str, dict[str, str]], spec: PodSpec, data: st.DataObject) -> None:
        item = worlds.pod(self.name(), meta, spec)
        node = data.draw(st.sampled_from(sorted(self.world.nodes)))
        self.world.running[item.metadata.key] = (item, node)
        self.on.assume(self.on.classes.view(item), self.on.facts.index[node])

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        del self.world.running[key]
        self.on.forget(key)

    @rule()
    def go_on_with_a_copy(self) -> None:
        self.on = self.on.copy()

    @rule()
    def count_anew(self) -> None:
        self.on.relations.reset()

    @invariant()
    def scores_and_choice_are_those_of_the_documentation(self) -> None:
        on = self.on
        for item in self.asked:
            view = on.classes.view(item)
            feasible = [on.names[node] for node in np.flatnonzero(on.feasible(view)).tolist()]
            expected = naive_scores.scores(item, [self.world.nodes[name] for name in feasible], self.world)
            found = self.kube.explain(view, on)
            assert set(found) == set(expected)
            for plugin, by_node in expected.items():
                column = found[plugin]
                got = {name: int(column[on.facts.index[name]]) for name in feasible}
                assert got == by_node, plugin
                assert np.count_nonzero(np.isnan(column)) == len(column) - len(feasible)
            decision = next(iter(self.kube.place([view], on, np.random.default_rng(0))))
            if not feasible:
                assert not isinstance(decision, Bind)
                continue
            total = {name: sum(by_node[name] for by_node in expected.values()) for name in feasible}
            best = max(total.values())
            first = min((name for name in feasible if total[name] == best), key=lambda n: on.rank[on.facts.index[n]])
            assert isinstance(decision, Bind)
            assert on.names[decision.node] == first


ScoresMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=15, deadline=None)
TestScores = ScoresMachine.TestCase
