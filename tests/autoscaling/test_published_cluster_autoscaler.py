"""Rows of cluster-autoscaler's own tables, asked of the rules themselves.

Source: kubernetes/autoscaler, branch cluster-autoscaler-release-1.37, the file beside each table. Rows that cannot be
expressed are named, with the reason, in harness/autoscaling/README.md and beside the table.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.autoscaling.cluster.balancing import are_similar, balance
from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.drainability import Blocked, fate_of
from harness.autoscaling.cluster.expander import LeastWaste
from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.provider import Provider
from harness.autoscaling.cluster.resource_limits import ResourceLimits, to_add, to_remove
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, parse_flags
from harness.autoscaling.policy import ScaleUpOption
from harness.autoscaling.pool import NodePool
from harness.engine.component import HOUR, MINUTE, MS, SECOND, Watch
from harness.engine.latency import Constant
from harness.model.core import Node
from harness.model.objects import PodDisruptionBudget
from tests.autoscaling.published_objects import ANNOTATION, NOW, budgets, made, node, pdb, pod, with_meta


def on_rs(**meta: Any) -> dict[str, Any]:
    return with_meta(pod(), **meta)


SYSTEM = with_meta(pod(namespace="kube-system"), labels={"k8s-app": "bar"})
SAFE = {f"{ANNOTATION}safe-to-evict": "true"}
EMPTY_DIR = [{"name": "scratch", "emptyDir": {}}]
MIRRORED = {"kubernetes.io/config.mirror": "x"}
SCRATCHES = [{"name": f"scratch-{at}", "emptyDir": {"medium": ""}} for at in (1, 2, 3)]
CRITICAL = {"critical": "true"}
SCRATCH = {f"{ANNOTATION}safe-to-evict-local-volumes": "scratch-1,scratch-2,scratch-3"}


@pytest.mark.parametrize(
    ("obj", "pdbs", "fate"),
    [
        (pod(owner=""), [], "NotReplicated"),
        (on_rs(), [], "move"),
        (with_meta(pod(namespace="kube-system", owner=""), annotations=MIRRORED), [], "ignore"),
        (pod(owner="DaemonSet"), [], "daemon"),
        (with_meta(pod(owner="CustomDaemonSet"), annotations={f"{ANNOTATION}daemonset-pod": "true"}), [], "daemon"),
        (SYSTEM, [], "UnmovableKubeSystemPod"),
        (pod(volumes=EMPTY_DIR), [], "LocalStorageRequested"),
        (pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]), [], "move"),
        (on_rs(labels=CRITICAL), [pdb(0, CRITICAL)], "NotEnoughPdb"),
        (on_rs(labels=CRITICAL), [pdb(1, CRITICAL)], "move"),
        (on_rs(labels=CRITICAL), [pdb(0, CRITICAL, "bad"), pdb(0, {"critical": "false"})], "move"),
        (pod(owner="ReplicationController"), [], "move"),
        (pod(owner="Job"), [], "move"),
        (pod(owner="StatefulSet"), [], "move"),
        (pod(owner="FooController"), [], "NotReplicated"),
        (with_meta(pod(volumes=SCRATCHES), annotations=SCRATCH), [], "move"),
        (pod(owner="", phase="Failed", restartPolicy="Never"), [], "ignore"),
        (pod(owner="", phase="Failed", restartPolicy="Always"), [], "ignore"),
        (pod(owner="", phase="Succeeded", restartPolicy="OnFailure"), [], "ignore"),
        (with_meta(pod(owner=""), annotations=SAFE), [], "move"),
        (with_meta(pod(owner="", namespace="kube-system"), annotations=SAFE), [], "move"),
        (with_meta(pod(owner="", volumes=EMPTY_DIR), annotations=SAFE), [], "move"),
        (SYSTEM, [pdb(1, {"k8s-app": "bar"}, "kube-system")], "move"),
        (SYSTEM, [pdb(1, {"k8s-app": "foo"}, "kube-system")], "UnmovableKubeSystemPod"),
        (SYSTEM, [pdb(1, {"k8s-app": "bar"}, "default")], "UnmovableKubeSystemPod"),
        (with_meta(pod(owner=""), annotations={f"{ANNOTATION}safe-to-evict": "on-completion"}), [], "wait"),
        (on_rs(annotations={f"{ANNOTATION}safe-to-evict": "false"}), [], "NotSafeToEvictAnnotation"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_pod(obj: dict[str, Any], pdbs: list[PodDisruptionBudget], fate: str) -> None:
    """simulator/drain_test.go TestGetPodsToMove, simulator/drainability/rules/*/rule_test.go. Pods that have ended are
    moved there, and stand on no node in its snapshot; here they do not count. Left out: rules of one's own."""
    found = fate_of(made(obj, created=NOW), NOW, budgets(*pdbs), ClusterAutoscalerSettings())
    assert (found.reason if isinstance(found, Blocked) else found) == fate


def test_the_rest_is_not_asked_where_custom_controllers_may_go() -> None:
    """rules/replicated/rule_test.go: custom-controller-managed non-blocking pod."""
    settings = ClusterAutoscalerSettings(skip_nodes_with_custom_controller_pods=False)
    assert fate_of(made(pod(owner="FooController")), NOW, budgets(), settings) == "move"
    assert isinstance(fate_of(made(pod(owner="")), NOW, budgets(), settings), Blocked)


@pytest.mark.parametrize(
    ("age", "flags", "moves"),
    [
        (HOUR - SECOND, {}, False),
        (HOUR + SECOND, {}, True),
        (HOUR + SECOND, {"blocking-system-pod-distruption-timeout": "2h"}, False),
        (3 * MINUTE, {"blocking-system-pod-distruption-timeout": "2m"}, True),
    ],
)
def test_system_pods_are_given_up_after_an_hour(age: int, flags: dict[str, str], moves: bool) -> None:
    """rules/system/rule_test.go (1.33 on). What is drainable so is not asked for its volumes any more."""
    old = pod(namespace="kube-system", volumes=EMPTY_DIR)
    found = fate_of(made(old, created=NOW - age), NOW, budgets(), parse_flags(flags))
    assert (found == "move") == moves


@pytest.mark.parametrize(
    ("grace", "deleted", "fate"),
    [
        (30, NOW + 30 * SECOND, "move"),  # 'Pod termination'
        (30, NOW - 90 * SECOND, "ignore"),
        (0, NOW + 15 * SECOND, "move"),
        (0, NOW - 60 * SECOND, "ignore"),
        (360, NOW - 180 * SECOND, "move"),
        (360, NOW - 720 * SECOND, "ignore"),
    ],
)
def test_pods_that_should_have_ended_long_ago(grace: int, deleted: int, fate: str) -> None:
    """rules/longterminating/rule_test.go."""
    obj = made(pod(terminationGracePeriodSeconds=grace), deleted=deleted)
    assert fate_of(obj, NOW, budgets(), ClusterAutoscalerSettings()) == fate


@pytest.mark.parametrize(
    ("first", "second", "both", "allowed", "together"),
    [
        (2, 1, 0, None, True),
        (2, 1, 0, (1, 0), False),
        (2, 1, 0, (1, 2), False),
        (2, 3, 0, (2, 4), True),
        (1, 1, 1, (1, 1), True),
        (2, 2, 1, (2, 1), False),
    ],
)
def test_budgets_of_several_pods(
    first: int, second: int, both: int, allowed: tuple[int, int] | None, together: bool
) -> None:
    """core/scaledown/pdb/basic_test.go TestBasicCanRemovePods, TestBasicRemovePods."""
    tracked = budgets()
    if allowed is not None:
        tracked = budgets(pdb(allowed[0], {"one": "y"}, name="1"), pdb(allowed[1], {"two": "y"}, name="2"))
    labels = [{"one": "y", **({"two": "y"} if at < both else {})} for at in range(first)]
    pods = [made(on_rs(labels=item)) for item in [*labels, *[{"two": "y"}] * (second - both)]]
    assert tracked.allow_together(pods) == together
    tracked.spend(pods)
    if allowed == (1, 1):
        assert not any(tracked.allows(item) for item in pods)


# -- pools that are alike, and balance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        (node(), node(), True),
        (node(), node("1001m"), False),
        (node(), node(allocatable={"cpu": "999m"}), True),
        (node(), node(allocatable={"cpu": "500m"}), False),
        (node(), node(devices={"nvidia.com/gpu": "1"}), False),
        (node(memory=1000), node(memory=986), True),
        (node(memory=1000), node(memory=984), False),
        (node(memory="16116152Ki"), node(memory="15944120Ki"), True),
        (node(memory="16116152Ki"), node(memory="16438475Ki"), False),
        (node(memory="259970052Ki"), node(memory="257217528Ki"), True),
        (node(memory="259970052Ki"), node(memory="265169453Ki"), False),
        (node(labels={"a": "b", "c": "d"}), node(labels={"a": "b"}), False),
        (node(labels={"a": "b", "c": "d"}), node(labels={"a": "b", "c": "d"}), True),
        (node(labels={"kubernetes.io/hostname": "1"}), node(labels={"kubernetes.io/hostname": "2"}), True),
        (node(labels={"topology.kubernetes.io/zone": "1"}), node(labels={"topology.kubernetes.io/zone": "2"}), True),
        (node(labels={"beta.kubernetes.io/fluentd-ds-ready": "true"}), node(), True),
        (node(labels={"example.com/ready": "true"}), node(labels={"example.com/ready": "false"}), True),
    ],
)
def test_which_pools_are_alike(one: Node, other: Node, similar: bool) -> None:
    """processors/nodegroupset/compare_nodegroups_test.go. Left out: comparators of single providers."""
    settings = parse_flags({"balancing-ignore-label": "example.com/ready"})
    assert are_similar(one, other, settings) == similar


@pytest.mark.parametrize(
    ("other", "taken", "similar"),
    [
        (node(allocatable={"cpu": "500m", "memory": "1000"}), ((500, 1000), (0, 0)), False),
        (node(), ((500, 1000), (500, 1000)), True),
        (node(allocatable={"cpu": "999m"}), ((500, 1000), (501, 1001)), True),
        (node(), ((500, 1000), (0, 0)), False),  # its DaemonSets leave less free
    ],
)
def test_what_daemon_sets_leave_is_compared(
    other: Node, taken: tuple[tuple[int, int], tuple[int, int]], similar: bool
) -> None:
    """TestNodesSimilarVariousRequirementsAndPods."""
    assert are_similar(node(), other, ClusterAutoscalerSettings(), taken) == similar


def pool(name: str, size: int, most: int, template: Node | None = None) -> PoolState:
    state = NodePool(name=name, template=template or node(), most=most, provisioning=Constant(SECOND))
    return PoolState(state, state, members={f"{name}-{at}": None for at in range(size)})


UNDER = (("ng1", 1, 10), ("ng2", 3, 10), ("ng3", 5, 10), ("ng4", 5, 10))
OVER = {"ng1": (1, 1), "ng2": (1, 3), "ng3": (3, 10), "ng4": (5, 7), "ng5": (6, 3)}


@pytest.mark.parametrize(
    ("pools", "more", "sizes"),
    [
        ([("ng1", 1, 10)], 1, {"ng1": 2}),
        ([("ng1", 1, 10)], 4, {"ng1": 5}),
        (UNDER, 1, {"ng1": 2}),
        (UNDER, 2, {"ng1": 3}),
        (UNDER, 4, {"ng1": 4, "ng2": 4}),
        (UNDER, 5, {"ng1": 5, "ng2": 4}),
        (UNDER, 10, {"ng1": 6, "ng2": 6, "ng3": 6, "ng4": 6}),
        (("ng1",), 1, {}),
        (("ng1", "ng2"), 1, {"ng2": 2}),
        (("ng1", "ng2"), 5, {"ng2": 3}),
        (("ng2", "ng3"), 4, {"ng2": 3, "ng3": 5}),
        (("ng2", "ng3", "ng4"), 9, {"ng2": 3, "ng3": 8, "ng4": 7}),
        (("ng2", "ng3", "ng4"), 900, {"ng2": 3, "ng3": 10, "ng4": 7}),
        (("ng2", "ng5"), 1, {"ng2": 2}),
    ],
)
def test_how_nodes_are_spread_over_pools(pools: Any, more: int, sizes: dict[str, int]) -> None:
    """processors/nodegroupset/balancing_processor_test.go."""
    states = [pool(item, *OVER[item]) if isinstance(item, str) else pool(*item) for item in pools]
    assert {state.pool.name: state.size + count for state, count in balance(states, more)} == sizes


def test_least_waste() -> None:
    """expander/waste/waste_test.go TestLeastWaste."""
    one_pod = made(pod(requests={"cpu": "500m", "memory": str(1000 << 20)}))
    state = ClusterState((), ClusterAutoscalerSettings())
    sizes = {"balanced": (8000, 16), "highmem": (8000, 32), "lowcpu": (4000, 16)}
    options = [
        ScaleUpOption(name, node(f"{cpu}m", memory * 1000 << 20), 1, (state.view(one_pod),), None)
        for name, (cpu, memory) in sizes.items()
    ]
    best = LeastWaste().best
    assert best(options[:1], Random(1)) == options[:1]
    assert best(options[:2], Random(1)) == options[:1]
    assert best(options, Random(1)) == options[2:]


def test_how_long_a_pool_is_left_alone() -> None:
    """utils/backoff/exponential_backoff_test.go TestMaxBackoff, TestIncreaseExistingBackoff,
    TestResetStaleBackoffData."""
    flags = ClusterAutoscalerSettings(
        initial_node_group_backoff_duration_ns=MINUTE, max_node_group_backoff_duration_ns=3 * MINUTE
    )
    provider, one = Provider(ClusterState((), flags), Random(1)), pool("ng1", 1, 10)

    def backed_off(at: int) -> bool:
        return at < one.backoff_until_ns

    provider.back_off(0, one)
    assert [backed_off(0), backed_off(MINUTE + MS)] == [True, False]
    provider.back_off(MINUTE, one)
    assert [backed_off(MINUTE), backed_off(3 * MINUTE)] == [True, False]
    provider.back_off(3 * MINUTE, one)
    assert [backed_off(3 * MINUTE), backed_off(6 * MINUTE)] == [True, False]
    provider.back_off(6 * MINUTE, one)
    provider.back_off(7 * MINUTE, one)  # while it is backed off: from then on, but no longer
    assert [backed_off(10 * MINUTE - MS), backed_off(10 * MINUTE)] == [True, False]
    provider.back_off(7 * MINUTE + 4 * HOUR, one)
    assert not backed_off(8 * MINUTE + 4 * HOUR)


# -- limits of the whole cluster ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "size", "asked", "allowed", "exceeded"),
    [
        ((10, 100), (1, 1), 2, 2, ""),
        ((10, 10), (10, 1), 2, 1, ""),
        ((10, 8), (2, 4), 4, 2, ""),
        ((1, 1000), (4, 4), 1, 0, "cpu"),
        ((1, 1), (4, 4), 1, 0, "cpu, memory"),
    ],
)
def test_how_many_nodes_are_within_limits(
    left: tuple[int, int], size: tuple[int, int], asked: int, allowed: int, exceeded: str
) -> None:
    """resourcequotas/tracker_test.go TestCheckDelta, TestApplyDelta. Left out: other resources and CapacityQuotas."""
    limits = ResourceLimits({"cpu": left[0], "memory": left[1]})
    one = node(str(size[0]), size[1])
    assert (limits.nodes(one, asked), limits.exceeded(one)) == (allowed, exceeded)
    limits.take(one, allowed)
    assert limits.nodes(one, asked) <= asked - allowed or allowed == asked


def test_nodes_that_come_count_and_nodes_that_go_do_not() -> None:
    """orchestrator_test.go TestScaleUpCapToMaxTotalNodesLimit and its twins for cores; unneeded/nodes_test.go."""
    one = NodePool(name="p", template=node("4", 8 << 30), most=9, provisioning=Constant(SECOND))
    state = ClusterState((one,), parse_flags({"cores-total": "8:20", "memory-total": "0:1000"}))
    for name in ("p-0", "p-1", "p-2"):
        state.observe(0, Watch("ADDED", one.node(name)))
    state.pools["p"].requested["p-3"] = 0
    assert to_add(state).nodes(one.template, 5) == 1
    assert to_remove(state, ()).nodes(one.template, 5) == 1
    assert to_remove(state, ("p-0",)).nodes(one.template, 5) == 0
