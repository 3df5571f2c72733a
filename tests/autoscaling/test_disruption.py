"""Just-in-time nodes: which go, which are replaced by cheaper ones, and what keeps them.

Source: kubernetes-sigs/karpenter 1.14 pkg/controllers/disruption, beside each rule in
harness/autoscaling/provisioning/disruption.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.autoscaling.provisioning.disruption.budgets import allowed, is_active
from harness.autoscaling.provisioning.disruption.candidates import eviction_cost
from harness.model.core import Pod
from harness.model.karpenter import DISRUPTED, INSTANCE_TYPE, DisruptionBudget
from harness.model.meta import ObjectMeta, condition
from harness.model.objects import from_wire
from tests.autoscaling.just_in_time import Story, amd64, budget, deployment, node_pool, on, pod_template

CAPACITY = "karpenter.sh/capacity-type"
ALL = {"budgets": [{"nodes": "100%"}]}
HOUR = 3600 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


def only(*types: str) -> list[dict[str, Any]]:
    return [on(CAPACITY, "on-demand"), on(INSTANCE_TYPE, *types)]


def test_an_empty_node_goes(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 5))
    story.scale("web", 0)
    story.go(120)
    assert story.nodes() == {}
    assert story.claims() == {}
    assert "Disrupting Node: Empty" in story.events("DisruptionTerminating")


def test_consolidate_after_counts_from_the_last_pod(path: Path) -> None:
    """Five minutes after its last pod went, and 15 s of validation, not before."""
    story = Story(path, node_pool(disruption={"consolidateAfter": "5m"}), deployment("web", 5))
    story.scale("web", 0)
    story.go(290)
    assert len(story.nodes()) == 1
    story.go(90)
    assert story.nodes() == {}


def test_when_a_pod_last_came_or_went_is_in_the_status_of_its_claim(path: Path) -> None:
    """Pods that come and go within 10 s are one event. Source: nodeclaim/podevents/controller.go dedupeTimeout."""
    web = deployment("web", 1, cpu="500m", memory="64Mi")
    story = Story(path, node_pool(disruption={"consolidateAfter": "Never"}), web, until="5m")

    def told() -> int:
        (claim,) = story.claims().values()
        assert claim.status.last_pod_event_time is not None
        return int(claim.status.last_pod_event_time)

    first = told()
    (pod,) = story.cluster.server.objects("Pod").values()
    scheduled = condition(pod.status.conditions, "PodScheduled")
    assert scheduled is not None
    assert 0 <= first - (scheduled.last_transition_time or 0) < 10**9
    story.scale("web", 2)
    story.go(2)
    second = told()
    assert second > first
    story.scale("web", 1)
    story.go(2)
    assert told() == second
    story.go(60)
    story.scale("web", 0)
    story.go(2)
    assert told() > second + 60 * 10**9


def test_never_is_never(path: Path) -> None:
    story = Story(path, node_pool(disruption={"consolidateAfter": "Never"}), deployment("web", 5))
    story.scale("web", 0)
    story.go(1200)
    assert len(story.nodes()) == 1


def test_a_node_is_replaced_by_a_cheaper_one(path: Path) -> None:
    """Of five pods on an s.large (0.4) two are left: an s.medium (0.2) takes them, when it is there."""
    story = Story(path, node_pool(), deployment("web", 5))
    assert story.types() == {"s.large": 1}
    story.scale("web", 2)
    story.go(60)
    assert story.types() == {"s.large": 1}  # its replacement has not booted yet
    (tainted,) = story.nodes().values()
    assert DISRUPTED in tainted.spec.taints
    story.go(240)
    assert story.types() == {"s.medium": 1}
    assert story.pending() == []
    assert "Disrupting Node: Underutilized" in story.events("DisruptionTerminating")


def test_a_pool_that_only_deletes_empty_nodes_does_not_replace(path: Path) -> None:
    pool = node_pool(disruption={"consolidateAfter": "0s", "consolidationPolicy": "WhenEmpty"})
    story = Story(path, pool, deployment("web", 5))
    story.scale("web", 2)
    story.go(600)
    assert story.types() == {"s.large": 1}
    assert any("has consolidation policy WhenEmpty" in text for text in story.events("Unconsolidatable"))


def test_pods_find_room_on_other_nodes(path: Path) -> None:
    """Ten pods on an s.large (seven) and an s.medium (three). Seven are left, five and two of them or so: one goes."""
    story = Story(path, node_pool(requirements=only("s.medium", "s.large")), deployment("web", 10))
    assert sum(story.types().values()) == 2
    story.scale("web", 3)
    story.go(600)
    assert story.types() == {"s.medium": 1}
    assert story.pending() == []


def test_several_nodes_become_one(path: Path) -> None:
    """Three pods that shun each other's hosts no more: three s.small (0.3) become one s.medium (0.2)."""
    selector = {"matchExpressions": [on("app", "a", "b", "c")]}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    shy = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pool = node_pool(requirements=only("s.small", "s.medium"), disruption=ALL)
    story = Story(path, pool, *(deployment(name, 1, cpu="900m", affinity=shy) for name in "abc"))
    assert story.types() == {"s.small": 3}
    for name in "abc":
        story.change_template(name, affinity=None)
    story.go(600)
    assert story.types() == {"s.medium": 1}
    assert story.pending() == []


def test_a_budget_lets_one_go_at_a_time(path: Path) -> None:
    """10 % of three nodes, rounded up: one. All of them are empty."""
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    shy = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    for budgets, most in (([{"nodes": "10%"}], 1), ([{"nodes": "0"}], 0), ([{"nodes": "100%"}], 3)):
        story = Story(path, node_pool(disruption={"budgets": budgets}), deployment("web", 3, affinity=shy))
        assert len(story.nodes()) == 3
        story.scale("web", 0)
        going = 0
        for _ in range(80):
            story.go(3)
            deleted = [item for item in story.claims().values() if item.metadata.deletion_timestamp is not None]
            going = max(going, len(deleted))
        assert going == most
        assert len(story.nodes()) == (0 if most else 3)


def test_budgets_of_other_reasons_do_not_count(path: Path) -> None:
    pool = node_pool(disruption={"budgets": [{"nodes": "0", "reasons": ["Drifted"]}, {"nodes": "1"}]})
    story = Story(path, pool, deployment("web", 5))
    story.scale("web", 0)
    story.go(120)
    assert story.nodes() == {}


def test_do_not_disrupt_on_a_node_and_on_a_pod(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 5))
    (name,) = story.nodes()
    story.annotate(name, "karpenter.sh/do-not-disrupt", "true")
    story.scale("web", 2)
    story.go(600)
    assert list(story.nodes()) == [name]
    held = {"karpenter.sh/do-not-disrupt": "true"}
    story = Story(path, node_pool(), deployment("web", 5, annotations=held))
    story.scale("web", 2)
    story.go(600)
    assert story.types() == {"s.large": 1}


def test_do_not_disrupt_for_a_time(path: Path) -> None:
    held = {"karpenter.sh/do-not-disrupt": "20m"}
    story = Story(path, node_pool(), deployment("web", 5, annotations=held))
    story.scale("web", 2)
    story.go(600)
    assert story.types() == {"s.large": 1}
    story.go(1200)
    assert story.types() == {"s.medium": 1}


def test_a_budget_of_pods_keeps_a_node(path: Path) -> None:
    story = Story(path, node_pool(), deployment("web", 5), budget("web", 2))
    story.scale("web", 2)
    story.go(600)
    assert story.types() == {"s.large": 1}
    assert any("prevents pod evictions" in text for text in story.events("Unconsolidatable"))


def test_spot_is_not_replaced_by_spot_unless_there_are_many_cheaper_types(path: Path) -> None:
    for settings in ("", "?spot-to-spot-consolidation=true"):
        story = Story(path, node_pool(requirements=[amd64()]), deployment("web", 5), settings=settings)
        assert story.types() == {"s.large": 1}
        story.scale("web", 2)
        story.go(600)
        assert story.types() == {"s.large": 1}, settings
        why = "requires 15 cheaper instance type options" if settings else "SpotToSpotConsolidation is disabled"
        assert any(why in text for text in story.events("Unconsolidatable"))


def test_on_demand_is_replaced_by_spot(path: Path) -> None:
    """Of the same type, too: 0.16 where 0.4 was paid."""
    story = Story(path, node_pool(), deployment("web", 5))
    assert story.capacity_types() == {"on-demand": 1}
    template = from_wire(node_pool(requirements=[amd64()])).spec.template
    story.change_pool("p", lambda pool: replace(pool, spec=replace(pool.spec, template=template)))
    story.go(300)
    assert story.capacity_types() == {"spot": 1}
    assert story.types() == {"s.large": 1}


def test_a_template_that_changes_makes_nodes_drift(path: Path) -> None:
    story = Story(path, node_pool(labels={"team": "a"}), deployment("web", 5))
    (old,) = story.nodes()

    def relabel(pool: Any) -> Any:
        template = pool.spec.template
        meta = replace(template.metadata, labels={"team": "b"})
        return replace(pool, spec=replace(pool.spec, template=replace(template, metadata=meta)))

    story.change_pool("p", relabel)
    story.go(5)
    found = condition(story.claims()[old].status.conditions, "Drifted")
    assert found is not None
    assert found.reason == "NodePoolDrifted"
    story.go(300)
    assert story.values("team") == {"b": 1}
    assert old not in story.nodes()
    assert story.pending() == []
    assert "Disrupting Node: Drifted" in story.events("DisruptionTerminating")


def test_requirements_that_a_node_meets_no_more_are_drift_and_others_are_not(path: Path) -> None:
    story = Story(path, node_pool(requirements=only("s.large")), deployment("web", 5))
    (old,) = story.nodes()
    wider = from_wire(node_pool(requirements=only("s.large", "m.large"))).spec.template
    story.change_pool("p", lambda pool: replace(pool, spec=replace(pool.spec, template=wider)))
    story.go(300)
    assert list(story.nodes()) == [old]
    other = from_wire(node_pool(requirements=only("m.large"))).spec.template
    story.change_pool("p", lambda pool: replace(pool, spec=replace(pool.spec, template=other)))
    story.go(300)
    assert story.types() == {"m.large": 1}


def test_a_replacement_that_does_not_come_is_no_reason_to_go(path: Path) -> None:
    """Ten minutes is what a command has; then the node is as before. Source: queue.go minRetryDuration."""
    story = Story(path, node_pool(), deployment("web", 5), until="16m", settings="?provisioning=12m")
    assert story.types() == {"s.large": 1}
    story.scale("web", 2)
    story.go(300)
    assert [taint.key for node in story.nodes().values() for taint in node.spec.taints] == [DISRUPTED.key]
    story.go(400)
    assert story.pending() == []
    assert "s.large" in story.types()


def test_a_spot_node_that_is_taken_back_is_replaced_while_it_is_drained(path: Path) -> None:
    """Its replacement is bought with the notice, and not when the machine is gone two minutes later."""
    fault = {"at": "3m", "spotReclaim": {"select": {"labels": {CAPACITY: "spot"}}, "onNotice": "deleteNodeClaim"}}
    pool = node_pool(requirements=[amd64()])
    story = Story(path, pool, deployment("web", 5), faults=[fault], until="181s")
    (old,) = story.nodes()
    story.go(3)
    assert DISRUPTED in story.nodes()[old].spec.taints
    assert len(story.claims()) == 2
    story.go(100)
    assert len(story.nodes()) == 1
    assert old not in story.nodes()
    assert story.pending() == []
    assert story.capacity_types() == {"spot": 1}
    story.go(120)
    assert len(story.claims()) == 1


def test_spot_nodes_are_taken_back_as_the_seed_draws(path: Path) -> None:
    reclaim = {"select": {"labels": {CAPACITY: "spot"}}, "onNotice": "deleteNodeClaim", "drawn": 1}
    faults = [{"every": "10m", "spotReclaim": reclaim}]
    went = []
    for seed in (1, 1, 2):
        story = Story(
            path, node_pool(requirements=[amd64()]), deployment("web", 5), faults=faults, until="40m", seed=seed
        )
        went.append(story.run.measures.journal.digest())
        assert story.pending() == [] or len(story.claims()) >= 1
    assert went[0] == went[1] != went[2]


# -- budgets and costs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budgets", "nodes", "reason", "left"),
    [
        ([], 10, "Empty", 1 << 31),
        ([{"nodes": "10%"}], 10, "Empty", 1),
        ([{"nodes": "10%"}], 11, "Empty", 2),
        ([{"nodes": "5%"}], 10, "Empty", 1),
        ([{"nodes": "3"}, {"nodes": "50%"}], 10, "Empty", 3),
        ([{"nodes": "0", "reasons": ["Empty"]}, {"nodes": "50%"}], 10, "Drifted", 5),
        ([{"nodes": "0", "reasons": ["Empty"]}, {"nodes": "50%"}], 10, "Empty", 0),
        # The run begins on Wednesday, 1 January 2025, at midnight.
        ([{"nodes": "0", "schedule": "@daily", "duration": "8h"}], 10, "Empty", 0),
        ([{"nodes": "0", "schedule": "0 9 * * mon-fri", "duration": "8h"}], 10, "Empty", 1 << 31),
    ],
)
def test_what_budgets_allow(budgets: list[dict[str, Any]], nodes: int, reason: str, left: int) -> None:
    pool = from_wire(node_pool(disruption={"budgets": budgets}))
    assert allowed(pool, nodes, reason, 0) == left


def test_a_schedule_is_active_for_its_duration() -> None:
    item = DisruptionBudget(nodes="0", schedule="0 9 * * *", duration="1h")
    assert [is_active(item, round(at * HOUR)) for at in (8.99, 9, 9.5, 10, 10.1)] == [False, True, True, False, False]


def test_what_it_costs_to_evict_a_pod() -> None:
    def pod(cost: str = "", priority: int | None = None) -> Pod:
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {}
        spec = from_wire({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": pod_template("a")["spec"]}).spec
        return Pod(metadata=ObjectMeta(annotations=annotations), spec=replace(spec, priority=priority))

    assert eviction_cost(pod()) == 1.0
    assert eviction_cost(pod("134217728")) == 2.0  # 2^27
    assert eviction_cost(pod("-2147483647")) == -10.0
    assert eviction_cost(pod("many")) == 1.0
    assert eviction_cost(pod(priority=33554432)) == 2.0  # 2^25
    assert eviction_cost(pod(priority=1_000_000_000)) == 10.0
