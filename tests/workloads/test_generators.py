"""Generators: the same seed gives the same bits, other streams do not move them, and what is asked for comes out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.errors import UserError
from workloads.generators import exact
from workloads.generators.batch import Batch, Every, Fixed, Forever, LogNormal, Poisson, Shape, generate
from workloads.generators.openb_facts import OPENB
from workloads.generators.openb_like import apportioned, mean_demand, openb_like
from workloads.generators.streams import streams
from workloads.table import FOREVER, Workload

S = 10**9


def digest(workload: Workload) -> str:
    out = hashlib.sha256("\n".join(workload.name).encode())
    for column, values in sorted(workload.numbers().items()):
        if column in ("estimate_ns", "think_ns"):  # of logs alone: no generator draws them
            assert not values.any()
            continue
        out.update(column.encode() + values.astype("<i8").tobytes())
    out.update(repr([workload.gpu_models[row] for row in range(len(workload))]).encode())
    return out.hexdigest()


def test_openb_like_is_the_same_on_every_machine() -> None:
    """The digest is pinned: it changes only when the generator does."""
    workload, nodes = openb_like(500, 40, 7, load_percent=90, longest_ns=3600 * S, constrained_percent=33)
    assert digest(workload)[:16] == "0a3e74f6111de66c"
    models = repr([nodes.gpu_model[row] for row in range(40)])
    assert hashlib.sha256(models.encode()).hexdigest()[:16] == "30d91be4da7888f5"


def test_openb_like_by_seed() -> None:
    one, other, again = (openb_like(200, 20, seed)[0] for seed in (1, 2, 1))
    assert digest(one) == digest(again) != digest(other)


def test_more_pods_leave_the_nodes_alone() -> None:
    few, many = openb_like(10, 30, 5)[1], openb_like(1000, 30, 5)[1]
    assert few.cpu_milli.tolist() == many.cpu_milli.tolist()


@pytest.mark.parametrize("percent", [10, 60, 130])
def test_the_load_comes_out_as_asked(percent: int) -> None:
    workload, nodes = openb_like(3000, 60, 3, load_percent=percent, longest_ns=3600 * S)
    held = mean_demand(workload.arrival_ns, workload.duration_ns, workload.gpu_total_milli)
    assert abs(held / nodes.gpu_total_milli - percent / 100) < 0.02
    assert (np.diff(workload.arrival_ns) >= 0).all()


@pytest.mark.parametrize(("pods", "span_s"), [(3000, 3600), (50, 1), (1, 60)])
def test_arrivals_fill_the_span_that_is_asked_for(pods: int, span_s: int) -> None:
    workload, _ = openb_like(pods, 60, 3, span_ns=span_s * S)
    assert int(workload.arrival_ns[0]) == 0
    assert int(workload.arrival_ns[-1]) == (span_s * S if pods > 1 else 0)
    assert (np.diff(workload.arrival_ns) >= 0).all()
    paced, _ = openb_like(pods, 60, 3)
    assert workload.duration_ns.tolist() == paced.duration_ns.tolist()


def test_node_mix_is_the_trace_s_own_at_its_size() -> None:
    _, nodes = openb_like(1, 1523, 1)
    assert nodes.gpu_total_milli == 6_212_000
    assert int((nodes.gpu_count == 0).sum()) == 310
    _, gpu_only = openb_like(1, 1213, 1, cpu_nodes=False, zones=3)
    assert gpu_only.gpu_total_milli == 6_212_000
    assert gpu_only.zone.values == ("zone-0", "zone-1", "zone-2")


def test_constrained_tasks_name_models_that_exist() -> None:
    workload, _nodes = openb_like(4000, 200, 1, constrained_percent=33)
    named = [bool(workload.gpu_models[row]) for row in range(len(workload))]
    share = sum(named) / int((workload.gpu_count > 0).sum())
    assert 0.30 < share < 0.36
    assert not any(named[row] for row in np.flatnonzero(workload.gpu_count == 0).tolist())
    known = {shape.gpu_model for shape in OPENB.nodes}
    assert all(set(models) <= known for models in workload.gpu_models.values)


def test_lifetimes_are_cut_where_told() -> None:
    workload, _ = openb_like(5000, 10, 1, longest_ns=600 * S)
    assert int(workload.duration_ns.max()) == 600 * S
    assert int(workload.duration_ns.min()) >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"pods": 0, "nodes": 1},
        {"pods": 1, "nodes": 0},
        {"pods": 1, "nodes": 1, "load_percent": 0},
        {"pods": 1, "nodes": 1, "load_percent": 50, "span_ns": S},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError):
        openb_like(**{"seed": 1, **wrong})  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.integers(0, 200))
def test_apportionment_is_fair(counts: list[int], seats: int) -> None:
    shares = apportioned(counts, seats)
    assert sum(shares) == seats
    total = sum(counts)
    assert all(
        count * seats // total <= share <= count * seats // total + 1
        for count, share in zip(counts, shares, strict=True)
    )


@given(st.lists(st.floats(1e-300, 1e300), min_size=1))
def test_exact_logarithm(values: list[float]) -> None:
    x = np.array(values)
    assert np.allclose(exact.log(x), np.log(x), rtol=1e-14, atol=1e-15)


@given(st.lists(st.floats(-700, 700), min_size=1))
def test_exact_exponential(values: list[float]) -> None:
    x = np.array(values)
    assert np.allclose(exact.exp(x), np.exp(x), rtol=1e-12, atol=0)


SMALL = (Shape(1000, 1 << 30), Shape(2000, 1 << 31, gpu_count=1, gpu_milli=500, priority=5, weight=3))


def test_batch_draws_from_its_own_streams() -> None:
    batch = Batch(1000, Poisson(S), LogNormal(60 * S, 800), SMALL)
    one = generate(batch, streams(1))
    assert digest(one)[:16] == "4e3d6a4a50c95a14"
    other = generate(Batch(1000, Poisson(S), Fixed(5), SMALL), streams(1))
    assert one.arrival_ns.tolist() == other.arrival_ns.tolist()  # the durations' stream moves nothing here
    assert one.cpu_milli.tolist() == other.cpu_milli.tolist()


def test_batch_means_come_out() -> None:
    made = generate(Batch(40_000, Poisson(S), LogNormal(60 * S, 800), SMALL), streams(2))
    assert abs(np.diff(made.arrival_ns).mean() / S - 1) < 0.02
    assert abs(np.median(made.duration_ns) / (60 * S) - 1) < 0.03
    assert abs(np.log(made.duration_ns).std() - 0.8) < 0.02
    assert abs((made.cpu_milli == 2000).mean() - 0.75) < 0.01


def test_gangs_arrive_together_and_ask_for_the_same() -> None:
    made = generate(Batch(10, Every(S), Forever(), SMALL, name="train", start_ns=5 * S, gang=4), streams(1))
    assert made.arrival_ns.tolist() == [5 * S] * 4 + [6 * S] * 4 + [7 * S] * 2
    assert [made.group[row] for row in (0, 3, 4, 9)] == ["train-000000", "train-000000", "train-000001", "train-000002"]
    for group in range(3):
        assert len(set(made.cpu_milli[made.group.codes == group].tolist())) == 1
    assert set(made.duration_ns.tolist()) == {FOREVER}
