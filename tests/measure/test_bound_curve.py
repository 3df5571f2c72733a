"""The bound at every instant holds at every instant: held against exact optima of what is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.bound import (
    Changes,
    Curve,
    Effort,
    Instance,
    Nodes,
    Pods,
    aggregate,
    arrivals,
    bound_curve,
    lifetimes,
    upper_bound,
)
from tests.examples import examples

CHEAP = Effort(exact_size=0)


def cluster(pods: list[tuple[int, int, int]], nodes: int = 2) -> Instance:
    """Nodes of 8 CPUs and 2 GPUs; pods as (cpu_milli, GPUs, milli of each)."""
    return aggregate(
        Nodes(np.array([[8000] * nodes, [110] * nodes]), np.full((nodes, 2), 1000), ["T4"] * nodes),
        Pods(
            np.array([[cpu, 1] for cpu, _, _ in pods]).T,
            np.array([gpus for _, gpus, _ in pods]),
            np.array([milli for _, _, milli in pods]),
            [()] * len(pods),
        ),
    )


pods = st.lists(
    st.sampled_from([(500, 1, 600), (3000, 1, 1000), (4000, 2, 1000), (1000, 1, 300), (5000, 0, 0)]),
    min_size=1,
    max_size=14,
)


def there(changes: Changes, at_ns: int, classes: int) -> np.ndarray:
    counts = np.zeros(classes, np.int64)
    inside = changes.at_ns <= at_ns
    np.add.at(counts, changes.kind[inside], changes.by[inside])
    return counts


@settings(max_examples=examples(25), deadline=None)
@given(pods, st.integers(1, 4))
def test_no_prefix_of_the_arrivals_can_have_more_allocated(pods: list[tuple[int, int, int]], points: int) -> None:
    instance = cluster(pods)
    curve = bound_curve(instance, arrivals(instance), effort=CHEAP, points=points)
    assert curve.at_ns.tolist() == list(range(len(pods)))
    for index in range(len(pods)):
        prefix = upper_bound(cluster(pods[: index + 1]))
        assert prefix.attained is not None
        assert curve.value[index] >= prefix.attained
        assert curve.value[index] <= sum(gpus * milli for _, gpus, milli in pods[: index + 1])


@settings(max_examples=examples(25), deadline=None)
@given(pods, st.data())
def test_no_instant_can_have_more_allocated_while_pods_and_nodes_come_and_go(
    pods: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    instance = cluster(pods, nodes=3)
    begin = np.array([data.draw(st.integers(0, 20)) for _ in pods], np.int64)
    end = np.array([data.draw(st.sampled_from([-1, int(b), int(b) + 3, 25])) for b in begin], np.int64)
    changes = lifetimes(instance, begin, end)
    hosts = Changes(np.array([0, 5, 9]), np.zeros(3, np.int64), np.array([2, -1, 2]))
    curve = bound_curve(instance, changes, hosts, effort=CHEAP, points=3)
    for at_ns, value in zip(curve.at_ns.tolist(), curve.value.tolist(), strict=True):
        now = instance.with_counts(pods=there(changes, at_ns, len(instance.pod_count)), nodes=there(hosts, at_ns, 1))
        best = upper_bound(now)
        assert best.attained is not None
        assert value >= best.attained


def test_prices_at_one_load_serve_the_others() -> None:
    instance = cluster([(500, 1, 600)] * 12, nodes=3)
    curve = bound_curve(instance, arrivals(instance), points=1)
    assert curve.value.tolist() == [600 * min(n, 6) for n in range(1, 13)]


def test_the_mean_weighs_each_value_by_how_long_it_lasts() -> None:
    curve = Curve(np.array([10, 20, 50]), np.array([0, 300, 100]))
    assert curve.mean(until_ns=70) == (0 * 10 + 300 * 30 + 100 * 20) / 60
    assert curve.mean(until_ns=40) == (0 * 10 + 300 * 20) / 30
    with pytest.raises(ValueError, match="nothing lasts"):
        curve.mean(until_ns=10)


def test_more_pods_than_the_instance_holds_are_refused() -> None:
    instance = cluster([(500, 1, 600)])
    twice = Changes(np.array([0, 1]), np.array([0, 0]), np.array([1, 1]))
    with pytest.raises(ValueError, match="does not reach"):
        bound_curve(instance, twice)


def test_a_pod_that_ends_before_it_begins_is_refused() -> None:
    instance = cluster([(500, 1, 600)])
    with pytest.raises(ValueError, match="before it begins"):
        lifetimes(instance, np.array([5]), np.array([4]))
