"""What a scenario can say, and that it is done."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from harness.experiment.prepared import prepare
from harness.experiment.record import read_journal
from harness.experiment.run import run_once
from harness.experiment.scenario import built_in, read_scenario
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, loaded, scenario, written
from tests.workloads import small_traces as small

MANIFEST = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop", "namespace": "default", "labels": {"app": "shop"}},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {
                "containers": [
                    {"name": "c", "image": "nginx:1.27", "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}}}
                ]
            },
        },
    },
}


def test_plain_manifests_are_a_workload(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(MANIFEST))
    path = written(tmp_path, duration="1m", workload=[{"manifests": ["shop.yaml"]}])
    result = run_once(read_scenario(path), "greedy", 1)
    assert result.broken == []
    assert result.metrics["placement"]["podsBound"] == 3


def test_a_run_without_a_duration_ends_when_everything_that_ends_has() -> None:
    result = run_once(
        loaded(nodes=[{"openbLike": {"count": 8}}], workload=[{"openbLike": {"pods": 50, "longest": "10m"}}]),
        "greedy",
        1,
    )
    placement = result.metrics["placement"]
    assert placement["podsBound"] + placement["podsNeverBound"] == 50
    assert result.metrics["durationSeconds"] % 10 == 0
    assert placement["allocationAtEnd"]["cpu"] == 0.0


def test_settings_go_over_the_scenario(tmp_path: Path) -> None:
    path = written(tmp_path)
    made = read_scenario(path, {"spec.duration": "2m", "spec.nodes[0].group.count": "9"})
    assert made.scenario.spec.duration == "2m"
    assert made.scenario.spec.nodes[0].group is not None
    assert made.scenario.spec.nodes[0].group.count == 9
    with pytest.raises(UserError, match="names an item that is not there"):
        read_scenario(path, {"spec.nodes[7].group.count": "9"})


def test_a_latency_is_constant_lognormal_or_measured() -> None:
    base = run_once(loaded(duration="2m", workload=[SERVICE]), "greedy", 1)
    slow = run_once(
        loaded(duration="2m", workload=[SERVICE], latencies={"containerStart": {"constant": "20s"}}), "greedy", 1
    )
    drawn = run_once(
        loaded(duration="2m", workload=[SERVICE], latencies={"containerStart": {"samples": ["3s", "5s"]}}), "greedy", 1
    )

    def started(result: object) -> float:
        value: float = result.metrics["placement"]["startSeconds"]["max"]  # type: ignore[attr-defined]
        return value

    # The kubelet sees a start at the PLEG's next relist, a second apart; the default is half a second.
    assert started(slow) - started(base) == pytest.approx(19.5, abs=1)
    assert 2 < started(drawn) - started(base) < 6


def test_windows_need_some_latency() -> None:
    with pytest.raises(UserError, match="must take some time"):
        run_once(loaded(duration="1m", latencies={"watch": {"constant": "0s"}}), "greedy", 1)


def test_the_record_says_what_it_takes_to_run_again(tmp_path: Path) -> None:
    result = run_once(loaded(duration="2m", workload=[SERVICE]), "least-allocated", 4, out=tmp_path)
    assert result.folder is not None
    record = json.loads((result.folder / "record.json").read_text())
    assert record["scenario"]["spec"]["workload"][0]["service"]["name"] == "web"
    assert (record["scheduler"], record["seed"], record["digest"]) == ("least-allocated", 4, result.digest)
    assert {"podyard", "python", "numpy", "ortools", "ray"} <= set(record["versions"])
    pods = pl.read_parquet(result.folder / "pods.parquet")
    assert pods.height == 4
    assert (pods["running_ns"] > pods["bound_ns"]).all()
    nodes = pl.read_parquet(result.folder / "nodes.parquet")
    assert nodes.filter(pl.col("cpu_milli_used") > pl.col("cpu_milli_capacity")).is_empty()


@pytest.mark.parametrize("name", sorted(built_in()))
def test_every_scenario_that_comes_along_can_be_read(name: str) -> None:
    made = read_scenario(built_in()[name])
    assert made.scenario.metadata.name == name
    assert made.scenario.metadata.description


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nodes": [{}]}, "is one thing"),
        ({"nodes": []}, "there are no nodes"),
        ({"duration": "1 hour"}, "not a duration"),
        ({"schedulers": []}, "there is none"),
        ({"workload": [{"trace": {"path": "x", "mode": "fil"}}]}, "did you mean 'fill'?"),
        ({"workload": [{"trace": {"path": "x", "mode": "fill", "together": 0}}]}, "at least 1"),
        ({"gates": [{"metric": "x"}]}, "asks for nothing"),
        ({"pools": [{"name": "p", "min": 3, "max": 1, "cpu": 1}]}, "min and max do not fit"),
        ({"workload": [{"service": SERVICE["service"] | {"load": {"rampp": {}}}}]}, "did you mean 'ramp'?"),
    ],
)
def test_what_types_alone_do_not_say(change: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as error:
        run_once(loaded(**change), "greedy", 1)
    assert told in str(error.value)


def test_what_is_no_scenario_is_told() -> None:
    data = scenario()
    data["kind"] = "Deployment"
    from harness.experiment.scenario import from_data

    with pytest.raises(UserError, match="kind is not Scenario"):
        from_data(data, "x.yaml")


def test_extended_resources_of_nodes_are_held(tmp_path: Path) -> None:
    """The trace of recommendation services asks for RDMA and disk, and limits instances of a service on a node."""
    small.dlrm(tmp_path)
    resources = {"ephemeral-storage": "4Ti", "koordinator.sh/rdma": 100}
    group = {"count": 4, "cpu": 128, "memory": "1Ti", "resources": resources}
    nodes = [
        {"group": {"name": "hn", "gpus": 8, "labels": {"alibaba.com/role": "HN"}, **group}},
        {"group": {"name": "cn", "labels": {"alibaba.com/role": "CN"}, **group}},
    ]
    path = written(tmp_path, duration="1h", nodes=nodes, workload=[{"trace": {"path": "dlrm.csv"}}])
    result = run_once(read_scenario(path), "greedy", 1)
    assert result.broken == []
    placed = result.metrics["placement"]["podsBound"]
    assert placed > 0
    without = [{"group": {key: value for key, value in node["group"].items() if key != "resources"}} for node in nodes]
    path = written(tmp_path, duration="1h", nodes=without, workload=[{"trace": {"path": "dlrm.csv"}}])
    assert run_once(read_scenario(path), "greedy", 1).metrics["placement"]["podsBound"] == 0


def test_a_resource_of_a_node_group_is_one_of_its_own_name() -> None:
    group = {"name": "n", "count": 1, "cpu": 1, "resources": {"cpu": 4}}
    with pytest.raises(UserError) as caught:
        run_once(loaded(nodes=[{"group": group}]), "greedy", 1)
    assert "resources.cpu" in str(caught.value)
    assert "example.com/fpga" in str(caught.value)


CRON = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "30 * * * *"
  timeZone: Europe/Berlin
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {podyard.dev/duration: 30s}}
        spec: {restartPolicy: Never, containers: [{name: c, image: i}]}
"""


def test_a_cron_job_goes_by_the_calendar_and_needs_an_end(tmp_path: Path) -> None:
    """At 02:00 on that day clocks go from 02:00 to 03:00: half past two does not come."""
    (tmp_path / "tick.yaml").write_text(CRON)
    spec = {"nodes": [{"group": {"name": "n", "count": 1, "cpu": 4}}], "workload": [{"manifests": ["tick.yaml"]}]}
    with pytest.raises(UserError, match="the Jobs of a CronJob have no end"):
        prepare(read_scenario(written(tmp_path, **spec)), 0)
    with pytest.raises(UserError, match=r"spec.startsAt: not a point in time"):
        prepare(read_scenario(written(tmp_path, duration="2h", startsAt="soon", **spec)), 0)
    made = written(tmp_path, duration="150m", startsAt="2025-03-30T00:10:00Z", bound=False, **spec)
    result = run_once(read_scenario(made), "greedy", 0, out=tmp_path)
    assert result.folder is not None
    rows = read_journal(result.folder).filter((pl.col("kind") == "Job") & (pl.col("change") == "ADDED"))
    assert [row["key"].split("-")[1] for row in rows.iter_rows(named=True)] == ["29054910", "29054970", "29055030"]
    minutes = [round(row["at_ns"] / 6e10) for row in rows.iter_rows(named=True)]
    assert minutes == [20, 80, 140]  # 01:30, then 03:30 and 04:30 of the summer


def test_two_pools_of_one_name_are_refused() -> None:
    pools = [{"name": name, "max": 2, "cpu": 2} for name in ("p", "q", "p")]
    with pytest.raises(UserError, match=r"spec.pools\[2\].name: two pools have one name") as refused:
        prepare(loaded(duration="1m", workload=[SERVICE], pools=pools), 1)
    assert "spec.pools[0]" in str(refused.value)
