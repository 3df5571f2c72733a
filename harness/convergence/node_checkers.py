"""Machines, kubelets and nodes against what the API server says of them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.convergence.cluster_state import ENDED, KNOWN_FINALIZERS, ClusterState
from harness.convergence.refusals import next_of_index_refused
from harness.engine.component import MINUTE, SECOND
from harness.model.core import Pod
from harness.model.meta import condition, is_ready

READY, UNREACHABLE, NOT_READY = "Ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"

GRACE_SLACK_NS = MINUTE
"""A pod whose time on a tainted node is up may take so long to be told to go."""


def nodes(state: ClusterState) -> Iterator[tuple[str, str]]:
    """A dead machine's node is not Ready and tainted unreachable, a healthy machine's is Ready and not tainted so.

    A Node that somebody deletes comes back when its kubelet is started again, not before. Source: pkg/kubelet/
    kubelet_node_status.go registerWithAPIServer (1.32): registrationCompleted.
    """
    if state.machines is None:
        return
    there = state.objects("Node")
    for node in state.listed("Node"):
        name = node.metadata.name
        report = state.machines.get(name)
        ready = condition(node.status.conditions, READY)
        status = "" if ready is None else ready.status
        taints = {taint.key for taint in node.spec.taints}
        if report is not None and report.healthy:
            if status != "True":
                yield f"Node {name}", f"Ready is {status or 'not told'}, its machine is healthy"
            for taint in (UNREACHABLE, NOT_READY):
                if taint in taints:
                    yield f"Node {name}", f"tainted {taint}, its machine is healthy"
        else:
            why = "there is no machine" if report is None else "its machine is down or cut off"
            if status == "True":
                yield f"Node {name}", f"Ready is True, {why}"
            elif status and UNREACHABLE not in taints and NOT_READY not in taints:
                yield f"Node {name}", f"not tainted, {why}"
    for name, report in sorted(state.machines.items()):
        if report.healthy and name not in there and not report.registered:
            yield f"Node {name}", "there is no Node, its machine is healthy"


def kubelets(state: ClusterState) -> Iterator[tuple[str, str]]:
    """On healthy machines the kubelet runs the pods that the API server has bound there, and their status is its."""
    if state.machines is None:
        return
    bound: dict[str, dict[str, Pod]] = {}
    for pod in state.listed("Pod"):
        if pod.spec.node_name and pod.status.phase not in ENDED:
            bound.setdefault(pod.spec.node_name, {})[pod.metadata.uid] = pod
    for name, report in sorted(state.machines.items()):
        if not report.healthy:
            continue
        known = bound.get(name, {})
        for uid, pod in known.items():
            if uid not in report.pods:
                yield f"Pod {pod.metadata.key}", f"bound to {name}, whose kubelet does not run it"
                continue
            told = report.pods[uid]
            if told is None:
                continue
            now, reported = is_ready(pod.status.conditions), is_ready(told.conditions)
            if (pod.status.phase, now) != (told.phase, reported):
                yield (
                    f"Pod {pod.metadata.key}",
                    f"{pod.status.phase}, ready {now}; its kubelet said {told.phase}, ready {reported}",
                )
        for uid in report.pods:
            if uid not in known:
                yield f"Node {name}", f"its kubelet runs pod {uid}, which the API server has not bound there"


def ready_pods(state: ClusterState) -> Iterator[tuple[str, str]]:
    """No pod of a node that is not ready is ready."""
    bad = {
        node.metadata.name
        for node in state.objects("Node").values()
        if any(item.type == READY and item.status != "True" for item in node.status.conditions)
    }
    for pod in state.listed("Pod"):
        if pod.spec.node_name in bad and pod.status.phase not in ENDED and is_ready(pod.status.conditions):
            yield f"Pod {pod.metadata.key}", f"ready, its node {pod.spec.node_name} is not"


def unbound(state: ClusterState) -> Iterator[tuple[str, str]]:
    """No pod is bound to a node that is not there, but for those that somebody's finalizer keeps."""
    there = state.objects("Node")
    for pod in state.listed("Pod"):
        meta = pod.metadata
        kept = meta.deletion_timestamp is not None and any(name not in KNOWN_FINALIZERS for name in meta.finalizers)
        if pod.spec.node_name and pod.spec.node_name not in there and not (kept or next_of_index_refused(state, pod)):
            yield f"Pod {pod.metadata.key}", f"bound to {pod.spec.node_name}, which is not there"


def tainted(state: ClusterState) -> Iterator[tuple[str, str]]:
    """No pod stays on a node with a NoExecute taint that it does not tolerate, or no longer does."""
    taints = {
        node.metadata.name: [taint for taint in node.spec.taints if taint.effect == "NoExecute"]
        for node in state.objects("Node").values()
    }
    for pod in state.listed("Pod"):
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in ENDED:
            continue
        for taint in taints.get(pod.spec.node_name, ()):
            tolerating = [item for item in pod.spec.tolerations if item.tolerates(taint)]
            spans = [item.toleration_seconds for item in tolerating if item.toleration_seconds is not None]
            since = taint.time_added or 0
            if not tolerating or (spans and since + (max(min(spans), 0) * SECOND) + GRACE_SLACK_NS < state.now):
                yield f"Pod {pod.metadata.key}", f"stays on {pod.spec.node_name}, tainted {taint.key}:NoExecute"
