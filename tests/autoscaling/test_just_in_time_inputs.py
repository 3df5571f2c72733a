"""More inputs of the kinds that Karpenter's own tests have, each as a small cluster through the public door.

Source: kubernetes-sigs/karpenter, main of 2026-08-20 (after 1.14), the file and test beside each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.model.karpenter import INSTANCE_TYPE, NODEPOOL
from tests.autoscaling.just_in_time import (
    Story,
    amd64,
    budget,
    daemon_set,
    deployment,
    node_pool,
    on,
    pod_template,
    spread,
)

CAPACITY = "karpenter.sh/capacity-type"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
ALL = {"budgets": [{"nodes": "100%"}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


def only(*types: str) -> list[dict[str, Any]]:
    return [on(CAPACITY, "on-demand"), on(INSTANCE_TYPE, *types)]


def shy(app: str = "web", key: str = "kubernetes.io/hostname") -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def drift(story: Story, pool: str = "p") -> None:
    """The template of the pool changes: its nodes drift."""

    def changed(obj: Any) -> Any:
        template = obj.spec.template
        meta = replace(template.metadata, labels={**template.metadata.labels, "changed": "yes"})
        return replace(obj, spec=replace(obj.spec, template=replace(template, metadata=meta)))

    story.change_pool(pool, changed)


# -- NodePools: pkg/utils/nodepool, provisioning/scheduling/nodepool_test.go -------------------------------------------


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [({"a": None, "b": None}, "b"), ({"a": 10, "b": 10}, "b"), ({"a": 10, "b": None}, "a"), ({"a": 1, "b": 100}, "b")],
)
def test_which_pool_comes_first(path: Path, weights: dict[str, int | None], chosen: str) -> None:
    """nodepool.go OrderByWeight: of equal weights the last by name."""
    pools = [node_pool(name) for name in weights]
    for pool in pools:
        if (weight := weights[pool["metadata"]["name"]]) is not None:
            pool["spec"]["weight"] = weight
    story = Story(path, *pools, deployment("web", 1))
    assert story.values(NODEPOOL) == {chosen: 1}


def test_a_pool_at_its_limit_is_passed_over_for_a_lighter_one(path: Path) -> None:
    """suite_test.go: 'should schedule to a nodepool if another one is limited'."""
    heavy = node_pool("heavy", weight=50, limits={"cpu": "2"})
    story = Story(path, heavy, node_pool("light"), deployment("web", 2, cpu="1500m", affinity=shy()))
    assert story.values(NODEPOOL) == {"heavy": 1, "light": 1}


def test_a_limit_of_memory(path: Path) -> None:
    story = Story(path, node_pool(limits={"memory": "1Gi"}), deployment("web", 1))
    assert story.nodes() == {}
    assert len(story.pending()) == 1


def test_a_limit_leaves_room_for_what_takes_a_drifted_nodes_place(path: Path) -> None:
    """disruption/drift_test.go: a node that goes does not count, so that its replacement may come beside it
    (scheduler.go updateRemainingResources, cluster.go updateNodePoolResources)."""
    story = Story(path, node_pool(limits={"nodes": "1"}), deployment("web", 3))
    (old,) = story.nodes()
    drift(story)
    story.go(300)
    (new,) = story.nodes()
    assert new != old
    assert story.pending() == []


def test_a_limit_leaves_room_while_an_expired_node_is_drained(path: Path) -> None:
    pool = node_pool(limits={"cpu": "4"}, template={"expireAfter": "10m"})
    story = Story(path, pool, deployment("web", 3), until="9m")
    (old,) = story.nodes()
    story.go(240)
    (new,) = story.nodes()
    assert new != old
    assert story.pending() == []


@pytest.mark.parametrize(
    ("requirements", "selector", "made"),
    [
        ([], {"team": "a"}, 0),  # a label that nothing defines
        ([on("team", "a", "b")], {"team": "a"}, 1),
        ([on("team", "a", "b")], {"team": "b"}, 1),
        ([on("team", operator="Exists")], {"team": "c"}, 1),
        ([on("team", "a")], {"team": "b"}, 0),
        ([on("team", "a", operator="NotIn")], {"team": "a"}, 0),
        ([on("team", operator="DoesNotExist")], {"team": "a"}, 0),
    ],
)
def test_labels_of_ones_own(
    path: Path, requirements: list[dict[str, Any]], selector: dict[str, str], made: int
) -> None:
    """provisioning/scheduling/suite_test.go Context 'Custom Constraints'."""
    pool = node_pool(requirements=[on(CAPACITY, "on-demand"), amd64(), *requirements])
    story = Story(path, pool, deployment("web", 1, nodeSelector=selector))
    assert len(story.nodes()) == made
    if made:
        assert all(node.metadata.labels["team"] == selector["team"] for node in story.nodes().values())


def test_pods_of_one_port_take_a_node_each(path: Path) -> None:
    """suite_test.go 'should not pack pods with the same host port'."""
    web = deployment("web", 2)
    web["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80}]
    story = Story(path, node_pool(), web)
    assert len(story.nodes()) == 2
    assert story.pending() == []


def test_init_containers_and_sidecars_count(path: Path) -> None:
    """suite_test.go 'should take into account initContainer resource requests': the greater of both; a sidecar adds."""
    big = [{"name": "i", "image": "x", "resources": {"requests": {"cpu": "3"}}}]
    assert Story(path, node_pool(), deployment("web", 1, initContainers=big)).types() == {"s.medium": 1}
    sidecar = [{**big[0], "restartPolicy": "Always"}]
    assert Story(path, node_pool(), deployment("web", 1, initContainers=sidecar)).types() == {"s.large": 1}


def test_a_spread_over_capacity_types(path: Path) -> None:
    """topology_test.go Context 'CapacityType'."""
    pool = node_pool(requirements=[on(CAPACITY, "on-demand", "spot"), amd64()])
    one = [spread("web", CAPACITY)]
    web = deployment("web", 4, cpu="1500m", affinity=shy(), topologySpreadConstraints=one)
    assert Story(path, pool, web).capacity_types() == {"on-demand": 2, "spot": 2}


@pytest.mark.parametrize(("least", "zones"), [(1, {"a", "b"}), (3, set())])
def test_fewer_zones_than_are_asked_for(path: Path, least: int, zones: set[str]) -> None:
    """topology_test.go 'should ...respect minDomains constraints': with fewer domains the least counts as none."""
    pool = node_pool(requirements=[on(CAPACITY, "on-demand"), amd64(), on("topology.kubernetes.io/zone", "a", "b")])
    one = {**spread("web"), "minDomains": least}
    story = Story(path, pool, deployment("web", 4, cpu="1500m", topologySpreadConstraints=[one]))
    if zones:
        assert set(story.values()) == zones
        assert story.pending() == []
    else:
        assert sum(story.values().values()) == 2  # one in each
        assert len(story.pending()) == 2


def test_what_comes_while_a_node_boots_waits_for_it(path: Path) -> None:
    """suite_test.go Context 'In-Flight Nodes'."""
    late = deployment("late", 2)
    late["metadata"]["annotations"] = {"podyard.dev/arrival": "15s"}
    pool = node_pool(requirements=only("s.large"))
    story = Story(path, pool, deployment("web", 2), late)
    assert story.types() == {"s.large": 1}
    assert story.pending() == []


# -- disruption: pkg/controllers/disruption ----------------------------------------------------------------------------


def web_of_three(path: Path, *others: dict[str, Any], pool: dict[str, Any] | None = None, **more: Any) -> Story:
    """Five pods on an s.large (0.4), of which two are left: an s.medium would do."""
    story = Story(path, pool or node_pool(), deployment("web", 5, **more), *others)
    assert story.types() == {"s.large": 1}
    story.scale("web", 2)
    story.go(420)
    return story


@pytest.mark.parametrize(
    ("value", "stays"),
    [("true", True), ("false", False), ("soon", False), ("1h", True), ("1m", False), ("0s", False), ("-5m", False)],
)
def test_pods_that_say_do_not_disrupt(path: Path, value: str, stays: bool) -> None:
    """consolidation_test.go 'considers karpenter.sh/do-not-disrupt', '... duration-based', '... invalid format'."""
    story = web_of_three(path, annotations={DO_NOT_DISRUPT: value})
    assert story.types() == ({"s.large": 1} if stays else {"s.medium": 1})


@pytest.mark.parametrize("why", ["annotation", "budget"])
def test_a_grace_period_lets_drift_go_on_and_consolidation_not(path: Path, why: str) -> None:
    """consolidation_test.go '... when the NodePool's TerminationGracePeriod is not nil', drift_test.go 'should drift
    nodes that have pods with ... when the NodePool's TerminationGracePeriod is not nil'."""
    pool = node_pool(template={"terminationGracePeriod": "2m"})
    more = {"annotations": {DO_NOT_DISRUPT: "true"}} if why == "annotation" else {}
    others = [budget("web", 2)] if why == "budget" else []
    story = web_of_three(path, *others, pool=pool, **more)
    assert story.types() == {"s.large": 1}
    (old,) = story.nodes()
    drift(story)
    story.go(420)
    assert old not in story.nodes()
    assert story.types() == {"s.medium": 1}
    assert story.pending() == []


@pytest.mark.parametrize("grace", [None, "2m"])
def test_an_expired_node_whose_pod_must_not_be_disrupted(path: Path, grace: str | None) -> None:
    """expiration/suite_test.go, node/termination/suite_test.go: deleted at once, drained without that pod, which goes
    when terminationGracePeriod ends, and never where there is none."""
    template = {"expireAfter": "10m", **({"terminationGracePeriod": grace} if grace else {})}
    pool = node_pool(template=template, disruption={"budgets": [{"nodes": "0"}]})
    story = Story(path, pool, deployment("web", 1, annotations={DO_NOT_DISRUPT: "true"}), until="9m")
    (old,) = story.nodes()
    story.go(90)
    assert story.claims()[old].metadata.deletion_timestamp is not None, "budgets or not"
    assert old in story.nodes()
    story.go(210)
    assert (old in story.nodes()) == (grace is None)
    if grace:
        assert story.pending() == []


def test_no_budget_for_drift_is_one_for_consolidation(path: Path) -> None:
    """drift_test.go Context 'Budgets'."""
    pool = node_pool(disruption={"budgets": [{"nodes": "0", "reasons": ["Drifted"]}, {"nodes": "1"}]})
    story = Story(path, pool, deployment("web", 5))
    (old,) = story.nodes()
    drift(story)
    story.go(300)
    assert set(story.nodes()) == {old}
    story.scale("web", 2)
    story.go(300)
    assert story.types() == {"s.medium": 1}


def test_a_budget_in_percent_is_of_all_nodes_of_the_pool(path: Path) -> None:
    """suite_test.go BuildDisruptionBudgetMapping: 30 % of four nodes are two; two of four empty ones go at a time."""
    pool = node_pool(disruption={"budgets": [{"nodes": "30%"}]})
    story = Story(path, pool, deployment("web", 4, affinity=shy()))
    assert len(story.nodes()) == 4
    story.scale("web", 0)
    going = 0
    for _ in range(60):
        story.go(2)
        going = max(going, sum(item.metadata.deletion_timestamp is not None for item in story.claims().values()))
    assert going == 2


def test_two_budgets_of_one_pod_keep_its_node(path: Path) -> None:
    """pdb.go CanEvictPods: the eviction API refuses pods of two."""
    second = budget("web", 1)
    second["metadata"]["name"] = "second"
    assert web_of_three(path, budget("web", 1), second).types() == {"s.large": 1}


def test_pods_without_an_owner_move(path: Path) -> None:
    """consolidation_test.go 'can delete nodes, evicts pods without an ownerRef'."""
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_template("bare")}
    pod["metadata"] |= {"name": "bare", "namespace": "default"}
    story = Story(path, node_pool(), pod, deployment("web", 4))
    assert story.types() == {"s.large": 1}
    story.scale("web", 0)
    story.go(420)
    assert story.nodes() == {}, "it is not made again"


def test_anti_affinity_keeps_both_nodes(path: Path) -> None:
    """consolidation_test.go 'won't delete node if it would violate pod anti-affinity'."""
    story = Story(path, node_pool(requirements=only("s.small")), deployment("web", 2, cpu="500m", affinity=shy()))
    story.go(600)
    assert len(story.nodes()) == 2


def test_a_spread_over_zones_is_kept_by_a_replacement(path: Path) -> None:
    """'can replace node maintaining zonal topology spread'."""
    one = [spread("web")]
    story = Story(path, node_pool(), deployment("web", 9, cpu="1900m", topologySpreadConstraints=one))
    story.scale("web", 3)
    story.go(900)
    assert story.values() == {"a": 1, "b": 1, "c": 1}
    assert story.types() == {"s.small": 3}
    assert story.pending() == []


def test_a_pod_that_pends_for_good_keeps_no_node(path: Path) -> None:
    """'can delete nodes with a permanently pending pod'."""
    never = deployment("never", 1, nodeSelector={"there": "not"})
    story = web_of_three(path, never)
    assert story.types() == {"s.medium": 1}


def test_several_nodes_do_not_become_one_of_their_own_type(path: Path) -> None:
    """multinodeconsolidation.go filterOutSameInstanceType: 'won't merge 2 nodes into 1 of the same type': one goes."""
    story = Story(path, node_pool(requirements=only("s.medium")), deployment("web", 6))
    assert story.types() == {"s.medium": 2}
    (first, second) = story.nodes()
    story.scale("web", 2)
    story.go(600)
    assert set(story.nodes()) < {first, second}
    assert len(story.nodes()) == 1


def test_a_lighter_pool_is_no_replacement(path: Path) -> None:
    """The simulation asks the heaviest pool first, and takes its node; that is not cheaper."""
    heavy = node_pool("heavy", requirements=only("s.large"), weight=10)
    story = Story(path, heavy, node_pool("light", requirements=only("s.small")), deployment("web", 1))
    story.go(600)
    assert story.values(NODEPOOL) == {"heavy": 1}


@pytest.mark.parametrize(
    ("policy", "after", "left"), [("WhenEmpty", "0s", 0), ("WhenEmptyOrUnderutilized", "Never", 1)]
)
def test_a_node_with_a_daemon_sets_pod_is_empty(path: Path, policy: str, after: str, left: int) -> None:
    """emptiness_test.go."""
    disruption = {"consolidationPolicy": policy, "consolidateAfter": after}
    story = Story(path, node_pool(disruption=disruption), daemon_set("100m"), deployment("web", 5))
    story.scale("web", 0)
    story.go(300)
    assert len(story.nodes()) == left


def test_an_annotated_node_does_not_drift(path: Path) -> None:
    """drift_test.go 'should ignore nodes with the karpenter.sh/do-not-disrupt annotation'."""
    story = Story(path, node_pool(), deployment("web", 3))
    (old,) = story.nodes()
    story.annotate(old, DO_NOT_DISRUPT, "true")
    drift(story)
    story.go(300)
    assert set(story.nodes()) == {old}


def test_empty_nodes_that_drifted_go_without_a_replacement(path: Path) -> None:
    """drift_test.go 'can delete drifted nodes' and 'should drift empty nodes first'."""
    pool = node_pool(disruption={"consolidateAfter": "Never"})
    story = Story(path, pool, deployment("web", 5))
    story.scale("web", 0)
    story.go(60)
    drift(story)
    story.go(120)
    assert story.nodes() == {}


def test_a_node_that_somebody_deletes_is_drained_first(path: Path) -> None:
    """registration.go adds a finalizer to the node; node/termination/suite_test.go 'should delete nodes'."""
    story = Story(path, node_pool(), deployment("web", 2, annotations={DO_NOT_DISRUPT: "30m"}))
    (old,) = story.nodes()
    story.delete("Node", old)
    story.go(120)
    assert old in story.nodes()
    assert story.claims()[old].metadata.deletion_timestamp is not None
    assert [key for key, node in story.where().items() if node == old]
    story.go(1800)
    assert old not in story.nodes()
    assert story.pending() == []


def test_a_pool_that_is_deleted_takes_its_nodes_along(path: Path) -> None:
    """docs/nodepools: NodeClaims are owned by their NodePool; the pods go to another pool's nodes."""
    story = Story(path, node_pool("p", weight=10), node_pool("q"), deployment("web", 2))
    assert story.values(NODEPOOL) == {"p": 1}
    story.delete("NodePool", "p")
    story.go(300)
    assert story.values(NODEPOOL) == {"q": 1}
    assert story.pending() == []


def test_one_node_is_of_one_team(path: Path) -> None:
    """Pods that choose different values of a label which the NodePool leaves open share no node."""
    pool = node_pool(requirements=[on(CAPACITY, "on-demand"), amd64(), on("team", "a", "b")])
    chosen = [deployment(name, 1, nodeSelector={"team": name}) for name in ("a", "b")]
    story = Story(path, pool, *chosen)
    assert story.values("team") == {"a": 1, "b": 1}
    assert story.pending() == []
