"""Rules of the cluster autoscaler, each as the smallest cluster that shows it. Source: kubernetes/autoscaler FAQ.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import UserError
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
    priority_class,
    template,
)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def start(*objects: dict[str, Any], **spec: Any) -> Played:
        return Played(tmp_path, list(objects), **spec)

    return start


# -- scale-up ----------------------------------------------------------------------------------------------------------

ZONES = [SMALL | {"name": f"p{zone}", "zone": zone} for zone in "abc"]


def test_what_runs_already_counts_for_topology_spread(play: Play) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "s"}},
    }
    pods = deployment("s", 9, cpu=3, topologySpreadConstraints=[spread])
    done = play(pods, duration="5m", nodes=nodes_of(4, 3, ("a", "b", "c")), pools=ZONES)
    assert Counter(name[:2] for name in done.nodes) == {"pa": 2, "pb": 2, "pc": 2}
    assert done.pods("s") == {"Running": 9}


def test_what_runs_already_counts_for_affinity(play: Play) -> None:
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "topology.kubernetes.io/zone"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    db = deployment("db", 1, cpu=3, nodeSelector={"topology.kubernetes.io/zone": "b"})
    web = deployment("web", 2, cpu=3, affinity=affinity)
    done = play(db, web, duration="5m", nodes=nodes_of(4, 2, ("a", "b")), pools=ZONES[:2])
    assert done.nodes == ["pb-0", "pb-1"]
    assert done.pods("web") == {"Running": 2}


def test_daemon_set_pods_stand_on_the_template(play: Play) -> None:
    done = play(daemon_set(), deployment("w", 8), duration="5m", nodes=nodes_of(2))
    assert done.nodes == ["p-0", "p-1", "p-2"]
    assert done.pods("w") == {"Running": 8}
    assert done.pods("ds") == {"Running": 4}


@pytest.mark.parametrize(("priority", "nodes"), [(-20, []), (-10, ["p-0"])])
def test_pods_below_the_priority_cutoff_buy_nothing(play: Play, priority: int, nodes: list[str]) -> None:
    pods = deployment("w", 4, priorityClassName="over")
    assert play(priority_class("over", priority), pods, duration="4m", nodes=nodes_of(1)).nodes == nodes


def test_pods_below_the_priority_cutoff_do_not_keep_a_place(play: Play) -> None:
    """Pods that fit only where expendable ones run are scheduled by preemption, not by a new node."""
    low = deployment("low", 2, priorityClassName="over")
    high = deployment("high", 1)
    high["metadata"]["annotations"] = {"podyard.dev/arrival": "60s"}
    done = play(priority_class("over", -20), low, high, duration="4m", nodes=nodes_of(2))
    assert not [name for name in done.came if name.startswith("p-")]
    assert done.pods("high") == {"Running": 1}


def test_a_pod_that_waits_for_its_victims_to_go_buys_nothing(play: Play) -> None:
    high = deployment("high", 2, priorityClassName="hi")
    high["metadata"]["annotations"] = {"podyard.dev/arrival": "120s"}
    done = play(priority_class("hi", 1000), deployment("low", 3), high, duration="6m", nodes=nodes_of(3))
    assert done.nodes == ["p-0"], "for the two that had to go"
    assert done.pods("high") == {"Running": 2}
    assert done.pods("low") == {"Running": 3}


@pytest.mark.parametrize(
    ("flags", "sizes"),
    [("", {"pa": 9}), ("balance-similar-node-groups=true", {"pa": 3, "pb": 3, "pc": 3})],
)
def test_similar_pools_are_balanced_when_asked(play: Play, flags: str, sizes: dict[str, int]) -> None:
    done = play(deployment("w", 9, cpu=3), flags=flags, duration="3m", nodes=nodes_of(1), pools=ZONES)
    assert Counter(name[:2] for name in done.nodes) == sizes


def test_pools_that_differ_are_not_balanced(play: Play) -> None:
    pools = [ZONES[0], ZONES[1] | {"labels": {"disk": "ssd"}}]
    flags = "balance-similar-node-groups=true"
    done = play(deployment("w", 4, cpu=3), flags=flags, duration="3m", nodes=nodes_of(1), pools=pools)
    assert Counter(name[:2] for name in done.nodes) == {"pa": 4}


def test_each_pool_says_why_it_does_not_help(play: Play) -> None:
    pools = [SMALL | {"max": 1}, SMALL | {"name": "small", "cpu": 2}]
    done = play(deployment("w", 3, cpu=3), duration="5m", nodes=nodes_of(1), pools=pools)
    assert "pod didn't trigger scale-up: 1 Insufficient cpu, 1 max node group size reached" in done.messages(
        "NotTriggerScaleUp"
    )


def test_a_pool_that_does_not_deliver_is_left_for_another(play: Play) -> None:
    pools = [SMALL | {"name": "slow", "provisioning": "20m"}, SMALL | {"name": "alt", "cpu": 8}]
    done = play(deployment("w", 1, cpu=3), duration="20m", nodes=nodes_of(1), pools=pools)
    assert done.nodes == ["alt-0"]
    assert 900 < done.came["alt-0"] < 1000, "after --max-node-provision-time"


def test_pods_that_ask_for_whole_gpus_run_on_a_pool_with_gpus(play: Play) -> None:
    gpus = deployment("g", 3)
    container = gpus["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"nvidia.com/gpu": "2"}, "requests": {"cpu": "1", "nvidia.com/gpu": "2"}}
    pools = [SMALL, SMALL | {"name": "gpu", "cpu": 16, "gpus": 4}]
    done = play(gpus, duration="4m", nodes=nodes_of(1), pools=pools)
    assert done.nodes == ["gpu-0", "gpu-1"]
    assert done.pods("g") == {"Running": 3}
    assert 75 < done.came["gpu-0"] < 95, "unschedulablePodWithGpuTimeBuffer: more such pods are waited for"


# -- scale-down --------------------------------------------------------------------------------------------------------


def test_empty_nodes_go_together(play: Play) -> None:
    done = play(job(12, cpu=3), duration="20m", nodes=nodes_of(1), pools=[SMALL | {"max": 12}])
    assert done.nodes == []
    first = [at for at in done.went.values() if at < min(done.went.values()) + 1]
    assert len(first) == 10, "--max-scale-down-parallelism"
    assert 955 < min(first) < 985


def test_a_node_with_daemon_set_pods_alone_is_empty(play: Play) -> None:
    done = play(daemon_set(), job(3), duration="20m", nodes=nodes_of(2))
    assert done.nodes == []
    assert 955 < done.went["p-0"] < 985


def blocking(kind: str) -> list[dict[str, Any]]:
    match kind:
        case "bare":
            pod = {"apiVersion": "v1", "kind": "Pod", **template("x", **ON_POOL)}
            pod["metadata"] |= {"name": "x", "namespace": "default"}
            return [pod]
        case "local storage":
            return [deployment("x", 1, volumes=[{"name": "v", "emptyDir": {}}], **ON_POOL)]
        case "kube-system":
            return [deployment("x", 1, namespace="kube-system", **ON_POOL)]
        case "annotated":
            never = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
            return [deployment("x", 1, annotations=never, **ON_POOL)]
        case "budget":
            return [deployment("x", 1, **ON_POOL), budget("x", 1)]
    raise AssertionError(kind)


KINDS = ("bare", "local storage", "kube-system", "annotated", "budget")


@pytest.mark.parametrize("kind", KINDS)
def test_pods_that_keep_their_node(play: Play, kind: str) -> None:
    done = play(*blocking(kind), job(7), duration="25m", nodes=[])
    assert len(done.nodes) == 1
    assert done.pods("x") == {"Running": 1}
    (gone,) = done.went.values()
    assert 955 < gone < 985, "the other node does not wait for this one"


@pytest.mark.parametrize("kind", ["bare", "local storage", "kube-system"])
def test_pods_that_are_annotated_as_safe_do_not(play: Play, kind: str) -> None:
    objects = blocking(kind)
    holder = objects[0]["metadata"] if kind == "bare" else objects[0]["spec"]["template"]["metadata"]
    holder["annotations"] = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    pod = objects[0]["spec"] if kind == "bare" else objects[0]["spec"]["template"]["spec"]
    del pod["nodeSelector"]
    done = play(*objects, job(4), duration="40m", nodes=[])
    assert len(done.went) >= 1
    if kind != "bare":
        assert done.pods("x") == {"Running": 1}


@pytest.mark.parametrize("flag", ["skip-nodes-with-local-storage=false", "skip-nodes-with-system-pods=false"])
def test_flags_lift_what_keeps_a_node(play: Play, flag: str) -> None:
    kind = "local storage" if "local" in flag else "kube-system"
    objects = blocking(kind)
    del objects[0]["spec"]["template"]["spec"]["nodeSelector"]
    done = play(*objects, deployment("big", 1, cpu=3), job(5), flags=flag, duration="40m", nodes=[])
    assert len(done.nodes) == 1
    assert done.pods("x") == {"Running": 1}


@pytest.mark.parametrize(("duration", "there"), [("1450s", True), ("45m", False)])
def test_a_drain_that_fails_is_undone_and_tried_again(play: Play, duration: str, there: bool) -> None:
    """The budget lets one of two pods go; its replacement is not ready in time for the other."""
    slow = deployment("x", 2, annotations={"podyard.dev/ready-after": "300s"})
    slow["metadata"]["annotations"] = {"podyard.dev/arrival": "30s"}
    done = play(slow, budget("x", 1), job(6), duration=duration, nodes=nodes_of(2))
    failed = done.messages("ScaleDownFailed")
    assert [text for text in failed if "failed to drain the node, aborting ScaleDown: not evicted: default/x-" in text]
    assert ("p-1" in done.nodes) == there
    taints = [taint.key for node in done.run.cluster.server.listed("Node") for taint in node.spec.taints]
    assert "ToBeDeletedByClusterAutoscaler" not in taints
    assert "p-0" in done.went, "another node goes meanwhile"


def test_a_node_that_is_dead_goes_after_the_time_for_unready_ones(play: Play) -> None:
    crash = {"at": "10m", "nodeCrash": {"select": {"names": ["p-0"]}}}
    pool = SMALL | {"max": 4}
    done = play(deployment("w", 4, cpu=3), duration="50m", nodes=nodes_of(1), pools=[pool], faults=[crash])
    # 40 to 55 s until it is seen, 300 s tolerated, 30 s of grace twice and 30 s more, then --scale-down-unready-time.
    assert 2100 < done.went["p-0"] < 2300
    assert done.pods("w")["Running"] == 4


def test_two_nodes_that_fit_only_on_each_other_do_not_both_go(play: Play) -> None:
    done = play(deployment("x", 2), job(6), duration="40m", nodes=[])
    assert len(done.nodes) == 1
    assert done.pods("x") == {"Running": 2}


def test_a_pool_keeps_its_minimum(play: Play) -> None:
    done = play(job(9), duration="25m", nodes=[], pools=[SMALL | {"min": 2}])
    assert len(done.nodes) == 2


def test_unneeded_nodes_are_marked_softly_until_they_go(play: Play) -> None:
    done = play(job(4), duration="10m", nodes=[])
    (node,) = [node for node in done.run.cluster.server.listed("Node") if node.metadata.name == "p-0"]
    assert [(taint.key, taint.effect) for taint in node.spec.taints] == [
        ("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule")
    ]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("scale-down-uneeded-time=5m", "scale-down-unneeded-time"),
        ("scale-down-unneeded-time=soon", "is not a duration"),
        ("balance-similar-node-groups=maybe", "expected true or false"),
        ("max-drain-parallelism=-1", "expected a number from 0"),
        ("expander=cheapest", "cheapest"),
        ("scan-interval=0s", "scan-interval: expected 1ms or more"),
        ("scan-interval=10us", "scan-interval: expected 1ms or more"),
        ("scale-down-utilization-threshold=nan", "expected a number from 0, found nan"),
        ("max-total-unready-percentage=inf", "expected a number from 0, found inf"),
        ("gpu-total=t4:0:1", "not modelled"),
        ("cores-total=all", "cores-total: expected <min>:<max> in whole numbers"),
        ("cores-total=-1:2", "cores-total: expected <min>:<max> in whole numbers"),
        ("memory-total=8:4", "memory-total: its max is below its min"),
    ],
)
def test_wrong_flags_are_told(play: Play, flags: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        play(job(1), flags=flags, duration="1m")
    assert told in str(error.value)


def test_a_flag_changes_what_happens(play: Play) -> None:
    flags = "scale-down-unneeded-time=2m&scale-down-delay-after-add=1m"
    done = play(job(4), flags=flags, duration="15m", nodes=[])
    assert 475 < done.went["p-0"] < 500
