"""Which node's victims go: each criterion decides where those before it tie, and yields to them.

The cases follow the rules of kube-scheduler 1.32 (framework/preemption/preemption.go pickOneNodeForPreemption,
plugins/defaultpreemption), on clusters of this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from harness.model.core import Container, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import PodDisruptionBudget
from harness.model.quantity import count_quantity
from harness.model.wire import Time
from harness.model.workloads import PodDisruptionBudgetSpec
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption import victims as real

HIGH = 100


@dataclass(frozen=True)
class Running:
    priority: int
    cpu: int = 1
    started_s: int = 10
    guarded: bool = False  # a budget that allows no disruption


class Case:
    def __init__(self, nodes: list[list[Running]], cpu: int = 4) -> None:
        self.on = Snapshot()
        self.preemption = real.Preemption(self.on, Random(0), {})
        budget = PodDisruptionBudget(
            metadata=ObjectMeta(name="b", namespace="default"),
            spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"guarded": "yes"})),
        )
        self.preemption.budgets.put(budget)
        for at, pods in enumerate(nodes):
            self.on.add_node(f"n{at}", {"cpu": cpu * 1000, "pods": 10})
            for index, running in enumerate(pods):
                pod = made(f"n{at}-{index}", running)
                self.on.assume(self.on.classes.view(pod), at)
                self.preemption.update_pod(pod)

    def ask(self, cpu: int = 4, priority: int = HIGH, **spec: str) -> real.Verdict:
        pod = made("new", Running(priority, cpu), **spec)
        view = self.on.classes.view(pod)
        return self.preemption.verdict(view, pod, diagnose(self.on, view))

    def chosen(self, cpu: int = 4) -> int:
        found = self.ask(cpu)
        assert isinstance(found, real.Victims)
        return found.node


def made(name: str, running: Running, **spec: str) -> Pod:
    amount = ResourceRequirements(requests={"cpu": count_quantity(running.cpu)})
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="default", uid=name, labels={"guarded": "yes"} if running.guarded else {}
        ),
        spec=PodSpec(containers=(Container(name="c", resources=amount),), priority=running.priority, **spec),  # type: ignore[arg-type]
        status=PodStatus(start_time=Time(running.started_s * 1_000_000_000)),
    )


R = Running


@pytest.mark.parametrize(
    ("nodes", "best"),
    [
        pytest.param([[R(1, 4, guarded=True)], [R(50, 4)]], 1, id="fewest violations, however high the victim"),
        pytest.param([[R(50, 4)], [R(1, 1), R(1, 1), R(1, 2)]], 1, id="then the lowest of the highest priorities"),
        pytest.param([[R(50, 2), R(40, 2)], [R(50, 2), R(30, 2)]], 1, id="then the smallest sum of priorities"),
        pytest.param([[R(50, 3), R(-60, 1)], [R(50, 4)]], 1, id="fewer even where a negative priority lowers the sum"),
        pytest.param([[R(0, 2), R(0, 2)], [R(0, 4)]], 1, id="then the fewest"),
        pytest.param([[R(9, 4, 10)], [R(9, 4, 30)], [R(9, 4, 20)]], 1, id="then the latest start"),
        pytest.param(
            [[R(9, 2, 20), R(5, 2, 90)], [R(9, 2, 30), R(5, 2, 1)]], 1, id="of the victims of highest priority only"
        ),
        pytest.param([[R(9, 2, 20), R(9, 2, 90)], [R(9, 2, 30), R(9, 2, 30)]], 1, id="the earliest of them"),
    ],
)
def test_each_criterion_in_its_turn(nodes: list[list[Running]], best: int) -> None:
    assert Case(nodes).chosen() == best
    mirrored = len(nodes) - 1 - best
    assert Case(nodes[::-1]).chosen() == mirrored, "wherever it stands"


def test_the_most_important_stay_and_those_of_budgets_are_asked_first() -> None:
    case = Case([[R(1, 1, guarded=True), R(9, 1), R(5, 1, 10), R(5, 1, 20)]])
    found = case.ask(cpu=2)
    assert isinstance(found, real.Victims)
    assert [pod.key for pod in found.pods] == ["default/n0-2", "default/n0-3"]
    assert found.violations == 0


def test_equals_and_higher_ones_never_go() -> None:
    assert isinstance(Case([[R(HIGH, 4)]]).ask(), real.NoPreemption)
    assert isinstance(Case([[R(HIGH + 1, 4)]]).ask(), real.NoPreemption)
    assert isinstance(Case([[R(HIGH - 1, 4)]]).ask(), real.Victims)


def test_who_may_not_preempt() -> None:
    assert Case([[R(1, 4)]]).ask(preemption_policy="Never") == real.NoPreemption(real.NEVER, keep=True)


@pytest.mark.parametrize(("nodes", "least"), [(50, 50), (100, 100), (900, 100), (1500, 150)])
def test_a_tenth_of_the_nodes_and_a_hundred_at_least_are_candidates(nodes: int, least: int) -> None:
    """The best of all stands just inside and just outside of those that are looked at from the drawn offset on."""
    offset = Random(0).randrange(nodes)
    for distance in (least - 1, least):
        best = (offset + distance) % nodes
        case = Case([[R(1 if at == best else 9, 4)] for at in range(nodes)])
        assert (case.chosen() == best) == (distance < least or nodes <= least)
