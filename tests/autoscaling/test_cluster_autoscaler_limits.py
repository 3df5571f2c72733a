"""Limits of the whole cluster, delays of single pools, old system pods: flags of the cluster autoscaler on clusters.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37, the file beside each.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.autoscaling.pooled import ON_POOL, SMALL, Play, Played, daemon_set, deployment, job, nodes_of

FAST = "scale-down-unneeded-time=2m&scale-down-delay-after-add=1m"
ZONES = [SMALL | {"name": f"p{zone}", "zone": zone} for zone in "abc"]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def start(*objects: dict[str, Any], **spec: Any) -> Played:
        return Played(tmp_path, list(objects), **spec)

    return start


@pytest.mark.parametrize(
    ("flag", "nodes", "what"),
    [("cores-total=0:12", 2, "cpu"), ("memory-total=0:50", 2, "memory"), ("cores-total=0:320000", 3, "")],
)
def test_the_cluster_stays_within_its_limits(play: Play, flag: str, nodes: int, what: str) -> None:
    """orchestrator_test.go TestScaleUpMaxCoresLimitHit, TestScaleUpMaxMemoryLimitHit: a node of 4 cores and 16 GiB that
    is there takes one of the pods, three are wanted. Four would be 16 cores."""
    done = play(deployment("x", 4, cpu=3), flags=flag, duration="5m", nodes=nodes_of(4), pools=[SMALL])
    assert len(done.nodes) == nodes
    if what:
        told = f"pod didn't trigger scale-up: 1 max cluster {what} limit reached"
        assert told in done.messages("NotTriggerScaleUp")


def test_a_smaller_node_may_be_within_what_is_left(play: Play) -> None:
    """TestScaleUpCapToMaxCores and its kind: 4 of 12 cores are there and 8 asked for at once by a pool of 8."""
    pools = [SMALL | {"name": "big", "cpu": 16}, SMALL]
    done = play(deployment("x", 3, cpu=3), flags="cores-total=0:12", duration="5m", nodes=nodes_of(4), pools=pools)
    assert done.nodes == ["p-0", "p-1"]
    assert done.pods("x") == {"Running": 3}


def test_a_balanced_scale_up_is_within_limits_together(play: Play) -> None:
    """capScaleUpsByQuota: each pool's share is taken from what is left."""
    flags = "balance-similar-node-groups=true&cores-total=0:21"
    done = play(deployment("x", 9, cpu=3), flags=flags, duration="4m", nodes=nodes_of(1), pools=ZONES)
    assert Counter(name[:2] for name in done.nodes) == {"pa": 2, "pb": 2, "pc": 1}


def test_the_cluster_keeps_its_minimum(play: Play) -> None:
    """unneeded/nodes_test.go MinimalResourceLimitExceeded: of three empty nodes one has to stay, for 5 of 13 cores."""
    done = play(job(10, cpu=1), flags=f"{FAST}&cores-total=5:100", duration="16m", nodes=nodes_of(1))
    assert len(done.went) == 2
    assert done.why(done.nodes[0]) == "MinimalResourceLimitExceeded"


@pytest.mark.parametrize(("local", "early"), [("true", True), ("false", False)])
def test_delays_of_a_pool(play: Play, local: str, early: bool) -> None:
    """processors/scaledowncandidates/scale_down_candidates_delay_processor_test.go: another pool that grows holds none
    back. A job is there until about 360 s; pool b grows at 400 s."""
    late = deployment("late", 1, cpu=3, nodeSelector={"disk": "ssd"})
    late["metadata"]["annotations"] = {"podyard.dev/arrival": "400s"}
    pools = [SMALL, SMALL | {"name": "b", "labels": {"disk": "ssd"}}]
    flags = f"scale-down-unneeded-time=2m&scale-down-delay-after-add=10m&scale-down-delay-type-local={local}"
    done = play(job(4), late, flags=flags, duration="20m", nodes=[], pools=pools)
    # Its own delay ends 10 min after its order at about 10 s, and its two minutes begin then.
    assert (done.went["p-0"] < 760) if early else (done.went["p-0"] > 1000)
    assert done.nodes == ["b-0"]


@pytest.mark.parametrize(("flag", "stays"), [("5m", False), ("2h", True)])
def test_old_system_pods_move(play: Play, flag: str, stays: bool) -> None:
    """rules/system/rule.go: a kube-system pod without a budget keeps its node for an hour of its life by default."""
    old = deployment("x", 1, namespace="kube-system")
    old["metadata"]["annotations"] = {"podyard.dev/arrival": "30s"}
    flags = f"{FAST}&unremovable-node-recheck-timeout=1m&blocking-system-pod-distruption-timeout={flag}"
    done = play(job(4), old, flags=flags, duration="14m", nodes=nodes_of(4))
    assert done.nodes == (["p-0"] if stays else [])
    assert done.pods("x") == {"Running": 1}


def test_pools_on_which_daemon_sets_leave_less_are_not_alike(play: Play) -> None:
    """compare_nodegroups_test.go TestNodesSimilarVariousRequirementsAndPods: what is free counts."""
    only = daemon_set(1)
    only["spec"]["template"]["spec"]["nodeSelector"] = {"topology.kubernetes.io/zone": "a"}
    flags = "balance-similar-node-groups=true&expander=least-nodes"
    done = play(only, deployment("x", 6, cpu=3), flags=flags, duration="4m", nodes=nodes_of(1), pools=ZONES)
    sizes = Counter(name[:2] for name in done.nodes)
    assert sizes["pa"] in (0, 6)


def test_a_balanced_scale_up_knows_what_the_others_cannot_take(play: Play) -> None:
    """orchestrator.go ComputeSimilarNodeGroups: the room of pools that cannot take the pods is none. Five pods of
    zone a want five nodes there, and there are two."""
    pods = deployment("x", 5, cpu=3, nodeSelector={"topology.kubernetes.io/zone": "a"})
    pools = [ZONES[0] | {"max": 2}, *ZONES[1:]]
    done = play(pods, flags="balance-similar-node-groups=true", duration="5m", nodes=nodes_of(1), pools=pools)
    assert done.nodes == ["pa-0", "pa-1"]
    assert done.pods("x") == {"Running": 2, "Pending": 3}


def test_without_a_config_map_priority_lets_all_pass(play: Play) -> None:
    """expander/priority/priority_test.go TestPriorityExpanderCorrecltySkipsBadChangeConfig."""
    done = play(deployment("x", 1, cpu=3, **ON_POOL), flags="expander=priority", duration="4m", nodes=nodes_of(1))
    assert done.nodes == ["p-0"]


def test_a_config_map_that_cannot_be_read_is_told(play: Play) -> None:
    config = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"priorities": "10: [(]"},
        "metadata": {"name": "cluster-autoscaler-priority-expander", "namespace": "kube-system"},
    }  # fmt: skip
    done = play(config, deployment("x", 1, cpu=3), flags="expander=priority", duration="4m", nodes=nodes_of(1))
    assert done.nodes == ["p-0"]
    (told,) = done.messages("PriorityConfigMapInvalid")
    assert told.startswith("Wrong configuration for priority expander")
