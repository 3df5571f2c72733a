"""A cluster goes on from a dump: what ran runs where it ran, under its own uid, and nothing is made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.model.objects import to_wire
from tests.experiment.dumps import controller, dumped, of_kinds
from tests.experiment.scenarios import loaded


def gone_on(folder: Path, items: list[dict[str, Any]], **spec: Any) -> Run:
    path = folder / "dump.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    given = {"duration": "3m", "nodes": [], "workload": [{"dump": [str(path)]}], "bound": False, **spec}
    scenario = loaded(**given)
    run = Run(scenario, load_strategy(scenario, "kube")(), 1, Home())
    run.play()
    return run


def places(pods: list[Any]) -> dict[str, tuple[str, str]]:
    return {pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["spec"].get("nodeName", "")) for pod in pods}


def now(run: Run) -> dict[str, tuple[str, str]]:
    return {
        pod.metadata.name: (pod.metadata.uid, pod.spec.node_name) for pod in run.cluster.server.objects("Pod").values()
    }


def test_pods_stay_where_they_are_with_their_uids_and_owners(tmp_path: Path) -> None:
    run = gone_on(tmp_path, list(dumped()))
    before = {name: found for name, found in places(of_kinds("Pod")).items() if found[1] not in ("", "gateway")}
    after = now(run)
    assert {name: after[name] for name in before} == before
    assert sorted(run.cluster.server.objects("Node")) == ["np-0", "np-1", "np-2"]
    uids = {(item["kind"], item["metadata"]["name"]): item["metadata"]["uid"] for item in dumped()}
    for kind in ("Deployment", "ReplicaSet", "DaemonSet", "HorizontalPodAutoscaler", "Node", "Service"):
        for obj in run.cluster.server.objects(kind).values():
            assert obj.metadata.uid == uids[(kind, obj.metadata.name)]
    running = [pod for pod in run.cluster.server.objects("Pod").values() if pod.spec.node_name]
    assert {pod.status.phase for pod in running} == {"Running"}
    result = run.result("kube")
    assert result.ok, result.broken
    assert run.cluster.component_faults == []


def test_without_their_owners_pods_are_no_garbage_and_are_replaced_when_evicted(tmp_path: Path) -> None:
    """`kubectl get nodes,pods`: a garbage collector would take every pod, and a drain would lose it for good."""
    run = gone_on(tmp_path, of_kinds("Node", "Pod"), faults=[{"at": "1m", "podDeletion": {"app": "web", "count": 1}}])
    pods = [pod for pod in run.cluster.server.objects("Pod").values() if pod.metadata.labels.get("app") == "web"]
    assert len(pods) == 3
    agents = {name: at for name, at in places(of_kinds("Pod")).items() if name.startswith("agent") and at[1]}
    assert len(agents) == 3
    assert agents.items() <= now(run).items()  # their labels have a hash, which no selector and no template may have
    assert any("made up from their pods" in note for note in run.result("kube").notices)


@pytest.mark.parametrize(
    ("kinds", "named"),
    [
        (("Node", "Pod"), "StatefulSet db, Workflow flow"),
        (("Pod", "Node", "StatefulSet"), "owners are not in the dump (Workflow flow)"),
    ],
)
def test_what_belongs_to_somebody_who_is_not_in_the_dump_is_no_garbage(
    tmp_path: Path, kinds: tuple[str, ...], named: str
) -> None:
    """A StatefulSet or an operator's own kind cannot be made up. The garbage collector took their pods after 5 s."""
    made = loaded(
        duration="1m", nodes=[{"group": {"name": "np", "count": 2, "cpu": 4, "memory": "16Gi"}}],
        workload=[{"objects": [controller("StatefulSet", "db", "100m", replicas=2)]}],
    )  # fmt: skip
    before = Run(made, load_strategy(made, "kube")(), 1, Home())
    before.play()
    items = [to_wire(obj) for kind in kinds for obj in before.cluster.server.objects(kind).values()]
    own = next(item for item in items if item["metadata"]["name"] == "db-0")
    flow = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "flow", "uid": "f", "controller": True}
    meta = {"name": "step", "namespace": "default", "uid": "step", "ownerReferences": [flow]}
    items.append({**own, "metadata": meta})
    run = gone_on(tmp_path, items)
    pods = [item for item in items if item["kind"] == "Pod"]
    assert places(pods) == now(run)
    assert len(pods) == 3
    assert [note for note in run.result("kube").notices if named in note]


def test_a_replica_set_whose_deployment_is_not_in_the_dump_keeps_its_pods(tmp_path: Path) -> None:
    run = gone_on(tmp_path, of_kinds("Node", "Pod", "ReplicaSet", "DaemonSet"))
    left = places([item for item in of_kinds("Pod") if not item["metadata"]["name"].startswith("agent")])
    assert left.keys() <= now(run).keys()


def test_a_node_that_was_not_ready_stays_so_and_its_pods_are_evicted(tmp_path: Path) -> None:
    items = json.loads(json.dumps(list(dumped())))
    down = next(item for item in items if item["metadata"]["name"] == "np-1")
    for item in down["status"]["conditions"]:
        if item["type"] == "Ready":
            item["status"] = "Unknown"
    run = gone_on(tmp_path, items, duration="8m")
    node = run.cluster.server.objects("Node")["np-1"]
    assert [item.status for item in node.status.conditions if item.type == "Ready"] != ["True"]
    assert not run.cluster.has_machine("np-1")
    gone = {name for name, (_, at) in places(of_kinds("Pod")).items() if at == "np-1" and not name.startswith("agent")}
    left = [pod for pod in run.cluster.server.objects("Pod").values() if pod.metadata.name in gone]
    assert gone
    assert all(pod.metadata.deletion_timestamp is not None for pod in left)


def test_namespaces_and_priorities_that_pods_name_are_there(tmp_path: Path) -> None:
    items = json.loads(json.dumps(of_kinds("Node", "Pod", "ReplicaSet", "DaemonSet", "Deployment")))
    for item in items:
        if item["kind"] != "Node":
            item["metadata"]["namespace"] = "shop"
        if item["kind"] == "Pod":
            item["spec"] |= {"priorityClassName": "usual", "priority": 7}
    run = gone_on(tmp_path, items)
    assert run.cluster.server.objects("PriorityClass")["usual"].value == 7
    assert "shop" in run.cluster.server.objects("Namespace")
    assert {pod.spec.priority for pod in run.cluster.server.objects("Pod").values()} == {7}


def test_what_has_no_uid_is_created_as_by_kubectl(tmp_path: Path) -> None:
    added = [json.loads(json.dumps(item)) for item in of_kinds("Deployment") if item["metadata"]["name"] == "web"]
    added[0]["metadata"] = {"name": "more", "namespace": "default"}
    added[0]["spec"]["selector"] = {"matchLabels": {"app": "more"}}
    added[0]["spec"]["template"]["metadata"]["labels"] = {"app": "more"}
    del added[0]["status"]
    run = gone_on(tmp_path, [*dumped(), *added])
    assert len([name for name in now(run) if name.startswith("more-")]) == added[0]["spec"]["replicas"]


def test_clients_of_a_service_of_the_dump_are_served(tmp_path: Path) -> None:
    clients = {"clients": {"service": "web", "load": {"constant": {"rps": 30}}}}
    path = tmp_path / "dump.json"
    run = gone_on(tmp_path, list(dumped()), workload=[{"dump": [str(path)]}, clients])
    served = run.result("kube").metrics["requests"]["default/web"]
    assert served["sloAttainment"] > 0.9
