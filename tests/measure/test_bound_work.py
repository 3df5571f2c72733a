"""The bound over a window holds against every schedule: brute force over starts and nodes of small workloads."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.measure.bound import Curve, most_over
from harness.measure.demand import Demand
from harness.measure.occupancy import CPU, GPU
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodTemplateSpec, ResourceRequirements
from harness.model.gpu import GPU_COUNT, GPU_MILLI
from harness.model.meta import ObjectMeta
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.model.workloads import Deployment, DeploymentSpec, Job, JobSpec

S = 10**9
END = 6


def node(name: str, cpu: int, gpus: int = 0) -> Node:
    allocatable = {"cpu": milli_quantity(cpu), "memory": bytes_quantity(1 << 34), "pods": count_quantity(10)}
    if gpus:
        allocatable[GPU_COUNT] = count_quantity(gpus)
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(allocatable=allocatable))


def pod(cpu: int, runs: int = -1, gpus: int = 0) -> Pod:
    annotations = {"podyard.dev/duration": f"{runs}s"} if runs >= 0 else {}
    if gpus:
        annotations |= {GPU_COUNT: str(gpus), GPU_MILLI: "1000"}
    requests = {"cpu": milli_quantity(cpu)}
    return Pod(
        metadata=ObjectMeta(name="p", namespace="d", annotations=annotations),
        spec=PodSpec(
            containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),),
            restart_policy="Never" if runs >= 0 else "Always",
        ),
    )


TASK = st.tuples(st.integers(0, 4), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 5, -1]))
"""(arrives, cores, runs; -1 for ever)"""


def best_schedule(nodes: list[int], tasks: list[tuple[int, int, int]]) -> int:
    """Core-seconds in [first arrival, END) of the best of all schedules that start tasks on whole seconds."""
    best = 0
    first = min(at for at, _, _ in tasks)
    choices = [[None, *product(range(at, END), range(len(nodes)))] for at, _, _ in tasks]
    for chosen in product(*choices):
        used = np.zeros((len(nodes), END), dtype=int)
        for (_, cores, runs), choice in zip(tasks, chosen, strict=True):
            if choice is not None:
                start, where = choice
                used[where, start : END if runs < 0 else start + runs] += cores
        if (used.max(axis=1) <= nodes).all():
            best = max(best, int(used[:, first:].sum()))
    return best


@given(st.lists(st.sampled_from([2, 3]), min_size=1, max_size=2), st.lists(TASK, min_size=1, max_size=3))
@example([2], [(0, 2, 2), (0, 2, 5), (4, 1, -1)])
def test_no_schedule_does_better(nodes: list[int], tasks: list[tuple[int, int, int]]) -> None:
    demand = Demand([node(f"n{index}", cores * 1000) for index, cores in enumerate(nodes)])
    for at, cores, runs in sorted(tasks):
        demand.arrives(at * S, pod(cores * 1000, runs))
    most = demand.most(END * S)
    first = min(at for at, _, _ in tasks)
    assert most.resource == CPU
    assert most.most * (END - first) / 1000 >= best_schedule(nodes, tasks) - 1e-9
    assert most.most <= most.capacity == sum(nodes) * 1000


def test_it_is_reached_where_all_work_fits_and_where_the_nodes_are_always_full() -> None:
    few = Demand([node("n", 4000, gpus=2)])
    few.arrives(S, pod(1000, runs=5, gpus=1))
    few.arrives(3 * S, pod(1000, runs=4, gpus=1))
    assert few.most(11 * S).resource == GPU
    assert few.most(11 * S).most == pytest.approx(1000 * (5 + 4) / 10)
    many = Demand([node("n", 4000, gpus=2)])
    for _ in range(20):
        many.arrives(S, pod(1000, runs=5, gpus=1))
    assert many.most(11 * S).most == pytest.approx(2000)


def test_work_that_comes_at_the_end_cannot_have_been_done() -> None:
    late = Demand([node("n", 2000)])
    late.arrives(0, pod(1000, runs=1))
    late.arrives(8 * S, pod(1000, runs=100))
    assert late.most(10 * S).most == pytest.approx((1000 * 1 + 1000 * 2) / 10)


def test_where_it_says_nothing_it_says_why() -> None:
    demand = Demand([node("n", 4000, gpus=1)])
    demand.arrives(0, pod(1000, runs=5))
    template = PodTemplateSpec(spec=pod(1000).spec)
    demand.arrives(
        0, Deployment(metadata=ObjectMeta(name="web", namespace="d"), spec=DeploymentSpec(template=template))
    )
    assert "Deployment d/web asks for cpu" in demand.most(10 * S).why_none
    demand.arrives(0, pod(1000, runs=5, gpus=1))  # no Deployment asks for GPUs, so of those something can be said
    assert demand.most(10 * S).most == pytest.approx(500)


def test_a_job_of_one_pod_is_a_task_and_one_of_many_is_open_ended() -> None:
    template = PodTemplateSpec(metadata=pod(1000, runs=5).metadata, spec=pod(1000, runs=5).spec)
    demand = Demand([node("n", 4000)])
    demand.arrives(0, Job(metadata=ObjectMeta(name="j"), spec=JobSpec(template=template)))
    assert demand.most(10 * S).most == pytest.approx(500)
    demand.arrives(0, Job(metadata=ObjectMeta(name="k"), spec=JobSpec(template=template, completions=3)))
    assert "Job k" in demand.most(10 * S).why_none


def test_what_a_pool_may_add_is_part_of_the_nodes() -> None:
    demand = Demand([node("n", 1000)], [(node("", 1000), 3)])
    for _ in range(9):
        demand.arrives(0, pod(1000, runs=100))
    most = demand.most(10 * S)
    assert (most.most, most.capacity, most.fixed) == (4000, 4000, False)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=12))
def test_a_longer_window_never_has_less_to_do_and_the_cut_is_exact(tasks: list[tuple[int, int, int]]) -> None:
    begin = np.array(sorted(at for at, _, _ in tasks), np.int64)
    value, runs = np.array([v for _, v, _ in tasks], np.int64), np.array([r for _, _, r in tasks], np.int64)
    curve = Curve(np.array([int(begin[0])]), np.array([10]))
    areas = [
        most_over(curve, begin, runs, value, int(begin[0]), until) * (until - int(begin[0])) for until in (25, 40, 400)
    ]
    assert areas[0] <= areas[1] + 1e-6
    assert areas[1] <= areas[2] + 1e-6
    assert areas[2] <= int((value * runs).sum()) + 1e-6
