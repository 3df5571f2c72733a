"""How many nodes of a pool may be disrupted at a time, and when.

Source: kubernetes-sigs/karpenter pkg/apis/v1 nodepool.go GetAllowedDisruptionsByReason, IsActive;
pkg/controllers/disruption/helpers.go BuildDisruptionBudgetMapping (1.14).
"""

from __future__ import annotations

from collections.abc import Collection

from harness.autoscaling.provisioning.state import ProvisioningState
from harness.model.cron import parse_cron
from harness.model.karpenter import DisruptionBudget, NodePool
from harness.model.meta import condition
from harness.model.times import parse_duration
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS

_SECOND = 10**9


def is_active(budget: DisruptionBudget, now: int, epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS) -> bool:
    """Whether its schedule came within its duration. `epoch_unix_ns`: instant 0, since 1970."""
    if budget.schedule is None or budget.duration is None:
        return True
    unix_s = (epoch_unix_ns + now) // _SECOND
    came = parse_cron(budget.schedule).next_after(unix_s - parse_duration(budget.duration) // _SECOND)
    return came is not None and came <= unix_s


def allowed(pool: NodePool, nodes: int, reason: str, now: int, epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS) -> int:
    """The least that an active budget for `reason` allows of `nodes`; a percentage rounds up."""
    least = 1 << 31
    for budget in pool.spec.disruption.budgets or ():
        if budget.reasons is not None and reason not in budget.reasons:
            continue
        if is_active(budget, now, epoch_unix_ns):
            text = budget.nodes
            most = -(-int(text[:-1]) * nodes // 100) if text.endswith("%") else int(text)
            least = min(least, most)
    return least


def remaining(state: ProvisioningState, reason: str, now: int, epoch_unix_ns: int) -> dict[str, int]:
    """By pool, how many more nodes may be disrupted: what is allowed without those that are going or not ready."""
    nodes: dict[str, int] = dict.fromkeys(state.pools, 0)
    going: dict[str, int] = dict.fromkeys(state.pools, 0)
    for name in state.claims:
        pool, node = state.pool_of(name), state.nodes.get(name)
        if pool is None or node is None or not state.is_initialized(name):
            continue
        nodes[pool.metadata.name] += 1
        ready = condition(node.status.conditions, "Ready")
        if state.is_going(name) or ready is None or ready.status != "True":
            going[pool.metadata.name] += 1
    return {
        name: max(0, allowed(pool, nodes[name], reason, now, epoch_unix_ns) - going[name])
        for name, pool in state.pools.items()
    }


def within(names: Collection[tuple[str, str]], left: dict[str, int]) -> tuple[list[str], bool]:
    """Of (node, its pool), in order, those that `left` allows together; whether any was left out."""
    out = []
    constrained = False
    for name, pool in names:
        if left.get(pool, 0) <= 0:
            constrained = True
            continue
        left[pool] -= 1
        out.append(name)
    return out, constrained
