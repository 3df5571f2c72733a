"""Preemption against a naive reading of kube-scheduler's rules, on random small clusters."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from harness.model.core import Container, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import PodDisruptionBudget
from harness.model.quantity import parse_quantity
from harness.model.workloads import PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption import victims as real
from harness.scheduling.state.from_node import node_columns
from tests.examples import examples
from tests.scheduling import naive, naive_preemption, worlds

plain = st.just(PodSpec())
specs = st.one_of(plain, plain, worlds.pod_specs)


@st.composite
def pods(draw: Any, specs: st.SearchStrategy[PodSpec] = specs, priorities: tuple[int, ...] = (0, 1, 2, 3)) -> Pod:
    spec = draw(specs)
    ports = spec.containers[0].ports if spec.containers else ()
    cpu = draw(st.sampled_from(["0", "1", "2", "3", "4", "8"]))
    container = Container(name="c", ports=ports, resources=ResourceRequirements(requests={"cpu": parse_quantity(cpu)}))
    spec = msgspec.structs.replace(spec, containers=(container,), priority=draw(st.sampled_from(priorities)))
    space, labels = draw(worlds.metas)
    start: Any = draw(st.sampled_from([None, 1, 2, 3]))
    return Pod(metadata=ObjectMeta(namespace=space, labels=labels), spec=spec, status=PodStatus(start_time=start))


def named(pod: Pod, name: str) -> Pod:
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, name=name))


@st.composite
def budgets(draw: Any, name: str) -> PodDisruptionBudget:
    status = PodDisruptionBudgetStatus(
        disruptions_allowed=draw(st.integers(0, 1)),
        disrupted_pods=draw(st.sampled_from([{}, {}, {"p1": 1}])),
    )
    selector = draw(st.sampled_from([*[LabelSelector(match_labels={"app": app}) for app in "xxy"], LabelSelector()]))
    meta = ObjectMeta(name=name, namespace=draw(st.sampled_from(worlds.SPACES)))
    return PodDisruptionBudget(metadata=meta, spec=PodDisruptionBudgetSpec(selector=selector), status=status)


class Both:
    """The same cluster twice: as a snapshot with its preemption, and as the naive model's."""

    def __init__(self, data: st.DataObject, specs: st.SearchStrategy[PodSpec]) -> None:
        self.on = Snapshot()
        world = naive.World()
        self.case = naive_preemption.Case(world, [])
        seed = data.draw(st.integers(0, 3))
        self.offsets = Random(seed)
        self.preemption = real.Preemption(self.on, Random(seed), {})
        for i, (labels, tainted, most) in enumerate(
            data.draw(
                st.lists(st.tuples(worlds.node_labels, st.booleans(), st.sampled_from([2, 20])), min_size=1, max_size=5)
            )
        ):
            node = worlds.node(f"n{i}", labels, tainted, most)
            world.nodes[node.metadata.name] = node
            self.case.order.append(node.metadata.name)
            self.on.add_node(**node_columns(node))
        for i, (pod, at) in enumerate(
            data.draw(st.lists(st.tuples(pods(specs), st.sampled_from(self.case.order)), max_size=14))
        ):
            self.bind(named(pod, f"p{i}"), at)
        if data.draw(st.sampled_from([True, True, False])):
            self.fill(data)
        for i in range(data.draw(st.integers(0, 2))):
            budget = data.draw(budgets(f"b{i}"))
            self.case.budgets.append(budget)
            self.preemption.budgets.put(budget)
        for i, (pod, at) in enumerate(
            data.draw(st.lists(st.tuples(pods(specs), st.sampled_from(self.case.order)), max_size=3))
        ):
            pod = named(pod, f"w{i}")
            self.case.nominated.append((pod, at))
            self.on.nominations.nominate(self.on.classes.view(pod), self.on.node_table.index[at])

    def fill(self, data: st.DataObject) -> None:
        """No CPU is left anywhere."""
        for i, name in enumerate(self.case.order):
            left = 8000 - sum(map(naive_preemption.cpu, self.case.world.pods_on(name)))
            if left > 0:
                pod = data.draw(pods(plain, (0, 1, 2)))
                amount = ResourceRequirements(requests={"cpu": parse_quantity(f"{left}m")})
                spec = msgspec.structs.replace(pod.spec, containers=(Container(name="c", resources=amount),))
                self.bind(named(msgspec.structs.replace(pod, spec=spec), f"f{i}"), name)

    def bind(self, pod: Pod, at: str) -> None:
        self.case.world.running[pod.metadata.key] = (pod, at)
        self.on.assume(self.on.classes.view(pod), self.on.node_table.index[at])
        self.preemption.update_pod(pod)

    def end(self, key: str) -> None:
        del self.case.world.running[key]
        self.on.forget(key)
        self.preemption.remove_pod(key)

    def fits_somewhere(self, pod: Pod) -> bool:
        """As both say."""
        expected = {
            name: not naive_preemption.status(pod, name, self.case, self.case.world) for name in self.case.order
        }
        view = self.on.classes.view(pod)
        cls = self.on.classes.class_now(view)
        feasible = self.on.feasible(view)
        for name, fits in expected.items():
            node = self.on.node_table.index[name]
            assert feasible[node] == self.on.verdicts.holds(cls, node) == fits, name
        return any(expected.values())

    def ask(self, pod: Pod, least: int = real.MIN_CANDIDATES) -> real.Verdict:
        """What both say of a pod that fits nowhere, which is the same. `least`: candidates that are enough."""
        view = self.on.classes.view(pod)
        why = diagnose(self.on, view)
        version, free = self.on.version, self.on.free.copy()
        with patch.object(real, "MIN_CANDIDATES", least):
            found = self.preemption.verdict(view, pod, why)
        assert self.on.version == version
        assert np.array_equal(self.on.free, free), "a dry run leaves no trace"
        expected = naive_preemption.preempt(pod, self.case, self.offsets.randrange, least)
        match found:
            case real.Victims(node, victims):
                assert (self.on.node_table.names[node], [victim.key for victim in victims]) == expected
            case real.NoPreemption(reason):
                assert reason == expected
        return found


@given(st.data())
@settings(max_examples=examples(200), deadline=None)
def test_who_goes_and_where_is_what_kube_scheduler_says(data: st.DataObject) -> None:
    both = Both(data, specs)
    pod = named(data.draw(pods(specs, (1, 2, 3))), "new")
    assume(not both.fits_somewhere(pod))
    event(type(both.ask(pod, data.draw(st.sampled_from([1, 2, 100])))).__name__)


@given(st.data())
@settings(max_examples=examples(100), deadline=None)
def test_what_is_remembered_of_dry_runs_is_what_a_new_one_says(data: st.DataObject) -> None:
    """Pods of one class ask again and again, while pods come and go between."""
    both = Both(data, plain)
    pod = data.draw(pods(plain, (2, 3)))
    for i in range(data.draw(st.integers(2, 5))):
        new = named(pod, f"new{i}")
        if not both.fits_somewhere(new):
            found = both.ask(new, data.draw(st.sampled_from([1, 2, 100])))
            if isinstance(found, real.Victims) and data.draw(st.booleans()):
                both.case.nominated.append((new, both.on.node_table.names[found.node]))
                both.on.nominations.nominate(both.on.classes.view(new), found.node)
                for victim in found.pods:
                    both.end(victim.key)
        other = named(data.draw(pods(plain)), f"later{i}")
        both.bind(other, data.draw(st.sampled_from(both.case.order)))


@given(st.data())
@settings(max_examples=examples(100), deadline=None)
def test_victims_are_lower_and_each_of_them_is_needed(data: st.DataObject) -> None:
    both = Both(data, specs)
    pod = named(data.draw(pods(specs, (3,))), "new")
    assume(not both.fits_somewhere(pod))
    found = both.ask(pod)
    if not isinstance(found, real.Victims):
        return
    assert all(victim.priority < (pod.spec.priority or 0) for victim in found.pods)
    view = both.on.classes.view(pod)
    for spared in (None, *found.pods):
        on = both.on.copy()
        for victim in found.pods:
            if spared is None or victim.key != spared.key:
                on.forget(victim.key)
        fits = on.verdicts.holds(on.classes.class_now(view), found.node)
        if spared is None:
            assert fits, "without its victims the pod fits"
        elif not pod.spec.topology_spread_constraints and pod.spec.affinity is None:
            assert not fits, f"{spared.key} could have stayed"
