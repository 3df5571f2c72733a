"""Why nodes of pools stay, in Kubernetes' words.

Source: cluster-autoscaler simulator/cluster.go UnremovableReason (1.32).
"""

from __future__ import annotations

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.scale_down import ScaleDownPlanner
from harness.autoscaling.spells import Spells

DISABLED = "scale-down-enabled=false"
"""Why every node stays, where the flag says so."""


def reasons_to_stay(state: ClusterState, planner: ScaleDownPlanner, cooling: str, *, timed: bool) -> dict[str, str]:
    """Of each node that the last scan did not find removable, or that has to wait. `cooling`: the flag because of which
    none goes now. `timed`: with the instant since when it waits."""
    if not state.settings.scale_down_enabled:
        return {node: DISABLED for pool in state.pools.values() for node in pool.members}
    if cooling:
        waiting = dict.fromkeys(planner.unneeded, f"ScaleDownInCooldown: {cooling}")
    else:
        waiting = planner.waiting() if timed else planner.waiting_reasons()
    return {**waiting, **planner.reasons}


def note_stays(spells: Spells, now: int, state: ClusterState, planner: ScaleDownPlanner, cooling: str) -> None:
    def pool_of(name: str) -> str:
        pool = state.pool_of(state.nodes[name]) if name in state.nodes else None
        return "" if pool is None else pool.pool.name

    spells.observe(now, reasons_to_stay(state, planner, cooling, timed=False), pool_of)
