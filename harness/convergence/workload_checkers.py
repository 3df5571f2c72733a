"""What workloads ask for against what is there."""

from __future__ import annotations

from collections.abc import Iterator

from harness.controllers.workloads.daemonset import NodesForTemplate
from harness.controllers.workloads.job.failure_policy import only_failed_are_replaced
from harness.controllers.workloads.statefulset.identity import claims_for, ordinal_of, start_of
from harness.convergence.cluster_state import ENDED, ClusterState, is_active, on_dead_node, wanted_replicas
from harness.convergence.fits import fitting_node, gang_fits, snapshot_of
from harness.convergence.refusals import (
    JOB_TRACKING,
    claim_refused,
    next_of_index_refused,
    pod_refused,
    replica_set_refused,
)
from harness.engine.component import MINUTE
from harness.model.core import Node, Pod
from harness.model.daemon_sets import target_of
from harness.model.gpu import WHOLE_GPU
from harness.model.meta import is_ready
from harness.model.node_labels import REPLACES
from harness.model.training import ROUND_SCHEDULER, TRAINING
from harness.model.workloads import Deployment, HorizontalPodAutoscaler, ReplicaSet, StatefulSet
from harness.scheduling.pods.pod_classes import GROUP_LABEL

JOB_BACKOFF_NS = 7 * MINUTE
"""The longest wait before a failed pod of a Job is replaced (6 min), and some slack."""

OVER = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
"""Conditions of a Job that makes no more pods. The last two become the first two when the pods that are being deleted
are gone, and those of a dead node never are. Source: pkg/controller/job/job_controller.go (1.32)."""

TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


def replicas(state: ClusterState) -> Iterator[tuple[str, str]]:
    """ReplicaSets and ReplicationControllers have as many pods as wanted; Deployments have rolled out where all their
    pods are ready."""
    sets: dict[str, list[ReplicaSet]] = {}
    for kind in ("ReplicaSet", "ReplicationController"):
        for item in state.listed(kind):
            owner = item.metadata.controller()
            if owner is not None:
                sets.setdefault(owner.uid, []).append(item)
            wanted = wanted_replicas(item)
            active = [pod for pod in state.pods_of(item.metadata.uid) if is_active(pod)]
            refused = len(active) < wanted and pod_refused(state, item.metadata.namespace, item.spec.template)
            if item.metadata.deletion_timestamp is None and len(active) != wanted and not refused:
                yield f"{kind} {item.metadata.key}", f"{len(active)} pods, {wanted} are wanted"
    for deployment in state.listed("Deployment"):
        spec = deployment.spec
        if deployment.metadata.deletion_timestamp is not None or spec.paused:
            continue
        mine = sets.get(deployment.metadata.uid, [])
        wanted = wanted_replicas(deployment)
        pods = [pod for item in mine for pod in state.pods_of(item.metadata.uid) if is_active(pod)]
        if (
            pod_refused(state, deployment.metadata.namespace, spec.template)
            or replica_set_refused(state, deployment)
            or _waits_for_dead(state, deployment, mine)
        ):
            continue
        if len(pods) < wanted:
            yield f"Deployment {deployment.metadata.key}", f"{len(pods)} pods, {wanted} are wanted"
        if all(is_ready(pod.status.conditions) for pod in pods):
            images = {tuple(c.image for c in pod.spec.containers) for pod in pods}
            current = tuple(c.image for c in spec.template.spec.containers)
            if len(pods) != wanted or images - {current}:
                yield f"Deployment {deployment.metadata.key}", f"all {len(pods)} pods are ready, not rolled out"


def _waits_for_dead(state: ClusterState, deployment: Deployment, sets: list[ReplicaSet]) -> bool:
    """Recreate makes no new pod before the last old one is gone, and on a dead node it is never gone.

    Source: pkg/controller/deployment/recreate.go oldPodsRunning (1.32).
    """
    there = state.objects("Node")
    return deployment.spec.strategy.type == "Recreate" and any(
        pod.metadata.deletion_timestamp is not None and on_dead_node(state, pod, there)
        for item in sets
        for pod in state.pods_of(item.metadata.uid)
    )


def daemon_pods(state: ClusterState) -> Iterator[tuple[str, str]]:
    """One pod of each DaemonSet on each node that should have one, none elsewhere.

    No new one comes before the old one is gone, and from a dead node it never goes. Source: pkg/controller/daemon/
    daemon_controller.go podsShouldBeOnNode (1.32): a pod that is being deleted is one that exists.
    """
    there = state.objects("Node")
    for item in state.listed("DaemonSet"):
        if item.metadata.deletion_timestamp is not None:
            continue
        eligible = NodesForTemplate(item.spec.template)
        on: dict[str, int] = {}
        staying: set[str] = set()
        for pod in state.pods_of(item.metadata.uid):
            if is_active(pod):
                on[target_of(pod)] = on.get(target_of(pod), 0) + 1
            elif pod.metadata.deletion_timestamp is not None and on_dead_node(state, pod, there):
                staying.add(target_of(pod))
        for node in state.listed("Node"):
            name = node.metadata.name
            run, stay = eligible.on(node)
            count = on.pop(name, 0)
            waits = not count and (name in staying or pod_refused(state, item.metadata.namespace, item.spec.template))
            if (run and count != 1 and not waits) or (not stay and count):
                yield f"DaemonSet {item.metadata.key}", f"{count} pods on {name}, {int(run)} wanted"
        for name in on:
            yield f"DaemonSet {item.metadata.key}", f"a pod for {name or 'no node'}, which is not there"


def stateful_sets(state: ClusterState) -> Iterator[tuple[str, str]]:
    """A pod for each ordinal, none beyond; in order, what comes after one that is not ready may be missing, and what is
    beyond may be left. A pod that cannot be gone, on a dead node, keeps its place. Of the template
    as it is are all from the partition on, once all are ready.

    Source: pkg/controller/statefulset/stateful_set_control.go updateStatefulSet, processCondemned (1.32).
    """
    there = state.objects("Node")
    item: StatefulSet
    for item in state.listed("StatefulSet"):
        if item.metadata.deletion_timestamp is not None:
            continue
        subject, start = f"StatefulSet {item.metadata.key}", start_of(item)
        ordinals = range(start, start + wanted_replicas(item))
        by_ordinal = {ordinal_of(item, pod): pod for pod in state.pods_of(item.metadata.uid)}
        stuck = {at for at, pod in by_ordinal.items() if not is_active(pod) and on_dead_node(state, pod, there)}
        well = {at for at, pod in by_ordinal.items() if is_active(pod) and is_ready(pod.status.conditions)}
        ordered = item.spec.pod_management_policy != "Parallel"
        for ordinal in ordinals:
            if ordinal not in by_ordinal:
                refused = pod_refused(state, item.metadata.namespace, item.spec.template)
                if not refused and not claim_refused(state, claims_for(item, ordinal)):
                    yield subject, f"no pod of ordinal {ordinal}, {len(ordinals)} are wanted"
            if ordered and ordinal not in well:
                break
        else:
            beyond = sorted(at for at in by_ordinal if at is not None and at not in ordinals and at not in stuck)
            # The highest goes first, and is waited for until it is ready, unless it is the first that is not.
            waited_for = [at for at in beyond if at not in well]
            blocked = bool(waited_for) and beyond[-1] not in well and waited_for[0] != beyond[-1]
            for ordinal in beyond if not (ordered and (stuck or blocked)) else ():
                yield subject, f"a pod of ordinal {ordinal}, which is not wanted"
        if well >= set(ordinals):
            yield from _claims_of_others(state, item, [by_ordinal[ordinal] for ordinal in ordinals])
        if well >= set(ordinals) and item.spec.update_strategy.type == "RollingUpdate":
            rolling = item.spec.update_strategy.rolling_update
            current = tuple(c.image for c in item.spec.template.spec.containers)
            for ordinal in ordinals[(rolling.partition or 0) if rolling is not None else 0 :]:
                if tuple(c.image for c in by_ordinal[ordinal].spec.containers) != current:
                    yield subject, f"all are ready, and the pod of ordinal {ordinal} is of an older template"


def _claims_of_others(state: ClusterState, item: StatefulSet, pods: list[Pod]) -> Iterator[tuple[str, str]]:
    """Claims of pods that are there belong to their set where they are to go with it, else to nobody. Source:
    kubernetes.io/docs, "StatefulSets", PersistentVolumeClaim retention."""
    policy, there = item.spec.persistent_volume_claim_retention_policy, state.objects("PersistentVolumeClaim")
    wanted = [item.metadata.uid] if policy is not None and policy.when_deleted == "Delete" else []
    for pod in pods:
        for claim in claims_for(item, ordinal_of(item, pod) or 0):
            found = there.get(claim.metadata.key)
            owners = [] if found is None else [ref.uid for ref in found.metadata.owner_references]
            if found is not None and owners != wanted:
                yield f"PersistentVolumeClaim {claim.metadata.key}", f"belongs to {owners}, to be {wanted}"


def jobs(state: ClusterState) -> Iterator[tuple[str, str]]:
    """A Job that is not over has pods at work, none too many, and pods that have ended are counted."""
    for job in state.listed("Job"):
        if job.metadata.deletion_timestamp is not None:
            continue
        pods = state.pods_of(job.metadata.uid)
        over = any(item.type in OVER and item.status == "True" for item in job.status.conditions)
        active = sum(map(is_active, pods))
        most = 1 if job.spec.parallelism is None else job.spec.parallelism
        if over and active:
            yield f"Job {job.metadata.key}", f"over, with {active} pods at work"
        waits = _backing_off(state, pods) or pod_refused(state, job.metadata.namespace, job.spec.template)
        if only_failed_are_replaced(job):  # what is going may never be gone from a dead node
            waits = waits or any(not is_active(pod) and pod.status.phase not in ENDED for pod in pods)
        # Decided, a Job waits for its last pods to be gone, which on a dead node they never are.
        decided = over or any(
            item.type in ("SuccessCriteriaMet", "FailureTarget") and item.status == "True"
            for item in job.status.conditions
        )
        if not decided and not job.spec.suspend and most and not active and not waits:
            yield f"Job {job.metadata.key}", "neither over nor at work"
        if active > most:
            yield f"Job {job.metadata.key}", f"{active} pods at work, at most {most} are wanted"
        for pod in pods:
            tracked = JOB_TRACKING in pod.metadata.finalizers
            if pod.status.phase in ENDED and tracked and not next_of_index_refused(state, pod):
                yield f"Pod {pod.metadata.key}", "has ended, and its Job has not counted it"


def training(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Where training jobs go in rounds, not all of them wait while the gang of one fits on GPUs that are free."""
    if ROUND_SCHEDULER not in state.schedulers:
        return
    free, waiting = 0, []
    for node in state.listed("Node"):
        if is_ready(node.status.conditions) and not node.spec.unschedulable:
            has = node.status.allocatable.get(WHOLE_GPU)
            free += 0 if has is None else has.milli // 1000
    nodes = state.objects("Node")
    for pod in state.listed("Pod"):
        if pod.spec.scheduler_name == ROUND_SCHEDULER and pod.spec.node_name in nodes and pod.status.phase not in ENDED:
            free -= 1
    for job in state.listed("Job"):
        if TRAINING not in job.metadata.annotations or job.metadata.deletion_timestamp is not None:
            continue
        if any(item.type in OVER and item.status == "True" for item in job.status.conditions):
            continue
        if any(pod.status.phase == "Running" for pod in state.pods_of(job.metadata.uid)):
            return
        waiting.append(job)
    for job in waiting:
        if (job.spec.parallelism or 1) <= free:
            yield f"Job {job.metadata.key}", f"waits, though {free} GPUs are free and no training job runs"


def _backing_off(state: ClusterState, pods: list[Pod]) -> bool:
    """Whether a Job may still be waiting before it replaces a failed pod."""
    ends = [
        item.last_transition_time or 0 for pod in pods if pod.status.phase == "Failed" for item in pod.status.conditions
    ]
    return bool(ends) and max(ends) + JOB_BACKOFF_NS > state.now


def autoscalers(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Scale targets and pools are within their bounds, but for nodes beside those that they are to replace; no node is
    left half drained."""
    scaler: HorizontalPodAutoscaler
    for scaler in state.listed("HorizontalPodAutoscaler"):
        ref = scaler.spec.scale_target_ref
        if ref.kind not in ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"):
            continue
        target = state.objects(ref.kind).get(f"{scaler.metadata.namespace}/{ref.name}")
        if target is not None and wanted_replicas(target):
            least, most = scaler.spec.min_replicas or 1, scaler.spec.max_replicas
            if not least <= wanted_replicas(target) <= most:
                what = f"{wanted_replicas(target)} replicas, {least} to {most} are wanted"
                yield f"HorizontalPodAutoscaler {scaler.metadata.key}", what
    counts: dict[str, int] = dict.fromkeys(state.pools, 0)
    for node in state.listed("Node"):
        pool = node.metadata.labels.get(state.pool_label, "")
        if pool in counts and not _replaces_one(state, node):
            counts[pool] += 1
        if any(taint.key == TO_BE_DELETED for taint in node.spec.taints):
            yield f"Node {node.metadata.name}", f"still tainted {TO_BE_DELETED}"
    for pool, (least, most) in sorted(state.pools.items()):
        if not least <= counts[pool] <= most:
            yield f"pool {pool}", f"{counts[pool]} nodes, {least} to {most} are wanted"


def _replaces_one(state: ClusterState, node: Node) -> bool:
    return any(name in state.objects("Node") for name in node.metadata.annotations.get(REPLACES, "").split(","))


def pending(state: ClusterState) -> Iterator[tuple[str, str]]:
    """No pod waits for a node although it fits on one: by all filters, on a snapshot made from the objects."""
    waiting = [
        pod
        for pod in state.listed("Pod")
        if not pod.spec.node_name
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ENDED
        and not pod.spec.scheduling_gates
        and (pod.spec.scheduler_name or "default-scheduler") in state.schedulers
    ]
    if not waiting:
        return
    on = snapshot_of(state.objects, state.filters)
    gangs: dict[str, list[Pod]] = {}
    for pod in waiting:
        group = pod.metadata.labels.get(GROUP_LABEL, "")
        if group:
            gangs.setdefault(f"{pod.metadata.namespace}/{group}", []).append(pod)
            continue
        try:
            node = fitting_node(on, pod)
        except Exception as error:  # a filter cannot read it; that may be why it waits
            yield f"Pod {pod.metadata.key}", f"waits, and whether it fits cannot be told: {error}"
            continue
        if node:
            yield f"Pod {pod.metadata.key}", f"waits, though it fits on {node}"
    for key, members in sorted(gangs.items()):
        members.sort(
            key=lambda pod: (-(pod.spec.priority or 0), pod.metadata.creation_timestamp or 0)
        )  # the queue's order
        group_object = state.objects("PodGroup").get(key)
        least = (group_object.spec.min_member or 0) if group_object is not None else 0
        if gang_fits(on, members, least):
            yield f"PodGroup {key}", f"{len(members)} members wait, though {max(least, 1)} of them fit together"
