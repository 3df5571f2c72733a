"""Just-in-time nodes: which are made for pending pods, each rule as the smallest cluster that shows it.

Source: kubernetes-sigs/karpenter 1.14, beside each rule in harness/autoscaling/provisioning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.model.karpenter import INITIALIZED, INSTANCE_TYPE, REGISTERED
from harness.model.meta import condition
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

CAPACITY, TYPE = "karpenter.sh/capacity-type", INSTANCE_TYPE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


def test_the_cheapest_type_that_takes_all_of_the_batch(path: Path) -> None:
    """Five pods of one CPU: two s.medium (3.9 CPUs each, 0.4) would do, but one node that takes them is one s.large."""
    story = Story(path, node_pool(), deployment("web", 5))
    assert story.types() == {"s.large": 1}
    assert story.pending() == []
    assert len(story.claims()) == 1


def test_pods_of_one_batch_fill_nodes_before_new_ones_are_made(path: Path) -> None:
    """Ten pods: the largest type holds seven (7.9 CPUs); the other three fit on an s.medium (3.9)."""
    assert Story(path, node_pool(), deployment("web", 10)).types() == {"s.large": 1, "s.medium": 1}


def test_a_claim_is_launched_registered_and_initialized(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 1))
    ((name, claim),) = story.claims().items()
    for kind in ("Launched", "Registered", "Initialized", "Ready"):
        found = condition(claim.status.conditions, kind)
        assert found is not None, kind
        assert found.status == "True", kind
    node = story.nodes()[name]
    assert node.metadata.labels[REGISTERED] == node.metadata.labels[INITIALIZED] == "true"
    assert node.spec.taints == ()
    assert claim.status.node_name == name
    assert story.events("Nominated") == [f"Pod should schedule on: nodeclaim/{name}"]


def test_requirements_narrow_the_types(path: Path) -> None:
    least = [on(CAPACITY, "on-demand"), on("karpenter.k8s.aws/instance-cpu", "4", operator="Gt"), amd64()]
    assert Story(path, node_pool(requirements=least), deployment("web", 1)).types() == {"s.large": 1}


@pytest.mark.parametrize(("operator", "value", "type_"), [("Gte", "4", "s.medium"), ("Lt", "8", "s.small")])
def test_numbers_are_compared(path: Path, operator: str, value: str, type_: str) -> None:
    asked = [on(CAPACITY, "on-demand"), on("karpenter.k8s.aws/instance-cpu", value, operator=operator), amd64()]
    assert Story(path, node_pool(requirements=asked), deployment("web", 1)).types() == {type_: 1}


def test_spot_where_it_is_allowed(path: Path) -> None:
    story = Story(path, node_pool(requirements=[amd64()]), deployment("web", 1))
    assert story.capacity_types() == {"spot": 1}


def test_other_architectures_only_for_pods_that_name_them_or_pools_that_allow_them(path: Path) -> None:
    both = node_pool(requirements=[on(CAPACITY, "on-demand")])
    assert Story(path, both, deployment("web", 3)).types() == {"r.medium": 1}  # 0.15, where amd64 costs 0.2
    selector = {"kubernetes.io/arch": "amd64"}
    assert Story(path, both, deployment("web", 3, nodeSelector=selector)).types() == {"s.medium": 1}


def test_the_heavier_pool_is_asked_first(path: Path) -> None:
    heavy = node_pool("heavy", [on(TYPE, "m.large"), on(CAPACITY, "on-demand")], weight=50)
    assert Story(path, node_pool(), heavy, deployment("web", 1)).types() == {"m.large": 1}


def test_limits_leave_pods_pending(path: Path) -> None:
    """Four CPUs: an s.medium is the most."""
    story = Story(path, node_pool(limits={"cpu": "4"}), deployment("web", 6))
    assert story.types() == {"s.medium": 1}
    assert len(story.pending()) == 3
    assert any("exceed limits for nodepool (NodePool=p)" in text for text in story.events("FailedScheduling"))


def test_a_limit_of_nodes(path: Path) -> None:
    story = Story(path, node_pool(limits={"nodes": "1"}), deployment("web", 10))
    assert story.types() == {"s.large": 1}


def test_a_pool_that_a_pod_cannot_use_does_not_hide_the_next_one(path: Path) -> None:
    """Seed 9046: what the first pool's node to come could not take, the second's, in its place, was not asked for."""
    closed = node_pool("a", template={"taints": [{"key": "dedicated", "effect": "NoSchedule"}]})
    story = Story(path, closed, node_pool("b"), deployment("web", 2))
    assert story.values("karpenter.sh/nodepool") == {"b": 1}
    assert len(set(story.where().values()) & set(story.nodes())) == 1


def test_taints_keep_pods_that_do_not_tolerate_them_and_startup_taints_do_not(path: Path) -> None:
    taint = {"key": "team", "value": "a", "effect": "NoSchedule"}
    startup = {"key": "cni", "effect": "NoSchedule"}
    pool = node_pool(template={"taints": [taint], "startupTaints": [startup]})
    toleration = {"key": "team", "operator": "Exists"}
    refused = Story(path, pool, deployment("web", 1))
    assert refused.types() == {}
    assert any("did not tolerate taint (taint=" in text for text in refused.events("FailedScheduling"))
    story = Story(path, pool, deployment("web", 1, tolerations=[toleration]))
    ((name, node),) = story.nodes().items()
    assert INITIALIZED not in node.metadata.labels  # nobody has taken the startup taint off
    assert story.pending() != []
    assert [taint.key for taint in node.spec.taints if not taint.key.startswith("node.kubernetes.io")] == [
        "team",
        "cni",
    ]
    assert len(story.claims()) == 1, name  # the node counts as it will be: no other is bought


def test_the_pools_labels_are_the_nodes(path: Path) -> None:
    pool = node_pool(labels={"team": "a"})
    story = Story(path, pool, deployment("web", 1, nodeSelector={"team": "a"}))
    assert story.values("team") == {"a": 1}
    other = Story(path, pool, deployment("web", 1, nodeSelector={"team": "b"}))
    assert other.types() == {}


def test_daemon_sets_are_part_of_the_node(path: Path) -> None:
    """One CPU for the pod, one for the DaemonSet: 1.93 CPUs of an s.small are not enough."""
    story = Story(path, node_pool(), daemon_set(1), deployment("web", 1))
    assert story.types() == {"s.medium": 1}


def test_a_daemon_set_that_does_not_suit_takes_no_room(path: Path) -> None:
    story = Story(path, node_pool(), daemon_set(1, nodeSelector={"team": "a"}), deployment("web", 1))
    assert story.types() == {"s.small": 1}


def test_zones_in_equal_shares(path: Path) -> None:
    """Zones in which there is no node count as empty: six pods are two in each of three zones."""
    story = Story(path, node_pool(), deployment("web", 6, topologySpreadConstraints=[spread("web")]))
    assert set(story.values()) == {"a", "b", "c"}
    zones = {name: node.metadata.labels["topology.kubernetes.io/zone"] for name, node in story.nodes().items()}
    counted: dict[str, int] = {}
    for key, node in story.where().items():
        assert node, key
        counted[zones[node]] = counted.get(zones[node], 0) + 1
    assert counted == {"a": 2, "b": 2, "c": 2}


def test_a_node_for_each_pod_that_shuns_its_kind(path: Path) -> None:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert Story(path, node_pool(), deployment("web", 3, affinity=affinity)).types() == {"s.small": 3}


def test_pods_beside_others_in_their_zone(path: Path) -> None:
    """Of ten pods that must share a zone, on two nodes, none is elsewhere."""
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "topology.kubernetes.io/zone"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    story = Story(path, node_pool(), deployment("web", 10, affinity=affinity))
    assert story.pending() == []
    assert sum(story.types().values()) == 2
    assert len(story.values()) == 1


def test_a_preference_holds_where_it_can_and_is_given_up_where_it_cannot(path: Path) -> None:
    def preferring(value: str) -> dict[str, Any]:
        term = {"matchExpressions": [on(TYPE, value)]}
        preferred = [{"weight": 1, "preference": term}]
        return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    assert Story(path, node_pool(), deployment("web", 1, affinity=preferring("m.large"))).types() == {"m.large": 1}
    assert Story(path, node_pool(), deployment("web", 1, affinity=preferring("no.such"))).types() == {"s.small": 1}


def test_the_first_of_several_terms_that_can_be_met(path: Path) -> None:
    terms = [{"matchExpressions": [on(TYPE, name)]} for name in ("no.such", "m.large")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert Story(path, node_pool(), deployment("web", 1, affinity={"nodeAffinity": required})).types() == {"m.large": 1}


def test_gpus(path: Path) -> None:
    template = pod_template("gpu", 1)
    template["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "g", "namespace": "default"},
        "spec": template["spec"],
    }
    story = Story(path, node_pool(), pod)
    assert story.types() == {"g.large": 1}
    assert story.pending() == []


def test_min_values_are_kept_open_or_nothing_is_bought(path: Path) -> None:
    """At least three types: a pod that only an s.large and larger can take leaves too few."""
    asked = [on(CAPACITY, "on-demand"), on(TYPE, "s.small", "s.medium", "s.large", minValues=3)]
    assert Story(path, node_pool(requirements=asked), deployment("web", 1)).types() == {"s.small": 1}
    assert Story(path, node_pool(requirements=asked), deployment("web", 1, cpu=3)).types() == {}


def test_pods_that_come_within_a_second_are_one_batch(path: Path) -> None:
    """Eleven at once are two nodes; a batch that waits only for a moment buys by what it has seen."""
    story = Story(path, node_pool(), deployment("web", 4), deployment("api", 3))
    assert story.types() == {"s.large": 1}


def test_a_node_that_does_not_register_in_time_is_given_up_and_made_again(path: Path) -> None:
    """Its kubelet starts after 20 minutes; 15 are what it has. Source: liveness.go registrationTimeout."""
    story = Story(path, node_pool(), deployment("web", 1), until="14m", settings="?provisioning=20m")
    first = list(story.claims())
    assert len(first) == 1
    story.go(150)
    second = list(story.claims())
    assert len(second) == 1
    assert second != first
    assert story.nodes() == {}


def test_an_existing_node_that_would_do_is_not_bought_for(path: Path) -> None:
    group = {"name": "n", "count": 1, "cpu": 16, "memory": "32Gi", "zones": ["a"]}
    story = Story(path, node_pool(), deployment("web", 5), nodes=[{"group": group}])
    assert story.types() == {}


def test_expired_nodes_are_replaced(path: Path) -> None:
    """An hour old, they go, and their pods have a new one. Source: expiration/controller.go."""
    story = Story(path, node_pool(template={"expireAfter": "1h"}), deployment("web", 1), until="55m")
    first = set(story.nodes())
    assert len(first) == 1
    story.go(600)
    second = set(story.nodes())
    assert len(second) == 1
    assert second.isdisjoint(first)
    assert story.pending() == []


def test_a_claim_that_somebody_deletes_is_drained_over_the_eviction_api(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 2), budget("web", 2))
    (name,) = story.claims()
    story.delete("NodeClaim", name)
    story.go(120)
    node = story.nodes()[name]
    assert [(taint.key, taint.effect) for taint in node.spec.taints] == [("karpenter.sh/disrupted", "NoSchedule")]
    assert set(story.where().values()) == {name}  # the budget lets neither go
    story.delete("PodDisruptionBudget", "web", "default")
    story.go(120)
    assert name not in story.nodes()
    assert len(story.nodes()) == 1
    assert story.pending() == []


def test_pods_that_must_not_be_disrupted_are_waited_for_until_the_grace_period_ends(path: Path) -> None:
    held = {"karpenter.sh/do-not-disrupt": "true"}
    pool = node_pool(template={"terminationGracePeriod": "5m"})
    story = Story(path, pool, deployment("web", 1, annotations=held))
    (name,) = story.claims()
    story.delete("NodeClaim", name)
    story.go(240)
    assert name in story.nodes()
    story.go(120)
    assert name not in story.nodes()
    story.go(120)
    assert story.pending() == []


def test_the_same_seed_the_same_bits_and_another_one_another_zone(path: Path) -> None:
    found = [Story(path, node_pool(), deployment("web", 5), seed=seed) for seed in (1, 1, 2, 3, 4)]
    digests = [story.run.measures.journal.digest() for story in found]
    assert digests[0] == digests[1] != digests[2]
    assert len({tuple(story.values()) for story in found}) > 1


def test_a_person_can_make_a_claim(path: Path) -> None:
    spec = {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": [on(TYPE, "s.large")]}
    claim = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "mine"}, "spec": spec}
    story = Story(path, claim)
    assert [node.metadata.labels[TYPE] for node in story.cluster.server.objects("Node").values() if TYPE in node.metadata.labels] == ["s.large"]  # fmt: skip  # noqa: E501


def test_costs_are_the_catalogues(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 5), until="1h")
    result = story.run.result("greedy")
    pool = result.metrics["autoscaling"]["pool p"]
    assert pool["cost"] == pytest.approx(0.4 * pool["nodeHours"])
    assert 0.9 < pool["nodeHours"] < 1.0


def test_what_a_scale_up_waited_for_is_told(path: Path) -> None:
    """45 s of booting, after a batch of a second."""
    story = Story(path, node_pool(), deployment("web", 5))
    found = story.run.result("greedy").metrics["waterfalls"]["scaleUps"]
    assert found["dominantTimer"] == "just-in-time provisioning"
    assert found["dominantShare"] > 0.8
