"""What a scenario asks for and nothing would act on is an error before the run, or told by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.cli.test_autoscale import APP, node_pool, told, with_node_pools
from tests.experiment.scenarios import SERVICE, loaded, written

POOL = {"name": "p", "max": 2, "cpu": 4, "memory": "8Gi"}
VPA = {
    "apiVersion": "autoscaling.k8s.io/v1",
    "kind": "VerticalPodAutoscaler",
    "metadata": {"name": "web"},
    "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
}


def notices(**spec: Any) -> list[str]:
    given = {"duration": "30s", "bound": False, "workload": [SERVICE], **spec}
    return list(run_once(loaded(**given), "greedy", 1).notices)


def refused(folder: Path, **spec: Any) -> UserError:
    given = {"duration": "30s", "bound": False, "workload": [SERVICE], **spec}
    with pytest.raises(UserError) as error:
        run_once(read_scenario(written(folder, **given)), "greedy", 1)
    return error.value


def test_node_pools_that_nobody_goes_by_are_refused_where_they_stand(tmp_path: Path) -> None:
    objects = {"objects": [node_pool("general")]}
    error = refused(tmp_path, workload=[SERVICE, objects])
    assert "spec.workload[1].objects[0]: NodePools do nothing under the autoscaler cluster-autoscaler" in str(error)
    assert (error.file is not None, bool(error.line)) == (True, True)
    assert error.found == "NodePool general, autoscaler: cluster-autoscaler"
    assert error.expected == "autoscaler: just-in-time"
    (tmp_path / "pools.yaml").write_text(yaml.safe_dump(node_pool("general")))
    error = refused(tmp_path, workload=[SERVICE, {"manifests": ["pools.yaml"]}])
    assert "spec.workload[1].manifests[0]" in str(error)
    error = refused(tmp_path, workload=[SERVICE, objects], autoscaler="node-oracle-yardstick")
    assert error.found == "NodePool general, autoscaler: node-oracle-yardstick"
    assert notices(workload=[SERVICE, objects], autoscaler="just-in-time") == []


def test_pools_and_node_pools_together_are_of_two_autoscalers_and_the_idle_ones_are_told() -> None:
    both: dict[str, Any] = {"workload": [SERVICE, {"objects": [node_pool("general")]}], "pools": [POOL]}
    (words,) = notices(**both)
    assert words == "NodePool general does nothing under cluster-autoscaler: just-in-time goes by NodePools"
    (words,) = notices(**both, autoscaler="just-in-time")
    assert words == "pools p do nothing under just-in-time, which goes by NodePools"


def test_an_autoscaler_without_what_it_goes_by_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, autoscaler="just-in-time")
    assert "spec.autoscaler: just-in-time goes by NodePools, and there are none" in str(error)
    error = refused(tmp_path, autoscaler="just-in-time?provisioning=90s", pools=[POOL])
    assert error.hint == "autoscaler: cluster-autoscaler, which goes by pools"
    error = refused(tmp_path, autoscaler="cluster-autoscaler?expander=price")
    assert "sizes pools, and there are none" in str(error)
    assert notices(autoscaler="cluster-autoscaler") == [
        "autoscaler: cluster-autoscaler does nothing: there are no pools"
    ]
    later = [{"at": "5s", "apply": {"objects": [node_pool("general")]}}]
    assert notices(autoscaler="just-in-time", faults=later) == []


def test_node_pools_of_files_beside_pools_are_told_by_the_dry_run(tmp_path: Path) -> None:
    path = with_node_pools(tmp_path, node_pool("general"))
    found = told("-f", path, "--pool", "name=np,max=2,cpu=4,memory=8Gi", "--duration", "1m")
    assert found["autoscaler"] == "cluster-autoscaler"
    words = "NodePool general does nothing under cluster-autoscaler: just-in-time goes by NodePools"
    assert words in found["notices"]


def test_objects_whose_controller_is_left_out_are_told() -> None:
    given: dict[str, Any] = {"workload": [SERVICE, {"objects": [VPA]}]}
    assert notices(**given) == []
    (words,) = notices(**given, controllers=["*", "-vpa-updater"])
    assert words == "VerticalPodAutoscaler web: vpa-updater does not run, as spec.controllers says"
    (words,) = notices(controllers=["*", "-disruption-controller"])
    assert words.startswith("PodDisruptionBudget web: disruption-controller does not run")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"nodeCrash": {"select": {"count": 60}}}, ("nodeCrash.select.count", "found:    60", "6 or less")),
        ({"nodeFreeze": {"for": "5s", "select": {"count": 7}}}, ("nodeFreeze.select.count", "6 or less")),
        ({"nodeCrash": {"select": {"app": "web", "count": 60}}}, ("select.count", "6 or less")),
        ({"drain": {"select": {"zone": "a", "count": 3}}}, ("drain.select.count", "2 or less")),
        ({"nodeLeave": {"select": {"count": 9}}}, ("nodeLeave.select.count", "6 or less")),
        ({"spotReclaim": {"select": {"zone": "a"}, "drawn": 5}}, ("spotReclaim.drawn", "2 or less")),
        ({"nodeCrash": {"select": {"zone": "a", "app": "web"}}}, ("in one way, not by zone and app",)),
        ({"nodeCrash": {"select": {"names": ["n-0"], "count": 2}}}, ("count says nothing beside them",)),
    ],
)
def test_more_nodes_than_there_are_is_told_before_the_run(
    tmp_path: Path, fault: dict[str, Any], words: tuple[str, ...]
) -> None:
    error = str(refused(tmp_path, faults=[{"at": "5s", **fault}]))
    for item in ("spec.faults[0]", *words):
        assert item in error


def test_a_fault_that_hit_fewer_than_it_asks_for_says_so() -> None:
    """Who runs where is known at the instant alone; so are the nodes, where there are pools."""
    crash = {"at": "20s", "containerCrash": {"app": "web", "count": 60}}
    (words,) = notices(faults=[crash])
    assert words.startswith("ContainerCrash at 20")
    assert words.endswith(" s asked for 60, hit 4: no more match")
    deletion = {"at": "20s", "podDeletion": {"app": "web", "count": 4}}
    assert notices(faults=[deletion]) == []
    nodes = {"at": "20s", "nodeCrash": {"select": {"count": 60}}}
    (words,) = notices(faults=[nodes], pools=[POOL])
    assert words.startswith("Crash at 20")
    assert words.endswith(" s asked for 60, hit 6: no more match")
    cordon = {"at": "20s", "cordon": {"select": {"app": "web", "count": 6}}}
    (words,) = notices(faults=[cordon])
    assert words.startswith("Cordon at 20 s asked for 6, hit ")


def test_a_number_of_a_zone_is_drawn_from_it() -> None:
    fault = {"at": "5s", "nodeCrash": {"select": {"zone": "b", "count": 1}}}
    given: dict[str, Any] = {"duration": "30s", "bound": False, "workload": [SERVICE], "faults": [fault]}
    (row,) = run_once(loaded(**given), "greedy", 1).metrics["recovery"]
    assert len(row["targets"]) == 1
    assert row["targets"][0] in ("n-1", "n-4")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"pools": [{**POOL, "gpuModel": "T4"}]}, "spec.pools[0].gpuModel: these nodes have no GPUs"),
        (
            {"pools": [{**POOL, "boot": {"constant": "1s", "median": "2s", "p99": "3s"}}]},
            "spec.pools[0].boot: is one thing",
        ),
    ],
)
def test_a_field_that_another_one_overrules_is_refused(tmp_path: Path, spec: dict[str, Any], words: str) -> None:
    assert words in str(refused(tmp_path, **spec))


@pytest.mark.parametrize(("field", "value"), [("every", "5s"), ("together", 4)])
def test_the_pace_of_a_fill_is_refused_for_a_trace_that_departs(tmp_path: Path, field: str, value: Any) -> None:
    trace = tmp_path / "pods.csv"
    trace.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\np,1000,10,0,0,0,9,1\n"
    )
    item = {"path": str(trace), "format": "openb", field: value}
    assert f"spec.workload[0].trace.{field}" in str(refused(tmp_path, workload=[{"trace": item}]))


def test_verdicts_tell_the_kinds_that_they_do_not_go_by(tmp_path: Path) -> None:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"allocatable": amounts}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([node, *APP, quota, VPA, node_pool("general")]))
    result = CliRunner().invoke(app, ["verdicts", "-f", str(path)])
    assert result.exit_code == 0, result.exception
    for words in ("ResourceQuota default/q: no verdict", "VerticalPodAutoscaler default/web", "NodePool general"):
        assert words in result.stderr
