"""Just-in-time nodes at rest: each NodeClaim has its node, what is deleted is gone, nobody waits for a node that a
NodePool would make, and no node stands empty that could go."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.autoscaling.provisioning.disruption.budgets import allowed
from harness.autoscaling.provisioning.lifecycle import REGISTRATION_TIMEOUT_NS
from harness.autoscaling.provisioning.offers import Offers
from harness.autoscaling.provisioning.templates import Limits, pool_requirements
from harness.controllers.workloads.job.pods import finished_at
from harness.convergence.cluster_state import ENDED, ClusterState
from harness.convergence.fits import add_new_node, snapshot_of, waits_for_node
from harness.engine.component import MINUTE, SECOND
from harness.model.core import Node, NodeSpec, NodeStatus, Pod
from harness.model.karpenter import EMPTY, HOSTNAME, INITIALIZED, NEVER, NODEPOOL, NodeClaim, NodePool
from harness.model.meta import ObjectMeta, is_ready
from harness.model.times import parse_duration
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from harness.scheduling.state.resource_rows import ResourceRows

SLACK_NS = 5 * MINUTE
"""For looks, evictions and machines one after the other."""


def node_claims(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Nothing where no catalogue says what NodePools make."""
    if state.catalogue is None:
        return
    on_node: dict[str, list[Pod]] = {}
    for pod in state.listed("Pod"):
        on_node.setdefault(pod.spec.node_name, []).append(pod)
    claims, nodes = state.objects("NodeClaim"), state.objects("Node")
    claim: NodeClaim
    for claim in state.listed("NodeClaim"):
        meta = claim.metadata
        if meta.deletion_timestamp is not None:
            yield from _leaving(state, claim, on_node.get(meta.name, []))
        elif meta.name not in nodes:
            since = state.now - (meta.creation_timestamp or 0)
            if since > REGISTRATION_TIMEOUT_NS + SLACK_NS:
                yield f"NodeClaim {meta.name}", f"without a node for {since // SECOND} s"
    for name, node in sorted(nodes.items()):
        if NODEPOOL in node.metadata.labels and name not in claims:
            yield f"Node {name}", "its NodeClaim is gone"
    yield from _unserved(state)
    yield from _empty(state, on_node)


def _leaving(state: ClusterState, claim: NodeClaim, pods: list[Pod]) -> Iterator[tuple[str, str]]:
    """A drain may wait for as long as a budget holds a pod."""
    late_ns = state.now - (claim.metadata.deletion_timestamp or 0) - SLACK_NS
    if late_ns <= 0:
        return
    budgets = state.listed("PodDisruptionBudget")
    for pod in pods:
        held = any(
            item.metadata.namespace == pod.metadata.namespace
            and item.spec.selector is not None
            and item.spec.selector.matches(pod.metadata.labels)
            for item in budgets
        )
        if held and pod.status.phase not in ENDED:
            return
    yield f"NodeClaim {claim.metadata.name}", f"is going for {late_ns // SECOND} s too long, and no budget holds a pod"


def _unserved(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Gangs make no NodePool grow: one member more makes none whole."""
    waiting = [p for p in state.listed("Pod") if waits_for_node(state, p) and not p.metadata.labels.get(GROUP_LABEL)]
    if not waiting or state.catalogue is None:
        return
    pools: list[NodePool] = [item for item in state.listed("NodePool") if item.metadata.deletion_timestamp is None]
    used: dict[str, list[dict[str, object]]] = {}
    for claim in state.listed("NodeClaim"):
        used.setdefault(claim.metadata.labels.get(NODEPOOL, ""), []).append(claim.status.capacity)
    limits = Limits(pools, used)  # type: ignore[arg-type]
    offers = Offers(state.catalogue, ResourceRows())
    for pool in pools:
        name = pool.metadata.name
        open_ = limits.within(name, offers, offers.meeting(pool_requirements(pool)))
        on = snapshot_of(state.objects, state.filters)
        places = [_new_node(pool, offers, *place) for place in zip(*np.nonzero(open_), strict=True)]
        indices = [add_new_node(state, on, node) for node in places]
        for pod in waiting if indices else ():
            if bool(on.feasible(on.classes.view(pod))[indices].any()):
                yield f"Pod {pod.metadata.key}", f"waits, though it would fit on a new node of NodePool {name}"


def _new_node(pool: NodePool, offers: Offers, row: int, column: int) -> Node:
    template, item = pool.spec.template, offers.types[row]
    name = f"one-more-{row}-{column}"
    labels = {**template.metadata.labels, **offers.labels(row, column), NODEPOOL: pool.metadata.name, HOSTNAME: name}
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=template.spec.taints),
        status=NodeStatus(capacity=item.capacity, allocatable=item.allocatable),
    )


def _empty(state: ClusterState, on_node: dict[str, list[Pod]]) -> Iterator[tuple[str, str]]:
    """Not judged while a node of its pool is not ready, not initialized, or going: these count against the budget."""
    waiting = [pod for pod in state.listed("Pod") if waits_for_node(state, pod)]
    on = snapshot_of(state.objects, state.filters)
    fits = [on.feasible(on.classes.view(pod)) for pod in waiting]
    by_pool: dict[str, list[Node]] = {}
    for node in state.listed("Node"):
        by_pool.setdefault(node.metadata.labels.get(NODEPOOL, ""), []).append(node)
    pool: NodePool
    for pool in state.listed("NodePool"):
        after, nodes = pool.spec.disruption.consolidate_after, by_pool.get(pool.metadata.name, [])
        if after == NEVER or not allowed(pool, len(nodes), EMPTY, state.now, state.epoch_unix_ns):
            continue
        if any(not _is_settled(state, node) for node in nodes):
            continue
        for node in nodes:
            name = node.metadata.name
            mine = [pod for pod in on_node.get(name, []) if not _is_daemons(pod)]
            if any(pod.status.phase not in ENDED for pod in mine):
                continue
            told = state.objects("NodeClaim")[name].status.last_pod_event_time or 0
            since = max([node.metadata.creation_timestamp or 0, told, *map(finished_at, mine)])
            idle_ns = state.now - since - parse_duration(after or "0s")
            if idle_ns > SLACK_NS and not any(mask[on.node_table.index[name]] for mask in fits):
                yield f"Node {name}", f"empty for {idle_ns // SECOND} s longer than consolidateAfter"


def _is_settled(state: ClusterState, node: Node) -> bool:
    claim = state.objects("NodeClaim").get(node.metadata.name)
    return (
        claim is not None
        and claim.metadata.deletion_timestamp is None
        and node.metadata.labels.get(INITIALIZED) == "true"
        and is_ready(node.status.conditions)
    )


def _is_daemons(pod: Pod) -> bool:
    owner = pod.metadata.controller()
    return owner is not None and owner.kind == "DaemonSet"
