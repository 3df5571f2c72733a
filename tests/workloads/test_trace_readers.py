"""Each format, read from a small file whose every pod is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model.errors import UserError
from tests.workloads import small_traces as small
from workloads.manifests import to_pods
from workloads.readers import by_name, names
from workloads.readers.azure2020 import machines
from workloads.table import FOREVER
from workloads.trace import convert, lint, read, read_nodes

S = 10**9
GIB = 1 << 30


def test_openb_with_departures(tmp_path: Path) -> None:
    trace = read(small.openb(tmp_path), nodes=small.openb_nodes(tmp_path))
    pods = trace.workload
    assert list(pods.name) == ["a", "b", "c"]
    assert pods.arrival_ns.tolist() == [0, 5 * S, 5 * S]
    assert pods.duration_ns.tolist() == [60 * S, 30 * S, 2 * S]
    assert pods.memory_bytes.tolist() == [GIB, 2 * GIB, GIB // 2]
    assert pods.gpu_total_milli.tolist() == [500, 2000, 0]
    assert [pods.gpu_models[row] for row in range(3)] == [(), ("T4", "G2"), ()]
    assert trace.nodes is not None
    assert trace.nodes.gpu_count.tolist() == [0, 8]
    assert [trace.nodes.gpu_model[row] for row in range(2)] == ["", "G2"]
    assert trace.reports[0].counts == (("never-started", 1),)


def test_openb_lifetimes_may_count_from_where_it_was_scheduled(tmp_path: Path) -> None:
    pods = read(small.openb(tmp_path), options={"lifetime_from": "scheduled"}).workload
    assert pods.duration_ns.tolist() == [59 * S, 29 * S, 2 * S]


def test_openb_fill(tmp_path: Path) -> None:
    pods = read(small.openb(tmp_path), options={"mode": "fill", "gap_ns": 5}).workload
    assert pods.arrival_ns.tolist() == [0, 5, 10]
    assert set(pods.duration_ns.tolist()) == {FOREVER}


def test_any_trace_fills_and_lists_without_times_too(tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\nb,2000,1,0,0\na,1000,1,0,0\n")
    pods = read(bare, fill_gap_ns=7).workload
    assert list(pods.name) == ["b", "a"]
    assert (pods.arrival_ns.tolist(), pods.duration_ns.tolist()) == ([0, 7], [FOREVER, FOREVER])
    pods = read(small.huawei(tmp_path), fill_gap_ns=7).workload
    assert (pods.arrival_ns.tolist(), pods.duration_ns.tolist()) == ([0, 7], [FOREVER, FOREVER])
    assert pods.provenance.changes[-1] == "arrivals one by one, no departures"


def test_openb_without_cpu_nodes(tmp_path: Path) -> None:
    nodes, _ = read_nodes(small.openb_nodes(tmp_path), options={"cpu_nodes": False})
    assert list(nodes.name) == ["n-1"]


def test_openb_list_without_times(tmp_path: Path) -> None:
    file = tmp_path / "pods.csv"
    file.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\nx,1,1,0,0\n")
    with pytest.raises(UserError, match="no departures") as told:
        read(file)
    assert told.value.hint is not None
    assert "fill" in told.value.hint
    assert len(read(file, options={"mode": "fill"}).workload) == 1


def test_dlrm(tmp_path: Path) -> None:
    trace = read(small.dlrm(tmp_path))
    pods = trace.workload
    assert list(pods.name) == ["instance-0", "instance-1"]
    assert pods.arrival_ns.tolist() == [0, 100 * S]
    assert pods.duration_ns.tolist() == [FOREVER, 3931 * S]  # 4031.0000000000005 is the trace's own rounding
    assert pods.memory_bytes.tolist() == [120 * GIB, 937 * GIB + GIB // 2]
    assert pods.gpu_total_milli.tolist() == [1000, 0]
    assert pods.max_per_node.tolist() == [8, 0]
    assert pods.extra["koordinator.sh/rdma"].tolist() == [25, 1]
    assert pods.extra["ephemeral-storage"].tolist() == [640 * GIB, 255 * GIB]
    assert [pods.node_selector[row] for row in range(2)] == [
        (("alibaba.com/role", "HN"),),
        (("alibaba.com/role", "CN"),),
    ]
    assert dict(trace.reports[0].counts) == {"started-before-trace": 1, "still-there-at-end": 1, "name-changed": 4}


def test_huawei(tmp_path: Path) -> None:
    pods = read(small.huawei(tmp_path)).workload
    assert list(pods.name) == ["vm-7", "vm-8"]
    assert pods.arrival_ns.tolist() == [10 * S, 20 * S]
    assert pods.duration_ns.tolist() == [60 * S, FOREVER]
    assert pods.cpu_milli.tolist() == [1000, 4000]
    assert pods.memory_bytes.tolist() == [2 * GIB, 8 * GIB]


def test_azure_takes_the_machine_that_suits_most_requests(tmp_path: Path) -> None:
    trace = read(small.azure(tmp_path))
    pods = trace.workload
    assert list(pods.name) == ["vm-1", "vm-2", "vm-3"]
    assert pods.arrival_ns.tolist() == [0, 43_200 * S, 86_400 * S]
    assert pods.duration_ns.tolist() == [21_600 * S, 2 * 86_400 * S, FOREVER]
    assert pods.cpu_milli.tolist() == [500_000, 500_000, 62_500]
    assert pods.priority.tolist() == [1, 0, 1]
    assert trace.reports[0].count("type-not-on-machine") == 1
    node = machines(1)
    assert node.cpu_milli.tolist() == [1_000_000]
    assert pods.memory_bytes.tolist() == [
        node.memory_bytes[0] // 4,
        node.memory_bytes[0] // 4,
        node.memory_bytes[0] // 32,
    ]
    assert list(read(small.azure(tmp_path / ".."), options={"machine": "17"}).workload.name) == ["vm-4"]


def test_google_json(tmp_path: Path) -> None:
    trace = read(small.google(tmp_path))
    pods = trace.workload
    assert list(pods.name) == ["11-0", "11-1"]
    assert pods.arrival_ns.tolist() == [S, 3 * S // 2]
    assert pods.duration_ns.tolist() == [7 * S, FOREVER]  # from the first SCHEDULE to FINISH, an eviction in between
    assert pods.cpu_milli.tolist() == [500_000, 250_000]
    assert pods.priority.tolist() == [103, 103]
    assert dict(trace.reports[0].counts)["reservation-inside"] == 1


def test_google_csv_and_machines(tmp_path: Path) -> None:
    machine_list = tmp_path / "machines.csv"
    machine_list.write_text(small.GOOGLE_MACHINES)
    trace = read(small.google_csv(tmp_path), nodes=machine_list)
    assert trace.workload.duration_ns.tolist() == [7 * S]
    assert trace.reports[0].count("constraint-dropped") == 1
    assert trace.nodes is not None
    assert trace.nodes.cpu_milli.tolist() == [1_000_000, 500_000]
    assert [trace.nodes.zone[row] for row in range(2)] == ["s1", "s2"]


def test_philly(tmp_path: Path) -> None:
    machine_list = tmp_path / "machines.csv"
    machine_list.write_text(small.PHILLY_MACHINES)
    trace = read(small.philly(tmp_path), nodes=machine_list, options={"cpu_milli_per_gpu": 4000})
    pods = trace.workload
    assert list(pods.name) == ["application-1-1-0", "application-1-1-1", "application-1-2-0"]
    assert pods.arrival_ns.tolist() == [0, 0, 60 * S]
    assert pods.duration_ns.tolist() == [180 * S, 180 * S, FOREVER]  # both attempts count
    assert pods.gpu_count.tolist() == [2, 1, 1]
    assert pods.cpu_milli.tolist() == [8000, 4000, 4000]
    assert [pods.group[row] for row in range(3)] == ["application-1-1", "application-1-1", ""]
    assert trace.nodes is not None
    assert trace.nodes.gpu_count.tolist() == [8, 2]


def test_swf_jobs_become_gangs_of_one_pod_a_node(tmp_path: Path) -> None:
    trace = read(small.swf(tmp_path))
    pods = trace.workload
    assert list(pods.name) == ["job-1-0", "job-1-1", "job-2-0"]  # 6 processors on nodes of 16 / 4
    assert pods.cpu_milli.tolist() == [4000, 2000, 1000]
    assert pods.memory_bytes.tolist() == [4 * 2048 * 1024, 2 * 2048 * 1024, 0]
    assert pods.duration_ns.tolist() == [100 * S, 100 * S, 50 * S]
    assert [pods.group[row] for row in range(3)] == ["job-1", "job-1", ""]
    assert [pods.namespace[row] for row in range(3)] == ["group-2", "group-2", "default"]
    assert [pods.user[row] for row in range(3)] == ["user-3", "user-3", "user-4"]
    assert [pods.queue[row] for row in range(3)] == ["queue-1", "queue-1", "queue-1"]
    (_, first), *_ = to_pods(pods)
    assert first.metadata.labels["podyard.dev/user"] == "user-3"
    assert first.metadata.labels["kueue.x-k8s.io/queue-name"] == "queue-1"
    assert trace.reports[0].count("never-ran") == 1  # cancelled before it started


@pytest.mark.parametrize("format", sorted(small.FILES))
def test_formats_are_recognised_and_survive_the_parquet_form(tmp_path: Path, format: str) -> None:
    file = small.FILES[format](tmp_path)
    before = read(file)
    assert before.reports[0].format == format
    out = tmp_path / "out.parquet"
    report = convert(file, out)
    assert report.kept == len(before.workload)
    after = read(out).workload
    assert list(after.name) == list(before.workload.name)
    for column, values in before.workload.numbers().items():
        assert values.tolist() == after.numbers()[column].tolist(), column
    for column in ("gpu_models", "group", "app", "namespace", "node_selector"):
        rows = range(len(after))
        assert [getattr(after, column)[row] for row in rows] == [getattr(before.workload, column)[row] for row in rows]
    assert after.provenance.source == before.workload.provenance.source
    assert after.provenance.inputs[0] == before.workload.provenance.inputs[0]


def test_compressed_files_are_read_as_they_are(tmp_path: Path) -> None:
    import gzip

    file = tmp_path / "pods.csv.gz"
    file.write_bytes(gzip.compress(small.OPENB.encode()))
    assert len(read(file).workload) == 3
    file.write_bytes(gzip.compress(small.OPENB.encode())[:-12])
    with pytest.raises(UserError, match="damaged"):
        read(file)


def test_every_format_names_its_source_and_options() -> None:
    for name in names():
        format = by_name(name)
        assert format.provenance.source
        if name != "podyard":
            assert format.provenance.url.startswith("https://")
            assert format.provenance.citation
        assert "lint" not in format.options(format.pods)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "fil"}, "departures or fill"),
        ({"mod": "fill"}, "did you mean 'mode'"),
        ({"gap_ns": -1}, "a whole number, 0 to"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as told:
        read(small.openb(tmp_path), options=options)
    assert words in str(told.value)


def test_unknown_format_has_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'openb'"):
        read(small.openb(tmp_path), format="openbb")


def test_large_traces_pass_over_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workloads import gather, rows
    from workloads.lint import Lint

    def frames() -> object:
        for start in range(0, 1000, 10):
            yield from (_block(rows, start),)

    def _block(module: object, start: int) -> object:
        import polars as pl

        line = pl.int_range(start, start + 10, eager=True, dtype=pl.Int64)
        name = [f"p-{i % 990}" for i in range(start, start + 10)]
        frame = pl.DataFrame({"line": line, "name": name, "arrival_ns": line})
        return rows.Rows(frame, Lint("x")).pods()

    found = Lint("x")
    with gather.checked(frames(), found, rows_in_memory=64) as lazy:  # type: ignore[arg-type]
        frame = lazy.collect()
    assert frame.height == 990
    assert frame["line"].to_list() == list(range(990))
    assert found.report().count("duplicate-name") == 10
    assert lint(small.openb(tmp_path))[0].kept == 3


def test_json_errors_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "cluster_job_log"
    file.write_text(json.dumps(small.PHILLY, indent=1).replace('"vc"', "vc", 1))
    with pytest.raises(UserError) as told:
        read(file, format="philly")
    assert told.value.line == 4


_SWF_JOBS = "".join(
    f"{at} {at * 10} -1 50 {size} -1 -1 {size} -1 -1 1 1 1 -1 1 -1 -1 -1\n" for at, size in ((1, 4), (2, 8))
)


@pytest.mark.parametrize(
    "header",
    [
        "; MaxProcs: 1,024\n; MaxNodes: 256\n",  # it was read as a machine of one processor
        "; maxprocs: 16\n;maxnodes : 4 (four processors each)\n",
        "\ufeff; MaxProcs: 16\n; MaxNodes: 4\n",  # its first line was taken for a job
        "; MaxProcs: -1\n; MaxProcs: 16 (after the upgrade)\n; MaxNodes: 4\n",
        ";;; MaxNodes: 4\n;MaxProcs:\t16\n",
    ],
)
def test_headers_of_logs_as_people_write_them(tmp_path: Path, header: str) -> None:
    """A job of eight processors is a gang of two on nodes of four."""
    (tmp_path / "log.swf").write_text(header + _SWF_JOBS, encoding="utf-8")
    found = read(tmp_path / "log.swf", format="swf", options={}, repair=True)
    assert len(found.workload) == 3
