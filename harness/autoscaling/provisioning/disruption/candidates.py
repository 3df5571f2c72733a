"""Nodes that may be disrupted, what their going would save, and whom it would trouble.

Source: kubernetes-sigs/karpenter pkg/controllers/disruption/types.go NewCandidate, pkg/utils/disruption/disruption.go,
pkg/controllers/state/statenode.go ValidateNodeDisruptable, ValidatePodsDisruptable, pkg/utils/pdb/pdb.go (1.14).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.autoscaling.provisioning.state import (
    ProvisioningState,
    do_not_disrupt,
    is_active,
    is_reschedulable,
    owned_by,
    tolerates_disruption,
)
from harness.autoscaling.provisioning.templates import hash_of, pool_requirements
from harness.model.core import Pod
from harness.model.karpenter import (
    CAPACITY_TYPE,
    DO_NOT_DISRUPT,
    NEVER,
    NODEPOOL_HASH,
    NODEPOOL_HASH_VERSION,
    WHEN_EMPTY,
    NodePool,
)
from harness.model.meta import condition
from harness.model.times import parse_duration

PER_NODE = 1.0
"""Cost of disrupting a node without pods. Source: PerNodeBaseDisruptionCost."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`price` for an hour; `cost`: how much its going troubles; `pods`: that would come to the scheduler again."""

    name: str
    pool: NodePool
    price: float
    cost: float
    capacity_type: str
    pods: tuple[Pod, ...]

    @property
    def pool_name(self) -> str:
        return self.pool.metadata.name

    @property
    def is_empty(self) -> bool:
        return self.cost <= PER_NODE

    @property
    def savings(self) -> float:
        """Money for each unit of trouble."""
        return self.price / self.cost


class Candidates:
    """`reasons`: nodes that stay, and why, as of the last look."""

    def __init__(self, state: ProvisioningState) -> None:
        self._state = state
        self.reasons: dict[str, str] = {}

    def all(self, now: int, *, eventual: bool = False) -> list[Candidate]:
        """`eventual`: pods that block are no hindrance where a terminationGracePeriod ends the drain."""
        self.reasons = {}
        out = []
        for name in self._state.claims:
            why = self._blocked(now, name, eventual)
            if why:
                self.reasons[name] = why
                continue
            out.append(self._candidate(name))
        return out

    def is_consolidatable(self, now: int, name: str) -> bool:
        """Source: nodeclaim/disruption/consolidation.go."""
        return not self.under_consolidate_after(now, name) and self._wait(name) is not None

    def under_consolidate_after(self, now: int, name: str) -> bool:
        """Whether pods came or went on it of late. Source: IsUnderConsolidateAfter."""
        wait, since = self._wait(name), self._since(name)
        return wait is not None and wait > 0 and since is not None and now - since < wait

    def signature(self, now: int) -> tuple[int, ...]:
        """Changes with whatever time alone changes about candidates."""
        names = self._state.claims
        free = sum(self.is_consolidatable(now, name) for name in names)
        kept = sum(until > now for until in self._state.nominated_until_ns.values())
        return (free, kept)

    def consolidatable(self, now: int) -> list[Candidate]:
        """Not empty, and their pools say so. Source: consolidation.go ShouldDisrupt."""
        out = []
        for item in self.all(now):
            if item.is_empty:
                continue
            disruption = item.pool.spec.disruption
            if disruption.consolidate_after == NEVER:
                why = f'NodePool "{item.pool_name}" has consolidation disabled'
            elif disruption.consolidation_policy == WHEN_EMPTY:
                why = f'NodePool "{item.pool_name}" has consolidation policy WhenEmpty, but node is not empty'
            elif not self.is_consolidatable(now, item.name):
                why = "consolidateAfter has not passed since pods came or went"
            else:
                out.append(item)
                continue
            self.reasons[item.name] = why
        out.sort(key=lambda item: (-item.savings, item.name))
        return out

    def empty(self, now: int) -> list[Candidate]:
        """Source: emptiness.go ShouldDisrupt."""
        found = [item for item in self.all(now) if item.is_empty and self.is_consolidatable(now, item.name)]
        found.sort(key=lambda item: (-item.savings, item.name))
        return found

    def drift(self, name: str) -> str:
        """Why the node is not what its pool would make, '' where it is. Source: nodeclaim/disruption/drift.go."""
        claim, pool = self._state.claims[name], self._state.pool_of(name)
        if pool is None:
            return ""
        annotations = claim.metadata.annotations
        known = annotations.get(NODEPOOL_HASH)
        if known is not None and NODEPOOL_HASH_VERSION in annotations and known != hash_of(pool):
            return "NodePoolDrifted"
        return "" if pool_requirements(pool).holds_for(claim.metadata.labels) else "RequirementsDrifted"

    # -- within --------------------------------------------------------------------------------------------------------

    def _wait(self, name: str) -> int | None:
        """consolidateAfter; None: never."""
        pool = self._state.pool_of(name)
        text = NEVER if pool is None else pool.spec.disruption.consolidate_after
        return None if text == NEVER else parse_duration(text or "0s")

    def _since(self, name: str) -> int | None:
        """Source: nodeclaim/disruption/consolidation.go."""
        status = self._state.claims[name].status
        if status.last_pod_event_time is not None:
            return status.last_pod_event_time
        found = condition(status.conditions, "Initialized")
        return found.last_transition_time if found is not None and found.status == "True" else None

    def _blocked(self, now: int, name: str, eventual: bool) -> str:
        state = self._state
        node, claim, pool = state.nodes.get(name), state.claims[name], state.pool_of(name)
        if node is None:
            return "nodeclaim does not have an associated node"
        if not state.is_initialized(name) or self._since(name) is None:
            return "node isn't initialized"
        if state.is_going(name):
            return "node is deleting or marked for deletion"
        if state.nominated_until_ns.get(name, 0) > now:
            return "node is nominated for a pending pod"
        if node.metadata.annotations.get(DO_NOT_DISRUPT) == "true":
            return f'disruption is blocked through the "{DO_NOT_DISRUPT}" annotation'
        if pool is None:
            return "nodepool not found"
        if eventual and claim.spec.termination_grace_period is not None:
            return ""
        return self.pods_block(now, state.pods_on(name))

    def pods_block(self, now: int, pods: Iterable[Pod]) -> str:
        budgets = self._state.remaining_budgets()
        for pod in pods:
            if do_not_disrupt(pod, now):
                return f'pod {pod.metadata.key} has "{DO_NOT_DISRUPT}" annotation'
            if not is_active(pod) or tolerates_disruption(pod) or owned_by(pod, "Node"):
                continue
            matching = budgets.matching(pod)
            if len(matching) > 1:
                return f"eviction does not support multiple PDBs: {', '.join(matching)}"
            if not budgets.allows(pod) and not self._unhealthy(pod, matching):
                return f"pdb {matching[0]} prevents pod evictions"
        return ""

    def _unhealthy(self, pod: Pod, budgets: Sequence[str]) -> bool:
        """A budget may let go what is not ready anyway."""
        ready = condition(pod.status.conditions, "Ready")
        always = (self._state.budgets[key].spec.unhealthy_pod_eviction_policy == "AlwaysAllow" for key in budgets)
        return ready is not None and ready.status == "False" and any(always)

    def _candidate(self, name: str) -> Candidate:
        state = self._state
        pool = state.pool_of(name)
        assert pool is not None, name
        pods = tuple(pod for pod in state.pods_on(name) if is_reschedulable(pod))
        cost = PER_NODE + sum(max(0.0, eviction_cost(pod)) for pod in pods)
        capacity_type = state.claims[name].metadata.labels.get(CAPACITY_TYPE, "")
        return Candidate(name, pool, state.price(name), cost, capacity_type, pods)


def eviction_cost(pod: Pod) -> float:
    """By its deletion cost and its priority; 1 for most pods. Source: EvictionCost."""
    cost = 1.0
    text = pod.metadata.annotations.get(DELETION_COST)
    if text is not None:
        try:
            cost += float(text) / 2.0**27
        except ValueError:
            cost += 0.0  # no number, no cost
    if pod.spec.priority is not None:
        cost += pod.spec.priority / 2.0**25
    return min(max(cost, -10.0), 10.0)
