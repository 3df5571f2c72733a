"""Policies that only say which nodes to add and remove: what they are shown, and what is done; the oracle; the expander
by price."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from harness.autoscaling import sizing
from harness.autoscaling.cluster.expander import Price
from harness.autoscaling.policy import ScaleUpOption
from harness.experiment.autoscalers import settings_of_autoscaler
from harness.experiment.run import Home, Run
from harness.experiment.scenario import read_scenario
from harness.model.core import Node
from harness.scheduling.registry import load
from tests.autoscaling.just_in_time import CATALOGUE, deployment
from tests.experiment.scenarios import written

POOLS = [
    {"name": "small", "max": 20, "cpu": 2, "memory": "8Gi", "price": 0.1},
    {"name": "large", "max": 20, "cpu": 8, "memory": "32Gi", "price": 0.35},
]

POLICY = '''
"""Buys the offer that takes a pending pod for the least money; gives back nodes that the others could do without."""
from harness.autoscaling.policy import AddNodes, RemoveNode


class Frugal:
    def resize(self, pending, cluster, rng):
        left = list(pending)
        while left:
            fits = [(offer, cluster.fit(left, offer.name)) for offer in cluster.offers]
            found = [(offer.price / len(taken), offer.name) for offer, taken in fits if taken]
            if not found:
                return
            name = min(found)[1]
            yield AddNodes(name)
            taken = {pod.key for pod in cluster.fit(left, name)}
            left = [pod for pod in left if pod.key not in taken]
        for node in sorted(cluster.nodes, key=lambda node: -(node.price or 0)):
            if node.ready and not node.going and not pending and cluster.can_go(node.name):
                yield RemoveNode(node.name)
                return


class Raises(Frugal):
    def resize(self, pending, cluster, rng):
        raise RuntimeError("lost its head")


class Greedy(Frugal):
    def resize(self, pending, cluster, rng):
        yield AddNodes("small", 21)


class Unknown(Frugal):
    def resize(self, pending, cluster, rng):
        yield AddNodes("huge")


class Foreign(Frugal):
    def resize(self, pending, cluster, rng):
        yield RemoveNode("n-0")


class Babbles(Frugal):
    def resize(self, pending, cluster, rng):
        return ["more"]


class Loops(Frugal):
    def resize(self, pending, cluster, rng):
        while True:
            pass


class Endless(Frugal):
    def resize(self, pending, cluster, rng):
        while True:
            yield AddNodes("small", 0)


class Meddles(Frugal):
    def resize(self, pending, cluster, rng):
        for pod in pending:
            pod.labels["app"] = "mine"
        return []
'''


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "sizing_policies.py").write_text(POLICY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sizing_policies", raising=False)
    return "sizing_policies"


def played(folder: Path, autoscaler: str, *objects: dict[str, Any], **spec: Any) -> Run:
    whole = {
        "autoscaler": autoscaler,
        "duration": "5m",
        "bound": False,
        "pools": POOLS,
        "nodes": [{"group": {"name": "n", "count": 1, "cpu": "100m", "memory": "1Gi"}}],
        "workload": [{"objects": list(objects)}] if objects else [],
        **spec,
    }
    run = Run(read_scenario(written(folder, **whole)), load("greedy")(), 1, Home())
    run.play()
    return run


def nodes(run: Run) -> Counter[str]:
    found = run.cluster.server.objects("Node").values()
    pools = (node.metadata.labels.get("podyard.dev/pool", "") for node in found)
    return Counter(pool for pool in pools if pool)


def pending(run: Run) -> int:
    return sum(not pod.spec.node_name for pod in run.cluster.server.objects("Pod").values())


def test_what_fits_and_what_it_costs_is_asked_beforehand(tmp_path: Path, policies: str) -> None:
    """Seven pods: two on a small one are 0.05 each, seven on a large one as well, one on a small one 0.1."""
    run = played(tmp_path, f"{policies}:Frugal", deployment("web", 9))
    assert run.cluster.component_faults == []
    assert nodes(run) == {"large": 1, "small": 1}
    assert pending(run) == 0


def test_nodes_that_are_given_back_are_drained(tmp_path: Path, policies: str) -> None:
    run = played(tmp_path, f"{policies}:Frugal", deployment("web", 9))
    server = run.cluster.server
    server.now = run.cluster.now
    found = server.get("Deployment", "default", "web")
    server.update(replace(found, spec=replace(found.spec, replicas=1)))
    run.cluster.api.flush(server.now)
    run.cluster.run(run.cluster.now + 300 * 10**9)
    assert nodes(run) == {"small": 1}
    assert pending(run) == 0


def test_without_pools_the_catalogue_is_on_offer(tmp_path: Path, policies: str) -> None:
    run = played(tmp_path, f"{policies}:Frugal", deployment("web", 3), pools=[], catalogue=str(CATALOGUE))
    assert run.cluster.component_faults == []
    assert pending(run) == 0
    (name,) = nodes(run)
    assert name == "r.medium.a.spot"  # 0.06 for three pods; s.medium is 0.08


@pytest.mark.component_faults
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Raises", "raised: RuntimeError: lost its head"),
        ("Greedy", "illegal: small has room for 20 more nodes, not for 21"),
        ("Unknown", "illegal: there is no offer 'huge'"),
        ("Foreign", "illegal: 'n-0' is no node of a pool"),
        ("Babbles", "illegal: resize answers with AddNodes and RemoveNode"),
        ("Endless", "illegal: more than 1000 answers"),
        ("Meddles", "mutation: TypeError"),
        ("Loops", "deadline: resize() took longer than 0.2 s"),
    ],
)
def test_one_that_misbehaves_is_contained(
    name: str, told: str, tmp_path: Path, policies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "MOST_ANSWERS", 1000)
    spec = {"scheduling": {"deadline": "200ms" if name == "Loops" else "30s"}}
    run = played(tmp_path, f"{policies}:{name}", deployment("web", 3), duration="90s", **spec)
    assert any(told in text for text in run.cluster.component_faults), run.cluster.component_faults
    assert nodes(run) == {}
    assert run.cluster.now >= 89 * 10**9


def test_the_oracle_buys_before_the_load_comes(tmp_path: Path) -> None:
    """A step at five minutes; its nodes are there before, and what they cost is the least: six more replicas of half a
    CPU are two small nodes (0.2), not one large one (0.35)."""
    service = {
        "name": "web",
        "replicas": 4,
        "cpu": "500m",
        "memory": "256Mi",
        "cpuPerRequest": "20m",
        "load": {"step": {"at": "5m", "before": 40, "after": 300}},
        "autoscaler": {"min": 2, "max": 60},
    }
    group = {"name": "n", "count": 1, "cpu": 2, "memory": "4Gi"}
    run = played(
        tmp_path,
        "node-oracle-yardstick",
        duration="10m",
        nodes=[{"group": group}],
        workload=[{"service": service}],
    )
    assert nodes(run) == {"small": 2}
    came = [node.metadata.creation_timestamp or 0 for node in run.cluster.server.objects("Node").values()]
    assert max(came) < 300 * 10**9
    result = run.result("greedy")
    assert result.metrics["autoscaling"]["default/web"]["responseSeconds"]["max"] < 120


def test_an_autoscaler_by_name_takes_the_place_of_another(tmp_path: Path) -> None:
    group = {"name": "n", "count": 1, "cpu": 2, "memory": "4Gi"}
    loaded = read_scenario(written(tmp_path, nodes=[{"group": group}], workload=[]))
    for name in ("just-in-time", "node-oracle-yardstick"):
        assert settings_of_autoscaler(loaded, name) == {"spec.autoscaler": f'"{name}"'}


def test_the_expander_by_price_takes_the_least_money_for_what_pods_ask() -> None:
    def option(pool: str, price: float | None, count: int) -> ScaleUpOption:
        return ScaleUpOption(pool, Node(), count, (), price)

    priced, unpriced = option("a", 0.1, 2), option("b", None, 1)
    assert list(Price().best([unpriced, priced], Random(0))) == [priced]
    assert list(Price().best([unpriced], Random(0))) == [unpriced]
