"""More inputs of the kinds that cluster-autoscaler's own tests have, each as a small cluster through the public door.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37, the file beside each.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.autoscaling.pooled import (
    ON_POOL,
    SMALL,
    Play,
    Played,
    budget,
    daemon_set,
    deployment,
    job,
    nodes_of,
)

ANNOTATION = "cluster-autoscaler.kubernetes.io/"
ZONES = [SMALL | {"name": f"p{zone}", "zone": zone} for zone in "abc"]
FAST = "scale-down-unneeded-time=2m&scale-down-delay-after-add=1m"
"""So that nodes which nobody needs go within minutes."""


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def start(*objects: dict[str, Any], **spec: Any) -> Played:
        return Played(tmp_path, list(objects), **spec)

    return start


def pod(name: str, cpu: Any = 1, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Without a controller."""
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": str(cpu), "memory": "1Gi"}}}
    meta = {"name": name, "namespace": "default", "labels": {"app": name}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def arrives(obj: dict[str, Any], at: str) -> dict[str, Any]:
    obj["metadata"].setdefault("annotations", {})["podyard.dev/arrival"] = at
    return obj


def controlled(kind: str, annotations: dict[str, str]) -> dict[str, Any]:
    """One pod x of a controller of the kind."""
    obj = deployment("x", 1, annotations=annotations)
    obj["kind"] = kind
    if kind == "ReplicationController":
        obj["apiVersion"] = "v1"
        obj["spec"]["selector"] = {"app": "x"}
    if kind == "StatefulSet":
        obj["spec"]["serviceName"] = "x"
    return obj


# -- drainability: simulator/drainability/rules, utils/pod/pod.go, utils/drain/drain_test.go ---------------------------


def goes(play: Play, *objects: dict[str, Any], flags: str = FAST, duration: str = "13m", **spec: Any) -> Played:
    """`objects` come while a job fills the node that is always there, and get a node of the pool. Once the job has
    ended they would fit on the first node, too: what they keep is still there at the end."""
    later = [arrives(obj, "30s") for obj in objects]
    return play(job(4), *later, flags=flags, duration=duration, nodes=nodes_of(4), **spec)


def test_a_pod_annotated_as_a_daemon_sets_neither_keeps_its_node_nor_moves(play: Play) -> None:
    """pod_test.go TestIsDaemonSetPod: by its controller, or by the annotation."""
    done = play(
        pod("x", annotations={f"{ANNOTATION}daemonset-pod": "true"}, **ON_POOL),
        job(3),
        flags=FAST,
        duration="15m",
        nodes=[],
    )
    assert done.nodes == []


@pytest.mark.parametrize(
    ("volumes", "annotations", "stays"),
    [
        ([{"emptyDir": {}}], {}, True),
        ([{"emptyDir": {"medium": "Memory"}}], {}, False),
        ([{"hostPath": {"path": "/x"}}], {}, True),
        ([{"emptyDir": {}}], {f"{ANNOTATION}safe-to-evict-local-volumes": "v0"}, False),
        ([{"emptyDir": {}}, {"emptyDir": {}}], {f"{ANNOTATION}safe-to-evict-local-volumes": "v0"}, True),
        ([{"emptyDir": {}}, {"emptyDir": {}}], {f"{ANNOTATION}safe-to-evict-local-volumes": "v0,v1"}, False),
        ([{"emptyDir": {}}, {"hostPath": {"path": "/x"}}], {f"{ANNOTATION}safe-to-evict-local-volumes": "v0"}, True),
        ([{"emptyDir": {}}], {f"{ANNOTATION}safe-to-evict-local-volumes": "v0,,other"}, False),
        ([{"emptyDir": {}}], {f"{ANNOTATION}safe-to-evict": "true"}, False),
    ],
)
def test_local_storage(play: Play, volumes: list[dict[str, Any]], annotations: dict[str, str], stays: bool) -> None:
    """simulator/drainability/rules/localstorage/rule_test.go."""
    named = [{"name": f"v{number}", **volume} for number, volume in enumerate(volumes)]
    done = goes(play, deployment("x", 1, annotations=annotations, volumes=named))
    assert done.nodes == (["p-0"] if stays else [])
    assert done.pods("x") == {"Running": 1}
    if stays:
        assert "has local storage" in done.why("p-0")


@pytest.mark.parametrize(
    ("kind", "annotations", "stays"),
    [
        ("StatefulSet", {}, False),
        ("ReplicaSet", {}, False),
        ("ReplicationController", {}, False),
        ("Pod", {}, True),
        ("Pod", {f"{ANNOTATION}safe-to-evict": "true"}, False),
        ("Pod", {f"{ANNOTATION}safe-to-evict": "True"}, True),
        ("ReplicaSet", {f"{ANNOTATION}safe-to-evict": "false"}, True),
        ("StatefulSet", {f"{ANNOTATION}safe-to-evict": "no"}, False),
    ],
)
def test_who_owns_the_pod(play: Play, kind: str, annotations: dict[str, str], stays: bool) -> None:
    """simulator/drainability/rules/{replicated,safetoevict,notsafetoevict}/rule_test.go: these values and no others."""
    x = pod("x", annotations=annotations) if kind == "Pod" else controlled(kind, annotations)
    done = goes(play, x)
    assert done.nodes == (["p-0"] if stays else [])


@pytest.mark.parametrize(
    ("budgets", "stays"),
    [
        ([], True),
        ([("x", 0)], False),
        ([("x", 1)], True),
        ([("other", 0)], True),
    ],
)
def test_system_pods_need_a_budget_that_lets_them_go(play: Play, budgets: list[tuple[str, int]], stays: bool) -> None:
    """simulator/drainability/rules/system/rule_test.go."""
    made = [budget(app, least) for app, least in budgets]
    for item in made:
        item["metadata"]["namespace"] = "kube-system"
    done = goes(play, deployment("x", 1, namespace="kube-system"), *made)
    assert done.nodes == (["p-0"] if stays else [])


def test_two_budgets_of_one_pod_are_an_eviction_that_is_refused(play: Play) -> None:
    """The simulation looks at each budget (pdb/rule_test.go), the eviction API refuses a pod with two: the drain fails
    after --max-pod-eviction-time, and nothing else is removed for --scale-down-delay-after-failure."""
    two = [budget("x", 0), budget("x", 0)]
    two[1]["metadata"]["name"] = "second"
    done = goes(play, deployment("x", 1), *two, flags=f"{FAST}&max-pod-eviction-time=1m")
    assert done.nodes == ["p-0"]
    assert any("not evicted: default/x-" in text for text in done.messages("ScaleDownFailed"))


def test_a_safe_pod_is_simulated_without_its_budget(play: Play) -> None:
    """safetoevict comes before the budgets' rule (rules.go): the drain begins, and the eviction API refuses."""
    x = deployment("x", 1, annotations={f"{ANNOTATION}safe-to-evict": "true"})
    done = goes(play, x, budget("x", 1), flags=f"{FAST}&max-pod-eviction-time=1m")
    assert done.nodes == ["p-0"]
    assert done.messages("ScaleDownFailed")


def test_a_pod_that_may_complete_is_waited_for(play: Play) -> None:
    """safe-to-evict=on-completion (1.37, rules/oncompletion): never evicted, it keeps its node until it has ended."""
    x = job(1, last="600s")
    x["metadata"]["name"] = "x"
    x["spec"]["template"]["metadata"]["labels"]["app"] = "x"
    x["spec"]["template"]["metadata"]["annotations"][f"{ANNOTATION}safe-to-evict"] = "on-completion"
    done = goes(play, x, duration="16m")
    assert len(done.messages("Completed")) == 1
    assert done.nodes == []
    assert done.went["p-0"] > 650


@pytest.mark.parametrize(("value", "evicted"), [(None, True), ("true", True), ("false", False)])
def test_daemon_set_pods_are_evicted_as_their_annotation_says(play: Play, value: str | None, evicted: bool) -> None:
    """core/scaledown/actuation drain_test.go, utils/daemonset/daemonset_test.go TestPodsToEvict."""
    ds = daemon_set("100m")
    if value is not None:
        ds["spec"]["template"]["metadata"]["annotations"][f"{ANNOTATION}enable-ds-eviction"] = value
    done = play(
        ds, job(4, cpu="900m"), arrives(deployment("x", 1), "30s"), flags=FAST, duration="13m", nodes=nodes_of(4)
    )
    assert done.nodes == []
    assert bool(done.evicted("ds-")) == evicted


def test_an_annotation_delays_the_deletion_of_a_node(play: Play) -> None:
    """core/scaledown/actuation/delay_test.go: until it is gone, at most --node-deletion-delay-timeout (2 min)."""
    plain = goes(play, deployment("x", 1)).went["p-0"]
    key = "delay-deletion.cluster-autoscaler.kubernetes.io/backup"
    held = patched("p-0", {"metadata": {"annotations": {key: "1"}}}, "5m")
    freed = patched("p-0", {"metadata": {"annotations": {key: None}}}, f"{plain + 40:.0f}s")
    assert goes(play, deployment("x", 1), faults=[held]).went["p-0"] == pytest.approx(plain + 120, abs=6)
    assert goes(play, deployment("x", 1), faults=[held, freed]).went["p-0"] == pytest.approx(plain + 42, abs=6)


# -- scale-up: core/static_autoscaler_test.go, core/podlistprocessor ---------------------------------------------------


def patched(node: str, patch: dict[str, Any], at: str) -> dict[str, Any]:
    return {"at": at, "objectChange": {"kind": "Node", "name": node, "patch": patch}}


@pytest.mark.parametrize(
    ("flags", "annotation", "after"),
    [
        ("", "100s", 100),
        ("new-pod-scale-up-delay=60s", "", 60),
        ("new-pod-scale-up-delay=60s", "100s", 100),
        ("new-pod-scale-up-delay=60s", "20s", 60),  # it can be increased alone
        ("", "soon", 2),
    ],
)
def test_pods_that_are_too_young(play: Play, flags: str, annotation: str, after: int) -> None:
    """static_autoscaler_test.go TestStaticAutoscalerRunOnceWithFilteringOnUpcomingNodesEnabledNoScaleUp and
    TestFilterOutYoungPods: 'older than'."""
    annotations = {f"{ANNOTATION}pod-scale-up-delay": annotation} if annotation else {}
    done = play(deployment("x", 1, annotations=annotations), flags=flags, duration="4m", nodes=nodes_of("100m"))
    assert after < done.came["p-0"] - 45 <= after + 12


def test_the_limit_of_all_nodes_is_told(play: Play) -> None:
    """static_autoscaler_test.go TestStaticAutoscalerRunOnce: maxNodesTotal; eventing_scale_up_processor.go."""
    done = play(deployment("x", 5, cpu=3), flags="max-nodes-total=3", duration="6m", nodes=nodes_of(1))
    assert len(done.nodes) == 2
    assert "pod didn't trigger scale-up: max total nodes in cluster reached" in done.messages("NotTriggerScaleUp")
    assert done.messages("MaxNodesTotalReached") == {"Max total nodes in cluster reached: 3"}


@pytest.mark.parametrize(
    ("key", "nodes"),
    [
        ("startup-taint.cluster-autoscaler.kubernetes.io/agent", ["p-0"]),
        ("ignore-taint.cluster-autoscaler.kubernetes.io/agent", ["p-0"]),
        ("status-taint.cluster-autoscaler.kubernetes.io/agent", ["p-0"]),
        ("example.com/agent", []),
    ],
)
def test_taints_with_known_prefixes_are_not_of_the_template(play: Play, key: str, nodes: list[str]) -> None:
    """utils/taints/taints_test.go: prefixes that need no flag."""
    pool = SMALL | {"taints": [{"key": key, "effect": "NoSchedule"}]}
    done = play(deployment("x", 1), duration="4m", nodes=nodes_of("100m"), pools=[pool])
    # Without the last kind the node does not help, and CA, which does not see why, buys on.
    assert done.nodes[:1] == nodes


def shy(key: str) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": key}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def spread(**more: Any) -> list[dict[str, Any]]:
    selector = {"matchLabels": {"app": "x"}}
    key = "topology.kubernetes.io/zone"
    return [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector, **more}]


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ({"affinity": shy("kubernetes.io/hostname")}, {"pa": 3}),
        ({"affinity": shy("topology.kubernetes.io/zone")}, {"pa": 1, "pb": 1}),  # the third stands in no zone of these
        ({"topologySpreadConstraints": spread()}, {"pa": 1}),
        ({"topologySpreadConstraints": spread(minDomains=3)}, {"pa": 1, "pb": 1, "pc": 1}),
    ],
)
def test_constraints_among_the_pods_themselves(play: Play, spec: dict[str, Any], sizes: dict[str, int]) -> None:
    """estimator/binpacking_estimator_test.go; the pods of one scale-up constrain each other, and the node without room
    in zone a makes a domain."""
    pools = ZONES[:2] if "affinity" in spec else ZONES
    done = play(deployment("x", 3, cpu=1, **spec), duration="6m", nodes=nodes_of("100m"), pools=pools)
    assert Counter(name[:2] for name in done.nodes) == sizes


def test_ports_of_hosts_take_a_node_each(play: Play) -> None:
    """binpacking_estimator_test.go: hostPort."""
    x = deployment("x", 3)
    x["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80}]
    done = play(x, duration="4m", nodes=nodes_of("100m"))
    assert len(done.nodes) == 3
    assert done.pods("x") == {"Running": 3}


def test_a_daemon_set_of_other_nodes_takes_no_room(play: Play) -> None:
    """utils/daemonset/daemonset_test.go TestGetDaemonSetPodsForNode: selector and taints count."""
    ds = daemon_set(2)
    ds["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert len(play(ds, deployment("x", 4), duration="4m", nodes=nodes_of("100m")).nodes) == 1


def test_a_daemon_set_that_leaves_no_room(play: Play) -> None:
    done = play(daemon_set(2), deployment("x", 1, cpu=3), duration="4m", nodes=nodes_of("100m"))
    assert done.nodes == []
    assert done.messages("NotTriggerScaleUp") == {"pod didn't trigger scale-up: 1 Insufficient cpu"}


def test_a_volume_is_where_it_is(play: Play) -> None:
    """A claim that is bound in a zone buys a node there."""
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "claimRef": {"namespace": "default", "name": "c"}, "csi": {"driver": "d", "volumeHandle": "h"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}},
        },
    }  # fmt: skip
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
            "volumeName": "v",
        },
    }  # fmt: skip
    x = deployment("x", 1, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    done = play(volume, claim, x, duration="6m", nodes=nodes_of("100m", zones=("d",)), pools=ZONES)
    assert done.nodes == ["pb-0"]
    assert done.pods("x") == {"Running": 1}


def test_pods_that_another_scheduler_has_not_seen_buy_nothing(play: Play) -> None:
    """core/podlistprocessor: Unprocessed pods are looked at where --bypassed-scheduler-names says so."""
    assert play(deployment("x", 1, schedulerName="mine"), duration="3m", nodes=nodes_of("100m")).nodes == []


def test_gated_pods_buy_nothing(play: Play) -> None:
    x = deployment("x", 1, schedulingGates=[{"name": "quota"}])
    assert play(x, duration="3m", nodes=nodes_of("100m")).nodes == []


# -- refusals and balance: core/scaleup/orchestrator/orchestrator_test.go, clusterstate_test.go ------------------------


def test_a_refusal_among_balanced_pools(play: Play) -> None:
    """executor.go executeScaleUpsSync: orders before the refusal stand; the pool that refuses is left alone, what is
    missing comes from the others at the next scan."""
    pools = [pool | ({"quota": 1} if pool["name"] == "pb" else {}) for pool in ZONES]
    flags = "balance-similar-node-groups=true"
    done = play(deployment("x", 9, cpu=3), flags=flags, duration="4m", nodes=nodes_of("100m"), pools=pools)
    sizes = Counter(name[:2] for name in done.nodes)
    assert sizes["pb"] == 0
    assert sizes["pa"] + sizes["pc"] == 9
    assert abs(sizes["pa"] - sizes["pc"]) <= 1
    assert done.pods("x") == {"Running": 9}


def test_balance_within_the_maximum_of_each_pool(play: Play) -> None:
    """balancing_processor_test.go TestBalanceHittingMaxSize."""
    pools = [pool | {"max": most} for pool, most in zip(ZONES, (1, 7, 3), strict=True)]
    flags = "balance-similar-node-groups=true"
    done = play(deployment("x", 9, cpu=3), flags=flags, duration="4m", nodes=nodes_of("100m"), pools=pools)
    assert Counter(name[:2] for name in done.nodes) == {"pa": 1, "pb": 5, "pc": 3}


def test_balance_looks_at_what_is_there(play: Play) -> None:
    """balancing_processor_test.go TestBalanceUpTwoGroups: the smaller one catches up."""
    pools = [ZONES[0] | {"min": 3}, ZONES[1]]
    pinned = deployment("y", 3, cpu=3, nodeSelector={"podyard.dev/pool": "pa"})
    flags = "balance-similar-node-groups=true"
    late = arrives(deployment("x", 3, cpu=3), "90s")
    done = play(pinned, late, flags=flags, duration="5m", nodes=nodes_of("100m"), pools=pools)
    assert Counter(name[:2] for name in done.nodes) == {"pa": 3, "pb": 3}


def test_a_pool_in_backoff_says_so(play: Play) -> None:
    """orchestrator.go filterValidScaleUpNodeGroups asks for health, then backoff, then size."""
    done = play(
        deployment("x", 3, cpu=3), duration="4m", nodes=nodes_of("100m"), pools=[SMALL | {"max": 2, "stock": 1}]
    )
    assert done.nodes == ["p-0"]
    assert "pod didn't trigger scale-up: 1 in backoff after failed scale-up" in done.messages("NotTriggerScaleUp")


def test_too_many_nodes_that_are_not_ready(play: Play) -> None:
    """clusterstate_test.go TestTooManyUnready: more than 3 and more than 45 %: nothing is done until it is over."""
    crash = {"at": "17m", "nodeCrash": {"select": {"names": [f"p-{i}" for i in range(4)]}, "downFor": "10m"}}
    late = arrives(deployment("x", 7, cpu=3), "19m")
    done = play(late, duration="40m", nodes=[], pools=[SMALL | {"min": 6}], faults=[crash])
    assert done.came["p-6"] > 1620
    assert done.messages("ClusterUnhealthy")
    assert done.pods("x") == {"Running": 7}


# -- scale-down: core/scaledown/{planner,unneeded,budgets}, static_autoscaler_test.go ----------------------------------


def test_nodes_whose_pods_cannot_all_go_at_once_are_drained_last(play: Play) -> None:
    """planner.go sortByRisk: p-0 has two pods of a budget that lets one go, p-1 one of none."""
    two = arrives(deployment("x", 2, cpu="500m"), "20s")
    one = arrives(deployment("y", 1, cpu="500m", affinity=shy("kubernetes.io/hostname")), "80s")
    flags = f"{FAST}&unremovable-node-recheck-timeout=10s"
    done = play(job(8), two, budget("x", 1), one, flags=flags, duration="14m", nodes=nodes_of(4, 2))
    assert done.nodes == []
    assert done.went["p-1"] < done.went["p-0"]


@pytest.mark.parametrize(
    ("flags", "at_once"),
    [
        ("max-scale-down-parallelism=2", [2, 2, 2]),
        ("max-scale-down-parallelism=4", [4, 2]),
        ("scale-down-delay-after-delete=3m", [6]),
    ],
)
def test_how_many_empty_nodes_go_at_once(play: Play, flags: str, at_once: list[int]) -> None:
    """budgets_test.go TestCropNodesToBudgets."""
    done = play(job(6, cpu=3), flags=f"{FAST}&{flags}", duration="14m", nodes=nodes_of("100m"))
    assert done.nodes == []
    groups = Counter(round(at) for at in done.went.values())
    assert [count for _, count in sorted(groups.items())] == at_once


def test_after_a_deletion_the_next_waits(play: Play) -> None:
    """static_autoscaler.go isScaleDownInCooldown: --scale-down-delay-after-delete."""
    flags = f"{FAST}&scale-down-delay-after-delete=3m&max-scale-down-parallelism=1"
    done = play(job(2, cpu=3), flags=flags, duration="16m", nodes=nodes_of("100m"))
    first, second = sorted(done.went.values())
    assert 180 <= second - first <= 205


def test_a_node_that_is_needed_again_begins_anew(play: Play) -> None:
    """unneeded/nodes_test.go TestUpdate: 'since' is of the last time without a break."""
    alone = play(job(3), flags=FAST, duration="20m", nodes=nodes_of("100m")).went["p-0"]
    again = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "again", "namespace": "default"}}
    again["spec"] = job(3, last="60s")["spec"]
    done = play(job(3), arrives(again, "380s"), flags=FAST, duration="20m", nodes=nodes_of("100m"))
    assert list(done.went) == ["p-0"]
    assert done.went["p-0"] > alone + 60


def test_a_node_that_says_no(play: Play) -> None:
    """eligibility_test.go: the annotation, as long as it is there."""
    key = f"{ANNOTATION}scale-down-disabled"
    kept = patched("p-0", {"metadata": {"annotations": {key: "true"}}}, "5m")
    freed = patched("p-0", {"metadata": {"annotations": {key: None}}}, "12m")
    assert play(job(3), flags=FAST, duration="12m", nodes=nodes_of("100m"), faults=[kept]).nodes == ["p-0"]
    done = play(job(3), flags=FAST, duration="17m", nodes=nodes_of("100m"), faults=[kept, freed])
    assert 720 + 120 < done.went["p-0"] < 720 + 150


def test_after_a_failed_drain_no_node_goes_for_a_while(play: Play) -> None:
    """static_autoscaler.go isScaleDownInCooldown: --scale-down-delay-after-failure, counted from the failure. An empty
    node of another pool, unneeded a minute later, waits for it."""
    two = [budget("x", 0), budget("x", 0)]
    two[1]["metadata"]["name"] = "second"
    long = job(3, cpu="1200m", last="660s")
    long["metadata"]["name"] = "long"
    long["spec"]["template"]["spec"] |= {
        "nodeSelector": {"podyard.dev/pool": "q"},
        "tolerations": [{"operator": "Exists"}],
    }
    flags = f"{FAST}&max-pod-eviction-time=1m&scale-down-delay-after-failure=8m&unremovable-node-recheck-timeout=10s"
    pools = [SMALL, SMALL | {"name": "q", "taints": [{"key": "q", "effect": "NoSchedule"}]}]
    done = goes(play, deployment("x", 1), *two, long, flags=flags, duration="30m", pools=pools)
    (failed,) = [at for reason, at in done.times() if reason == "ScaleDownFailed"][:1]
    assert failed + 480 <= done.went["q-0"] <= failed + 500
