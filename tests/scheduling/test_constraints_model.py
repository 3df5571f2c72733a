"""Constraints between pods against a naive reading of their documentation, through any course of events."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import Pod, PodSpec
from harness.scheduling.classes import node_columns
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import PodView
from tests.scheduling import naive, worlds


class ConstraintsMachine(RuleBasedStateMachine):
    """Nodes and pods come, change and go; some pods are asked about all along, others once."""

    @initialize(
        nodes=st.lists(st.tuples(worlds.node_labels, st.booleans()), min_size=2, max_size=5),
        asked=st.lists(st.tuples(worlds.metas, worlds.pod_specs), min_size=1, max_size=4),
    )
    def start(
        self, nodes: list[tuple[dict[str, str], bool]], asked: list[tuple[tuple[str, dict[str, str]], PodSpec]]
    ) -> None:
        self.on = Snapshot()
        self.world = naive.World()
        self.made = 0
        self.asked: list[tuple[Pod, PodView]] = []
        for labels, tainted in nodes:
            self.add_node(labels, tainted)
        for meta, spec in asked:
            self.ask(meta, spec)

    def name(self) -> str:
        self.made += 1
        return f"n{self.made}"

    @rule(labels=worlds.node_labels, tainted=st.booleans())
    def add_node(self, labels: dict[str, str], tainted: bool) -> None:
        item = worlds.node(self.name(), labels, tainted)
        self.world.nodes[item.metadata.name] = item
        self.on.add_node(**node_columns(item))

    @precondition(lambda self: self.world.nodes)
    @rule(labels=worlds.node_labels, tainted=st.booleans(), data=st.data())
    def change_node(self, labels: dict[str, str], tainted: bool, data: st.DataObject) -> None:
        item = worlds.node(data.draw(st.sampled_from(sorted(self.world.nodes))), labels, tainted)
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

    @rule(meta=worlds.metas, spec=worlds.pod_specs)
    def ask(self, meta: tuple[str, dict[str, str]], spec: PodSpec) -> None:
        item = worlds.pod(self.name(), meta, spec)
        self.asked.append((item, self.on.classes.view(item)))
        self.asked = self.asked[-5:]

    @rule(meta=worlds.metas, spec=worlds.pod_specs, deleted=st.booleans(), data=st.data())
    def bind_any(self, meta: tuple[str, dict[str, str]], spec: PodSpec, deleted: bool, data: st.DataObject) -> None:
        """What somebody else bound: legal or not, it counts."""
        item = worlds.pod(self.name(), meta, spec, deleted and data.draw(st.booleans()))
        self.bind(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    @rule(pick=st.integers(0, 4), data=st.data())
    def bind_asked(self, pick: int, data: st.DataObject) -> None:
        item, _ = self.asked[pick % len(self.asked)]
        if item.metadata.key not in self.world.running:
            self.bind(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    def bind(self, item: Pod, node: str) -> None:
        self.world.running[item.metadata.key] = (item, node)
        self.on.assume(self.on.classes.view(item), self.on.facts.index[node])

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        del self.world.running[key]
        self.on.forget(key)

    @precondition(lambda self: self.world.running)
    @rule(labels=worlds.labels, deleted=st.booleans(), data=st.data())
    def relabel(self, labels: dict[str, str], deleted: bool, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        item, node = self.world.running[key]
        new = worlds.pod(item.metadata.name, (item.metadata.namespace, labels), item.spec, deleted)
        self.world.running[key] = (new, node)
        self.on.relabel(self.on.classes.view(new))

    @rule(name=st.sampled_from(worlds.SPACES), labels=st.sampled_from([None, {}, {"team": "one"}]))
    def change_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        if labels is None:
            self.world.namespaces.pop(name, None)
        else:
            self.world.namespaces[name] = labels
        self.on.classes.put_namespace(name, labels)

    @rule()
    def go_on_with_a_copy(self) -> None:
        self.on = self.on.copy()

    @rule()
    def count_anew(self) -> None:
        self.on.relations.reset()

    @invariant()
    def verdicts_are_those_of_the_documentation(self) -> None:
        on, world = self.on, self.world
        for item, view in self.asked:
            expected = {name: naive.reason(item, node, world) for name, node in world.nodes.items()}
            mask = on.feasible(view)
            cls = on.classes.class_now(view)
            for name, why in expected.items():
                node = on.facts.index[name]
                assert on.reasons(cls, node) == (() if why is None else (why,)), (name, why)
                assert mask[node] == on.feasibility.holds(cls, node) == (why is None)
            assert np.count_nonzero(mask) == sum(why is None for why in expected.values())
            counts: dict[str, int] = {}
            for why in expected.values():
                if why is not None:
                    counts[why] = counts.get(why, 0) + 1
            assert on.diagnose(view).reasons == counts


ConstraintsMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=20, deadline=None)
TestConstraints = ConstraintsMachine.TestCase
