"""Shapes of budgets, DaemonSets, annotations and constraints whose answer follows from FAQ.md and the source by hand.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37: FAQ.md, simulator/drainability/rules, estimator.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.autoscaling.pooled import SMALL, Play, Played, budget, daemon_set, deployment, job, nodes_of

FAST = "scale-down-unneeded-time=2m&scale-down-delay-after-add=1m"
ZONES = [SMALL | {"name": f"p{zone}", "zone": zone} for zone in "abc"]
TAINT = {"key": "team", "value": "x", "effect": "NoSchedule"}
TOLERATES = [{"key": "team", "operator": "Exists"}]
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def start(*objects: dict[str, Any], **spec: Any) -> Played:
        return Played(tmp_path, list(objects), **spec)

    return start


def after(obj: dict[str, Any], at: str) -> dict[str, Any]:
    obj["metadata"].setdefault("annotations", {})["podyard.dev/arrival"] = at
    return obj


@pytest.mark.parametrize(("tolerates", "nodes"), [(True, 2), (False, 1)])
def test_a_daemon_set_counts_where_it_tolerates(play: Play, tolerates: bool, nodes: int) -> None:
    """Two pods of 2 CPUs on nodes of 4: beside a daemon of 1 they need a node each."""
    daemons = daemon_set(1)
    if tolerates:
        daemons["spec"]["template"]["spec"]["tolerations"] = TOLERATES
    pods = deployment("x", 2, cpu=2, tolerations=TOLERATES)
    done = play(daemons, pods, duration="4m", nodes=nodes_of("500m"), pools=[SMALL | {"taints": [TAINT]}])
    assert len(done.nodes) == nodes
    assert done.pods("x") == {"Running": 2}


@pytest.mark.parametrize(
    ("spec", "goes"),
    [
        ({"maxUnavailable": 0}, False),
        ({"maxUnavailable": "50%"}, True),
        ({"minAvailable": "100%"}, False),
        ({"maxUnavailable": 1}, True),
        ({"minAvailable": 2}, False),
    ],
)
def test_shapes_of_budgets(play: Play, spec: dict[str, Any], goes: bool) -> None:
    """Of two pods on the node, which would fit on the first one when its job has ended."""
    guard = budget("x", 1)
    del guard["spec"]["minAvailable"]
    guard["spec"] |= spec
    pods = after(deployment("x", 2, cpu="500m"), "30s")
    done = play(job(4), pods, guard, flags=FAST, duration="16m", nodes=nodes_of(4))
    assert done.nodes == ([] if goes else ["p-0"])
    assert done.pods("x") == {"Running": 2}


def test_an_annotation_of_a_daemon_sets_pod_keeps_no_node(play: Play) -> None:
    """rules/daemonset comes before rules/notsafetoevict."""
    daemons = daemon_set("100m")
    daemons["spec"]["template"]["metadata"]["annotations"] = {SAFE: "false"}
    done = play(daemons, job(3), flags=FAST, duration="14m", nodes=[])
    assert done.nodes == []


def test_a_job_that_is_not_safe_to_evict_keeps_its_node_until_it_ends(play: Play) -> None:
    """rules/notsafetoevict, then rules/terminal: the node is unneeded at the look after the pod's end."""
    held = job(1, last="10m")
    held["metadata"]["name"] = "held"
    held["spec"]["template"]["metadata"]["annotations"][SAFE] = "false"
    flags = f"{FAST}&unremovable-node-recheck-timeout=10s"
    done = play(job(4), after(held, "30s"), flags=flags, duration="20m", nodes=nodes_of(4))
    assert done.nodes == []
    ended = max(at for reason, at in done.times() if reason == "Completed")
    assert ended + 120 < done.went["p-0"] < ended + 150


def test_pods_that_shun_each_others_zones_take_a_pool_each(play: Play) -> None:
    """The one that runs in zone a keeps that zone; the other two take b and c, in two scale-ups."""
    term = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "topology.kubernetes.io/zone"}
    shy = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    done = play(deployment("x", 3, affinity=shy), duration="5m", nodes=nodes_of(2), pools=ZONES)
    assert Counter(name[:2] for name in done.nodes) == {"pb": 1, "pc": 1}
    assert done.pods("x") == {"Running": 3}


@pytest.mark.parametrize(("policy", "placed"), [("Honor", 4), ("Ignore", 1)])
def test_zones_that_pods_do_not_tolerate(play: Play, policy: str, placed: int) -> None:
    """Of two zones one has only a node that the pods do not tolerate. Under Honor it is no domain, so that they all
    stand in the other; under Ignore it is one with none of them, so that a second pod would be too much there."""
    one = {
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "nodeTaintsPolicy": policy, "labelSelector": {"matchLabels": {"app": "x"}},
    }  # fmt: skip
    closed = {"group": {"name": "n", "count": 1, "cpu": 8, "memory": "16Gi", "zones": ["b"], "taints": [TAINT]}}
    pods = deployment("x", 4, cpu=2, topologySpreadConstraints=[one])
    done = play(pods, duration="5m", nodes=[closed], pools=[ZONES[0]])
    assert done.pods("x")["Running"] == placed
    assert len(done.nodes) == (2 if policy == "Honor" else 1)


def test_no_node_goes_where_scale_down_is_off(play: Play) -> None:
    done = play(job(4), flags=f"{FAST}&scale-down-enabled=false", duration="16m", nodes=[])
    assert done.nodes == ["p-0"]


def test_an_unready_node_stays_where_its_scale_down_is_off(play: Play) -> None:
    """eligibility_test.go ScaleDownUnreadyDisabled."""
    crash = {"at": "6m", "nodeCrash": {"select": {"names": ["p-0"]}}}
    flags = f"{FAST}&scale-down-unready-enabled=false&scale-down-unready-time=2m"
    done = play(job(4, last="30s"), flags=flags.replace("=2m&", "=15m&", 1), duration="30m", nodes=[], faults=[crash])
    assert done.nodes == ["p-0"]
    assert done.why("p-0") == "ScaleDownUnreadyDisabled"


def test_expanders_in_a_chain(play: Play) -> None:
    """expander/factory/chain_test.go: least-nodes leaves the two large pools, least-waste the one with less memory."""
    pools = [
        SMALL,
        SMALL | {"name": "wide", "cpu": 12, "memory": "96Gi"},
        SMALL | {"name": "large", "cpu": 12, "memory": "24Gi"},
    ]
    flags = "expander=least-nodes,least-waste"
    done = play(deployment("x", 3, cpu=3), flags=flags, duration="4m", nodes=nodes_of("500m"), pools=pools)
    assert done.nodes == ["large-0"]


def test_what_is_out_of_stock_is_bought_elsewhere_and_asked_again_later(play: Play) -> None:
    """FAQ, backoff: five minutes after the refusal the pool is asked again, and there is one machine by then."""
    pools = [SMALL | {"stock": 1}, SMALL | {"name": "dear", "cpu": 16, "memory": "64Gi"}]
    done = play(deployment("x", 2, cpu=3), duration="4m", nodes=nodes_of("500m"), pools=pools)
    assert done.nodes == ["dear-0", "p-0"]
    assert any("due to OutOfResources" in text for text in done.messages("ScaleUpFailed"))


def test_a_pool_below_its_minimum_of_cores_keeps_what_it_has(play: Play) -> None:
    """The limits of pools and of the cluster both hold: min 1, and 9 cores of the cluster's."""
    flags = f"{FAST}&cores-total=9:100"
    done = play(job(12), flags=flags, duration="16m", nodes=nodes_of(1), pools=[SMALL | {"min": 1}])
    assert len(done.nodes) == 2
