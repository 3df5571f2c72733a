"""Numbers that controllers report against a recount of the pods: statuses, quotas, endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from harness.apiserver.admission.quota import concerns, total
from harness.apiserver.kinds import kind_of_quota, usage_of
from harness.controllers.workloads.daemonset import NodesForTemplate
from harness.convergence.cluster_state import ENDED, ClusterState, count_ready, differing_numbers, is_active
from harness.model.core import Service
from harness.model.meta import LabelSelector, is_ready
from harness.model.policy import ResourceQuota
from harness.model.workloads import DaemonSet, Deployment, Job, PodDisruptionBudget, ReplicaSet, StatefulSet

SERVICE_NAME = "kubernetes.io/service-name"


def statuses(state: ClusterState) -> Iterator[tuple[str, str]]:
    """The numbers that controllers report equal a recount of the pods."""
    for kind in ("ReplicaSet", "ReplicationController"):
        for item in state.listed(kind):
            active = [pod for pod in state.pods_of(item.metadata.uid) if is_active(pod)]
            told = (item.status.replicas or 0, item.status.ready_replicas or 0)
            yield from differing_numbers(
                kind, item, ("replicas", "readyReplicas"), told, (len(active), count_ready(active))
            )
    of_deployment: dict[str, list[ReplicaSet]] = {}
    for item in state.listed("ReplicaSet"):
        owner = item.metadata.controller()
        if owner is not None:
            of_deployment.setdefault(owner.uid, []).append(item)
    deployment: Deployment
    for deployment in state.listed("Deployment"):
        # Source: pkg/controller/deployment/recreate.go, rolling.go (1.32): where its new ReplicaSet is refused, a sync
        # ends in that error before the numbers are written.
        if any(item.reason == "ReplicaSetCreateError" for item in deployment.status.conditions):
            continue
        sets = of_deployment.get(deployment.metadata.uid, [])
        active = [pod for item in sets for pod in state.pods_of(item.metadata.uid) if is_active(pod)]
        told = (deployment.status.replicas or 0, deployment.status.ready_replicas or 0)
        yield from differing_numbers(
            "Deployment", deployment, ("replicas", "readyReplicas"), told, (len(active), count_ready(active))
        )
    job: Job
    for job in state.listed("Job"):
        active_count = sum(map(is_active, state.pods_of(job.metadata.uid)))
        yield from differing_numbers("Job", job, ("active",), (job.status.active or 0,), (active_count,))
    daemon_set: DaemonSet
    for daemon_set in state.listed("DaemonSet"):
        # Source: pkg/controller/daemon/daemon_controller.go syncDaemonSet (1.32): what is being deleted is left alone,
        # its status too.
        if daemon_set.metadata.deletion_timestamp is not None:
            continue
        # Where one should not run, one that does is misscheduled, whether ready or not (updateDaemonSetStatus).
        fit, there = NodesForTemplate(daemon_set.spec.template), state.objects("Node")
        live = [
            pod
            for pod in state.pods_of(daemon_set.metadata.uid)
            if is_active(pod) and pod.spec.node_name in there and fit.on(there[pod.spec.node_name])[0]
        ]
        yield from differing_numbers(
            "DaemonSet", daemon_set, ("numberReady",), (daemon_set.status.number_ready or 0,), (count_ready(live),)
        )
    stateful_set: StatefulSet
    for stateful_set in state.listed("StatefulSet"):
        status, pods = stateful_set.status, state.pods_of(stateful_set.metadata.uid)
        if status.update_revision:  # before it has one, as where a quota refuses it, nothing is told
            ready = count_ready(pod for pod in pods if pod.status.phase == "Running")
            told = (status.replicas or 0, status.ready_replicas or 0)
            yield from differing_numbers(
                "StatefulSet", stateful_set, ("replicas", "readyReplicas"), told, (len(pods), ready)
            )
    yield from _budgets(state)


def _budgets(state: ClusterState) -> Iterator[tuple[str, str]]:
    budget: PodDisruptionBudget
    for budget in state.listed("PodDisruptionBudget"):
        selector = budget.spec.selector
        if selector is None or any(item.reason == "SyncFailed" for item in budget.status.conditions):
            continue
        disrupted = budget.status.disrupted_pods
        healthy = sum(
            pod.metadata.deletion_timestamp is None
            and is_ready(pod.status.conditions)
            and pod.metadata.name not in disrupted
            for pod in state.selected(budget.metadata.namespace, selector)
        )
        told = (budget.status.current_healthy or 0,)
        yield from differing_numbers("PodDisruptionBudget", budget, ("currentHealthy",), told, (healthy,))


def quotas(state: ClusterState) -> Iterator[tuple[str, str]]:
    """What a ResourceQuota says is used equals a recount of its namespace."""
    quota: ResourceQuota
    for quota in state.listed("ResourceQuota"):
        kinds = sorted({kind_of_quota(resource) for resource in quota.spec.hard})
        usages = [
            usage_of(obj, state.now)
            for kind in kinds
            for obj in state.listed(kind)
            if obj.metadata.namespace == quota.metadata.namespace and concerns(quota, obj)
        ]
        counted = total(quota.spec.hard, usages)
        for name, amount in sorted(counted.items()):
            told = quota.status.used.get(name)
            if told is None or told.milli != amount.milli:
                yield f"ResourceQuota {quota.metadata.key}", f"{name}: used is {told}, {amount} by recount"


def endpoints(state: ClusterState) -> Iterator[tuple[str, str]]:
    """The endpoints of a Service are the pods that it selects, ready where the pods are."""
    told: dict[str, dict[str, bool]] = {}
    for item in state.listed("EndpointSlice"):
        service = item.metadata.labels.get(SERVICE_NAME, "")
        if item.metadata.labels.get("endpointslice.kubernetes.io/managed-by") != "endpointslice-controller.k8s.io":
            continue
        held = told.setdefault(f"{item.metadata.namespace}/{service}", {})
        for endpoint in item.endpoints:
            if endpoint.target_ref is not None:
                held[endpoint.target_ref.name] = bool(endpoint.conditions.ready)
    service_obj: Service
    for service_obj in state.listed("Service"):
        key, spec = service_obj.metadata.key, service_obj.spec
        listed = told.pop(key, {})
        if not spec.selector or spec.type == "ExternalName" or service_obj.metadata.deletion_timestamp is not None:
            continue
        anyway = bool((spec.extra or {}).get("publishNotReadyAddresses"))
        there = {
            pod.metadata.name: anyway or (is_ready(pod.status.conditions) and pod.metadata.deletion_timestamp is None)
            for pod in state.selected(service_obj.metadata.namespace, LabelSelector(match_labels=spec.selector))
            if pod.status.pod_ip and pod.status.phase not in ENDED
        }
        for name in sorted({*listed, *there}):
            if listed.get(name) != there.get(name):
                yield f"Service {key}", f"endpoint {name}: {_endpoint(listed, name)}, pod: {_endpoint(there, name)}"
    for key in sorted(told):
        if told[key]:
            yield f"Service {key}", "gone, its endpoints are still there"


def _endpoint(of: dict[str, bool], name: str) -> str:
    return ("ready" if of[name] else "not ready") if name in of else "none"
