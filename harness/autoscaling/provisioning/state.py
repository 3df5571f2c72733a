"""What is known of the cluster: the watches' events as a snapshot, NodePools, NodeClaims, pending pods.

Source: kubernetes-sigs/karpenter pkg/controllers/state/{cluster,statenode}.go, pkg/utils/pod/scheduling.go (1.14).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from harness.autoscaling.cluster.daemon_pods import DaemonPods
from harness.autoscaling.cluster.drainability import RemainingBudgets
from harness.autoscaling.provisioning.catalogue import Catalogue
from harness.autoscaling.provisioning.lookups import Lookups
from harness.autoscaling.provisioning.offers import Offers
from harness.autoscaling.provisioning.templates import ClaimTemplate, by_weight, template_of
from harness.engine.component import DELETED, SECOND, Relist, Watch
from harness.model.core import Node, NodeSpec, NodeStatus, Pod, Taint
from harness.model.karpenter import (
    CAPACITY_TYPE,
    DISRUPTED,
    DO_NOT_DISRUPT,
    HOSTNAME,
    INITIALIZED,
    INSTANCE_TYPE,
    NODEPOOL,
    REGISTERED,
    UNREGISTERED,
    ZONE,
    NodeClaim,
    NodePool,
)
from harness.model.meta import ObjectMeta, condition
from harness.model.objects import DaemonSet, PodDisruptionBudget
from harness.model.times import parse_duration
from harness.model.volumes import claims_of
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Int64, PodView

EPHEMERAL = (
    Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule"),
    Taint(key="node.kubernetes.io/not-ready", effect="NoExecute"),
    Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule"),
    Taint(key="node.cloudprovider.kubernetes.io/uninitialized", effect="NoSchedule", value="true"),
    UNREGISTERED,
)
"""Source: pkg/scheduling/taints.go KnownEphemeralTaints."""

STUCK_NS = 60 * SECOND
"""A pod that should have ended so long ago is waited for no longer. Source: IsStuckTerminating."""

LAUNCHED = "Launched"


class ProvisioningState:
    """`claims`: by name, which is their node's, too. `pending`: pods that were told to be unschedulable; `pods`: bound
    and not ended; both by key. `pod_events`: nodes on which a pod came or went, until that is written.

    A node that is coming, or that has come and is not initialized, stands in the snapshot as it will be. `changes`
    grows with everything that consolidation could look at.
    """

    def __init__(self, catalogue: Catalogue, filters: Sequence[FilterPlugin] = ()) -> None:
        """`filters`: the cluster's Filter plugins of others."""
        self.catalogue = catalogue
        self.snapshot = Snapshot(PodClasses(filters=filters))
        self.offers = Offers(catalogue, self.snapshot.tables.rows)
        self.daemon_pods = DaemonPods(self.snapshot)
        self.nodes: dict[str, Node] = {}
        self.claims: dict[str, NodeClaim] = {}
        self.pools: dict[str, NodePool] = {}
        self.pods: dict[str, Pod] = {}
        self.pending: dict[str, Pod] = {}
        self.budgets: dict[str, PodDisruptionBudget] = {}
        self.pod_events: dict[str, None] = {}
        self.nominated_until_ns: dict[str, int] = {}
        self.has_claims = False  # whether any pod had volumes
        self.marked: set[str] = set()  # nodes that will be deleted when their replacements are there
        self.changes = 0
        self.lookups = Lookups(self)
        self._keys_on: dict[str, dict[str, None]] = {}
        self._unbound: dict[str, tuple[str, Pod]] = {}
        self._templates: list[ClaimTemplate] | None = None

    # -- events --------------------------------------------------------------------------------------------------------

    def observe(self, event: Watch) -> None:
        obj, gone = event.obj, event.type == DELETED
        match obj:
            case Node():
                self._update_node(obj, gone=gone)
            case Pod():
                self._update_pod(obj, gone=gone)
            case NodeClaim():
                self.put_claim(obj, gone=gone)
            case NodePool():
                self._templates = None
                self._keep(self.pools, obj, gone)
                self.changes += 1
            case PodDisruptionBudget():
                self._keep(self.budgets, obj, gone)
                self.changes += 1
            case DaemonSet():
                self._templates = None
                if gone:
                    self.daemon_pods.remove(obj.metadata.key)
                else:
                    self.daemon_pods.put(obj)
            case _:
                self.snapshot.tables.learn_volumes(obj, gone=gone)

    def missing(self, event: Relist) -> list[Any]:
        """What is known and not in the list any more."""
        there = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
        known: dict[str, list[Any]] = {
            "Node": list(self.nodes.values()),
            "Pod": [*self.pods.values(), *self.pending.values()],
            "NodeClaim": [claim for claim in self.claims.values() if claim.metadata.uid],
            "NodePool": list(self.pools.values()),
            "PodDisruptionBudget": list(self.budgets.values()),
        }
        return [obj for obj in known.get(event.kind, ()) if there.get(obj.metadata.key) != obj.metadata.uid]

    def put_claim(self, claim: NodeClaim, *, gone: bool = False) -> None:
        """Also one that is written and not yet heard of."""
        name = claim.metadata.name
        old = self.claims.get(name)
        if gone:
            if self.claims.pop(name, None) is not None and name not in self.nodes:
                self._drop(name)
            self.nominated_until_ns.pop(name, None)
            self.pod_events.pop(name, None)
        else:
            self.claims[name] = claim
            if old is None or (old.metadata.deletion_timestamp is None) != (claim.metadata.deletion_timestamp is None):
                self.changes += 1
            self._show(name)

    # -- nodes and claims ----------------------------------------------------------------------------------------------

    def expected_node(self, claim: NodeClaim) -> Node | None:
        """The node that the claim's machine will register, initialized; None before it is launched."""
        meta = claim.metadata
        found = self.catalogue.by_name.get(meta.labels.get(INSTANCE_TYPE, ""))
        if found is None:
            return None
        return Node(
            metadata=ObjectMeta(name=meta.name, labels={**meta.labels, HOSTNAME: meta.name}),
            spec=NodeSpec(taints=claim.spec.taints, provider_id=claim.status.provider_id),
            status=NodeStatus(capacity=found.capacity, allocatable=found.allocatable),
        )

    def is_initialized(self, name: str) -> bool:
        """Also a node that is not of a claim."""
        node = self.nodes.get(name)
        return node is not None and (name not in self.claims or node.metadata.labels.get(INITIALIZED) == "true")

    def mark(self, name: str) -> None:
        self.marked.add(name)
        self.changes += 1

    def unmark(self, name: str) -> None:
        if name in self.marked:
            self.marked.remove(name)
            self.changes += 1

    def is_going(self, name: str) -> bool:
        """It is being deleted, or will be."""
        return name in self.marked or self.is_deleting(name)

    def is_deleting(self, name: str) -> bool:
        claim, node = self.claims.get(name), self.nodes.get(name)
        return any(obj is not None and obj.metadata.deletion_timestamp is not None for obj in (claim, node))

    def pool_of(self, name: str) -> NodePool | None:
        claim = self.claims.get(name)
        return None if claim is None else self.pools.get(claim.metadata.labels.get(NODEPOOL, ""))

    def price(self, name: str) -> float:
        """Of a node for an hour, 0 where the catalogue does not say."""
        claim = self.claims.get(name)
        return 0.0 if claim is None else self.catalogue.price_of(claim.metadata.labels) or 0.0

    @property
    def names_of_claims(self) -> tuple[str, ...]:
        return tuple(self.claims)

    def column(self, name: str) -> int | None:
        return self.snapshot.node_table.index.get(name)

    def existing(self, without: frozenset[str] | set[str] = frozenset()) -> Int64:
        """Columns of nodes that may take pods, in the order in which they are tried."""
        index = self.snapshot.node_table.index
        found = [index[name] for name in self.lookups.ordered if name not in without and name in index]
        return np.array(found, dtype=np.int64)

    def templates(self) -> list[ClaimTemplate]:
        """In the order in which NodePools are tried."""
        if self._templates is None:
            kept = [p for p in self.pools.values() if p.metadata.deletion_timestamp is None and p.spec.replicas is None]
            daemons = self.daemon_pods.objects()
            made = [template_of(pool, self.offers, daemons, self.snapshot.classes) for pool in by_weight(kept)]
            self._templates = [item for item in made if item is not None]
        return self._templates

    def offers_changed(self) -> None:
        """Some are not to be had, or are again."""
        self._templates = None
        self.changes += 1

    def capacities(self, without: frozenset[str]) -> Mapping[str, list[Any]]:
        """Of the nodes of each pool that there are or that are coming, without those that go: what takes their place
        may be there beside them. Source: scheduler.go updateRemainingResources, of Active nodes."""
        out: dict[str, list[Any]] = {}
        for name, claim in self.claims.items():
            if name in without or self.is_going(name):
                continue
            labels = claim.metadata.labels
            found = self.catalogue.by_name.get(labels.get(INSTANCE_TYPE, ""))
            if found is not None:
                out.setdefault(labels.get(NODEPOOL, ""), []).append(found.capacity)
        return out

    # -- pods ----------------------------------------------------------------------------------------------------------

    def pods_on(self, name: str) -> list[Pod]:
        """Bound there and not ended."""
        return [self.pods[key] for key in self._keys_on.get(name, ())]

    def view(self, pod: Pod) -> PodView:
        return self.snapshot.classes.view(pod)

    def unbound(self, pod: Pod) -> Pod:
        """As it would come to the scheduler again."""
        key, version = pod.metadata.key, pod.metadata.resource_version
        known = self._unbound.get(key)
        if known is None or known[0] != version:
            meta = replace(pod.metadata, deletion_timestamp=None)
            known = (version, replace(pod, metadata=meta, spec=replace(pod.spec, node_name="")))
            self._unbound[key] = known
        return known[1]

    def provisionable(self) -> list[Pod]:
        """Pending pods that a node is made for."""
        return [pod for pod in self.pending.values() if is_provisionable(pod)]

    def remaining_budgets(self) -> RemainingBudgets:
        return RemainingBudgets(self.budgets)

    def reschedulable(self, now: int, name: str) -> list[Pod]:
        """Pods of a node that will come to the scheduler again when it goes. Source: IsReschedulable,
        IsCurrentlyReschedulable (those that nothing keeps from being evicted)."""
        return [
            pod
            for pod in self.pods_on(name)
            if is_reschedulable(pod) and not do_not_disrupt(pod, now) and not self._is_fully_blocked(pod)
        ]

    def _is_fully_blocked(self, pod: Pod) -> bool:
        return is_fully_blocked(pod, [self.budgets[key] for key in self.remaining_budgets().matching(pod)])

    # -- within --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _keep(known: dict[str, Any], obj: Any, gone: bool) -> None:
        if gone:
            known.pop(obj.metadata.key, None)
        else:
            known[obj.metadata.key] = obj

    def _update_node(self, node: Node, *, gone: bool) -> None:
        name = node.metadata.name
        if gone:
            if self.nodes.pop(name, None) is not None:
                self.changes += 1
                if name in self.claims and not self.is_going(name):
                    self._show(name)
                else:
                    self._drop(name)
            return
        old = self.nodes.get(name)
        if old is None or old.metadata.labels != node.metadata.labels or old.spec != node.spec:
            self.changes += 1
        self.nodes[name] = node
        self._show(name)

    def _show(self, name: str) -> None:
        """The node as pods to come will find it. Source: statenode.go Taints, Labels, Allocatable."""
        node, claim = self.nodes.get(name), self.claims.get(name)
        shown = node if claim is None else _as_it_will_be(node, claim, self.expected_node(claim))
        if shown is None:
            return
        if self.column(name) is None:
            self.snapshot.add_node(**node_columns(shown))
            self.changes += 1
        else:
            self.snapshot.update_node(**node_columns(shown))

    def _drop(self, name: str) -> None:
        if self.column(name) is not None:
            self.snapshot.remove_node(name)
            self.changes += 1

    def _update_pod(self, pod: Pod, *, gone: bool) -> None:
        key = pod.metadata.key
        if gone or pod.status.phase in ("Succeeded", "Failed"):
            if self.pending.pop(key, None) is not None:
                self.changes += 1
            self._unbound.pop(key, None)
            old = self.pods.pop(key, None)
            if old is not None:
                self.changes += 1
                self._keys_on[old.spec.node_name].pop(key, None)
                self.snapshot.forget(key)
                if not gone:
                    self._note_pod_event(old)
            return
        if (held := self.pods.get(key)) is not None and held.spec.node_name != pod.spec.node_name:
            self._update_pod(held, gone=True)  # the store was restored: it is not bound there
        self.has_claims = self.has_claims or bool(claims_of(pod))
        node = pod.spec.node_name
        if node:
            self.pending.pop(key, None)
            before, self.pods[key] = self.pods.get(key), pod
            if before is None:
                self.changes += 1
                self._keys_on.setdefault(node, {})[key] = None
                self.snapshot.assume_on(self.view(pod), node, bound_devices(pod))
                self._note_pod_event(pod)
                return
            if before.metadata.labels != pod.metadata.labels:
                self.snapshot.update_pod(self.view(pod))
            if (before.metadata.deletion_timestamp is None) != (pod.metadata.deletion_timestamp is None):
                self.changes += 1
                self._note_pod_event(pod)
            return
        scheduled = condition(pod.status.conditions, "PodScheduled")
        if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
            self.changes += key not in self.pending
            self.pending[key] = pod
        else:
            self.pending.pop(key, None)

    def _note_pod_event(self, pod: Pod) -> None:
        """Source: nodeclaim/podevents/controller.go: bound, ended, or told to end; not of DaemonSets."""
        if not owned_by(pod, "DaemonSet") and pod.spec.node_name in self.claims:
            self.pod_events[pod.spec.node_name] = None


def _as_it_will_be(node: Node | None, claim: NodeClaim, expected: Node | None) -> Node | None:
    """A claim's node when it is initialized; itself where it is."""
    if node is None:
        return expected
    if expected is None or node.metadata.labels.get(INITIALIZED) == "true":
        return node
    registered = node.metadata.labels.get(REGISTERED) == "true"
    taints = node.spec.taints if registered else claim.spec.taints
    kept = tuple(item for item in taints if not _is_among(item, (*EPHEMERAL, *claim.spec.startup_taints)))
    return replace(
        node,
        metadata=replace(node.metadata, labels={**claim.metadata.labels, **node.metadata.labels}),
        spec=replace(node.spec, taints=kept),
        status=node.status if node.status.allocatable else expected.status,
    )


def owned_by(pod: Pod, *kinds: str) -> bool:
    return any(owner.kind in kinds for owner in pod.metadata.owner_references)


def is_provisionable(pod: Pod) -> bool:
    """Whether a node is made for a pod that is pending. Source: IsProvisionable."""
    going = pod.metadata.deletion_timestamp is not None
    return not (pod.status.nominated_node_name or going or owned_by(pod, "DaemonSet", "Node"))


def is_active(pod: Pod) -> bool:
    return pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None


def is_reschedulable(pod: Pod) -> bool:
    going = pod.metadata.deletion_timestamp is not None
    return (is_active(pod) or (going and owned_by(pod, "StatefulSet"))) and not owned_by(pod, "DaemonSet", "Node")


def do_not_disrupt(pod: Pod, now: int) -> bool:
    """`true`, or a time since the pod's start for which it holds. Source: IsDoNotDisruptActive."""
    value = pod.metadata.annotations.get(DO_NOT_DISRUPT)
    if value is None or not is_active(pod):
        return False
    if value == "true":
        return True
    try:
        held = parse_duration(value)
    except ValueError:
        return False
    return held > 0 and (pod.status.start_time is None or now - pod.status.start_time < held)


def is_fully_blocked(pod: Pod, matching: Sequence[PodDisruptionBudget]) -> bool:
    """By a budget that never lets any go, or by two, which the eviction API refuses. Source: pkg/utils/pdb isEvictable,
    isFullyBlocking."""
    if not is_active(pod) or tolerates_disruption(pod) or owned_by(pod, "Node"):
        return False  # nobody evicts it
    if len(matching) > 1:
        return True
    ready = condition(pod.status.conditions, "Ready")
    unhealthy = ready is not None and ready.status == "False"
    return any(
        (spec.max_unavailable in (0, "0%") or spec.min_available == "100%")
        and not (unhealthy and spec.unhealthy_pod_eviction_policy == "AlwaysAllow")
        for spec in (item.spec for item in matching)
    )


def tolerates_disruption(pod: Pod) -> bool:
    return any(item.tolerates(DISRUPTED) for item in pod.spec.tolerations)


def is_drainable(pod: Pod, now: int) -> bool:
    """Source: IsWaitingEviction."""
    deleted = pod.metadata.deletion_timestamp
    stuck = deleted is not None and now - deleted > STUCK_NS
    return not tolerates_disruption(pod) and not stuck and not owned_by(pod, "Node")


def bought_as(labels: Mapping[str, str]) -> tuple[str, str, str]:
    """(instance type, capacity type, zone) of a node with these labels."""
    return labels.get(INSTANCE_TYPE, ""), labels.get(CAPACITY_TYPE, ""), labels.get(ZONE, "")


def _is_among(taint: Taint, known: tuple[Taint, ...]) -> bool:
    """Source: core/v1 Taint.MatchTaint: by key and effect."""
    return any((taint.key, taint.effect) == (item.key, item.effect) for item in known)


def startup_taints_of(node: Node, claim: NodeClaim) -> Iterator[Taint]:
    """Those that the node still has, and those that keep it from being initialized."""
    return (taint for taint in node.spec.taints if _is_among(taint, (*claim.spec.startup_taints, *EPHEMERAL)))
