"""The real traces, where they are at hand: read whole, counted, and held against what their publishers say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workloads.generators.facts import measured
from workloads.generators.openb_facts import BUSY_FROM_NS, OPENB
from workloads.readers.fgd import TUNED, arrive, ranked
from workloads.table import FOREVER
from workloads.trace import convert, read, read_nodes

S = 10**9
MIB = 1 << 20
LISTS = {
    "cpu050": 7439,
    "cpu100": 7853,
    "cpu250": 9420,
    "default": 8152,
    "gpushare40": 8152,
    "gpushare80": 8152,
    "gpuspec10": 8152,
    "gpuspec25": 8152,
    "multigpu20": 8324,
    "multigpu40": 8746,
}


def pod_list(shared: Path, name: str) -> Path:
    return shared / f"traces/openb/openb_pod_list_{name}.csv"


def gpu_nodes(shared: Path) -> Path:
    return shared / "traces/openb/openb_node_list_gpu_node.csv"


def test_openb_nodes(shared: Path) -> None:
    """Totals: FGD paper, section 6.1, and its simulator's node list."""
    nodes, report = read_nodes(gpu_nodes(shared))
    assert (len(nodes), report.counts) == (1213, ())
    assert nodes.gpu_total_milli == 6_212_000
    assert int(nodes.cpu_milli.sum()) == 107_018_000
    assert int((nodes.memory_bytes // MIB).sum()) == 503_828_480
    models = {
        nodes.gpu_model.values[code]: int(nodes.gpu_count[nodes.gpu_model.codes == code].sum()) for code in range(7)
    }
    assert models == {"G2": 4392, "T4": 842, "G3": 312, "P100": 265, "V100M32": 204, "V100M16": 195, "A10": 2}
    whole, _ = read_nodes(shared / "traces/openb/openb_node_list_all_node.csv")
    assert len(whole) == 1523
    only_gpu, _ = read_nodes(shared / "traces/openb/openb_node_list_all_node.csv", options={"cpu_nodes": False})
    assert len(only_gpu) == 1213


def test_openb_default_with_departures(shared: Path) -> None:
    trace = read(pod_list(shared, "default"), nodes=gpu_nodes(shared))
    pods = trace.workload
    assert len(pods) == 8152
    assert int(pods.gpu_total_milli.sum()) == 6_086_800
    assert int(pods.arrival_ns[0]) == 0
    assert int((pods.arrival_ns + pods.duration_ns).max()) == 12_902_960 * S
    assert dict(trace.reports[0].counts) == {
        "zero-memory": 1,
        "zero-duration": 1,
        "never-started": 897,
        "lifetime-cut": 34,
    }


@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_openb_list_fills_in_the_published_order(shared: Path, name: str) -> None:
    """Loads of FGD's protocol: 130 % of the GPUs arrive; a tuned list overshoots by less than one 8-GPU pod."""
    pods = read(pod_list(shared, name), options={"mode": "fill"}).workload
    assert len(pods) == LISTS[name]
    orders = sorted((shared / "fgd/arrivals").glob(f"{name}_*_pods.txt.gz"))
    assert len(orders) == 10
    for order in orders[:2]:
        arrived = arrive(pods, order, gap_ns=S)
        asked = int(arrived.gpu_total_milli.sum())
        assert 0.999 * 1.3 * 6_212_000 < asked < 1.3 * 6_212_000 + 8000
        copies = [row for row, pod in enumerate(arrived.name) if TUNED in pod]
        assert len(arrived) == len(copies) + (len(pods) if copies else len(arrived))
        of = {pod: row for row, pod in enumerate(pods.name)}
        for row in copies[:50]:
            assert arrived.cpu_milli[row] == pods.cpu_milli[of[arrived.name[row].partition(TUNED)[0]]]
        assert set(arrived.duration_ns.tolist()) == {FOREVER}
        assert (np.diff(arrived.arrival_ns) == S).all()


def test_node_ranks(shared: Path) -> None:
    nodes, _ = read_nodes(gpu_nodes(shared))
    by_rank = ranked(nodes, shared / "fgd/arrivals/default_42_noderank.txt.gz")
    assert by_rank.name[601] == "openb-node-0000"
    assert sorted(by_rank.name) == sorted(nodes.name)


def test_dlrm(shared: Path) -> None:
    """Counts by the publisher: 23,871 instances of 156 services, 16,485 on CPU nodes, 7,386 on GPU nodes."""
    trace = read(shared / "traces/dlrm2025/disaggregated_DLRM_trace.csv")
    pods = trace.workload
    assert len(pods) == 23_871
    assert int((pods.gpu_count > 0).sum()) == 7386
    assert len({app.rsplit("-", 1)[0] for app in pods.app.values}) == 156
    assert trace.reports[0].errors == 0
    assert trace.reports[0].count("started-before-trace") == 7280
    assert trace.reports[0].count("still-there-at-end") == 8878
    # Times carry the rounding of floating point; whole seconds come out.
    assert not (pods.arrival_ns % S).any()
    assert set(pods.max_per_node.tolist()) == {0, 2, 4, 8, 10, 16}
    assert int(pods.extra["koordinator.sh/rdma"].max()) == 100


def test_real_traces_survive_the_parquet_form(shared: Path, tmp_path: Path) -> None:
    for file in (pod_list(shared, "gpuspec25"), shared / "traces/dlrm2025/disaggregated_DLRM_trace.csv"):
        before = read(file).workload
        convert(file, tmp_path / "out.parquet")
        after = read(tmp_path / "out.parquet").workload
        assert list(after.name) == list(before.name)
        assert all((after.numbers()[column] == values).all() for column, values in before.numbers().items())


def test_the_facts_of_openb_are_measured_from_it(shared: Path) -> None:
    trace = read(pod_list(shared, "default"), nodes=shared / "traces/openb/openb_node_list_all_node.csv")
    models = read(pod_list(shared, "gpuspec25")).workload
    assert trace.nodes is not None
    assert measured(trace.workload, trace.nodes, models, OPENB.source, busy_from_ns=BUSY_FROM_NS) == OPENB


def test_openb_like_is_like_openb(shared: Path) -> None:
    """Total variation distance of the requests, and Kolmogorov-Smirnov distance of lifetimes and gaps, both small."""
    from workloads.generators.facts import KINDS, task_kinds
    from workloads.generators.openb_like import openb_like

    real = read(pod_list(shared, "default")).workload
    made, _ = openb_like(50_000, 1523, 1, longest_ns=1 << 60)

    def shares(columns: list[np.ndarray]) -> dict[tuple[int, ...], float]:
        rows, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
        return {tuple(row): count / counts.sum() for row, count in zip(rows.tolist(), counts.tolist(), strict=True)}

    def distance(columns: tuple[str, ...]) -> float:
        a, b = (shares([getattr(side, column) for column in columns]) for side in (real, made))
        return 0.5 * sum(abs(a.get(key, 0) - b.get(key, 0)) for key in sorted({*a, *b}))

    assert distance(("gpu_count", "gpu_milli")) < 0.01
    assert distance(("gpu_count", "gpu_milli", "cpu_milli")) < 0.03
    assert distance(("gpu_count", "gpu_milli", "cpu_milli", "memory_bytes")) < 0.04

    def gap(a: np.ndarray, b: np.ndarray) -> float:
        at = np.concatenate([a, b])
        below = [np.searchsorted(np.sort(side), at, side="right") / len(side) for side in (a, b)]
        return float(np.abs(below[0] - below[1]).max())

    kinds = task_kinds(real), task_kinds(made)
    for code, kind in enumerate(KINDS):
        bound = 0.04 if kind != "several" else 0.15  # 75 tasks only
        assert gap(real.duration_ns[kinds[0] == code] // S, made.duration_ns[kinds[1] == code] // S) < bound, kind
    busy = real.arrival_ns[real.arrival_ns >= BUSY_FROM_NS]
    # The trace's gaps are whole seconds, many of them 0; the generator's are in ms.
    assert gap(np.diff(busy) // S, np.diff(made.arrival_ns) // S) < 0.06
