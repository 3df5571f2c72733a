"""Random NodePools (karpenter.sh/v1), from which nodes are made just in time."""

from __future__ import annotations

from random import Random
from typing import Any

SETTINGS = (
    "",
    "?provisioning=10s",
    "?provisioning=3m",
    "?provisioning=20s&provisioning-p99=4m",
    "?batch-idle-duration=5s&batch-max-duration=30s",
)


def node_pools(rng: Random) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": f"np{index}"},
            "spec": _spec(rng),
        }
        for index in range(rng.randint(1, 2))
    ]


def _spec(rng: Random) -> dict[str, Any]:
    template: dict[str, Any] = {
        "nodeClassRef": {"group": "podyard.dev", "kind": "NodeClass", "name": "default"},
        "requirements": _requirements(rng),
    }
    if rng.random() < 0.2:
        template["taints"] = [{"key": "dedicated", "effect": rng.choice(("NoSchedule", "NoExecute"))}]
    if rng.random() < 0.3:
        template["terminationGracePeriod"] = rng.choice(("30s", "5m"))
    if rng.random() < 0.3:
        template["expireAfter"] = rng.choice(("Never", "20m"))
    whole: dict[str, Any] = {"spec": template}
    if rng.random() < 0.4:
        whole["metadata"] = {"labels": {"tier": rng.choice(("gold", "iron"))}}
    spec: dict[str, Any] = {"template": whole, "limits": {"cpu": rng.choice((4, 16, 64))}}
    spec["disruption"] = {
        "consolidationPolicy": rng.choice(("WhenEmpty", "WhenEmptyOrUnderutilized")),
        "consolidateAfter": rng.choice(("0s", "30s", "5m", "Never")),
    }
    if rng.random() < 0.4:
        spec["disruption"]["budgets"] = [{"nodes": rng.choice(("0", "1", "50%", "100%"))}]
    if rng.random() < 0.3:
        spec["weight"] = rng.choice((1, 50))
    return spec


def _requirements(rng: Random) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}]
    if rng.random() < 0.6:
        family = rng.choice(("m7i", "c6a", "t3", "g4dn", "r7g"))
        out.append({"key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": [family]})
    if rng.random() < 0.5:
        out.append({"key": "karpenter.k8s.aws/instance-cpu", "operator": "Lt", "values": [rng.choice(("3", "9"))]})
    if rng.random() < 0.3:
        zone = rng.choice(("us-east-1a", "us-east-1b"))
        out.append({"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]})
    return out


def node_pool_change(rng: Random) -> dict[str, Any]:
    """A merge patch of its spec: what makes nodes drift, what holds them, what lets them go."""
    return rng.choice(
        (
            {"limits": {"cpu": rng.choice((0, 2, 32))}},
            {"template": {"metadata": {"labels": {"tier": rng.choice(("gold", "iron"))}}}},
            {"disruption": {"consolidateAfter": rng.choice(("0s", "2m", "Never"))}},
            {"disruption": {"budgets": [{"nodes": rng.choice(("0", "1"))}]}},
            {"weight": rng.choice((1, 90))},
        )
    )
