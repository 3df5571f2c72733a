"""The store is restored from a backup: what happened since has not happened, and the cluster comes to rest."""

from __future__ import annotations

from typing import Any

import pytest

from harness.experiment.run import Home, Run, run_once
from harness.faults.timeline import parse, read_fault_on_demand
from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.simulation.trial import play
from tests.experiment.scenarios import SERVICE, loaded

RESTORE = {"at": "4m", "etcdRestore": {"age": "2m", "downFor": "20s"}}
GROWN = {"at": "3m", "scale": {"kind": "Deployment", "name": "web", "replicas": 6}}
GONE = {"at": "3m", "nodeLeave": {"select": {"names": ["n-1"]}, "deletedAfter": "0s"}}
COME = {"at": "3m", "nodeJoin": {"like": "n-0", "name": "more", "boot": "5s"}}


def played(*faults: Any, until: str = "12m") -> Run:
    run = Run(loaded(duration=until, workload=[SERVICE], faults=list(faults)), load("least-allocated")(), 2, Home())
    run.play()
    return run


def test_what_was_done_since_the_snapshot_is_undone_and_revisions_go_on() -> None:
    run = played(GROWN, RESTORE)
    server = run.cluster.server
    web = server.get("Deployment", "default", "web")
    replicas = SERVICE["service"]["replicas"]
    assert web.spec.replicas == replicas
    assert web.status.ready_replicas == replicas
    bound = [pod for pod in server.listed("Pod") if pod.metadata.labels.get("app") == "web"]
    assert len(bound) == replicas
    versions = [int(obj.metadata.resource_version) for held in server.cache.by_kind.values() for obj in held.values()]
    assert max(versions) <= server.revision
    assert run.result("least-allocated").broken == []


def test_the_pods_that_it_took_are_its_victims() -> None:
    result = run_once(loaded(duration="12m", workload=[SERVICE], faults=[GROWN, RESTORE]), "least-allocated", 2)
    (restore,) = [item for item in result.metrics["recovery"] if item["fault"] == "Restore"]
    assert restore["victims"] == restore["removed"] == 2
    assert restore["targets"][0] == "apiserver"


def test_pods_that_are_deleted_before_and_after_it_are_replaced() -> None:
    """A pod that had gone, and is there again, can be deleted once more. Its uid said that it had gone, so that
    its second deletion waited for ever, and those after it found no place of their own."""
    deletion = {"every": "50s", "until": "8m", "podDeletion": {"app": "web", "count": 2, "graceSeconds": 0}}
    result = run_once(loaded(duration="20m", workload=[SERVICE], faults=[deletion, RESTORE]), "least-allocated", 2)
    deletions = [item for item in result.metrics["recovery"] if item["fault"] == "PodDeletion"]
    assert len([item for item in deletions if item["atSeconds"] > 260]) > 3
    assert all(item["back"] == item["victims"] for item in deletions)
    assert not any(phase.get("atLeast") for item in deletions for phase in item["phases"].values())


def test_a_pod_whose_job_the_restore_undid_is_not_expected_back() -> None:
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "cron", "namespace": "default"},
        "spec": {
            "schedule": "*/2 * * * *",
            "jobTemplate": {
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"podyard.dev/duration": "3m"}},
                        "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]},
                    }
                }
            },
        },
    }
    objects = loaded(duration="20m", workload=[{"objects": [cron]}], faults=[{**RESTORE, "at": "6m"}])
    (restore,) = [item for item in run_once(objects, "greedy", 2).metrics["recovery"] if item["fault"] == "Restore"]
    assert restore["victims"] > 0
    assert restore["back"] == restore["victims"]


def test_nodes_are_those_that_have_machines() -> None:
    run = played(GONE, COME, RESTORE)
    nodes = set(run.cluster.server.objects("Node"))
    assert "more-0" in nodes
    assert "n-1" not in nodes
    assert all(
        any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
        for node in run.cluster.server.listed("Node")
    )


def test_a_node_that_is_dead_meanwhile_is_found_dead() -> None:
    """The restored Lease says that it is renewed; nobody renews it."""
    crash = {"at": "3m", "nodeCrash": {"select": {"names": ["n-2"]}}}
    run = played(crash, RESTORE)
    node = run.cluster.server.get("Node", "", "n-2")
    (ready,) = [item for item in node.status.conditions if item.type == "Ready"]
    assert ready.status == "Unknown"


def test_the_same_bits() -> None:
    one, other = (
        run_once(loaded(duration="8m", workload=[SERVICE], faults=[GROWN, RESTORE]), "greedy", 3) for _ in range(2)
    )
    assert one.digest == other.digest


def test_a_snapshot_from_before_the_run_is_refused() -> None:
    with pytest.raises(UserError, match="before the run begins"):
        parse([{"at": "1m", "etcdRestore": {"age": "2m"}}])
    with pytest.raises(UserError, match="age"):
        parse([{"at": "1m", "etcdRestore": {"age": "0s"}}])


def test_nobody_can_ask_for_it_now() -> None:
    with pytest.raises(UserError, match="prepared earlier") as refused:
        read_fault_on_demand("etcdRestore", {}, "spec.etcdRestore")
    assert "podyard snapshot" in str(refused.value.hint)


def test_again_and_again() -> None:
    result = run_once(
        loaded(
            duration="15m",
            workload=[SERVICE],
            faults=[{"every": "2m", "until": "8m", "etcdRestore": {"age": "30s", "downFor": "5s"}}],
        ),
        "least-allocated",
        4,
    )
    assert result.broken == []
    assert len([item for item in result.metrics["recovery"] if item["fault"] == "Restore"]) > 1


@pytest.mark.parametrize("seed", [pytest.param(31, marks=pytest.mark.slow), 133])
def test_random_clusters_come_to_rest(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """31: a node of a pool had come since, and its NodeClaim was not known. 133: pods of a node that had left."""
    from harness.simulation import random_faults, swarm

    monkeypatch.setattr(random_faults, "RESTORED", 1.0)
    scenario = swarm.random_scenario(seed)
    if seed == 31:
        scenario["spec"]["faults"] = [item for item in scenario["spec"]["faults"] if "etcdRestore" in item]
    assert [str(found) for found in play(scenario).findings] == []
