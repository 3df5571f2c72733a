"""Has a cluster converged? Checks of an end state: what is wanted against what is, recounted from the objects alone.

Once the last fault is undone and the timers have run out (HEAL_NS), every check must find nothing. A checker is a
function from a ClusterState to findings; it trusts no status and no controller's memory, only specs, pods, machines.
`converged` looks up to three times, so that what is merely on its way is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.convergence import leftover_checkers as leftovers
from harness.convergence import node_checkers as machines
from harness.convergence import node_claim_checkers as just_in_time
from harness.convergence import pool_checkers as node_pools
from harness.convergence import recount_checkers as recounts
from harness.convergence import revision_checkers as versions
from harness.convergence import workload_checkers as workloads
from harness.convergence.cluster_state import NOTHING_AUTOSCALED, Autoscaled, Checker, ClusterState
from harness.convergence.cron_checkers import cron_jobs
from harness.engine.component import MINUTE, Instant
from harness.node.machine_report import MachineReport
from harness.scheduling.filter_plugin import FilterPlugin

HEAL_NS = 30 * MINUTE
"""From the last fault's end to the check. The longest chain of timers that leads back to rest: a lease runs out (50 s),
NoExecute taints one node in 10 s (zones of up to a hundred nodes), tolerationSeconds of 300, a grace period of 30 s,
pods in crash-loop backoff (300 s), a Job's backoff (360 s); autoscalers rest after 10 min without a need."""

LOOK_AGAIN_NS = MINUTE
"""Between the first two looks of `converged`."""

LONGEST_RETRY_NS = 17 * MINUTE
"""Before the last look: a controller that was refused long enough asks again so late. Source: client-go
util/workqueue/default_rate_limiters.go DefaultTypedControllerRateLimiter, 1000 s."""


@dataclass(frozen=True, slots=True, order=True)
class Unconverged:
    """`subject`: kind and key. `what`: what is there, and what should be."""

    checker: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.subject}: {self.what}"


class Backend(Protocol):
    def inspect(self) -> dict[str, MachineReport]: ...


class Server(Protocol):
    def objects(self, kind: str) -> dict[str, Any]: ...


class RunningCluster(Protocol):
    """What `converged` needs of a cluster; harness.cluster.cluster.Cluster is one."""

    @property
    def now(self) -> Instant: ...
    @property
    def server(self) -> Server: ...
    @property
    def backend(self) -> Backend: ...
    def run(self, until: Instant) -> None: ...


def check(state: ClusterState, only: Iterable[str] = ()) -> list[Unconverged]:
    """All findings of all checkers (or of those named), sorted. Raises KeyError for a name that is none."""
    names = tuple(only) or tuple(CHECKERS)
    return sorted(Unconverged(name, subject, what) for name in names for subject, what in CHECKERS[name](state))


def converged(
    cluster: RunningCluster,
    *,
    schedulers: tuple[str, ...] = ("default-scheduler",),
    autoscaled: Autoscaled = NOTHING_AUTOSCALED,
    filters: tuple[FilterPlugin, ...] = (),
    only: Iterable[str] = (),
) -> list[Unconverged]:
    """What is not as it should be now, still is not LOOK_AGAIN_NS later, nor when the longest retry has come; the
    cluster runs meanwhile. Empty: it has converged."""

    def look() -> list[Unconverged]:
        state = ClusterState(
            cluster.server.objects,
            cluster.now,
            cluster.backend.inspect(),
            schedulers,
            autoscaled.pools,
            templates=autoscaled.templates,
            filters=filters,
            catalogue=autoscaled.catalogue,
            flags=autoscaled.flags,
        )
        return check(state, only)

    found = look()
    for wait_ns in (LOOK_AGAIN_NS, LONGEST_RETRY_NS):
        if not found:
            break
        before = {(item.checker, item.subject) for item in found}
        cluster.run(cluster.now + wait_ns)
        found = [item for item in look() if (item.checker, item.subject) in before]
    return found


CHECKERS: dict[str, Checker] = {
    "nodes": machines.nodes,
    "kubelets": machines.kubelets,
    "ready-pods": machines.ready_pods,
    "unbound": machines.unbound,
    "tainted": machines.tainted,
    "replicas": workloads.replicas,
    "daemon-pods": workloads.daemon_pods,
    "stateful-sets": workloads.stateful_sets,
    "revisions": versions.revisions,
    "jobs": workloads.jobs,
    "training": workloads.training,
    "cron-jobs": cron_jobs,
    "autoscalers": workloads.autoscalers,
    "pending": workloads.pending,
    "pools": node_pools.pools,
    "node-claims": just_in_time.node_claims,
    "statuses": recounts.statuses,
    "quotas": recounts.quotas,
    "endpoints": recounts.endpoints,
    "terminating": leftovers.terminating,
    "orphans": leftovers.orphans,
    "volumes": leftovers.volumes,
    "attachments": leftovers.attachments,
}
