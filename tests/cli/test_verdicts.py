"""podyard verdicts: a cluster from manifests, and what a scheduler says of those that wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.explain.from_manifests import FromManifests
from harness.explain.room import room_for
from harness.model.errors import UserError
from harness.scheduling.registry import load
from tests.examples import examples


def node(name: str, cpu: str = "4", zone: str = "a", **spec: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def pod(name: str, cpu: str = "1", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}]
    meta = {"name": name, "namespace": namespace, "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


CLUSTER = [
    node("small", "2"),
    node("tainted", "8", taints=[{"key": "gpu", "effect": "NoSchedule"}]),
    node("half-full"),
    pod("runs", "3", nodeName="half-full"),
    {**pod("done", "4", nodeName="half-full"), "status": {"phase": "Succeeded"}},
    pod("waits", "1500m"),
]


def called(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["verdicts", *arguments], input=given)


def told(tmp_path: Path, items: list[dict[str, Any]], *arguments: str) -> list[dict[str, Any]]:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all(items))
    result = called("-f", str(path), "-o", "json", *arguments)
    assert result.exit_code == 0, result.exception
    found: list[dict[str, Any]] = json.loads(result.stdout)["pods"]
    return found


def test_each_node_has_its_first_reason_or_its_scores(tmp_path: Path) -> None:
    (waits,) = told(tmp_path, CLUSTER)
    assert (waits["pod"], waits["node"], waits["nodes"], waits["feasible"]) == ("default/waits", "small", 3, 1)
    by_node = {item.pop("node"): item for item in waits["byNode"]}
    assert by_node["tainted"] == {
        "feasible": False,
        "plugin": "TaintToleration",
        "code": "UnschedulableAndUnresolvable",
        "reasons": ["node(s) had untolerated taint {gpu: }"],
    }
    assert by_node["half-full"] == {
        "feasible": False,
        "plugin": "NodeResourcesFit",
        "code": "Unschedulable",
        "reasons": ["Insufficient cpu"],
    }
    small = by_node["small"]
    # 1500 of 2000 milli and 200 of 8192 MiB (assumed): (25 + 97) / 2; shares of 0.75 and 0 lie 0.375 from their middle.
    assert small["scores"]["NodeResourcesFit"] == 61
    assert small["scores"]["NodeResourcesBalancedAllocation"] == 62
    assert small["score"] == sum(small["scores"].values())


def test_pods_are_judged_alone_or_placed_one_after_another(tmp_path: Path) -> None:
    items = [node("one"), pod("first", "3"), pod("second", "3", priority=10)]
    assert [(item["pod"], item["node"]) for item in told(tmp_path, items)] == [
        ("default/second", "one"),
        ("default/first", "one"),
    ]
    second, first = told(tmp_path, items, "--bind")
    assert (second["node"], first["node"]) == ("one", None)
    assert first["message"] == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_verdict_does_not_depend_on_who_else_is_asked_about(tmp_path: Path) -> None:
    """By default kube looks for 100 of 300 nodes that fit, and begins where the last search ended."""
    items = [*(node(f"n{i}") for i in range(300)), pod("first"), pod("second")]
    alone = told(tmp_path, items, "second")
    first, second = told(tmp_path, items)
    assert alone == [second]
    assert first["node"] == second["node"]
    bound = [item["node"] for item in told(tmp_path, items, "--bind")]
    assert bound[1] != bound[0], "the second search goes on where the first one ended"


def test_gangs_are_placed_together(tmp_path: Path) -> None:
    group = {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": "gang", "namespace": "default"},
        "spec": {"minMember": 3},
    }
    gang = [pod(f"member-{i}", "2") for i in range(3)]
    for item in gang:
        item["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] = "gang"
    found = told(tmp_path, [node("one", "8"), group, *gang, pod("after", "4")], "--bind")
    assert {item["pod"]: item["node"] for item in found} == {
        **{f"default/member-{i}": "one" for i in range(3)},
        "default/after": None,
    }


def test_running_pods_of_nodes_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([*CLUSTER, pod("astray", nodeName="gone")]))
    result = called("-f", str(path))
    assert "1 running pods left out" in result.stderr


def test_a_list_of_kubectl_comes_from_standard_input_large_or_small() -> None:
    few = json.dumps({"apiVersion": "v1", "kind": "List", "items": CLUSTER})
    many = [node(f"n{i}") for i in range(5000)]
    large = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*CLUSTER, *many]})
    assert len(large) > 1_000_000
    for text, nodes in ((few, 3), (large, 5003)):
        result = called("-f", "-", "-o", "json", "waits", "-s", "least-allocated", given=text)
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)["pods"][0]["nodes"] == nodes


def test_what_else_scheduling_looks_at_is_taken_from_the_manifests(tmp_path: Path) -> None:
    """A default priority, a gang that fits only in part, gates."""
    items = [
        node("one", "2"),
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "usual"},
            "value": 7,
            "globalDefault": True,
        },
        {
            "apiVersion": "scheduling.x-k8s.io/v1alpha1",
            "kind": "PodGroup",
            "metadata": {"name": "gang", "namespace": "default"},
            "spec": {"minMember": 3},
        },
        *(pod(f"member-{i}", "1") for i in range(3)),
        pod("gated", schedulingGates=[{"name": "example.com/later"}]),
        pod("low", priority=3),
    ]
    for item in items[3:6]:
        item["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] = "gang"
    found = {item["pod"]: item for item in told(tmp_path, items)}
    assert found["default/gated"] == {
        "pod": "default/gated",
        "skipped": "it waits for its scheduling gates: example.com/later",
        "schedulingGates": ["example.com/later"],
    }
    assert found["default/member-0"]["node"] is None
    assert found["default/member-0"]["feasible"] == 1
    assert list(found)[-1] == "default/low"


def test_one_node_in_detail_and_what_would_make_it_fit(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all(CLUSTER))
    result = called("-f", str(path), "waits", "--node", "tainted")
    assert result.exit_code == 0, result.exception
    assert "default/waits would go to small, says kube" in result.stdout
    assert "tainted: TaintToleration rejects it" in result.stdout
    assert "tainted would take the pod" in result.stdout


@pytest.mark.parametrize(
    ("items", "arguments", "said"),
    [
        ([pod("alone")], (), "no node among the manifests"),
        (CLUSTER, ("wait",), "did you mean 'default/waits'?|no pod 'wait' waits"),
        (CLUSTER, ("runs",), "runs already"),
        ([*CLUSTER, pod("urgent", priorityClassName="soon")], (), "no PriorityClass 'soon'"),
        ([*CLUSTER, pod("waits", "1", namespace="other")], ("waits",), "2 pods are called 'waits'"),
        (CLUSTER, ("waits", "--node", "smal"), "there was no node 'smal'"),
    ],
)
def test_what_does_not_hold_together_is_told(
    tmp_path: Path, items: list[dict[str, Any]], arguments: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all(items))
    result = called("-f", str(path), *arguments)
    assert isinstance(result.exception, UserError)
    assert any(part in str(result.exception) for part in said.split("|"))


def test_without_manifests_it_says_what_to_give() -> None:
    result = called()
    assert isinstance(result.exception, UserError)
    assert "-f FILE" in str(result.exception)


def test_claims_volumes_and_classes_count(tmp_path: Path) -> None:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d", "volumeHandle": "h"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}
                            ]
                        }
                    ]
                }
            },
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "pv",
        },
    }
    db = pod("db", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    cluster = [node("in-a"), node("in-b", zone="b"), db]
    (lost,) = told(tmp_path, cluster)
    assert {(item["plugin"], *item["reasons"]) for item in lost["byNode"]} == {
        ("PreFilter", 'persistentvolumeclaim "c" not found')
    }
    (found,) = told(tmp_path, [*cluster, claim, volume])
    assert found["node"] == "in-b"
    by_node = {item["node"]: item for item in found["byNode"]}
    assert (by_node["in-a"]["plugin"], by_node["in-a"]["reasons"]) == (
        "VolumeBinding",
        ["node(s) had volume node affinity conflict"],
    )


def test_who_would_go_and_what_is_kept_is_told(tmp_path: Path) -> None:
    small = node("small", "2")
    running = {**pod("running", "2"), "status": {"phase": "Running"}}
    running["spec"]["nodeName"] = "small"
    urgent = pod("urgent", "2", priority=9)
    kept = {**pod("kept", "2", priority=5), "status": {"nominatedNodeName": "spare"}}
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([small, node("spare", "2"), running, kept, urgent]))
    text = called("-f", str(path)).stdout
    assert "nominated: spare is kept for it and takes it, whatever the scores" in text
    (low, high) = sorted(told(tmp_path, [small, running, urgent, pod("low", "2")]), key=lambda item: item["pod"])
    assert low["preemption"]["message"].endswith("1 No preemption victims found for incoming pod.")
    assert high["preemption"] == {
        "best": ["small"],
        "candidates": {"small": ["default/running"]},
        "violations": {},
        "message": "",
    }
    path.write_text(yaml.safe_dump_all([small, running, urgent]))
    assert "preemption: on small would go default/running" in called("-f", str(path)).stdout


# -- how many more fit -------------------------------------------------------------------------------------------------


def more(tmp_path: Path, items: list[dict[str, Any]], *arguments: str) -> list[dict[str, Any]]:
    return told(tmp_path, items, "--how-many", *arguments)


def test_how_many_more_fit_and_what_stops_the_next(tmp_path: Path) -> None:
    (waits,) = more(tmp_path, CLUSTER)
    assert (waits["fit"], waits["byNode"]) == (1, {"small": 1})
    assert {item["node"]: (item["fit"], item["plugin"], item["reasons"]) for item in waits["stops"]} == {
        "small": (1, "NodeResourcesFit", ["Insufficient cpu"]),
        "tainted": (0, "TaintToleration", ["node(s) had untolerated taint {gpu: }"]),
        "half-full": (0, "NodeResourcesFit", ["Insufficient cpu"]),
    }


def test_how_many_more_of_one_that_runs_or_is_not_there(tmp_path: Path) -> None:
    (runs,) = more(tmp_path, [*CLUSTER, node("big", "10")], "runs")
    assert runs["byNode"] == {"big": 3}
    template = {"spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "2"}}}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "spark"}, "spec": {"template": template}}
    template["spec"]["restartPolicy"] = "Never"  # type: ignore[assignment]
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    (spark,) = more(tmp_path, [node("n", "7")], "--pod", str(tmp_path / "job.yaml"))
    assert (spark["pod"], spark["fit"]) == ("default/spark", 3)
    (asked,) = told(tmp_path, [node("n", "7")], "--pod", str(tmp_path / "job.yaml"))
    assert asked["node"] == "n"


def test_constraints_between_copies_hold(tmp_path: Path) -> None:
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "web"}}}
            ]
        }
    }
    nodes = [node("a1"), node("a2"), node("b1", zone="b"), node("c1", zone="c")]
    (web,) = more(tmp_path, [*nodes, pod("web", affinity=apart)])
    assert web["fit"] == 3
    assert {item["plugin"] for item in web["stops"]} == {"InterPodAffinity"}


def test_who_would_be_evicted_for_the_next_one(tmp_path: Path) -> None:
    items = [node("n", "4"), pod("low", "3", nodeName="n"), pod("high", priorityClassName="system-node-critical")]
    (high,) = more(tmp_path, items)
    assert high["fit"] == 1
    assert high["preemption"]["candidates"] == {"n": ["default/low"]}
    path = tmp_path / "cluster.yaml"
    assert "preemption: on n would go default/low" in called("-f", str(path), "--how-many").stdout


def test_there_is_always_an_answer(tmp_path: Path) -> None:
    """Nobody waits, a limit, a gate, a name that is not there."""
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([node("n"), pod("runs", nodeName="n")]))
    for arguments in ([], ["--how-many"]):
        result = called("-f", str(path), *arguments)
        assert (result.exit_code, result.stdout.splitlines()[0]) == (
            0,
            "no pod waits for a node: 1 nodes, 1 pods on them",
        )
        found = json.loads(called("-f", str(path), "-o", "json", *arguments).stdout)
        assert found["pods"] == []
        assert found["message"].startswith("no pod waits")
    (runs,) = more(tmp_path, [node("n", "1000"), pod("runs", nodeName="n")], "runs", "--most", "5")
    assert (runs["fit"], runs["reachedMost"]) == (5, True)
    (gated,) = more(tmp_path, [node("n"), pod("p", schedulingGates=[{"name": "g"}])])
    assert "gates" in gated["skipped"]
    unknown = called("-f", str(path), "nosuch", "--how-many")
    assert isinstance(unknown.exception, UserError)
    assert "1 that wait, 0 that run" in str(unknown.exception)
    assert isinstance(called("-f", str(path), "--pod", str(path)).exception, UserError)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4), st.integers(1, 4))
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_many_as_there_is_room_for(tmp_path: Path, cpus: list[tuple[int, int]], asked: int) -> None:
    """And the cluster is as before: asked twice, it says the same."""
    items = [node(f"n{index}", str(cpu)) for index, (cpu, _) in enumerate(cpus)]
    items += [pod(f"p{index}", str(used), nodeName=f"n{index}") for index, (_, used) in enumerate(cpus)]
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([*items, pod("waits", str(asked))]))
    cluster = FromManifests([path])
    room = room_for(cluster, "default/waits", load("kube")())
    expected = {f"n{index}": max(cpu - used, 0) // asked for index, (cpu, used) in enumerate(cpus)}
    assert dict(room.by_node) == {name: many for name, many in expected.items() if many}
    assert room_for(cluster, "default/waits", load("kube")()) == room
