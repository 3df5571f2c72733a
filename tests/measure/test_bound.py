"""A bound is proven when nothing can beat it: held against exact optima that are found in other ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.bound import Effort, Instance, Nodes, Pods, aggregate, nodes_needed, upper_bound
from tests.examples import examples

T = TypeVar("T")
Gpu = tuple[int, int]  # devices, milli of each
PodRow = tuple[int, int, Gpu, tuple[str, ...], int]  # cpu, memory, GPU, models, value


@dataclass(frozen=True)
class Case:
    """A small cluster as lists: what the exact searches of this file work on."""

    nodes: tuple[tuple[int, int, int, str], ...]  # cpu, memory, GPUs, model
    pods: tuple[PodRow, ...]
    forbidden: frozenset[tuple[int, int]] = frozenset()  # pod, node: a taint

    @property
    def instance(self) -> Instance:
        width = max(gpus for _, _, gpus, _ in self.nodes)
        feasible = np.ones((len(self.pods), len(self.nodes)), bool)
        for pod, node in sorted(self.forbidden):
            feasible[pod % len(self.pods), node % len(self.nodes)] = False
        return aggregate(
            Nodes(
                capacity=np.array([[cpu, memory, 110] for cpu, memory, _, _ in self.nodes]).T,
                gpu_capacity=np.array([[1000] * gpus + [0] * (width - gpus) for _, _, gpus, _ in self.nodes]),
                gpu_model=[model if gpus else "" for _, _, gpus, model in self.nodes],
            ),
            Pods(
                requests=np.array([[cpu, memory, 1] for cpu, memory, _, _, _ in self.pods]).T,
                gpu_count=np.array([gpu[0] for _, _, gpu, _, _ in self.pods]),
                gpu_milli=np.array([gpu[1] for _, _, gpu, _, _ in self.pods]),
                models=[models for _, _, _, models, _ in self.pods],
                value=np.array([value for _, _, _, _, value in self.pods]),
                feasible=feasible if self.forbidden else None,
            ),
        )

    def allows(self, pod: int, node: int) -> bool:
        _, _, gpus, model = self.nodes[node]
        _, _, (count, _), models, _ = self.pods[pod]
        tainted = any((p % len(self.pods), n % len(self.nodes)) == (pod, node) for p, n in self.forbidden)
        return not tainted and (not count or (gpus >= count and (not models or model in models)))


GPUS: list[Gpu] = [(0, 0), (1, 1000), (1, 500), (1, 340), (1, 660), (1, 170), (2, 1000), (2, 400), (4, 1000)]


def cases(nodes: int, pods: int, kinds: int) -> st.SearchStrategy[Case]:
    """Clusters of a few kinds of nodes and pods, so that classes hold more than one."""
    node = st.tuples(
        st.sampled_from([4000, 8000, 12000, 16000]),
        st.sampled_from([8, 16, 24]).map(lambda gib: gib << 30),
        st.sampled_from([0, 1, 2, 2, 4]),
        st.sampled_from(["G2", "T4"]),
    )
    pod = st.tuples(
        st.sampled_from([0, 500, 1900, 2000, 3152, 4000, 7000]),
        st.sampled_from([0, 1, 3, 5]).map(lambda gib: gib << 30),
        st.sampled_from(GPUS),
        st.sampled_from([(), (), ("T4",), ("G2", "T4"), ("P100",)]),
        st.sampled_from([0, 1, 7, 1000]),
    )
    forbidden = st.frozensets(st.tuples(st.integers(0, pods), st.integers(0, nodes)), max_size=4)

    def drawn(pool: st.SearchStrategy[T], most: int) -> st.SearchStrategy[tuple[T, ...]]:
        # Sizes are drawn first: lists of free length would mostly be short, and short ones show nothing.
        few = st.tuples(st.integers(1, kinds), st.integers(1, most)).flatmap(
            lambda sizes: st.tuples(st.lists(pool, min_size=sizes[0], max_size=sizes[0]), st.just(sizes[1]))
        )
        return few.flatmap(lambda drawn: st.lists(st.sampled_from(drawn[0]), min_size=drawn[1], max_size=drawn[1])).map(
            tuple
        )

    return st.builds(Case, drawn(node, nodes), drawn(pod, pods), forbidden)


def crowded(seed: int) -> Case:
    """Up to 8 nodes and 30 pods that ask for more than there is; Hypothesis alone mostly draws roomy clusters."""
    rng = np.random.default_rng(seed)
    kinds = [
        (int(rng.choice([8000, 12000, 16000])), int(rng.choice([16, 24])) << 30, int(rng.choice([0, 1, 2, 4])), model)
        for model in ("G2", "T4", "P100")
    ]
    nodes = [kinds[int(i)] for i in rng.integers(0, 3, int(rng.integers(2, 9)))]
    room = sum(cpu for cpu, _, _, _ in nodes), 1000 * sum(gpus for _, _, gpus, _ in nodes)
    pods: list[PodRow] = []
    asked = [0, 0]
    while len(pods) < 30 and (asked[0] < 1.2 * room[0] or asked[1] < 1.2 * room[1]):
        gpu = GPUS[int(rng.integers(0, len(GPUS)))]
        models = ((), (), ("T4",), ("G2", "P100"))[int(rng.integers(0, 4))]
        cpu, memory = int(rng.integers(1, 80)) * 100, int(rng.integers(0, 6)) << 30
        for _ in range(int(rng.integers(1, 5))):
            value = gpu[0] * gpu[1] if seed % 2 else int(rng.integers(1, 20))
            pods.append((cpu, memory, gpu, models, value))
            asked = [asked[0] + cpu, asked[1] + gpu[0] * gpu[1]]
    return Case(tuple(nodes), tuple(pods[:30]))


def by_trying_everything(case: Case) -> tuple[int, int]:
    """(most value, most pods) over every assignment of pods to nodes and devices, one pod after the other."""
    rooms = [[cpu, memory] for cpu, memory, _, _ in case.nodes]
    idle = [[1000] * gpus for _, _, gpus, _ in case.nodes]
    best = [0, 0]

    def place(pod: int, value: int, number: int) -> None:
        best[0], best[1] = max(best[0], value), max(best[1], number)
        if pod == len(case.pods):
            return
        place(pod + 1, value, number)
        cpu, memory, (count, milli), _, worth = case.pods[pod]
        for node, (room, left) in enumerate(zip(rooms, idle, strict=True)):
            if not case.allows(pod, node) or room[0] < cpu or room[1] < memory:
                continue
            for devices in combinations(range(len(left)), count):
                if any(left[device] < milli for device in devices):
                    continue
                room[0], room[1] = room[0] - cpu, room[1] - memory
                for device in devices:
                    left[device] -= milli
                place(pod + 1, value + worth, number + 1)
                room[0], room[1] = room[0] + cpu, room[1] + memory
                for device in devices:
                    left[device] += milli

    place(0, 0, 0)
    return best[0], best[1]


def by_cp_sat(case: Case, *, count_nodes: bool = False) -> tuple[int | None, int]:
    """(best found, bound on it): one Boolean for each pod, node and device. With `count_nodes`, all pods on fewest."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    on = {
        (p, n): model.new_bool_var("")
        for p in range(len(case.pods))
        for n in range(len(case.nodes))
        if case.allows(p, n)
    }
    piece = {(p, n, d): model.new_bool_var("") for p, n in on if case.pods[p][2][0] for d in range(case.nodes[n][2])}
    for pod in range(len(case.pods)):
        placed = sum(taken for (p, _), taken in on.items() if p == pod)
        model.add(placed == 1 if count_nodes else placed <= 1)
    used = [model.new_bool_var("") for _ in case.nodes]
    for node, (cpu, memory, gpus, _) in enumerate(case.nodes):
        mine = {p: taken for (p, n), taken in on.items() if n == node}
        model.add(sum(case.pods[p][0] * taken for p, taken in mine.items()) <= cpu)
        model.add(sum(case.pods[p][1] * taken for p, taken in mine.items()) <= memory)
        for p, taken in mine.items():
            model.add(taken <= used[node])
            if case.pods[p][2][0]:
                model.add(sum(piece[p, node, d] for d in range(gpus)) == case.pods[p][2][0] * taken)
        for device in range(gpus):
            model.add(sum(case.pods[p][2][1] * x for (p, n, d), x in piece.items() if (n, d) == (node, device)) <= 1000)
    if count_nodes:
        model.minimize(sum(used))
    else:
        model.maximize(sum(case.pods[p][4] * taken for (p, _), taken in on.items()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers, solver.parameters.max_deterministic_time = 1, 2.0
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, len(case.nodes) + 1
    found = round(solver.objective_value) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None
    return found, round(solver.BestObjectiveBound())


@settings(max_examples=examples(60), deadline=None)
@given(cases(nodes=3, pods=6, kinds=4))
def test_every_rung_is_at_least_the_optimum_found_by_trying_everything(case: Case) -> None:
    value, number = by_trying_everything(case)
    for instance, optimum in ((case.instance, value), (case.instance.valued("pods"), number)):
        bound = upper_bound(instance)
        assert all(reached >= optimum for _, reached in bound.ladder), (bound.ladder, optimum)
        assert bound.attained is not None
        assert bound.packing is not None
        assert bound.packing.faults(instance) == []
        assert bound.packing.worth(instance) == bound.attained <= optimum <= bound.value
        assert bound.proven_optimal, "instances this small are settled"


def assert_optimum_lies_between(case: Case) -> None:
    found, limit = by_cp_sat(case)
    for effort in (Effort(exact_work=1.0), Effort(exact_size=0), Effort(exact_size=0, rounds=3, steps=7)):
        bound = upper_bound(case.instance, effort)
        assert found is not None
        assert bound.attained is not None
        assert bound.packing is not None
        assert bound.packing.faults(case.instance) == []
        assert all(reached >= found for _, reached in bound.ladder), (bound.ladder, found)
        assert bound.attained <= limit
        assert not bound.proven_optimal or found <= bound.value <= limit


@settings(max_examples=examples(30), deadline=None)
@given(cases(nodes=8, pods=30, kinds=8))
def test_the_optimum_of_eight_nodes_and_thirty_pods_lies_between(case: Case) -> None:
    assert_optimum_lies_between(case)


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**32).map(crowded))
def test_the_optimum_of_crowded_clusters_lies_between(case: Case) -> None:
    assert_optimum_lies_between(case)


@settings(max_examples=examples(25), deadline=None)
@given(cases(nodes=5, pods=12, kinds=5))
def test_no_fewer_nodes_suffice_than_are_needed(case: Case) -> None:
    case = replace(case, pods=tuple((row[0] or 500, *row[1:]) for row in case.pods))
    suffice, need = by_cp_sat(case, count_nodes=True)
    bound = nodes_needed(case.instance)
    if suffice is None:
        assert bound.attained is None, "the pods do not fit at all"
        return
    assert all(reached <= suffice for _, reached in bound.ladder), (bound.ladder, suffice)
    assert bound.attained is None or bound.attained >= need
    assert bound.packing is None or bound.packing.faults(case.instance.placing(case.instance.pod_count)) == []


@settings(max_examples=examples(40), deadline=None)
@given(cases(nodes=6, pods=16, kinds=6), st.data())
def test_a_certificate_bounds_every_part_of_what_it_was_made_for(case: Case, data: st.DataObject) -> None:
    instance = case.instance
    bound = upper_bound(instance, Effort(exact_size=0))
    pods = np.array([data.draw(st.integers(0, int(count))) for count in instance.pod_count], np.int64)
    nodes = np.array([data.draw(st.integers(0, int(count))) for count in instance.node_count], np.int64)
    part = upper_bound(instance.with_counts(pods=pods, nodes=nodes))
    assert part.attained is not None
    assert bound.certificate.bound(pods, nodes) >= part.attained


def test_a_certificate_refuses_more_pods_than_it_was_made_for() -> None:
    case = Case(nodes=((4000, 1 << 34, 1, "T4"),), pods=((1000, 0, (1, 500), (), 500),))
    bound = upper_bound(case.instance)
    with pytest.raises(ValueError, match="does not reach"):
        bound.certificate.bound(np.array([2]), np.array([1]))


def test_the_order_of_nodes_and_pods_is_nothing() -> None:
    nodes = ((8000, 1 << 35, 2, "T4"), (16000, 1 << 35, 4, "G2"), (8000, 1 << 35, 2, "T4"))
    pods = tuple(
        (cpu, 1 << 30, gpu, (), gpu[0] * gpu[1]) for cpu, gpu in zip((900, 3152, 4000, 700) * 2, GPUS[:8], strict=True)
    )
    there, back = upper_bound(Case(nodes, pods).instance), upper_bound(Case(nodes[::-1], pods[::-1]).instance)
    assert (there.value, there.ladder, there.attained) == (back.value, back.ladder, back.attained)
    assert there.certificate.pod_price.tolist() == back.certificate.pod_price.tolist()


def test_sharing_leaves_a_part_of_each_device_that_volume_does_not_see() -> None:
    case = Case(nodes=((64000, 1 << 38, 4, "T4"),) * 5, pods=((1000, 1 << 30, (1, 600), (), 600),) * 30)
    bound = upper_bound(case.instance)
    assert dict(bound.ladder)["volume"] == 18_000
    assert bound.value == bound.attained == 20 * 600
    assert bound.method == "lp", "a device holds one pod of more than half of it"


def test_pods_bound_to_a_model_cannot_use_the_others() -> None:
    nodes = ((64000, 1 << 38, 8, "G2"), (64000, 1 << 38, 2, "T4"))
    case = Case(nodes, pods=((1000, 1 << 30, (1, 1000), ("T4",), 1000),) * 6)
    assert upper_bound(case.instance).value == 2000


def test_placing_asks_the_bound_for_those_schedulers_only_that_place_so_much() -> None:
    case = Case(
        nodes=((8000, 1 << 36, 2, "T4"),),
        pods=((4000, 1 << 30, (1, 1000), (), 1000),) * 2 + ((4000, 1 << 30, (0, 0), (), 0),),
    )
    instance = case.instance
    assert upper_bound(instance).value == 2000
    cpu_only = np.where(instance.gpu_total == 0, instance.pod_count, 0)
    assert upper_bound(instance.placing(cpu_only)).value == 1000


def test_nodes_needed_counts_devices_not_only_volume() -> None:
    case = Case(nodes=((64000, 1 << 38, 2, "T4"),) * 9, pods=((1000, 1 << 30, (1, 510), (), 0),) * 11)
    bound = nodes_needed(case.instance)
    assert bound.value == bound.attained == 6


def test_values_that_cannot_be_added_up_are_refused() -> None:
    case = Case(nodes=((64000, 1 << 38, 2, "T4"),), pods=((1000, 1 << 30, (0, 0), (), 1 << 60),) * 8)
    with pytest.raises(ValueError, match="larger unit"):
        upper_bound(case.instance)


def test_the_gap_is_a_share_of_the_bound_and_nobody_beats_it() -> None:
    case = Case(nodes=((64000, 1 << 38, 2, "T4"),) * 4, pods=((1000, 1 << 30, (1, 500), (), 500),) * 8)
    most, fewest = upper_bound(case.instance), nodes_needed(case.instance)
    assert most.gap(3000) == 0.25
    assert most.gap(4000) == 0.0
    assert fewest.gap(3) == 0.5
    with pytest.raises(ValueError, match="no legal placement"):
        most.gap(4001)
    with pytest.raises(ValueError, match="no legal placement"):
        fewest.gap(1)


def test_devices_of_different_sizes_on_one_node_are_refused() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        aggregate(
            Nodes(np.array([[1], [1], [1]]), np.array([[1000, 500]]), ["T4"]),
            Pods(np.ones((3, 1), np.int64), np.array([0]), np.array([0]), [()]),
        )


def test_where_a_warm_start_leads_the_solver_astray_it_starts_cold() -> None:
    from harness.measure.bound import master

    class Astray:
        """Gives up whenever it may begin where it ended."""

        def __init__(self, solver: object) -> None:
            self._solver = solver

        def __getattr__(self, name: str) -> object:
            return getattr(self._solver, name)

        def Solve(self, *parameters: object) -> int:  # noqa: N802 - OR-Tools' name
            return int(self._solver.Solve(*parameters)) if parameters else 6  # type: ignore[attr-defined]

    program = master._Program(crowded(1).instance, 1.0)
    expected = program.solve()
    assert expected is not None
    program._solver = Astray(program._solver)
    found = program.solve()
    assert found is not None
    assert found.worth == pytest.approx(expected.worth)
