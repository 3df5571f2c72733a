"""The checker of evictions finds those that a budget forbids, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.apiserver.registry import eviction
from harness.apiserver.server import ApiServer
from harness.engine.component import MINUTE
from harness.model.objects import from_wire
from harness.model.status import ApiError
from harness.simulation.safety import Safety
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

READY = [{"type": "Ready", "status": "True"}]


class Cluster:
    """Pods a, b and c, on a node that nobody looks after; budgets whose status is written by hand."""

    def __init__(self, *ready: str) -> None:
        self.server = ApiServer(MemoryStore(ObjectCodec()))
        self.safety = Safety(self.server)
        self.server.listeners.append(self.safety.written)
        self.server.eviction_listeners.append(self.safety.evicted)
        self.server.create(from_wire({"kind": "Node", "metadata": {"name": "n"}}))
        for name in "abc":
            spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
            meta = {"name": name, "namespace": "default", "labels": {"app": "x"}}
            made = self.server.create(from_wire({"kind": "Pod", "metadata": meta, "spec": spec}))
            status = {"phase": "Running", "conditions": READY if name in ready else []}
            told = from_wire({"kind": "Pod", "metadata": meta, "spec": spec, "status": status}).status
            self.server.update(replace(made, status=told), "status")

    def budget(self, name: str = "x", *, allowed: int, healthy: int = 3, desired: int = 2, **spec: Any) -> None:
        selector = {"matchLabels": {"app": "x"}}
        meta = {"name": name, "namespace": "default"}
        whole = {"kind": "PodDisruptionBudget", "metadata": meta, "spec": {"selector": selector, **spec}}
        made = self.server.create(from_wire(whole))
        status = replace(
            made.status,
            disruptions_allowed=allowed,
            current_healthy=healthy,
            desired_healthy=desired,
            observed_generation=made.metadata.generation,
        )
        self.server.update(replace(made, status=status), "status")

    def evict(self, name: str = "a") -> list[str]:
        self.server.evict("default", name)
        return [f"{check}: {what.partition('s ')[2]}" for check, what in self.safety.findings]


def test_what_a_budget_allows_is_no_finding() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.budget(allowed=1, minAvailable=2)
    assert cluster.evict() == []
    with pytest.raises(ApiError, match="Cannot evict pod"):
        cluster.evict("b")
    assert cluster.safety.findings == []


def test_an_eviction_past_the_budget_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "spent_budget", lambda *_: None)
    cluster = Cluster("a", "b", "c")
    cluster.budget(allowed=0, desired=3, minAvailable=3)
    assert cluster.evict() == [
        "eviction: Pod default/a is evicted, though budget default/x allows none: 3 are healthy, 3 must be"
    ]


def test_an_eviction_of_a_pod_with_two_budgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "spent_budget", lambda *_: None)
    cluster = Cluster("a", "b", "c")
    cluster.budget("x", allowed=1, minAvailable=2)
    cluster.budget("y", allowed=1, minAvailable=2)
    assert cluster.evict() == ["eviction: Pod default/a is evicted, though 2 budgets are about it"]


def test_a_budget_that_is_not_spent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = eviction.spent_budget

    def unspent(*given: Any) -> Any:
        spent: Any = real(*given)
        return replace(spent, status=replace(spent.status, disruptions_allowed=1))

    monkeypatch.setattr(eviction, "spent_budget", unspent)
    cluster = Cluster("a", "b", "c")
    cluster.budget(allowed=1, minAvailable=2)
    assert cluster.evict() == ["eviction: PodDisruptionBudget default/x allows 1, 0 are left after pod a"]


def test_a_status_that_has_long_been_wrong_is_found_by_a_recount() -> None:
    cluster = Cluster("a", "b")
    cluster.budget(allowed=1, minAvailable=2)
    cluster.server.now = 16 * MINUTE
    assert cluster.evict() == [
        "eviction: Pod default/a is evicted, though by a recount budget default/x has allowed none for 960 s"
    ]
    late = Cluster("a", "b")
    late.budget(allowed=1, minAvailable=2)
    late.server.now = 14 * MINUTE
    assert late.evict() == [], "its controller may have been away"


@pytest.mark.parametrize(
    ("policy", "healthy", "finds"), [("AlwaysAllow", 0, 0), ("IfHealthyBudget", 2, 0), ("IfHealthyBudget", 1, 1)]
)
def test_a_pod_that_is_not_ready_may_go_as_the_policy_says(
    monkeypatch: pytest.MonkeyPatch, policy: str, healthy: int, finds: int
) -> None:
    monkeypatch.setattr(eviction, "spent_budget", lambda *_: None)
    cluster = Cluster("b", "c")
    cluster.budget(allowed=0, healthy=healthy, minAvailable=2, unhealthyPodEvictionPolicy=policy)
    assert len(cluster.evict()) == finds


@pytest.mark.parametrize(("spec", "long"), [({"maxUnavailable": 1}, True), ({"maxUnavailable": "34%"}, False), ({"minAvailable": "67%"}, True)])  # fmt: skip  # noqa: E501
def test_shares_are_of_what_the_controllers_ask_for(spec: dict[str, Any], long: bool) -> None:
    """Of three that a ReplicaSet asks for two are ready: one may be missing, two by a third rounded up."""
    cluster = Cluster("a", "b")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    wanted = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    meta = {"name": "x", "namespace": "default"}
    made = cluster.server.create(from_wire({"kind": "ReplicaSet", "metadata": meta, "spec": wanted}))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": made.metadata.uid, "controller": True}
    refs = from_wire(
        {"kind": "Pod", "metadata": {"name": "x", "ownerReferences": [owner]}, "spec": {"containers": []}}
    ).metadata.owner_references
    for name in "abc":
        pod = cluster.server.get("Pod", "default", name)
        cluster.server.update(replace(pod, metadata=replace(pod.metadata, owner_references=refs)))
    cluster.budget(allowed=1, **spec)
    cluster.server.now = 16 * MINUTE
    assert bool(cluster.evict()) is long
