"""A NodeClaim that is being deleted: its node is tainted and drained over the eviction API, then the machine goes.

Source: kubernetes-sigs/karpenter pkg/controllers/node/termination/controller.go, terminator/{terminator,eviction}.go,
pkg/utils/pod/scheduling.go (1.14). Volumes are not waited for until they are detached.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from harness.autoscaling.provisioning.lifecycle import Lifecycle
from harness.autoscaling.provisioning.state import (
    ProvisioningState,
    do_not_disrupt,
    is_active,
    is_drainable,
    owned_by,
)
from harness.autoscaling.provisioning.writes import Writes, update
from harness.engine.component import MS, SECOND, Delete, Effect, EvictPod, WakeAt
from harness.model.core import Node, Pod
from harness.model.karpenter import DISRUPTED, TERMINATION, NodeClaim
from harness.model.meta import condition
from harness.model.times import parse_duration

LOOK_NS = SECOND
"""How often a drain looks. Source: awaitDrain RequeueAfter."""
LEAST_DRAIN_NS = 5 * SECOND
"""Source: MinDrainTime."""
FIRST_BACKOFF_NS, MOST_BACKOFF_NS = 100 * MS, 10 * SECOND
"""Between evictions that are refused. Source: eviction.go evictionQueueBaseDelay, evictionQueueMaxDelay."""
NO_BALANCER = "node.kubernetes.io/exclude-from-external-load-balancers"
CRITICAL = ("system-cluster-critical", "system-node-critical")


class Draining(msgspec.Struct):
    """`tried`: by uid of a pod, how often it was to be evicted and when it may be again."""

    since_ns: int
    tried: dict[str, tuple[int, int]] = {}
    wake_at_ns: int = -1


class Termination:
    def __init__(self, state: ProvisioningState, writes: Writes, lifecycle: Lifecycle) -> None:
        self._state = state
        self._writes = writes
        self._lifecycle = lifecycle
        self._draining: dict[str, Draining] = {}

    def forget(self, name: str) -> None:
        """The claim is gone."""
        self._draining.pop(name, None)

    def step(self, now: int, name: str, effects: list[Effect]) -> None:
        claim, node = self._state.claims[name], self._state.nodes.get(name)
        if node is not None and not self._drained(now, claim, node, effects):
            return
        self._lifecycle.stop_machine(claim, effects)
        if node is not None and TERMINATION in node.metadata.finalizers:
            kept = tuple(item for item in node.metadata.finalizers if item != TERMINATION)
            new_node = replace(node, metadata=replace(node.metadata, finalizers=kept))
            self._writes.make(now, "finalize", node, update(new_node, name), effects)
        elif node is not None:
            effect = Delete("Node", "", name, uid=node.metadata.uid, token=("write", name))
            self._writes.make(now, "delete", node, effect, effects)
        elif TERMINATION in claim.metadata.finalizers:
            kept = tuple(item for item in claim.metadata.finalizers if item != TERMINATION)
            new = replace(claim, metadata=replace(claim.metadata, finalizers=kept))
            self._writes.make(now, "finalize", claim, update(new, name), effects)

    # -- within --------------------------------------------------------------------------------------------------------

    def _drained(self, now: int, claim: NodeClaim, node: Node, effects: list[Effect]) -> bool:
        name = node.metadata.name
        draining = self._draining.get(name)
        if draining is None:
            draining = self._draining[name] = Draining(now)
        if all((taint.key, taint.effect) != (DISRUPTED.key, DISRUPTED.effect) for taint in node.spec.taints):
            labels = {**node.metadata.labels, NO_BALANCER: "karpenter"}
            taints = (*node.spec.taints, DISRUPTED)
            new = replace(
                node, metadata=replace(node.metadata, labels=labels), spec=replace(node.spec, taints=taints)
            )  # fmt: skip
            self._writes.make(now, "taint", node, update(new, name), effects)
        ends = self._ends(claim)
        waiting = [pod for pod in self._state.pods_on(name) if is_drainable(pod, now)]
        if not waiting and now - draining.since_ns >= LEAST_DRAIN_NS:
            return True
        if waiting and self._is_lost(node, claim, ends, now):
            return True
        self._evict(now, draining, waiting, ends, effects)
        if draining.wake_at_ns <= now:
            draining.wake_at_ns = now + LOOK_NS
            effects.append(WakeAt(draining.wake_at_ns, ("claim", name)))
        return False

    def _is_lost(self, node: Node, claim: NodeClaim, ends: int | None, now: int) -> bool:
        """The machine is gone, so that nobody waits for its kubelet. Source: controller.go finalize."""
        ready = condition(node.status.conditions, "Ready")
        lost = claim.metadata.name not in self._lifecycle.machines and (ready is None or ready.status != "True")
        return lost or (ends is not None and now > ends + LOOK_NS)

    @staticmethod
    def _ends(claim: NodeClaim) -> int | None:
        """When the node goes, drained or not: terminationGracePeriod after the deletion."""
        grace, since = claim.spec.termination_grace_period, claim.metadata.deletion_timestamp
        return None if grace is None or since is None else since + parse_duration(grace)

    def _evict(
        self, now: int, draining: Draining, waiting: list[Pod], ends: int | None, effects: list[Effect]
    ) -> None:  # fmt: skip
        """Pods whose time is up are deleted; of the others the first group that is left is evicted."""
        graceful: list[Pod] = []
        for pod in waiting:
            if ends is not None and now >= ends - _grace_s(pod) * SECOND:
                if pod.metadata.deletion_timestamp is None:
                    meta, grace = pod.metadata, max(0, (ends - now) // SECOND)
                    effect = Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=grace, token=("evict", ""))
                    self._writes.make(now, "delete", pod, effect, effects)
            else:
                graceful.append(pod)
        groups: dict[int, list[Pod]] = {}
        for pod in graceful:
            groups.setdefault(_group(pod), []).append(pod)
        if not groups:
            return
        for pod in groups[min(groups)]:
            if not is_active(pod) or do_not_disrupt(pod, now):
                continue
            count, at = draining.tried.get(pod.metadata.uid, (0, 0))
            if now >= at:
                wait = min(FIRST_BACKOFF_NS << min(count, 10), MOST_BACKOFF_NS)
                draining.tried[pod.metadata.uid] = (count + 1, now + wait)
                meta = pod.metadata
                effects.append(EvictPod(meta.namespace, meta.name, uid=meta.uid, token=("evict", meta.key)))


def _grace_s(pod: Pod) -> int:
    own = pod.spec.termination_grace_period_seconds
    return 30 if own is None else own


def _group(pod: Pod) -> int:
    """Source: terminator.go groupPodsByPriority: others before critical ones, DaemonSets' after the rest."""
    return 2 * (pod.spec.priority_class_name in CRITICAL) + owned_by(pod, "DaemonSet")
