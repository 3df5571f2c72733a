"""A provider that refuses, has no machines, is late, or delivers none; and nodes that take their time to be Ready."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from harness.experiment.dry_run import dry_run
from harness.experiment.run import Home, Run
from harness.model.errors import UserError
from harness.scheduling.registry import load
from tests.experiment.dumps import controller
from tests.experiment.scenarios import loaded

POOL: dict[str, Any] = {"name": "a", "max": 6, "cpu": 4, "memory": "16Gi", "zone": "z"}
OTHER: dict[str, Any] = {"name": "b", "max": 6, "cpu": 4, "memory": "16Gi"}


def played(pools: list[dict[str, Any]], replicas: int = 3, **spec: Any) -> Any:
    """The API server at the end; each pod of `replicas` takes a node to itself."""
    pods = {"objects": [controller("Deployment", "big", "3", replicas=replicas)]}
    given = {"duration": "30m", "bound": False, "nodes": [], "pools": pools, "workload": [pods], **spec}
    run = Run(loaded(**given), load("greedy")(), 1, Home())
    run.play()
    result = run.result("greedy")
    assert result.ok, list(result.wrong())
    return run.cluster.server


def events(server: Any, reason: str) -> list[tuple[float, str]]:
    found = [event for event in server.objects("Event").values() if event.reason == reason]
    return [(event.first_timestamp / 1e9, event.message) for event in found]


def nodes(server: Any, pool: str) -> list[str]:
    return sorted(name for name in server.objects("Node") if name.startswith(f"{pool}-"))


def test_an_order_beyond_the_quota_is_refused_and_another_pool_grows() -> None:
    server = played([{**POOL, "quota": 2}, OTHER])
    ((at, text),) = events(server, "FailedToScaleUpGroup")
    assert text == "Scale-up failed for group a: quota exceeded: 3 nodes asked for, 2 granted"
    assert nodes(server, "a") == []
    assert len(nodes(server, "b")) == 3
    ready = [node.metadata.creation_timestamp for node in server.objects("Node").values()]
    assert min(ready) / 1e9 == pytest.approx(at + 10 + 45, abs=1)  # the next scan, and the provisioning


def test_what_is_out_of_stock_comes_in_part_and_the_rest_from_another_pool() -> None:
    server = played([{**POOL, "stock": 1}, OTHER])
    ((_, text),) = events(server, "ScaleUpFailed")
    assert text.startswith("Failed adding 2 nodes to group a due to OutOfResourcesErrorClass.RESOURCE_POOL_EXHAUSTED; ")
    assert (len(nodes(server, "a")), len(nodes(server, "b"))) == (1, 2)


def test_machines_that_never_register_are_given_up_after_fifteen_minutes() -> None:
    server = played([{**POOL, "lost": 100}, OTHER])
    ((at, text),) = events(server, "ScaleUpTimedOut")
    assert text.startswith("Nodes added to group a failed to register within 15m")
    assert at == pytest.approx(910, abs=12)
    assert len(events(server, "DeleteUnregistered")) == 3
    assert len(nodes(server, "b")) == 3


def test_the_backoff_doubles_from_five_to_thirty_minutes() -> None:
    pods = {"objects": [controller("Deployment", "big", "3", replicas=3)]}
    pools = [{**POOL, "quota": 0}]
    found = dry_run(loaded(duration="3h", bound=False, nodes=[], pools=pools, workload=[pods]), "greedy", 1)
    at = [item.at_ns / 60e9 for item in found.happened if item.to_data()["kind"] == "event"]
    gaps = [round(after - before) for before, after in pairwise(at)]
    assert gaps == [5, 10, 20, 30, 30, 30, 30]


@pytest.mark.parametrize(
    ("does", "first"),
    [("quota", 300), ("outOfStock", 300), ("error", 300), ("silent", 900), ("late", 0)],
)
def test_a_provider_is_out_for_a_while(does: str, first: int) -> None:
    fault = {"at": "0s", "providerOutage": {"pools": ["a"], "does": does, "for": "2m", "lateBy": "4m"}}
    server = played([POOL], faults=[fault], duration="40m")
    came = min(node.metadata.creation_timestamp for node in server.objects("Node").values()) / 1e9
    late = 240 if does == "late" else 0
    extra = 300 if does == "silent" else 0  # given up, and then backed off
    assert came == pytest.approx(first + extra + late + 45, abs=35)
    assert len(nodes(server, "a")) == 3


def test_an_outage_of_a_zone_hits_the_pools_that_are_there() -> None:
    fault = {"at": "0s", "providerOutage": {"zones": ["z"], "does": "error", "for": "20m"}}
    server = played([POOL, {**OTHER, "zone": "y"}], faults=[fault], duration="20m")
    assert (len(nodes(server, "a")), len(nodes(server, "b"))) == (0, 3)
    texts = {text for _, text in events(server, "FailedToScaleUpGroup")}
    why = "failed to increase node group size: the provider's API answers with an error"
    assert texts <= {f"Scale-up failed for group a: {why}"}


def test_an_outage_of_a_pool_that_is_not_there_is_told() -> None:
    fault = {"at": "1m", "providerOutage": {"pools": ["q"], "does": "quota", "for": "2m"}}
    with pytest.raises(UserError, match="there is no such pool"):
        played([POOL], faults=[fault])


def test_a_node_is_not_ready_at_birth_and_its_pods_come_when_it_is() -> None:
    server = played([{**POOL, "boot": "30s"}], replicas=1)
    ((_, text),) = events(server, "TriggeredScaleUp")
    assert "{a 0->1 (max: 6)}" in text
    (node,) = server.objects("Node").values()
    (pod,) = server.objects("Pod").values()
    bound = next(item for item in pod.status.conditions if item.type == "PodScheduled").last_transition_time
    assert (bound - node.metadata.creation_timestamp) / 1e9 == pytest.approx(30, abs=1.5)
    assert node.spec.taints == ()
    late = played([{**POOL, "boot": {"median": "20s", "p99": "60s"}, "provisioning": {"samples": ["30s", "50s"]}}])
    assert len(nodes(late, "a")) == 3


def test_nodes_have_the_labels_that_kubelets_and_providers_set() -> None:
    """So that manifests with `nodeSelector: {kubernetes.io/os: linux}` find a node, one of a pool too."""
    pods = controller("Deployment", "big", "3", replicas=3)
    selector = {"kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "z"}
    pods["spec"]["template"]["spec"]["nodeSelector"] = selector
    group = {"group": {"name": "n", "count": 1, "cpu": 4, "zones": ["z"]}}
    server = played([POOL], nodes=[group], workload=[{"objects": [pods]}])
    assert {pod.status.phase for pod in server.objects("Pod").values()} == {"Running"}
    labels = server.objects("Node")["n-0"].metadata.labels
    assert labels["failure-domain.beta.kubernetes.io/zone"] == "z"
    assert labels["kubernetes.io/hostname"] == "n-0"


def test_the_dry_run_says_that_the_provider_refused() -> None:
    pods = {"objects": [controller("Deployment", "big", "3", replicas=3)]}
    given = {"duration": "4m", "bound": False, "nodes": [], "pools": [{**POOL, "quota": 2}], "workload": [pods]}
    found = dry_run(loaded(**given), "greedy", 1)
    assert [item.to_data()["reason"] for item in found.happened if item.to_data()["kind"] == "event"] == [
        "FailedToScaleUpGroup"
    ]
    assert found.waiting[0].pools == {"a": ("in backoff after failed scale-up",)}
