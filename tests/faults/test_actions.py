"""What somebody does to a cluster in steps: drains, rollouts, upgrades, reclaims; how each is measured and checked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from harness.engine.component import SECOND
from harness.experiment.run import Home, Run, run_once
from harness.experiment.waterfalls import waterfalls
from harness.faults.node_drain import DrainOptions, chosen
from harness.model.core import Container, Pod, PodSpec, PodStatus
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta, OwnerReference, condition
from harness.model.node_labels import POOL_LABEL
from harness.scheduling.registry import load
from tests.experiment.dumps import controller
from tests.experiment.scenarios import loaded

BUDGET = {"name": "web", "replicas": 6, "cpu": 1, "minAvailable": 5, "load": {"constant": {"rps": 40}}}
FREE = {"name": "web", "replicas": 6, "cpu": 1, "load": {"constant": {"rps": 40}}}


def played(*faults: dict[str, Any], service: dict[str, Any] = FREE, **spec: Any) -> tuple[Any, list[dict[str, Any]]]:
    """(the API server at the end, a row a fault)."""
    given = {"duration": "6m", "bound": False, "workload": [{"service": service}], **spec}
    run = Run(loaded(faults=list(faults), **given), load("least-allocated")(), 1, Home())
    run.play()
    result = run.result("least-allocated")
    assert not any(result.wrong()), list(result.wrong())
    return run.cluster.server, result.metrics["recovery"]


def steps(row: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [step for step in row["action"]["steps"] if step["what"] == what]


def on(server: Any, node: str) -> list[Any]:
    return [pod for pod in server.objects("Pod").values() if pod.spec.node_name == node]


# -- drain -------------------------------------------------------------------------------------------------------------


def pod(name: str, owner: str = "ReplicaSet", phase: str = "Running", **fields: Any) -> Pod:
    owners = (OwnerReference(api_version="apps/v1", kind=owner, name="o", uid="u", controller=True),) if owner else ()
    annotations = fields.pop("annotations", {})
    meta = ObjectMeta(
        namespace="default", name=name, owner_references=owners, annotations=annotations, labels={"a": name}, **fields
    )
    extra = {"volumes": [{"name": "v", "emptyDir": {}}]} if name == "scratch" else None
    return Pod(
        metadata=meta, spec=PodSpec(containers=(Container(name="c"),), extra=extra), status=PodStatus(phase=phase)
    )


DAEMON = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): default/{}"
LOST = "cannot delete Pods whose DaemonSet is not found (use --force to override): default/{}"
LOCAL = "cannot delete Pods with local storage (use --delete-emptydir-data to override): default/{}"
BARE = "cannot delete Pods that declare no controller (use --force to override): default/{}"


@pytest.mark.parametrize(
    ("one", "options", "goes", "wrong"),
    [
        (pod("web"), {}, True, ""),
        (pod("agent", "DaemonSet"), {}, False, DAEMON),
        (pod("agent", "DaemonSet"), {"ignore_daemon_sets": True}, False, ""),
        (pod("agent", "DaemonSet", "Failed"), {}, True, ""),
        (pod("bare", ""), {}, False, BARE),
        (pod("bare", ""), {"force": True}, True, ""),
        (pod("bare", "", "Succeeded"), {}, True, ""),
        (pod("scratch"), {}, False, LOCAL),
        (pod("scratch"), {"delete_empty_dir_data": True}, True, ""),
        (pod("scratch", phase="Succeeded"), {}, True, ""),
        (pod("mirror", "", annotations={"kubernetes.io/config.mirror": "x"}), {}, False, ""),
        (pod("going", deletion_timestamp=0), {"skip_wait_s": 60}, False, ""),
        (pod("going", deletion_timestamp=0), {"skip_wait_s": 200}, True, ""),
        (pod("web"), {"pod_selector": {"a": "other"}}, False, ""),
        (pod("web"), {"pod_selector": {"a": "web"}}, True, ""),
    ],
)
def test_which_pods_a_drain_takes(one: Pod, options: dict[str, Any], goes: bool, wrong: str) -> None:
    """kubectl pkg/drain/filters.go: deleted, DaemonSet, mirror, local storage, unreplicated, in this order."""
    pods, errors = chosen([one], DrainOptions(**options), ["default/o"], 100 * SECOND)
    assert [item.metadata.name for item in pods] == ([one.metadata.name] if goes else [])
    assert errors == ([wrong.format(one.metadata.name)] if wrong else [])


def test_a_daemon_pod_whose_daemon_set_is_gone_needs_force() -> None:
    one = pod("agent", "DaemonSet")
    assert chosen([one], DrainOptions(ignore_daemon_sets=True), [], 0)[1] == [LOST.format("agent")]
    assert chosen([one], DrainOptions(force=True), [], 0)[0] == [one]


def test_a_drain_waits_for_the_budget_every_five_seconds() -> None:
    server, (row,) = played({"at": "30s", "drain": {"select": {"names": ["n-0", "n-1"]}}}, service=BUDGET)
    assert row["action"]["outcome"] == "done"
    assert row["targets"] == ["n-0", "n-1"]
    assert row["victims"] == row["replaced"] == 2
    assert row["requestsLost"]["default/web"] == 0
    assert on(server, "n-0") == on(server, "n-1") == []
    assert server.get("Node", "", "n-0").spec.unschedulable is True
    refused = [step["atSeconds"] for step in steps(row, "eviction refused")]
    gone = [step["atSeconds"] for step in steps(row, "evicted")]
    assert len(gone) == 2
    assert all(gap == pytest.approx(5.01, abs=0.1) for gap in [b - a for a, b in pairwise(refused)])


def test_a_drain_that_never_may_ends_at_its_timeout() -> None:
    tight = {**BUDGET, "minAvailable": 6}
    fault = {"at": "30s", "drain": {"select": {"names": ["n-0"]}, "timeout": "42s"}}
    server, (row,) = played(fault, service=tight)
    assert row["action"]["outcome"] == "failed"
    assert "global timeout reached" in row["action"]["why"]
    assert row["action"]["evictionsRefused"] == 9  # at once, and every 5 s
    assert row["action"]["seconds"] == pytest.approx(42, abs=0.1)
    assert row["action"]["refusedBecause"] == ["The disruption budget web needs 6 healthy pods and has 6 currently"]
    assert row["victims"] == 0
    assert len(on(server, "n-0")) == 1


def test_without_the_flag_a_daemon_pod_keeps_its_node_from_being_drained() -> None:
    template = {
        "metadata": {"labels": {"a": "agent"}},
        "spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]},
    }
    agent = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"a": "agent"}}, "template": template},
    }
    workload = [{"service": FREE}, {"objects": [agent]}]
    faults: list[dict[str, Any]] = [
        {"at": "30s", "drain": {"select": {"names": ["n-0"]}}},
        {"at": "60s", "drain": {"select": {"names": ["n-1"]}, "ignoreDaemonsets": True}},
    ]
    server, (refused, done) = played(*faults, workload=workload)
    assert "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" in refused["action"]["why"]
    assert len(on(server, "n-0")) == 2  # cordoned, and no more
    assert done["action"]["outcome"] == "done"
    assert next(item.metadata.labels for item in on(server, "n-1"))["a"] == "agent"


def test_cordon_taint_and_back() -> None:
    node = {"select": {"names": ["n-0"]}}
    faults: list[dict[str, Any]] = [
        {"at": "30s", "cordon": node},
        {"at": "40s", "uncordon": node},
        {"at": "50s", "nodeTaint": {"key": "dedicated", "value": "x", "effect": "NoExecute", **node}},
        {"at": "80s", "nodeTaint": {"key": "dedicated", "remove": True, **node}},
    ]
    server, rows = played(*faults)
    assert [row["action"]["outcome"] for row in rows] == ["done"] * 4
    spec = server.get("Node", "", "n-0").spec
    assert not spec.unschedulable
    assert spec.taints == ()
    events = [event for event in server.objects("Event").values() if event.reason == "TaintManagerEviction"]
    assert events


# -- workloads ---------------------------------------------------------------------------------------------------------


def test_rollouts_are_followed_to_their_end() -> None:
    faults: list[dict[str, Any]] = [
        {"at": "30s", "scale": {"name": "web", "replicas": 8}},
        {"at": "60s", "rolloutRestart": {"name": "web"}},
        {"at": "120s", "setImage": {"name": "web", "image": "x:2", "container": "main"}},
        {"at": "180s", "setImage": {"name": "web", "image": "x:3", "timeout": "1s"}},
    ]
    server, rows = played(*faults)
    assert [row["action"]["outcome"] for row in rows] == ["done", "done", "done", "failed"]
    assert rows[3]["action"]["why"] == "timed out waiting for the condition"
    deployment = server.get("Deployment", "default", "web")
    assert deployment.spec.replicas == deployment.status.ready_replicas == 8
    assert deployment.spec.template.spec.containers[0].image == "x:3"
    assert "kubectl.kubernetes.io/restartedAt" in deployment.spec.template.metadata.annotations
    assert len([s for s in server.objects("ReplicaSet").values() if s.metadata.name.startswith("web-")]) == 4
    assert 2 < rows[1]["action"]["seconds"] < 30


def test_manifests_are_applied_over_what_is_there(tmp_path: Any) -> None:
    (tmp_path / "v2.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n".replace(
            "spec: {replicas: 3}",
            "spec:\n  replicas: 3\n  selector: {matchLabels: {app: web}}\n"
            "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: main, image: 'x:9'}]}",
        )
    )
    server, (row,) = played({"at": "30s", "apply": {"manifests": [str(tmp_path / "v2.yaml")]}})
    assert row["action"]["outcome"] == "done"
    assert server.get("ConfigMap", "default", "c").data == {"a": "b"}
    deployment = server.get("Deployment", "default", "web")
    assert (deployment.spec.replicas, deployment.status.ready_replicas) == (3, 3)
    (container,) = deployment.spec.template.spec.containers
    assert (container.image, str(container.resources.requests["cpu"])) == ("x:9", "1")  # merged by the container's name


# -- machines ----------------------------------------------------------------------------------------------------------


def test_nodes_join_after_they_have_booted() -> None:
    server, (row,) = played({"at": "30s", "nodeJoin": {"like": "n-0", "name": "more", "count": 2, "boot": "20s"}})
    assert [step["about"] for step in steps(row, "ready")] == ["more-0", "more-1"]
    assert steps(row, "ready")[0]["atSeconds"] == pytest.approx(51, abs=0.2)
    more = server.get("Node", "", "more-1")
    assert more.metadata.labels["kubernetes.io/hostname"] == "more-1"
    assert more.status.allocatable == server.get("Node", "", "n-0").status.allocatable


def test_a_node_that_joins_can_be_broken_like_any_other() -> None:
    join = {"at": "30s", "nodeJoin": {"like": "n-0", "name": "more", "boot": "5s"}}
    crash = {"at": "50s", "nodeCrash": {"select": {"names": ["more-0"]}}}
    server, _ = played(join, crash, {"at": "55s", "apiServerRestart": {"downFor": "50s"}})
    ready = condition(server.get("Node", "", "more-0").status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "Unknown"
    with pytest.raises(UserError, match="there is no node of this name"):
        played(join, {"at": "50s", "nodeCrash": {"select": {"names": ["more-1"]}}})


def test_a_node_comes_back_under_the_name_of_one_that_left() -> None:
    """It was refused: the check before the run knows the nodes of the beginning."""
    leave = {"at": "30s", "nodeLeave": {"select": {"names": ["n-0"]}}}
    server, *_ = played(leave, {"at": "90s", "nodeJoin": {"like": "n-1", "name": "n", "boot": "5s"}})
    ready = condition(server.get("Node", "", "n-0").status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "True"


def test_nodes_leave_for_good_and_their_pods_are_replaced() -> None:
    server, (row,) = played({"at": "30s", "nodeLeave": {"select": {"names": ["n-0"]}}})
    assert "n-0" not in server.objects("Node")
    assert row["victims"] == row["replaced"] == 1
    assert row["requestsLost"]["default/web"] > 0
    _, (kept,) = played({"at": "30s", "nodeLeave": {"select": {"names": ["n-0"]}, "deletedAfter": "never"}})
    assert 40 <= kept["phases"]["detected"]["last"] <= 56


@pytest.mark.parametrize(("handler", "lost"), [("drain", False), ("nothing", True)])
def test_a_reclaimed_node_is_drained_by_whoever_heard_the_notice(handler: str, lost: bool) -> None:
    fault = {"at": "30s", "spotReclaim": {"select": {"names": ["n-0"]}, "notice": "60s", "onNotice": handler}}
    server, (row,) = played(fault)
    assert "n-0" not in server.objects("Node")
    assert [step["atSeconds"] for step in steps(row, "gone")] == [90.0]
    assert row["victims"] == row["replaced"] == 1
    assert (row["requestsLost"]["default/web"] > 0) is lost


@pytest.mark.parametrize("surge", [False, True])
def test_nodes_are_upgraded_one_after_the_other(surge: bool) -> None:
    upgrade = {"select": {"names": ["n-0", "n-1", "n-2"]}, "boot": "15s", "surge": surge}
    before = {f"n-{index}" for index in range(6)}
    server, (row,) = played({"at": "30s", "nodeUpgrade": upgrade}, service=BUDGET)
    assert row["action"]["outcome"] == "done"
    assert row["requestsLost"]["default/web"] == 0
    named = {f"n-{index}-next" if surge and index < 3 else f"n-{index}" for index in range(6)}
    assert set(server.objects("Node")) - {"gateway"} == (named if surge else before)
    away, ready = steps(row, "taken away"), steps(row, "ready")
    assert len(away) == len(ready) == 3
    for index in range(3):
        first, second = (ready, away) if surge else (away, ready)
        assert first[index]["atSeconds"] < second[index]["atSeconds"]
        assert index == 2 or second[index]["atSeconds"] <= first[index + 1]["atSeconds"]
    assert not any(node.spec.unschedulable for name, node in server.objects("Node").items() if name != "gateway")


@pytest.mark.parametrize("surge", [False, True])
@pytest.mark.parametrize("at", ["25s", "31s", "60s"])
def test_a_node_that_leaves_before_its_turn_or_while_it_is_drained_is_not_brought_back(at: str, surge: bool) -> None:
    """Seed 9043 of `podyard simulate`: whoever sizes its pool had replaced it by then, and there was one too many."""
    upgrade = {"select": {"names": ["n-0", "n-1"]}, "boot": "15s", "timeout": "20s", "onDrainFailure": "goOn"}
    # before the upgrade begins, while n-0 boots its successor or is drained in vain, and while n-1 is
    leave = {"at": at, "nodeLeave": {"select": {"names": ["n-1"]}}}
    tight = {**BUDGET, "minAvailable": 6}
    server, rows = played({"at": "30s", "nodeUpgrade": {**upgrade, "surge": surge}}, leave, service=tight)
    assert "n-1" not in server.objects("Node")
    (row,) = [row for row in rows if steps(row, "ordered")]
    assert "n-1" not in [step["about"] for step in steps(row, "taken away")]
    assert len([name for name in server.objects("Node") if name.startswith("n-0")]) == 1


POOL: dict[str, Any] = {"name": "a", "max": 2, "cpu": 4, "memory": "16Gi", "provisioning": "10s"}


def on_own_nodes(replicas: int, *faults: dict[str, Any], **spec: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the nodes at the end that somebody bought, a row a fault): each pod takes one to itself, where there is one."""
    big = {"objects": [controller("Deployment", "big", "3", replicas=replicas)]}
    given = {"nodes": [{"group": {"name": "n", "count": 1, "cpu": 2}}], "duration": "40m", **spec}
    server, rows = played(*faults, workload=[big, *given.pop("objects", [])], **given)
    return {name: node for name, node in server.objects("Node").items() if name not in ("n-0", "gateway")}, rows


@pytest.mark.parametrize("surge", [False, True])
@pytest.mark.parametrize("least", [0, 2])
def test_a_pool_whose_node_is_upgraded_buys_none_in_its_place(surge: bool, least: int) -> None:
    """Seed 7 of `podyard simulate`: it had one too many for ever. A pod that waits would buy it, and so would `min`."""
    upgrade = {"select": {"names": ["a-0"]}, "boot": "90s", "surge": surge}
    pools = [{**POOL, "min": least}]
    nodes, (row,) = on_own_nodes(1 if least else 3, {"at": "3m", "nodeUpgrade": upgrade}, pools=pools)
    assert row["action"]["outcome"] == "done"
    assert set(nodes) == {"a-0-next" if surge else "a-0", "a-1"}


def test_a_node_that_joins_is_none_of_the_pool_whose_nodes_it_is_like() -> None:
    """The pool of two has both of its own beside it, and the autoscaler leaves it alone though nothing runs there."""
    join = {"at": "3m", "nodeJoin": {"like": "a-0", "name": "more", "boot": "5s"}}
    nodes, (row,) = on_own_nodes(1, join, pools=[{**POOL, "min": 2, "max": 2}])
    assert row["action"]["outcome"] == "done"
    assert set(nodes) == {"a-0", "a-1", "more-0"}
    assert {name for name, node in nodes.items() if POOL_LABEL in node.metadata.labels} == {"a-0", "a-1"}


def test_a_place_kept_for_a_new_machine_is_given_back_when_the_order_is_called_back() -> None:
    upgrade = {"select": {"names": ["a-0"]}, "boot": "90s", "surge": True}
    leave = {"at": "190s", "nodeLeave": {"select": {"names": ["a-0"]}}}
    nodes, rows = on_own_nodes(3, {"at": "3m", "nodeUpgrade": upgrade}, leave, pools=[POOL])
    assert [step["atSeconds"] for row in rows for step in steps(row, "has left")] == [270.0]
    assert set(nodes) == {"a-1", "a-2"}
    assert nodes["a-2"].metadata.creation_timestamp > 270 * SECOND


def test_a_pool_has_one_more_while_a_new_node_stands_beside_the_one_that_it_cannot_replace() -> None:
    """Seed 43: a budget holds the drain for ever."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "big", "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"run": "big"}}},
    }
    upgrade = {"select": {"names": ["a-0"]}, "surge": True}
    fault = {"at": "3m", "nodeUpgrade": upgrade}
    nodes, (row,) = on_own_nodes(2, fault, pools=[POOL], objects=[{"objects": [budget]}], duration="10m")
    assert row["action"]["outcome"] == "under way"
    assert set(nodes) == {"a-0", "a-0-next", "a-1"}


def test_a_just_in_time_node_whose_claim_has_gone_is_not_brought_back() -> None:
    """Seeds 29 and 9059: it came back, and nobody's it was."""
    pool = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "np"},
        "spec": {"template": {"spec": {}}},
    }
    fault = {"at": "5m", "nodeUpgrade": {"select": {"labels": {"karpenter.sh/nodepool": "np"}}, "boot": "30s"}}
    autoscaler = "just-in-time?provisioning=20s"
    nodes, (row,) = on_own_nodes(1, fault, autoscaler=autoscaler, objects=[{"objects": [pool]}])
    (away,), (left,) = steps(row, "taken away"), steps(row, "has left")
    assert left["about"] == away["about"]
    assert left["atSeconds"] == away["atSeconds"] + 30
    assert len(nodes) == 1
    assert away["about"] not in nodes


def test_an_upgrade_stops_at_a_node_that_cannot_be_drained() -> None:
    tight = {**BUDGET, "minAvailable": 6}
    upgrade = {"select": {"names": ["n-0", "n-1"]}, "boot": "15s", "timeout": "20s"}
    server, (row,) = played({"at": "30s", "nodeUpgrade": upgrade}, service=tight)
    assert row["action"]["outcome"] == "failed"
    assert [step["about"] for step in steps(row, "left as it is")] == ["n-1"]
    assert not server.get("Node", "", "n-1").spec.unschedulable
    _, (forced,) = played({"at": "30s", "nodeUpgrade": {**upgrade, "onDrainFailure": "goOn"}}, service=tight)
    assert len(steps(forced, "taken away")) == 2


# -- around ------------------------------------------------------------------------------------------------------------


def test_a_drains_waterfall_says_what_it_waited_for(tmp_path: Any) -> None:
    fault = {"at": "30s", "drain": {"select": {"names": ["n-0", "n-1", "n-2"]}}}
    scenario = loaded(duration="3m", bound=False, workload=[{"service": BUDGET}], faults=[fault])
    result = run_once(scenario, "least-allocated", 1, out=tmp_path)
    assert result.folder is not None
    (fall,) = waterfalls(result.folder).recoveries
    hops = {hop.name: hop for hop in fall.hops}
    assert hops["its node's turn"].timer == "the order in which nodes are drained"
    assert sum(hop.ns for hop in fall.hops) == fall.total_ns
    assert fall.hops[-1].name == "first request"


def test_an_action_survives_an_api_server_that_restarts() -> None:
    faults: list[dict[str, Any]] = [
        {"at": "30s", "drain": {"select": {"names": ["n-0", "n-1", "n-2"]}}},
        {"at": "30001ms", "apiServerRestart": {"downFor": "20s"}},
    ]
    server, (row, _) = played(*faults, service=BUDGET)
    assert row["action"]["outcome"] == "done"
    assert on(server, "n-2") == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"drain": {"select": {"names": ["n-9"]}}}, "there is no node of this name"),
        ({"drain": {"timeout": "soon"}}, "not a duration"),
        ({"drain": {"gracePeriod": -2}}, "gracePeriod"),
        ({"cordon": {"select": {"zone": "q"}}}, "zone q"),
        ({"uncordon": {"select": {"labels": {"no": "such"}}}}, "can hit nothing"),
        ({"scale": {"name": "wob", "replicas": 2}}, "did you mean 'default/web'?"),
        ({"scale": {"kind": "DaemonSet", "name": "web", "replicas": 2}}, "a DaemonSet has no replicas"),
        ({"rolloutRestart": {"kind": "ReplicaSet", "name": "web"}}, "does not roll out"),
        ({"setImage": {"name": "web", "image": "x", "container": "mian"}}, "no container 'mian': main"),
        ({"nodeJoin": {"like": "n-77", "name": "x"}}, "no node n-77"),
        ({"nodeJoin": {"like": "n-1", "name": "n"}}, "there are nodes of these names"),
        ({"nodeJoin": {"like": "n-0", "name": "a"}, "pools": [POOL]}, "the nodes of a pool are called so"),
        ({"nodeLeave": {"deletedAfter": "sometime"}}, "not a duration"),
        ({"apply": {"objects": [{"kind": "Pood"}]}}, "did you mean 'Pod'?"),
        ({"apply": {}}, "nothing to apply"),
        ({"spotReclaim": {"onNotice": "panic"}}, "onNotice"),
    ],
)
def test_what_is_wrong_is_told_before_the_run(fault: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        played({"at": "1m", **{key: fault[key] for key in fault if key != "pools"}}, pools=fault.get("pools", []))
    assert told in str(error.value)
