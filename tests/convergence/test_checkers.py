"""Each checker finds what it is for, in states that are wrong in one way; a cluster at rest has nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.convergence.checkers import CHECKERS, check, converged
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import MINUTE, SECOND
from harness.model.core import (
    Container,
    Node,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ResourceRequirements,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
)
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.objects import KINDS
from harness.model.policy import ResourceQuota, ResourceQuotaSpec
from harness.model.quantity import Quantity, parse_quantity
from harness.model.wire import Time
from harness.model.workloads import (
    DaemonSet,
    DaemonSetSpec,
    Deployment,
    DeploymentSpec,
    Job,
    JobSpec,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
)
from harness.node.machine_report import MachineReport
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

LABELS = {"app": "web"}


def template(cpu: str = "1", **labels: str) -> PodTemplateSpec:
    container = Container(name="c", image="i:1", resources=ResourceRequirements(requests={"cpu": parse_quantity(cpu)}))
    return PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=(container,)))


def node(name: str) -> Node:
    size = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": parse_quantity("110")}
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(capacity=size, allocatable=size))


@pytest.fixture(scope="module")
def at_rest() -> Cluster:
    """Three nodes with one object of each kind that a checker looks at."""
    plan = ClusterPlan(
        settings=ClusterSettings(record_events=False),
        nodes=tuple(node(f"n{i}") for i in range(3)),
        strategy=load("greedy")(),
    )
    cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
    cluster.run(2 * SECOND)
    meta = ObjectMeta(name="web", namespace="default", labels=LABELS)
    selector = LabelSelector(match_labels=LABELS)
    hard = {"pods": parse_quantity("20"), "requests.cpu": parse_quantity("20")}
    quota_meta = ObjectMeta(name="all", namespace="default")
    cluster.server.create(ResourceQuota(metadata=quota_meta, spec=ResourceQuotaSpec(hard=hard)))
    cluster.api.flush(cluster.now)
    cluster.run(4 * SECOND)
    for obj in (
        Deployment(metadata=meta, spec=DeploymentSpec(replicas=3, selector=selector, template=template(**LABELS))),
        Service(metadata=meta, spec=ServiceSpec(selector=LABELS, ports=(ServicePort(port=80),))),
        PodDisruptionBudget(metadata=meta, spec=PodDisruptionBudgetSpec(min_available=2, selector=selector)),
        DaemonSet(
            metadata=ObjectMeta(name="agent", namespace="default"),
            spec=DaemonSetSpec(
                selector=LabelSelector(match_labels={"app": "agent"}), template=template("100m", app="agent")
            ),
        ),
        Job(
            metadata=ObjectMeta(name="work", namespace="default"),
            spec=JobSpec(
                completions=2,
                parallelism=2,
                template=replace(
                    template("100m", app="work"),
                    spec=replace(template("100m").spec, restart_policy="Never"),
                ),
            ),
        ),
    ):
        cluster.server.create(obj)
    cluster.api.flush(cluster.now)
    cluster.run(3 * MINUTE)
    return cluster


def state_of(cluster: Cluster) -> ClusterState:
    """A copy that can be made wrong."""
    held = {kind: dict(cluster.server.objects(kind)) for kind in KINDS}
    return ClusterState(lambda kind: held[kind], cluster.now, dict(cluster.backend.inspect()))


def test_a_cluster_at_rest_has_converged(at_rest: Cluster) -> None:
    assert converged(at_rest) == []


def first(state: ClusterState, kind: str, **labels: str) -> Any:
    return next(obj for obj in state.listed(kind) if all(obj.metadata.labels.get(k) == v for k, v in labels.items()))


def put(state: ClusterState, kind: str, obj: Any) -> None:
    held = state.objects(kind)
    assert isinstance(held, dict)
    held[obj.metadata.key] = obj


def drop(state: ClusterState, kind: str, obj: Any) -> None:
    held = state.objects(kind)
    assert isinstance(held, dict)
    del held[obj.metadata.key]


def dead_but_ready(state: ClusterState) -> None:
    assert isinstance(state.machines, dict)
    state.machines["n1"] = MachineReport(powered=False, frozen=False, connected=True, pods={})


def alive_but_tainted(state: ClusterState) -> None:
    n = state.objects("Node")["n0"]
    taint = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")
    put(state, "Node", replace(n, spec=replace(n.spec, taints=(taint,))))


def killed_unseen(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    assert isinstance(state.machines, dict)
    report = state.machines[pod.spec.node_name]
    pods = {uid: status for uid, status in report.pods.items() if uid != pod.metadata.uid}
    state.machines[pod.spec.node_name] = replace(report, pods=pods)


def revived(state: ClusterState) -> None:
    """Failed, for its kubelet."""
    pod = first(state, "Pod", app="web")
    assert isinstance(state.machines, dict)
    report = state.machines[pod.spec.node_name]
    pods = {**report.pods, pod.metadata.uid: PodStatus(phase="Failed")}
    state.machines[pod.spec.node_name] = replace(report, pods=pods)


def ready_on_a_bad_node(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    n = state.objects("Node")[pod.spec.node_name]
    unknown = (Condition(type="Ready", status="Unknown", last_transition_time=Time(0)),)
    put(state, "Node", replace(n, status=replace(n.status, conditions=unknown)))


def node_gone(state: ClusterState) -> None:
    drop(state, "Node", state.objects("Node")["n0"])


def intolerant(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    n = state.objects("Node")[pod.spec.node_name]
    put(state, "Node", replace(n, spec=replace(n.spec, taints=(Taint(key="k", effect="NoExecute"),))))


def one_too_few(state: ClusterState) -> None:
    drop(state, "Pod", first(state, "Pod", app="web"))


def old_template(state: ClusterState) -> None:
    item = first(state, "Deployment")
    spec = item.spec.template.spec
    new = replace(spec, containers=(replace(spec.containers[0], image="i:2"),))
    put(state, "Deployment", replace(item, spec=replace(item.spec, template=replace(item.spec.template, spec=new))))


def no_daemon(state: ClusterState) -> None:
    drop(state, "Pod", first(state, "Pod", app="agent"))


def idle_job(state: ClusterState) -> None:
    for pod in state.listed("Pod"):
        if pod.metadata.labels.get("app") == "work":
            drop(state, "Pod", pod)


def half_drained(state: ClusterState) -> None:
    n = state.objects("Node")["n0"]
    taint = Taint(key="ToBeDeletedByClusterAutoscaler", effect="NoSchedule")
    put(state, "Node", replace(n, spec=replace(n.spec, taints=(taint,))))


def waiting_pod(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    meta = ObjectMeta(name="late", namespace="default", uid="late")
    spec = replace(pod.spec, node_name="")
    put(state, "Pod", Pod(metadata=meta, spec=spec, status=PodStatus(phase="Pending")))


def wrong_status(state: ClusterState) -> None:
    item = first(state, "ReplicaSet")
    put(state, "ReplicaSet", replace(item, status=replace(item.status, ready_replicas=1)))


def wrong_budget(state: ClusterState) -> None:
    item = first(state, "PodDisruptionBudget")
    put(state, "PodDisruptionBudget", replace(item, status=replace(item.status, current_healthy=7)))


def wrong_quota(state: ClusterState) -> None:
    item = first(state, "ResourceQuota")
    used = {**item.status.used, "pods": Quantity(1000, item.status.used["pods"].form)}
    put(state, "ResourceQuota", replace(item, status=replace(item.status, used=used)))


def lost_endpoint(state: ClusterState) -> None:
    item = first(state, "EndpointSlice")
    put(state, "EndpointSlice", replace(item, endpoints=item.endpoints[1:]))


def unready_endpoint(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    conditions = (Condition(type="Ready", status="False", last_transition_time=Time(0)),)
    put(state, "Pod", replace(pod, status=replace(pod.status, conditions=conditions)))


def never_gone(state: ClusterState) -> None:
    pod = first(state, "Pod", app="web")
    put(state, "Pod", replace(pod, metadata=replace(pod.metadata, deletion_timestamp=Time(SECOND))))


def orphaned(state: ClusterState) -> None:
    drop(state, "ReplicaSet", first(state, "ReplicaSet"))


WRONG: tuple[tuple[str, Callable[[ClusterState], None], str], ...] = (
    ("nodes", dead_but_ready, "Node n1: Ready is True, its machine is down or cut off"),
    ("nodes", alive_but_tainted, "Node n0: tainted node.kubernetes.io/unreachable, its machine is healthy"),
    ("kubelets", killed_unseen, "whose kubelet does not run it"),
    ("kubelets", revived, "Running, ready True; its kubelet said Failed, ready False"),
    ("ready-pods", ready_on_a_bad_node, "ready, its node n"),
    ("unbound", node_gone, "bound to n0, which is not there"),
    ("tainted", intolerant, "tainted k:NoExecute"),
    ("replicas", one_too_few, "2 pods, 3 are wanted"),
    ("replicas", old_template, "all 3 pods are ready, not rolled out"),
    ("daemon-pods", no_daemon, "0 pods on"),
    ("jobs", idle_job, "neither over nor at work"),
    ("autoscalers", half_drained, "still tainted ToBeDeletedByClusterAutoscaler"),
    ("pending", waiting_pod, "waits, though it fits on n"),
    ("statuses", wrong_status, "status.readyReplicas is 1, 3 by recount"),
    ("statuses", wrong_budget, "status.currentHealthy is 7, 3 by recount"),
    ("quotas", wrong_quota, "pods: used is 1, 8 by recount"),
    ("endpoints", lost_endpoint, "none, pod: ready"),
    ("endpoints", unready_endpoint, "ready, pod: not ready"),
    ("terminating", never_gone, "s too long"),
    ("orphans", orphaned, "its owner, ReplicaSet web-"),
)


@pytest.mark.parametrize(("checker", "make_wrong", "told"), WRONG, ids=[f"{name}-{f.__name__}" for name, f, _ in WRONG])
def test_a_checker_finds_what_is_wrong(
    at_rest: Cluster, checker: str, make_wrong: Callable[[ClusterState], None], told: str
) -> None:
    assert check(state_of(at_rest)) == []
    state = state_of(at_rest)
    make_wrong(state)
    found = [str(item) for item in check(state, (checker,))]
    assert any(told in text for text in found), found


def test_a_daemon_pod_that_never_goes_from_a_dead_node_is_waited_for(at_rest: Cluster) -> None:
    """Seed 1923 of podyard simulate. Kubernetes, too, makes no other before it is gone."""
    state = state_of(at_rest)
    assert isinstance(state.machines, dict)
    pod = first(state, "Pod", app="agent")
    put(state, "Pod", replace(pod, metadata=replace(pod.metadata, deletion_timestamp=Time(SECOND))))
    assert "0 pods on" in str(check(state, ("daemon-pods",)))
    state.machines[pod.spec.node_name] = MachineReport(powered=False, frozen=False, connected=True, pods={})
    assert check(state, ("daemon-pods",)) == []


def test_the_status_of_a_daemon_set_that_is_being_deleted_is_left_alone(at_rest: Cluster) -> None:
    state = state_of(at_rest)
    item = first(state, "DaemonSet")
    put(state, "DaemonSet", replace(item, status=replace(item.status, number_ready=7)))
    assert check(state, ("statuses",)) != []
    put(state, "DaemonSet", replace(item, metadata=replace(item.metadata, deletion_timestamp=Time(state.now))))
    assert check(state, ("statuses",)) == []


def test_every_checker_is_shown_to_find_something() -> None:
    # The wrong states of the others stand in test_pool_checkers.py, test_node_claim_checkers.py,
    # test_training_checker.py, test_revision_checkers.py, tests/controllers/test_statefulset.py, test_cronjob.py and
    # tests/experiment/test_attachments.py.
    found = {"volumes", "pools", "node-claims", "training", "stateful-sets", "revisions", "cron-jobs"}
    elsewhere = {*found, "attachments"}
    assert {name for name, _, _ in WRONG} | elsewhere == set(CHECKERS)
