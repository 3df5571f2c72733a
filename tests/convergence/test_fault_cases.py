"""Faults that once left a cluster stuck or ended it, each as a kind: other instants, faults and controllers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from harness.convergence.checkers import converged
from harness.engine.component import MINUTE, SECOND, RestartProcess
from harness.model.constants import MANAGER
from harness.model.errors import UserError
from harness.model.faults import Crash, Freeze, NodeFault, Partition
from harness.model.status import ApiError
from harness.model.wire import DecodeError
from tests.convergence.story import EVERYTHING, JOB, POD_SPEC, QUOTA, SERVICE, Manifest, Story, deployment, manifest

LEASES = pytest.mark.parametrize("folded", [True, False], ids=["standing leases", "single renewals"])


# -- a node that dies while nobody can be told -------------------------------------------------------------------------


@LEASES
@pytest.mark.parametrize(
    ("dies_at", "outage_at", "outage_s"),
    [(60, 90, 90), (60, 62, 200), (60, 109, 4), (60, 110, 30), (60, 114.9, 10), (60, 55, 120), (100, 30, 60)],
)
def test_a_dead_node_is_not_ready_soon_after_the_api_server_is_back(
    dies_at: float, outage_at: float, outage_s: float, folded: bool
) -> None:
    story = Story(deployment(), SERVICE, folded=folded)
    happenings: list[tuple[float, Callable[[], None]]] = [
        (dies_at, lambda: story.hit(Crash(), "n0")),
        (outage_at, lambda: story.outage(outage_s)),
    ]
    for at, happen in sorted(happenings, key=lambda item: item[0]):
        story.at(at)
        happen()
    story.at(max(dies_at + 55, outage_at + outage_s + 5) + 2)
    assert story.ready("n0") == "Unknown"
    story.assert_converged()
    assert story.ready("n0") == "Unknown"
    assert {story.ready("n1"), story.ready("n2")} == {"True"}


@LEASES
@pytest.mark.parametrize("outage_s", [20, 70, 300])
def test_after_an_outage_that_outlasts_every_lease_all_nodes_are_ready_again(outage_s: int, folded: bool) -> None:
    story = Story(*EVERYTHING, folded=folded)
    story.at(60)
    story.outage(outage_s)
    story.assert_converged()
    assert {story.ready(f"n{i}") for i in range(3)} == {"True"}


@pytest.mark.parametrize(
    "fault", [Crash(45 * SECOND), Crash(130 * SECOND), Freeze(80 * SECOND), Partition(400 * SECOND)], ids=str
)
@pytest.mark.parametrize("outage_at", [100, 130, 160])
def test_a_node_that_comes_back_around_an_outage_is_ready_again(fault: NodeFault, outage_at: int) -> None:
    story = Story(*EVERYTHING)
    story.at(80)
    story.hit(fault, "n1")
    story.at(outage_at)
    story.outage(25)
    story.assert_converged()
    assert story.ready("n1") == "True"


# -- what has ended stays ended ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("down_ms", [44_988, 45_000, 47_500, 49_990, 50_020, 54_980, 55_010, 61_000])
def test_a_pod_lost_with_its_node_does_not_come_back_to_life(down_ms: int) -> None:
    """The node comes back just when it is about to be called silent: its kubelet says that the pod has failed, the node
    lifecycle controller, which has not heard yet, that it is not ready."""
    story = Story(*(manifest("Pod", f"p{i}", spec={**POD_SPEC, "restartPolicy": "Never"}) for i in range(8)))
    story.at(40)
    story.hit(Crash(down_ms * 10**6), "n0", "n1")
    story.assert_converged()
    assert story.ended


def test_a_job_whose_lost_pod_never_goes_is_done_all_the_same() -> None:
    """Found by `podyard simulate --seeds 1037`: complete but for a pod that terminates on a dead node for ever."""
    story = Story(JOB, nodes=2)
    story.at(20)
    story.hit(Crash(), "n0")
    story.assert_converged()
    conditions = story.cluster.server.get("Job", "default", "work").status.conditions
    assert "SuccessCriteriaMet" in {item.type for item in conditions if item.status == "True"}


# -- quotas ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("down_s", [70, 400, 1000])
@pytest.mark.parametrize("grace_s", [1, 30, 600])
def test_a_quota_equals_a_recount_after_pods_have_terminated_on_a_dead_node(down_s: int, grace_s: int) -> None:
    story = Story(QUOTA)
    story.at(4)
    story.create(deployment(terminationGracePeriodSeconds=grace_s))
    story.at(60)
    story.hit(Crash(down_s * SECOND), "n0")
    story.assert_converged()


def test_a_quota_forgets_what_a_scale_down_frees_during_an_outage() -> None:
    story = Story(QUOTA)
    story.at(4)
    story.create(deployment())
    story.at(30)
    server = story.cluster.server
    web = server.get("Deployment", "default", "web")
    server.update(replace(web, spec=replace(web.spec, replicas=1)))
    story.cluster.api.flush(story.cluster.now)
    story.outage(45)
    story.assert_converged()
    assert str(server.get("ResourceQuota", "default", "all").status.used["pods"]) == "1"


@pytest.mark.parametrize("kind", ["Deployment", "ReplicationController", "Job"])
def test_what_loses_its_owner_while_the_controllers_are_down_goes(kind: str) -> None:
    """The garbage collector that starts again knows no owner of its life before."""
    labels = {"app": "rc"}
    template = {"metadata": {"labels": labels}, "spec": POD_SPEC}
    controller = manifest("ReplicationController", "rc", spec={"replicas": 2, "selector": labels, "template": template})
    owner = {"Deployment": deployment(), "ReplicationController": controller, "Job": JOB}[kind]
    story = Story(owner)
    story.at(20)
    server = story.cluster.server
    assert server.objects("Pod")
    story.cluster._machines(story.cluster.now, RestartProcess(MANAGER, 60 * SECOND))
    story.at(40)
    server.delete(kind, "default", owner["metadata"]["name"], propagation="Background")
    story.cluster.api.flush(story.cluster.now)
    story.assert_converged()
    assert not server.objects("Pod")
    assert not server.objects("ReplicaSet")


# -- one bad object ----------------------------------------------------------------------------------------------------


def _pod_with(volume: Any) -> Manifest:
    return manifest("Pod", "bad", spec={**POD_SPEC, "volumes": [volume]})


BAD: dict[str, Manifest] = {
    "podgroup-many": manifest("PodGroup", "bad", spec={"minMember": "many"}),
    "podgroup-list": manifest("PodGroup", "bad", spec=["minMember"]),
    "podgroup-soon": manifest("PodGroup", "bad", spec={"minMember": 1, "scheduleTimeoutSeconds": "soon"}),
    "volume-string": _pod_with("v"),
    "volume-ephemeral": _pod_with({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": 7}}}),
}
CLASS = {"kind": "StorageClass", "metadata": {"name": "sc"}, "provisioner": "x"}


@pytest.mark.component_faults
@pytest.mark.parametrize("name", BAD)
def test_a_bad_object_is_refused_or_left_out_and_a_live_cluster_goes_on(name: str) -> None:
    story = Story(*EVERYTHING, CLASS, folded=False)
    story.at(10)
    refused = ""
    try:
        story.create(BAD[name])
    except (ApiError, DecodeError) as error:
        refused = str(error)
    story.at(20)
    story.create(deployment("later"))
    story.at(30)
    assert story.cluster.server.get("Deployment", "default", "later").status.ready_replicas == 4
    story.cluster.run(15 * MINUTE)
    assert [found for found in converged(story.cluster) if found.subject != "Pod default/bad"] == []
    if not refused:
        assert any("default/bad" in text for text in story.cluster.component_faults), story.cluster.component_faults
        reasons = {item.reason for item in story.cluster.server.listed("Event")}
        assert "ComponentFault" in reasons


@pytest.mark.component_faults
@pytest.mark.parametrize("name", BAD)
def test_a_run_with_a_bad_object_names_it_and_has_failed_or_refuses_it(name: str, tmp_path: Path) -> None:
    from harness.experiment.run import run_once
    from harness.experiment.scenario import read_scenario

    bad = BAD[name]
    version = {"PodGroup": "scheduling.x-k8s.io/v1alpha1"}.get(bad["kind"], "v1")
    sc = {"apiVersion": "storage.k8s.io/v1", **CLASS}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump_all([sc, {"apiVersion": version, **bad}]))
    scenario = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "bad"},
        "spec": {
            "duration": "60s",
            "nodes": [{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "8Gi"}}],
            "workload": [
                {"manifests": ["bad.yaml"]},
                {"service": {"name": "web", "replicas": 3, "cpu": 1, "load": {"constant": {"rps": 1}}}},
            ],
        },
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(scenario))
    try:
        result = run_once(read_scenario(tmp_path / "s.yaml"), "greedy", 1)
    except UserError as error:
        told = str(error)
    else:
        assert not result.ok
        assert all(kind != "INVARIANT BROKEN" for kind, _ in result.wrong()), "no invariant is a component's fault"
        told = " ".join(text for _, text in result.wrong())
        assert result.metrics["placement"]["podsNeverBound"] <= 1
    assert re.search(r'default/bad|"bad"|bad\.yaml', told), told
