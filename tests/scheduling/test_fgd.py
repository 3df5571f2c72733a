"""FGD: the definition against its own words, and every placement against what was published."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.fragmentation import FragmentationMeter
from harness.model.fragmentation import Fragmentation, GpuPod, TypicalPods
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.strategy import CPU, NO_GPU, Bind, GpuRequest, PodView, Strategy
from schedulers.fgd import FGD, best_fit, dot_product, gpu_clustering, gpu_packing, random_fit
from schedulers.fgd.descent import Descent, gpu_pod, score_steps
from tests.examples import examples

MODELS = ("T4", "V100")

# -- the definition ------------------------------------------------------------------------------------------------

SPEC = st.one_of(
    st.builds(GpuPod, st.integers(0, 9), st.just(0), st.just(0), st.just("")),
    st.builds(GpuPod, st.integers(0, 9), st.sampled_from([200, 500, 999]), st.just(1), st.sampled_from(["", "T4"])),
    st.builds(GpuPod, st.integers(0, 9), st.just(1000), st.integers(1, 4), st.sampled_from(["", "T4|V100", "A10"])),
)
STATE = st.tuples(
    st.integers(0, 10), st.lists(st.sampled_from([0, 100, 200, 500, 800, 1000]), max_size=4), st.integers(0, 1)
)


def fragment(cpu: int, idle: list[int], model: str, pod: GpuPod) -> int:
    """What one typical pod cannot use of a node, in the words of the definition."""
    everything = sum(idle)
    if pod.gpu_count == 0 or not pod.accepts(model):
        return everything
    if sum(left >= pod.gpu_milli for left in idle) < pod.gpu_count or cpu < pod.cpu_milli:
        return everything
    return sum(left for left in idle if left < pod.gpu_milli)


@given(st.lists(SPEC, min_size=1, max_size=12), st.lists(STATE, min_size=1, max_size=6))
@settings(deadline=None)
def test_fragmentation_is_what_typical_pods_cannot_use(
    pods: list[GpuPod], states: list[tuple[int, list[int], int]]
) -> None:
    typical = TypicalPods.of(pods)
    tables = Fragmentation(typical, MODELS, width=4)
    expected = [
        sum(w * fragment(cpu, idle, MODELS[m], pod) for pod, w in zip(typical.pods, typical.weights, strict=True))
        for cpu, idle, m in states
    ]
    idle = np.array([[*idle, 0, 0, 0, 0][:4] for _, idle, _ in states])
    cpu, model = (np.array([state[i] for state in states]) for i in (0, 2))
    assert tables.amount(cpu, idle, model).tolist() == expected
    assert [tables.of_node(c, i, m) for c, i, m in states] == expected


@given(st.lists(STATE, min_size=1, max_size=8), st.permutations(range(8)))
def test_the_meter_does_not_depend_on_the_order_of_updates(
    states: list[tuple[int, list[int], int]], order: list[int]
) -> None:
    tables = Fragmentation(TypicalPods.of([GpuPod(1, 500, 1), GpuPod(2, 0, 0)]), MODELS, width=4)
    one, other = FragmentationMeter(tables), FragmentationMeter(tables)
    for at, state in enumerate(states):
        one.update(at, *state)
    for at in (i for i in order if i < len(states)):
        other.update(at, 0, [1000], 0)
        other.update(at, *states[at])
    assert (one.amount_milli, one.idle_milli, one.ratio) == (other.amount_milli, other.idle_milli, other.ratio)
    for at in range(len(states)):
        one.remove(at)
    assert (one.amount_milli, one.idle_milli, one.ratio) == (0.0, 0, 0.0)


def test_typical_pods_are_the_most_frequent_95_percent_ties_descending() -> None:
    common, rare, rarer = GpuPod(1, 0, 0), GpuPod(9, 500, 1), GpuPod(8, 500, 1)
    typical = TypicalPods.of([*[common] * 93, *[rare] * 2, *[rarer] * 2, *[GpuPod(i, 100, 1) for i in range(3)]])
    assert typical.pods == (common, rare)
    assert typical.weights == (93, 2)
    with pytest.raises(ValueError, match="needs pods"):
        TypicalPods.of([])


def test_score_steps_are_the_sigmoid() -> None:
    total = 7
    steps = score_steps(total)
    for k in (1, 30, 49, 50, 51, 77, 99):
        below, at = ((int(steps[k]) + d) / (1000 * total) for d in (-1, 0))
        assert int(100 / (1 + np.exp(-at))) == k
        assert int(100 / (1 + np.exp(-below))) == k - 1


@given(st.lists(SPEC, min_size=2, max_size=8), st.lists(STATE, min_size=1, max_size=5), st.data())
@settings(deadline=None, max_examples=examples(60))
def test_the_chosen_device_is_the_first_that_reaches_the_nodes_score(
    specs: list[GpuPod], states: list[tuple[int, list[int], int]], data: st.DataObject
) -> None:
    """Against the definition, placement by placement."""
    typical = TypicalPods.of(specs)
    on = Snapshot()
    for i, (cpu, idle, model) in enumerate(states):
        on.add_node(f"n{i}", {"cpu": cpu, "pods": 99}, len(idle), MODELS[model])
        for device, left in enumerate(idle):
            filler = on.classes.intern({}, GpuRequest(1, 1000 - left))
            on.assume(PodView(f"f{i}.{device}", filler), i, (device,))
    milli = data.draw(st.sampled_from([100, 200, 500]))
    pod = PodView("p", on.classes.intern({"cpu": data.draw(st.integers(0, 5))}, GpuRequest(1, milli)))
    fits = np.flatnonzero(on.feasible(pod))
    descent = Descent(typical)
    scores = descent.score(pod, on, fits) if len(fits) else np.zeros(0)

    def amount(cpu: int, idle: list[int], model: int) -> float:
        pairs = zip(typical.pods, typical.weights, strict=True)
        return sum(w * fragment(cpu, idle, MODELS[model], p) for p, w in pairs) / typical.total

    for node, score in zip(fits.tolist(), scores, strict=True):
        cpu, idle, _ = states[node]
        model = MODELS.index(on.gpu_models[on.model_of[node]])
        options = {}
        for device, left in enumerate(idle):
            if left >= milli:
                after = [*idle[:device], left - milli, *idle[device + 1 :]]
                delta = amount(cpu, idle, model) - amount(cpu - pod.cls.amounts[CPU], after, model)
                options[device] = 100 / (1 + np.exp(-delta / 1000))
        best = max(options.values())
        assert score in {int(best + 1e-9), int(best - 1e-9)}  # an unchanged amount is 50, or 49 by rounding
        chosen = descent.choose_devices(pod, on, node)
        assert chosen is not None
        assert options[chosen[0]] > best - 1 - 1e-9


def test_fgd_learns_from_what_it_is_handed_when_nothing_is_given() -> None:
    on = Snapshot()
    for i in range(4):
        on.add_node(f"n{i}", {"cpu": 8, "pods": 9}, 2, "T4")
    pods = [PodView(f"p{i}", on.classes.intern({"cpu": 1}, GpuRequest(1, 500))) for i in range(16)]
    done = fill(FGD(), on, pods, seed=0)
    assert done.placed == 16
    assert not on.gpu_free.any()


# -- the published results -----------------------------------------------------------------------------------------

DETERMINISTIC: dict[str, Callable[[TypicalPods], Strategy]] = {
    "FGD": FGD,
    "BestFit": lambda typical: best_fit(),
    "DotProd": lambda typical: dot_product(),
    "GpuPacking": lambda typical: gpu_packing(),
    "GpuClustering": lambda typical: gpu_clustering(),
}
LISTS = (
    "default", "cpu050", "cpu100", "cpu250", "gpushare40", "gpushare80", "gpuspec10", "gpuspec25", "multigpu20",
    "multigpu40",
)  # fmt: skip
SEEDS = range(42, 52)


@dataclass(frozen=True)
class Openb:
    """The traces and what was published for them, as files."""

    root: Path

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        with open(self.root / name, newline="") as file:
            yield from csv.DictReader(file)

    def lines(self, name: str) -> list[str]:
        with gzip.open(self.root / "fgd" / "arrivals" / name, "rt") as file:
            return file.read().split("\n")[:-1]

    def cluster(self, workload: str, seed: int) -> Snapshot:
        ranks = dict(line.split() for line in self.lines(f"{workload}_{seed}_noderank.txt.gz"))
        on = Snapshot()
        for row in self.rows("traces/openb/openb_node_list_gpu_node.csv"):
            capacity = {"cpu": int(row["cpu_milli"]), "memory": int(row["memory_mib"]) << 20, "pods": 1001}
            on.add_node(row["sn"], capacity, int(row["gpu"]), row["model"], rank=int(ranks[row["sn"]]))
        return on

    def pods(self, workload: str, seed: int, on: Snapshot) -> tuple[list[PodView], list[PodView]]:
        """The original list, and the arrivals."""
        listed = {}
        for row in self.rows(f"traces/openb/openb_pod_list_{workload}.csv"):
            models = tuple(filter(None, (row.get("gpu_spec") or "").split("|")))
            count = int(row["num_gpu"])
            gpu = GpuRequest(count, int(row["gpu_milli"]), models) if count else NO_GPU
            requests = {"cpu": int(row["cpu_milli"]), "memory": int(row["memory_mib"]) << 20}
            listed[row["name"]] = on.classes.intern(requests, gpu)
        arrivals = self.lines(f"{workload}_{seed}_pods.txt.gz")
        return (
            [PodView(name, cls) for name, cls in listed.items()],
            [PodView(name, listed[name.partition("-tuned-")[0]]) for name in arrivals],
        )

    def expected(self) -> dict[tuple[str, str, int, int], tuple[float, float]]:
        return {
            (row["workload"], row["policy"], int(row["seed"]), int(row["arrived_percent"])): (
                float(row["alloc_percent"]),
                float(row["frag_percent"]),
            )
            for row in self.rows("fgd/expected_by_seed.csv")
        }


def run(
    openb: Openb, workload: str, seed: int, policy: Callable[[TypicalPods], Strategy], most: int | None = None
) -> tuple[dict[int, tuple[float, float]], list[int]]:
    """Mean (allocated, fragmented) percent by percent arrived, and the node of each arrival; of the first `most`."""
    on = openb.cluster(workload, seed)
    listed, arrivals = openb.pods(workload, seed, on)
    arrivals = arrivals[:most]
    typical = TypicalPods.of(gpu_pod(pod.cls) for pod in listed)
    meter = FragmentationMeter(Fragmentation(typical, on.gpu_models, 8))
    for node in range(len(on)):
        meter.update(node, on.free_of[node][CPU], on.devices_of[node], on.model_of[node])
    total = meter.idle_milli
    arrived = 0
    cells: dict[int, list[tuple[float, float]]] = defaultdict(list)

    def after(last: int, binds: tuple[Bind, ...]) -> None:
        nonlocal arrived
        for bind in binds:
            node = bind.node
            meter.update(node, on.free_of[node][CPU], on.devices_of[node], on.model_of[node])
        arrived += arrivals[last].gpu.total_milli
        allocated = round(100 * (total - meter.idle_milli) / total, 2)
        cells[round(100 * arrived / total)].append((allocated, 100 * meter.ratio))

    done = fill(policy(typical), on, arrivals, seed, after=after)
    assert not done.violations
    return {at: (mean(a for a, _ in seen), mean(f for _, f in seen)) for at, seen in cells.items()}, done.node


def mean(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


@cache
def openb_at(root: Path) -> Openb:
    return Openb(root)


def assert_published(openb: Openb, workload: str, policy: str, seed: int, most: int | None = None) -> None:
    """`most`: of so many arrivals; the last cell, whose arrivals are not all among them, is left out."""
    cells, _ = run(openb, workload, seed, DETERMINISTIC[policy], most)
    wanted = {key[3]: value for key, value in openb.expected().items() if key[:3] == (workload, policy, seed)}
    if most:
        wanted = {at: value for at, value in wanted.items() if at < max(cells)}
    assert wanted
    for at, (allocated, fragmented) in wanted.items():
        # Two decimals, and the last one may round either way.
        assert cells[at] == pytest.approx((allocated, fragmented), abs=0.0101), at


@pytest.mark.parametrize("policy", DETERMINISTIC)
def test_published_results_come_out_equal(shared: Path, policy: str) -> None:
    """FGD to the last arrival; the others up to 60 % here, the rest of theirs is in the slow test."""
    assert_published(openb_at(shared), "default", policy, 42, None if policy == "FGD" else 5100)


@pytest.mark.slow
@pytest.mark.parametrize("workload", LISTS)
@pytest.mark.parametrize("policy", DETERMINISTIC)
def test_all_published_results_come_out_equal(shared: Path, workload: str, policy: str) -> None:
    for seed in SEEDS:
        assert_published(openb_at(shared), workload, policy, seed)


def test_two_runs_place_alike(shared: Path) -> None:
    openb = openb_at(shared)
    assert run(openb, "multigpu40", 43, FGD, 500)[1] == run(openb, "multigpu40", 43, FGD, 500)[1]


@pytest.mark.parametrize("seeds", [(42,), pytest.param((42, 43, 44), marks=pytest.mark.slow)], ids=["one", "three"])
def test_random_fit_lies_in_the_published_spread(shared: Path, seeds: tuple[int, ...]) -> None:
    openb = openb_at(shared)
    published = [
        (float(row["alloc_percent_mean"]), float(row["alloc_percent_std"]))
        for row in openb.rows("fgd/expected.csv")
        if (row["workload"], row["policy"], row["arrived_percent"]) == ("default", "Random", "130")
    ]
    ((average, deviation),) = published
    ours = mean(run(openb, "default", seed, lambda typical: random_fit())[0][130][0] for seed in seeds)
    # The mean of these runs, against the published mean of ten: four standard errors of the difference.
    assert abs(ours - average) < 4 * deviation * (1 / len(seeds) + 1 / 10) ** 0.5


def test_on_a_cluster_without_gpus_fgd_places_what_fits() -> None:
    snapshot = Snapshot()
    for index in range(3):
        snapshot.add_node(f"n{index}", {"cpu": 4000, "memory": 1 << 34, "pods": 10})
    classes = snapshot.classes
    cpu_only = PodView("default/a", classes.intern({"cpu": 1000, "memory": 1 << 30, "pods": 1}, NO_GPU))
    wants_gpu = PodView("default/b", classes.intern({"cpu": 1000, "pods": 1}, GpuRequest(1, 500)))
    strategy = FGD()
    strategy.fit([cpu_only, wants_gpu])
    placed = fill(strategy, snapshot, [cpu_only, wants_gpu], seed=0)
    assert placed.node[0] >= 0
    assert placed.node[1] == -1
