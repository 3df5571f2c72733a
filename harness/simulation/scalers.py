"""Random settings of autoscalers: metrics and behavior of the horizontal one, flags of the cluster autoscaler."""

from __future__ import annotations

from random import Random
from typing import Any

QUEUE = "queue_depth"
"""A metric that the scenario declares: external, and of Services."""


def hpa_metrics(rng: Random, app: str, *, served: bool = True) -> list[dict[str, Any]]:
    """One to three, of all kinds that there are; without `served` some that nobody serves, as only a change may bring
    them."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": rng.choice((20, 60, 90))}}
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": rng.choice(("32Mi", "512Mi"))}}
    of_pods = {
        "metric": {"name": rng.choice(("requests_per_second", "queue_length", "latency_seconds"))},
        "target": {"type": "AverageValue", "averageValue": rng.choice(("500m", "10"))},
    }
    if not served and rng.random() < 0.3:
        of_pods["metric"] = {"name": "nobody_serves_it"}
    outside = {"metric": {"name": QUEUE}, "target": rng.choice(({"type": "Value", "value": "20"}, _average(rng)))}
    of_object = {
        "metric": {"name": QUEUE},
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": app},
        "target": {"type": "Value", "value": rng.choice(("5", "40"))},
    }
    of_container = {**cpu, "container": rng.choice(("c", "c", "absent"))}
    options: list[dict[str, Any]] = [
        {"type": "Resource", "resource": cpu},
        {"type": "Resource", "resource": memory},
        {"type": "Pods", "pods": of_pods},
        {"type": "External", "external": outside},
        {"type": "Object", "object": of_object},
        {"type": "ContainerResource", "containerResource": of_container},
    ]
    return rng.sample(options, rng.randint(1, 3))


def _average(rng: Random) -> dict[str, Any]:
    return {"type": "AverageValue", "averageValue": rng.choice(("3", "15"))}


def hpa_behavior(rng: Random) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for way in ("scaleUp", "scaleDown"):
        if rng.random() < 0.6:
            rules: dict[str, Any] = {"stabilizationWindowSeconds": rng.choice((0, 30, 300))}
            if rng.random() < 0.6:
                policies = [
                    {"type": "Pods", "value": rng.randint(1, 3), "periodSeconds": rng.choice((15, 60))},
                    {"type": "Percent", "value": rng.choice((10, 100)), "periodSeconds": rng.choice((15, 120))},
                ]
                rules["policies"] = rng.sample(policies, rng.randint(1, 2))
                rules["selectPolicy"] = rng.choice(("Max", "Min", "Max", "Disabled"))
            out[way] = rules
    return out


def declared_metrics(rng: Random, workload: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For `spec.metrics`: what the autoscalers of the workload ask for."""
    series: tuple[dict[str, Any], ...] = (
        {"constant": {"value": rng.choice((0, 10, 100))}},
        {"step": {"at": "3m", "before": 2, "after": 60}},
        {"spike": {"at": "4m", "base": 1, "peak": 200, "hold": "2m"}},
    )
    out: list[dict[str, Any]] = [{"name": QUEUE, "series": rng.choice(series)}]
    for source in workload:
        for obj in source.get("objects", ()):
            for metric in obj.get("spec", {}).get("metrics", ()) if obj["kind"] == "HorizontalPodAutoscaler" else ():
                if "object" in metric:
                    of = {"kind": "Service", "name": metric["object"]["describedObject"]["name"]}
                    where = obj["metadata"].get("namespace", "default")
                    out.append({"name": QUEUE, "series": rng.choice(series), "namespace": where, "object": of})
    return out


_FLAGS: dict[str, tuple[str, ...]] = {
    "scan-interval": ("10s", "30s"),
    "max-nodes-total": ("3", "6"),
    "max-node-provision-time": ("2m", "15m"),
    "balance-similar-node-groups": ("true",),
    "expendable-pods-priority-cutoff": ("-20", "0"),
    "new-pod-scale-up-delay": ("20s",),
    "max-nodes-per-scaleup": ("1",),
    "ok-total-unready-count": ("0", "3"),
    "max-total-unready-percentage": ("0", "45"),
    "scale-down-enabled": ("false",),
    "scale-down-unready-enabled": ("false",),
    "scale-down-delay-after-add": ("1m", "10m"),
    "scale-down-delay-after-delete": ("10s", "1m"),
    "scale-down-delay-after-failure": ("30s",),
    "scale-down-unneeded-time": ("1m", "10m"),
    "scale-down-unready-time": ("2m",),
    "scale-down-utilization-threshold": ("0.2", "0.9"),
    "ignore-daemonsets-utilization": ("true",),
    "unremovable-node-recheck-timeout": ("30s",),
    "max-scale-down-parallelism": ("1",),
    "max-drain-parallelism": ("3",),
    "max-bulk-soft-taint-count": ("0", "1"),
    "node-delete-delay-after-taint": ("0s", "20s"),
    "max-graceful-termination-sec": ("5", "600"),
    "max-pod-eviction-time": ("20s",),
    "daemonset-eviction-for-empty-nodes": ("true",),
    "daemonset-eviction-for-occupied-nodes": ("false",),
    "skip-nodes-with-system-pods": ("false",),
    "skip-nodes-with-local-storage": ("false",),
    "skip-nodes-with-custom-controller-pods": ("false",),
}


def autoscaler_flags(rng: Random) -> str:
    """As parameters of `spec.autoscaler`, after the expander's."""
    return "".join(f"&{name}={rng.choice(_FLAGS[name])}" for name in rng.sample(sorted(_FLAGS), rng.randint(1, 6)))
