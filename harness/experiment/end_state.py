"""Whether a run's cluster has converged: judged at its end, where the last fault was undone long enough ago."""

from __future__ import annotations

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaling
from harness.autoscaling.policy import NODE_POLICIES
from harness.autoscaling.provisioning.autoscaler import JustInTime
from harness.cluster.cluster import Cluster
from harness.convergence.checkers import HEAL_NS, converged
from harness.convergence.cluster_state import Autoscaled
from harness.engine.component import SECOND, Instant
from harness.experiment.prepared import Prepared
from harness.experiment.result import EndState
from harness.model.training import ROUND_SCHEDULER


def end_state(prepared: Prepared, cluster: Cluster, end: Instant, *, wall: bool = False) -> EndState | None:
    """None where there are no faults. Where something is amiss, the cluster goes on for a minute to look again."""
    if not prepared.faults:
        return None
    if wall:
        return EndState("the run was on the wall clock")
    quiet = [at for planned in prepared.faults if (at := planned.quiet_from_ns) is not None]
    if len(quiet) < len(prepared.faults):
        return EndState("faults come until the end; until: says when they stop")
    since = end - max(quiet)
    if since < 0:
        return EndState("the run ends before the last fault is undone")
    found = converged(
        cluster,
        schedulers=_schedulers(prepared),
        autoscaled=_autoscaled(prepared),
        filters=prepared.scheduling.filters,
    )
    if found and since < HEAL_NS:
        what = f"{since // SECOND} s after the last fault, {HEAL_NS // SECOND} s are needed"
        return EndState(f"{len(found)} things are not at rest {what}; the first: {found[0]}")
    return EndState(findings=tuple(map(str, found)))


def _schedulers(prepared: Prepared) -> tuple[str, ...]:
    """Whose pods must not wait where they fit."""
    rounds = (ROUND_SCHEDULER,) if prepared.workload.training is not None else ()
    return ("default-scheduler", *rounds) if prepared.loaded.scenario.spec.scheduling.retry else rounds


def _autoscaled(prepared: Prepared) -> Autoscaled:
    """By the rules of the cluster autoscaler, or of just-in-time nodes; another policy has its own."""
    policy = NODE_POLICIES.factory(prepared.loaded.scenario.spec.autoscaler, prepared.autoscaler_flags)()
    bounds = {pool.name: (pool.least, pool.most) for pool in prepared.pools}
    if isinstance(policy, ClusterAutoscaling):
        return Autoscaled(bounds, {pool.name: pool for pool in prepared.pools}, policy.settings)
    return Autoscaled(bounds, catalogue=prepared.catalogue if isinstance(policy, JustInTime) else None)
