"""A random entry of a scenario's faults, of a given kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

from harness.simulation.batch import SCHEDULES
from harness.simulation.node_pools import node_pool_change
from harness.simulation.scalers import hpa_behavior, hpa_metrics


@dataclass(frozen=True, slots=True)
class Scene:
    """What faults may hit. `apps`: values of the label `app`; `objects`: (kind, namespace, name) of the workload;
    `growing`: a NodePool may make nodes."""

    apps: list[str]
    zones: list[str]
    nodes: list[str]
    objects: list[tuple[str, str, str]]
    pools: list[str] = field(default_factory=list)
    growing: bool = False

    def named(self, *kinds: str) -> list[tuple[str, str, str]]:
        return [item for item in self.objects if item[0] in kinds]


Draw: TypeAlias = Callable[[Random, Scene], dict[str, Any] | None]
"""-> the fault's own fields; None where it has nothing to hit."""

OWNERS = ("Deployment", "ReplicaSet", "DaemonSet", "Job", "StatefulSet", "CronJob", "ReplicationController")
"""Deleted with a propagation policy."""


def _lasts(rng: Random) -> str:
    """From what nobody notices to what outlasts every timer; near 40 s and 50 s, where a lease runs out, to the ms."""
    near = f"{rng.randint(38_000, 52_000)}ms"
    return rng.choice(("300ms", "5s", "20s", near, near, "90s", "6m", "11m"))


def _select(rng: Random, scene: Scene) -> dict[str, Any]:
    return rng.choice(
        (
            {"count": 1},
            {"count": min(2, len(scene.nodes))},
            {"zone": rng.choice(scene.zones)},
            {"app": rng.choice(scene.apps)} if scene.apps else {"count": 1},
        )
    )


def _node_crash(rng: Random, scene: Scene) -> dict[str, Any]:
    fields: dict[str, Any] = {"select": _select(rng, scene)}
    if rng.random() < 0.8:
        fields["downFor"] = _lasts(rng)
    return fields


def _outage(rng: Random) -> dict[str, Any]:
    return {"downFor": rng.choice(("100ms", "5s", "30s", "2m"))}


def _process_outage(rng: Random) -> dict[str, Any]:
    """Of a whole process, or of its watches: broken, late, or broken beyond the history that there is."""
    if rng.random() < 0.5:
        return _outage(rng)
    how: dict[str, Any] = rng.choice(({}, {"expired": True}, {"late": rng.choice(("700ms", "9s", "70s"))}))
    return {"downFor": rng.choice(("5s", "45s", "6m")), "of": "watches", **how}


def _app(fields: Callable[[Random], dict[str, Any]]) -> Draw:
    def draw(rng: Random, scene: Scene) -> dict[str, Any] | None:
        return {"app": rng.choice(scene.apps), "count": rng.randint(1, 3), **fields(rng)} if scene.apps else None

    return draw


def _deployment_change(rng: Random, scene: Scene) -> dict[str, Any] | None:
    found = scene.named("Deployment")
    if not found:
        return None
    _, namespace, name = rng.choice(found)
    change = rng.choice(({"replicas": rng.randint(0, 5)}, {"image": f"i:{rng.randint(2, 9)}"}))
    return {"name": name, "namespace": namespace, **change}


def _object_deletion(rng: Random, scene: Scene) -> dict[str, Any]:
    """Of anything in the workload; sometimes of what is not there, and then the command fails, as commands do."""
    if rng.random() < 0.2:
        return {"kind": "Node", "name": rng.choice(scene.nodes)}
    kind, namespace, name = rng.choice([*scene.objects, ("Namespace", "", "team"), ("ConfigMap", "default", "absent")])
    chosen = {"kind": kind, "name": name, **({"namespace": namespace} if namespace else {})}
    if kind in OWNERS and rng.random() < 0.7:
        chosen["propagation"] = rng.choice(("Background", "Foreground", "Orphan"))
    return chosen


def _template(rng: Random) -> dict[str, Any]:
    """Of a controller's pods: another version."""
    return rng.choice(
        (
            {"template": {"metadata": {"annotations": {"version": str(rng.randint(1, 9))}}}},
            {"template": {"spec": {"nodeSelector": {"tier": rng.choice(("gold", "iron"))}}}},
            {"template": {"spec": {"terminationGracePeriodSeconds": rng.choice((0, 20))}}},
        )
    )


_PATCHES: dict[str, Callable[[Random], dict[str, Any]]] = {
    "Deployment": lambda rng: rng.choice(
        (
            {"spec": {"paused": rng.random() < 0.4}},
            {"spec": {"replicas": rng.randint(0, 6)}},
            {"spec": {"minReadySeconds": rng.choice((0, 5, 40))}},
            {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}},
            {"metadata": {"labels": {"seen": "yes"}}},
            {"spec": _template(rng)},
        )
    ),
    "ReplicaSet": lambda rng: {"spec": {"replicas": rng.randint(0, 5)}},
    "ReplicationController": lambda rng: {"spec": rng.choice(({"replicas": rng.randint(0, 5)}, _template(rng)))},
    "CronJob": lambda rng: {
        "spec": rng.choice(
            (
                {"suspend": rng.random() < 0.5},
                {"schedule": rng.choice(SCHEDULES)},
                {"concurrencyPolicy": rng.choice(("Allow", "Forbid", "Replace"))},
                {"successfulJobsHistoryLimit": rng.choice((0, 2))},
            )
        )
    },
    "NodePool": lambda rng: {"spec": node_pool_change(rng)},
    "DaemonSet": lambda rng: {"spec": rng.choice((_template(rng), {"updateStrategy": {"type": "OnDelete"}}))},
    "StatefulSet": lambda rng: {
        "spec": rng.choice(
            (
                _template(rng),
                _template(rng),
                {"replicas": rng.randint(0, 5)},
                {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": rng.randint(0, 2)}}},
                {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}},
                {"minReadySeconds": rng.choice((0, 20))},
                {"persistentVolumeClaimRetentionPolicy": {"whenScaled": rng.choice(("Retain", "Delete"))}},
            )
        )
    },
    "Job": lambda rng: {
        "spec": rng.choice(
            (
                {"suspend": rng.random() < 0.5},
                {"parallelism": rng.randint(0, 4)},
                {"activeDeadlineSeconds": rng.choice((30, 300))},
                {"ttlSecondsAfterFinished": rng.choice((0, 60))},
            )
        )
    },
    "PodDisruptionBudget": lambda rng: {
        "spec": rng.choice(
            ({"minAvailable": None, "maxUnavailable": rng.choice((0, 1, "100%"))}, {"minAvailable": rng.randint(0, 3)})
        )
    },
    "ResourceQuota": lambda rng: {"spec": {"hard": {"pods": str(rng.randint(0, 20))}}},
    "HorizontalPodAutoscaler": lambda rng: {
        "spec": rng.choice(
            (
                {"minReplicas": 1, "maxReplicas": rng.randint(1, 6)},
                {"metrics": hpa_metrics(rng, "dep0", served=False)},
                {"behavior": hpa_behavior(rng) or None},
            )
        )
    },
    "Service": lambda rng: {"spec": {"selector": {"app": rng.choice(("dep0", "dep1", "web", "nobody"))}}},
    "PodGroup": lambda rng: {"spec": {"minMember": rng.randint(1, 4)}},
    "Node": lambda rng: rng.choice(
        (
            {"spec": {"unschedulable": True}},
            {"spec": {"unschedulable": None}},
            {"metadata": {"labels": {"tier": rng.choice(("gold", "iron"))}}},
            # A merge patch replaces the list, with the taints of the node lifecycle controller in it.
            {"spec": {"taints": [{"key": "dedicated", "effect": rng.choice(("NoSchedule", "NoExecute"))}]}},
            {"spec": {"taints": None}},
        )
    ),
}


def _object_change(rng: Random, scene: Scene) -> dict[str, Any] | None:
    options = [*scene.named(*_PATCHES), *(("Node", "", name) for name in scene.nodes[:3])]
    kind, namespace, name = rng.choice(options)
    where = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "name": name, **where, "patch": _PATCHES[kind](rng)}


def _drain(rng: Random, scene: Scene) -> dict[str, Any]:
    """With kubectl's flags; without some of them it may fail, as commands do."""
    fields: dict[str, Any] = {"select": _select(rng, scene), "timeout": rng.choice(("0s", "20s", "3m"))}
    for flag, chance in (
        ("force", 0.7),
        ("ignoreDaemonsets", 0.8),
        ("deleteEmptydirData", 0.8),
        ("disableEviction", 0.1),
    ):
        if rng.random() < chance:
            fields[flag] = True
    if rng.random() < 0.2:
        fields["gracePeriod"] = rng.choice((0, 5))
    return fields


def _node_upgrade(rng: Random, scene: Scene) -> dict[str, Any]:
    surge = {"surge": True} if rng.random() < 0.3 else {}
    failure = rng.choice(("stop", "goOn"))
    return {**_drain(rng, scene), "boot": rng.choice(("5s", "90s")), "onDrainFailure": failure, **surge}


def _spot_reclaim(rng: Random, scene: Scene) -> dict[str, Any]:
    handler = rng.choice(("drain", "cordon", "nothing", *(("deleteNodeClaim",) if scene.named("NodePool") else ())))
    return {"select": {"count": 1}, "notice": rng.choice(("30s", "120s")), "onNotice": handler, **_deleted(rng)}


def _deleted(rng: Random) -> dict[str, Any]:
    return {"deletedAfter": rng.choice(("0s", "1m"))}


def _workload_change(fields: Callable[[Random], dict[str, Any]], *kinds: str) -> Draw:
    def draw(rng: Random, scene: Scene) -> dict[str, Any] | None:
        found = scene.named(*kinds)
        if not found:
            return None
        kind, namespace, name = rng.choice(found)
        return {"kind": kind, "name": name, "namespace": namespace or "default", **fields(rng)}

    return draw


def _node_taint(rng: Random, scene: Scene) -> dict[str, Any]:
    effect = rng.choice(("NoSchedule", "PreferNoSchedule", "NoExecute"))
    remove = {"remove": True} if rng.random() < 0.5 else {}
    return {"key": "dedicated", "effect": effect, "select": _select(rng, scene), **remove}


def _apply(rng: Random, scene: Scene) -> dict[str, Any]:
    data = {"at": str(rng.randint(0, 9))}
    return {"objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}]}


def _provider_outage(rng: Random, scene: Scene) -> dict[str, Any] | None:
    """Of pools that the scenario has."""
    if not scene.pools:
        return None
    does = rng.choice(("quota", "outOfStock", "silent", "late"))
    return {"pools": [rng.choice(scene.pools)], "does": does, "for": rng.choice(("30s", "5m")), "lateBy": "2m"}


_SCALED = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet")
_ROLLING = ("Deployment", "StatefulSet", "DaemonSet")

_DRAWS: dict[str, Draw] = {
    "nodeCrash": _node_crash,
    "nodeFreeze": lambda rng, scene: {"select": _select(rng, scene), "for": _lasts(rng)},
    "zonePartition": lambda rng, scene: {"zone": rng.choice(scene.zones), "for": _lasts(rng)},
    "containerCrash": _app(lambda rng: {"exitCode": rng.choice((0, 1, 137))}),
    "apiServerRestart": lambda rng, scene: _outage(rng),
    "schedulerOutage": lambda rng, scene: _process_outage(rng),
    "controllerManagerOutage": lambda rng, scene: _process_outage(rng),
    "podDeletion": _app(lambda rng: rng.choice(({}, {"graceSeconds": 0}, {"graceSeconds": 60}))),
    "deploymentChange": _deployment_change,
    "objectChange": _object_change,
    "objectDeletion": _object_deletion,
    "apply": _apply,
    "scale": _workload_change(
        lambda rng: {"replicas": rng.randint(0, 5)}, "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"
    ),
    "rolloutRestart": _workload_change(lambda rng: {}, *_ROLLING),
    "setImage": _workload_change(lambda rng: {"image": f"i:{rng.randint(2, 9)}"}, *_ROLLING),
    "cordon": lambda rng, scene: {"select": _select(rng, scene)},
    "uncordon": lambda rng, scene: {"select": _select(rng, scene)},
    "nodeTaint": _node_taint,
    "drain": _drain,
    "nodeJoin": lambda rng, scene: {
        "like": rng.choice(scene.nodes),
        "name": f"more{rng.randint(0, 99)}",
        "boot": "20s",
    },
    "nodeLeave": lambda rng, scene: {"select": {"count": 1}, **_deleted(rng)},
    "nodeUpgrade": _node_upgrade,
    "spotReclaim": _spot_reclaim,
    "providerOutage": _provider_outage,
}

DRAWN = tuple(_DRAWS)
"""Each is in half of the scenarios."""

FAULTS = (*DRAWN, "etcdRestore", "registryOutage")

RESTORED = 0.12
"""How often the store is restored, by a stream of its own: scenarios without it stay as they were."""


def random_restore(rng: Random, within_s: int, chance: float | None = None) -> dict[str, Any] | None:
    if rng.random() >= (RESTORED if chance is None else chance):
        return None
    at_ms = rng.randint(2_000, within_s * 1000)
    age_ms = min(rng.choice((500, 8_000, 45_000, 120_000, 400_000)), at_ms)
    return {"at": f"{at_ms}ms", "etcdRestore": {"age": f"{age_ms}ms", **_outage(rng)}}


REFUSED = 0.25
"""Of scenarios with NodePools: machines that are not to be had. By a stream of its own, too."""


def random_refusal(rng: Random, scene: Scene, within_s: int) -> dict[str, Any] | None:
    """The provider does not make what NodeClaims ask for, or makes it late."""
    if not scene.growing or rng.random() >= REFUSED:
        return None
    does = rng.choice(("quota", "outOfStock", "error", "silent", "late"))
    lasts = {"for": rng.choice(("30s", "3m")), "lateBy": "2m"}
    return {"at": f"{rng.randint(0, within_s * 1000)}ms", "providerOutage": {"does": does, **lasts}}


UNPULLED = 0.15
"""Of scenarios in which images cannot be pulled for a while. By a stream of its own, too."""


def random_registry_outage(rng: Random, within_s: int) -> dict[str, Any] | None:
    if rng.random() >= UNPULLED:
        return None
    does = rng.choice(("unavailable", "notFound", "denied", "rateLimit"))
    lasts = {"for": rng.choice(("20s", "2m", "6m"))}
    return {"at": f"{rng.randint(0, within_s * 1000)}ms", "registryOutage": {"does": does, **lasts}}


def random_fault(name: str, rng: Random, scene: Scene, within_s: int) -> dict[str, Any] | None:
    """At an instant within `within_s`, to the millisecond, or at a rate until then."""
    fields = _DRAWS[name](rng, scene)
    if fields is None:
        return None
    if rng.random() < 0.25:
        return {"every": f"{rng.randint(20, 120)}s", "until": f"{within_s}s", name: fields}
    # Some at the same instant as others.
    at_ms = rng.choice((60_000, 120_000)) if rng.random() < 0.25 else rng.randint(2_000, within_s * 1000)
    return {"at": f"{at_ms}ms", name: fields}
