"""Every constraint against kube-scheduler's filters in plain loops, through any course of events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import Pod
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView
from tests.examples import examples
from tests.scheduling import filter_worlds as worlds
from tests.scheduling import naive, naive_filters
from tests.scheduling.test_filters_model import agree, pod


class ConstraintsMachine(RuleBasedStateMachine):
    """Nodes and pods come, change and go; some pods are asked about all along, others once."""

    @initialize(theme=st.sampled_from(worlds.THEMES), data=st.data())
    def start(self, theme: str, data: st.DataObject) -> None:
        self.on = Snapshot()
        self.world = naive.World()
        self.made = 0
        self.asked: list[tuple[Pod, PodView]] = []
        self.specs, self.node_parts = worlds.pod_specs(theme), worlds.node_parts(theme)
        for _ in range(data.draw(st.integers(2, 5))):
            self.add_node(data)
        for _ in range(data.draw(st.integers(1, 4))):
            self.ask(data)

    def name(self) -> str:
        self.made += 1
        return f"n{self.made}"

    @rule(data=st.data())
    def add_node(self, data: st.DataObject) -> None:
        item = worlds.node(self.name(), *data.draw(self.node_parts))
        self.world.nodes[item.metadata.name] = item
        self.on.add_node(**node_columns(item))

    @precondition(lambda self: self.world.nodes)
    @rule(data=st.data())
    def change_node(self, data: st.DataObject) -> None:
        item = worlds.node(data.draw(st.sampled_from(sorted(self.world.nodes))), *data.draw(self.node_parts))
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

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        item = pod(self.name(), data.draw(worlds.metas), data.draw(self.specs))
        self.asked.append((item, self.on.classes.view(item)))
        self.asked = self.asked[-5:]

    @rule(data=st.data())
    def bind_any(self, data: st.DataObject) -> None:
        """What somebody else bound: legal or not, it counts."""
        item = pod(self.name(), data.draw(worlds.metas), data.draw(self.specs), data.draw(st.integers(0, 3)) == 0)
        self.bind(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    @rule(pick=st.integers(0, 4), data=st.data())
    def bind_asked(self, pick: int, data: st.DataObject) -> None:
        item, _ = self.asked[pick % len(self.asked)]
        if item.metadata.key not in self.world.running:
            self.bind(item, data.draw(st.sampled_from(sorted(self.world.nodes))))

    def bind(self, item: Pod, node: str) -> None:
        self.world.running[item.metadata.key] = (item, node)
        self.on.assume(self.on.classes.view(item), self.on.node_table.index[node])

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        del self.world.running[key]
        self.on.forget(key)

    @precondition(lambda self: self.world.running)
    @rule(labels=worlds.pod_labels, deleted=st.booleans(), data=st.data())
    def relabel(self, labels: dict[str, str], deleted: bool, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        item, node = self.world.running[key]
        new = pod(item.metadata.name, (item.metadata.namespace, labels), item.spec, deleted)
        self.world.running[key] = (new, node)
        self.on.update_pod(self.on.classes.view(new))

    @rule(name=st.sampled_from(["a", "b"]), labels=worlds.namespace_labels)
    def change_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        if labels is None:
            self.world.namespaces.pop(name, None)
        else:
            self.world.namespaces[name] = labels
        self.on.tables.put_namespace(name, labels)

    @rule()
    def go_on_with_a_copy(self) -> None:
        self.on = self.on.copy()

    @rule()
    def count_anew(self) -> None:
        self.on.pod_counts.reset()

    @invariant()
    def verdicts_are_kube_schedulers(self) -> None:
        for item, view in self.asked:
            agree(self.on, self.world, item, view, naive_filters.silent)


ConstraintsMachine.TestCase.settings = settings(max_examples=examples(80), stateful_step_count=20, deadline=None)
TestConstraints = ConstraintsMachine.TestCase
