"""A random scenario from a seed: cluster, workload, strategy, autoscalers, latencies, overlapping faults.

Swarm-style: each seed switches a random half of all features off, so that what is left meets more often than it would
if everything were always there. A scenario is plain data, as `podyard run` reads it. It heals: faults end, and then
HEAL_NS pass.

Source: Groce et al., "Swarm Testing", ISSTA 2012.
"""

from __future__ import annotations

from random import Random
from typing import Any

from harness.autoscaling.provisioning.catalogue import shipped_catalogue
from harness.autoscaling.provisioning.templates import example_nodes
from harness.convergence.checkers import HEAL_NS
from harness.engine.component import MINUTE, SECOND
from harness.engine.streams import stream
from harness.faults.timeline import parse
from harness.model.objects import from_wire
from harness.simulation.node_pools import SETTINGS, node_pools
from harness.simulation.objects import FEATURES as OBJECT_FEATURES
from harness.simulation.objects import objects
from harness.simulation.random_faults import (
    DRAWN,
    Scene,
    random_fault,
    random_refusal,
    random_registry_outage,
    random_restore,
)
from harness.simulation.scalers import autoscaler_flags, declared_metrics
from harness.simulation.training import is_training, random_training

STRATEGIES = (
    "greedy",
    "least-allocated",
    "random",
    "kube",
    "kube",
    "fgd",
    "best-fit",
    "dot-product",
    "gpu-packing",
    "gpu-clustering",
    "random-fit",
    "ranked",
    "binpack",
    "binpack?batch_size=1",
    "binpack?batch_size=8",
    "migrating",
    "harness.simulation.third_party:least_pods",
    "harness.simulation.third_party:WholeBatch",
    "harness.simulation.third_party:Evicting",
)
"""Shipped ones, and some as a third party may write them."""

FEATURES = (
    *OBJECT_FEATURES,
    *DRAWN,
    "zones",
    "taints",
    "pools",
    "service",
    "autoscaler",
    "batch",
    "latencies",
    "slow-watch",
    "events",
    "preemption",
    "few-nodes",
    "node-labels",
    "small-batches",
    "wild-pools",
    "autoscaler-flags",
    "queues",
    "constants",
    "node-pools",
)
STRIKES_NS = 6 * MINUTE
"""Faults begin within so long of each other."""


def random_scenario(seed: int) -> dict[str, Any]:
    """Of pods, or now and then of training jobs. The same for the same seed and version, on every machine."""
    return random_training(seed) if is_training(seed) else random_pods(seed)


def random_pods(seed: int) -> dict[str, Any]:
    """A scenario under a strategy that places pods."""
    rng = stream(seed, "simulation")
    on = {name for name in FEATURES if rng.random() < 0.5}
    zones = ["a", "b", "c"][: rng.randint(2, 3)] if "zones" in on else ["a"]
    workload = _workload(rng, on)
    spec: dict[str, Any] = {
        "seed": seed,
        "nodes": _nodes(rng, on, zones),
        "workload": workload,
        "schedulers": [rng.choice(STRATEGIES)],
        "bound": False,
        "events": "events" in on,
    }
    if "node-pools" in on and ("pools" not in on or rng.random() < 0.5):
        workload.append({"objects": node_pools(rng)})
        spec["autoscaler"] = "just-in-time" + rng.choice(SETTINGS)
    elif "pools" in on:
        spec["pools"] = _pools(rng, zones, wild="wild-pools" in on)
        spec["autoscaler"] = "cluster-autoscaler?expander=" + rng.choice(
            ("least-waste", "most-pods", "least-nodes", "random", "most-pods,random")
        )
        if "autoscaler-flags" in on:
            spec["autoscaler"] += autoscaler_flags(rng)
            if "max-node-provision-time=2m" in spec["autoscaler"]:  # what takes longer is given up, again and again
                for pool in spec["pools"]:
                    pool["provisioning"] = "45s"
    if "hpa" in on and "hpa-metrics" in on:
        spec["metrics"] = declared_metrics(rng, workload)
    if "constants" in on:
        spec["constants"] = _constants(rng)
    scheduling: dict[str, Any] = {}
    if "preemption" in on:
        scheduling["preemption"] = True
    if "small-batches" in on:
        scheduling["batch"] = rng.choice((1, 2, 7))
    if scheduling:
        spec["scheduling"] = scheduling
    if "latencies" in on or "slow-watch" in on:
        spec["latencies"] = _latencies(rng, slow="slow-watch" in on)
    # The zones that are left where groups are smaller than there are zones.
    zones = zones[: max(source["group"]["count"] for source in spec["nodes"])]
    scene = _scene(spec, workload, zones)
    spec["faults"] = [
        fault
        for name in DRAWN
        if name in on
        for _ in range(rng.randint(1, 2))
        if (fault := random_fault(name, rng, scene, round(STRIKES_NS / SECOND))) is not None
    ]
    restore = random_restore(stream(seed, "simulation/restore"), round(STRIKES_NS / SECOND))
    if restore is not None:
        spec["faults"].append(restore)
    refusal = random_refusal(stream(seed, "simulation/refusal"), scene, round(STRIKES_NS / SECOND))
    if refusal is not None:
        spec["faults"].append(refusal)
    unpulled = random_registry_outage(stream(seed, "simulation/registry"), round(STRIKES_NS / SECOND))
    if unpulled is not None:
        spec["faults"].append(unpulled)
    quiet = max((planned.quiet_from_ns or 0 for planned in parse(spec["faults"])), default=0)
    spec["duration"] = f"{(quiet + HEAL_NS) // MINUTE + 3}m"
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": f"simulated-{seed}"},
        "spec": spec,
    }


_CONSTANTS: dict[str, tuple[str | float, ...]] = {
    "node-monitor-grace-period": ("20s", "50s"),
    "node-eviction-rate": (0.1, 10),
    "horizontal-pod-autoscaler-sync-period": ("5s", "60s"),
    "horizontal-pod-autoscaler-downscale-stabilization": ("0s", "300s"),
    "horizontal-pod-autoscaler-tolerance": (0, 0.5),
    "genericPlegRelistPeriod": ("1s",),
    "minSyncPeriod": ("1s",),
}


def _constants(rng: Random) -> dict[str, Any]:
    return {name: rng.choice(_CONSTANTS[name]) for name in rng.sample(sorted(_CONSTANTS), rng.randint(1, 3))}


def _scene(spec: dict[str, Any], workload: list[dict[str, Any]], zones: list[str]) -> Scene:
    objects: list[tuple[str, str, str]] = []
    for source in workload:
        if "service" in source:
            name = source["service"]["name"]
            objects += [("Deployment", "default", name), ("Service", "default", name)]
        for obj in source.get("objects", ()):
            meta = obj["metadata"]
            objects.append((obj["kind"], meta.get("namespace", ""), meta["name"]))
    groups = [source["group"] for source in spec["nodes"]]
    nodes = [f"{group['name']}-{index}" for group in groups for index in range(group["count"])]
    nodes += [f"{pool['name']}-0" for pool in spec.get("pools", ())]
    pools = [from_wire(obj) for source in workload for obj in source.get("objects", ()) if obj["kind"] == "NodePool"]
    names = [pool["name"] for pool in spec.get("pools", ())]
    return Scene(apps(workload), zones, nodes, objects, names, bool(example_nodes(pools, shipped_catalogue())))


def apps(workload: list[dict[str, Any]]) -> list[str]:
    """Values of the label `app` among the pods of a workload."""
    found: dict[str, None] = {}
    for source in workload:
        if "service" in source:
            found[source["service"]["name"]] = None
        for obj in source.get("objects", ()):
            template = obj["spec"].get("template", obj) if isinstance(obj.get("spec"), dict) else obj
            name = template.get("metadata", {}).get("labels", {}).get("app")
            if name:
                found[name] = None
    return list(found)


def _nodes(rng: Random, on: set[str], zones: list[str]) -> list[dict[str, Any]]:
    groups = []
    for index in range(rng.randint(1, 2)):
        group: dict[str, Any] = {
            "name": "nm"[index],
            "count": rng.randint(1, 2) if "few-nodes" in on else rng.randint(2, 5),
            "cpu": rng.choice((2, 4, 8)),
            "memory": rng.choice(("4Gi", "16Gi")),
            "zones": zones,
        }
        if rng.random() < 0.3:
            group["pods"] = rng.choice((3, 8))
        if rng.random() < 0.3:
            group |= {"gpus": rng.choice((1, 4)), "gpuModel": "T4"}
        if "node-labels" in on:
            group["labels"] = {"tier": rng.choice(("gold", "iron"))}
        if index and "taints" in on:
            effect = rng.choice(("NoSchedule", "PreferNoSchedule", "NoExecute"))
            group["taints"] = [{"key": "dedicated", "effect": effect}]
        groups.append({"group": group})
    return groups


def _pools(rng: Random, zones: list[str], *, wild: bool) -> list[dict[str, Any]]:
    """`wild`: with devices, taints, labels, few pods a node, nodes that take ten minutes."""
    out: list[dict[str, Any]] = []
    for index in range(rng.randint(1, 3 if wild else 2)):
        pool: dict[str, Any] = {
            "name": f"pool{index}",
            "min": rng.choice((0, 0, 1)),
            "max": rng.randint(1, 3),
            "cpu": rng.choice((2, 4)),
            "memory": "8Gi",
            "zone": rng.choice(zones),
            "provisioning": rng.choice(("10s", "45s", "3m")),
        }
        if wild:
            pool |= rng.choice(
                (
                    {"gpus": 2, "gpuModel": "T4"},
                    {"taints": [{"key": "dedicated", "effect": rng.choice(("NoSchedule", "NoExecute"))}]},
                    {"labels": {"tier": "gold"}},
                    {"pods": 2},
                    {"provisioning": "10m"},
                )
            )
        out.append(pool)
    return out


def _workload(rng: Random, on: set[str]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if "service" in on:
        service: dict[str, Any] = {
            "name": "web",
            "replicas": rng.randint(1, 4),
            "cpu": rng.choice(("250m", "1")),
            "memory": "256Mi",
            "load": {"constant": {"rps": rng.choice((1, 20, 80))}},
        }
        if rng.random() < 0.5:
            service["minAvailable"] = rng.choice((1, 2, "50%"))
        if "queues" in on:
            service |= _queue(rng)
        if "autoscaler" in on:
            least, most, target = rng.randint(1, 2), rng.randint(2, 6), rng.choice((30, 70))
            service["autoscaler"] = {"min": least, "max": most, "targetCpu": target}
        out.append({"service": service})
    if "batch" in on:
        out.append(
            {
                "openbLike": {
                    "pods": rng.randint(3, 20),
                    "longest": rng.choice(("1m", "4m")),
                    "load": rng.choice((50, 120)),
                    "controller": rng.choice(("none", "Job")),
                }
            }
        )
    made = objects(rng, on)
    if made:
        out.append({"objects": made})
    if not out:
        out.append({"objects": objects(rng, {"deployments"})})
    return out


def _queue(rng: Random) -> dict[str, Any]:
    """Pods that are slow, with short queues and clients in a hurry, under a load that comes and goes."""
    rate = rng.choice((5, 40, 150))
    out: dict[str, Any] = {
        "slo": {"latency": "60s", "objective": 1},  # one that some number of replicas meets, whatever is drawn here
        "cpuPerRequest": rng.choice(("5m", "50m", "200m")),
        "load": rng.choice(
            (
                {"constant": {"rps": rate}},
                {"step": {"at": "4m", "before": 1, "after": rate}},
                {"spike": {"at": "5m", "base": 2, "peak": rate, "rise": "10s", "hold": "90s"}},
                {"ramp": {"start": "1m", "end": "8m", "from": 0, "to": rate}},
            )
        ),
    }
    if rng.random() < 0.5:
        out |= {"queueLimit": rng.choice((1, 20)), "timeout": rng.choice(("4s", "15s"))}
    if rng.random() < 0.4:
        out["concurrency"] = rng.choice((1, 8))
    if rng.random() < 0.4:
        out["serviceTime"] = rng.choice(("deterministic", {"distribution": "gamma", "cv": 2}))
    return out


def _latencies(rng: Random, *, slow: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for hop, values in (
        ("apiCall", ("1ms", "20ms", "200ms")),
        ("watch", ("1ms", "50ms", "900ms")),
        ("network", ("1ms", "10ms")),
        ("scheduling", ("1ms", "100ms")),
        ("containerStart", ("10ms", "3s")),
        ("imagePull", ("100ms", "20s")),
    ):
        if rng.random() < 0.6:
            out[hop] = {"constant": rng.choice(values)}
        elif rng.random() < 0.5:
            out[hop] = {"median": rng.choice(("2ms", "20ms")), "p99": rng.choice(("100ms", "2s", "8s"))}
    if slow:
        out["watch"] = {"median": rng.choice(("2ms", "100ms")), "p99": rng.choice(("8s", "30s"))}
    return out
