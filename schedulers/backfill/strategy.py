"""Backfilling around a plan: jobs start in the queue's order, and one behind may go before one that waits if the plan
says that it delays nobody to whom something is promised.

Sources: Lifka, The ANL/IBM SP Scheduling System, JSSPP 1995 (EASY); Mu'alem and Feitelson, Utilization, Predictability,
Workloads, and User Runtime Estimates in Scheduling the IBM SP2 with Backfilling, IEEE TPDS 12(6), 2001, section 2
(EASY and conservative). There a job asks for processors of one machine; here for pods on nodes, one or a gang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.scoring import NOWHERE, what_if
from harness.scheduling.strategy import (
    CPU,
    Bind,
    BindTogether,
    Bool,
    ClusterView,
    Decision,
    Int64,
    PodBatch,
    Wait,
)
from schedulers.backfill.jobs import Job, WaitingJobs
from schedulers.backfill.plans import Admits, BackfillPlan, EasyPlan, Shadow
from schedulers.backfill.promises import ConservativePlan, Promises
from schedulers.backfill.running import RunningPods

BATCH = 4096
REMEMBERED = 64
HELD_BACK = "it would delay one that waits longer"


MakePlan: TypeAlias = Callable[[ClusterView, RunningPods, Admits, Sequence[Job]], BackfillPlan]
"""Of the jobs that wait and are remembered, in the queue's order."""


class Backfill:
    """`plan`: makes the plan of one call. Members go to the nodes that take least of what is promised, and of these to
    the fullest. `remembered`: so many jobs that wait are known also where a call does not hand them over.
    """

    def __init__(
        self, plan: MakePlan, remembered: int, batch_size: int = BATCH, promises: Promises | None = None
    ) -> None:
        """`promises`: of the plan of the last call; while there are any, nobody is tried without a plan."""
        self.batch_size = batch_size
        self._plan = plan
        self._promises = Promises() if promises is None else promises
        self._waiting = WaitingJobs(remembered)
        self._running = RunningPods()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        self._running.sync(cluster)
        self._waiting.take(pods, cluster)
        version = cluster.version
        if all(job.fits_nowhere_at == version for job in self._waiting.handed):
            # Most calls: pods that are tried again every 5 minutes, while nothing has come or gone.
            for job in self._waiting.handed:
                yield Wait(job.members[0], NOWHERE)
            return
        plan: BackfillPlan | None = None  # made when the first job waits, or promises are kept
        admitted: dict[int, Bool] = {}

        def admits(job: Job) -> Bool:
            return _admits(job, cluster, admitted)

        def only_handed() -> bool:
            return plan is not None and plan.complete

        if self._promises.of:
            plan = self._plan(cluster, self._running, admits, self._waiting.first())
        for job in self._waiting.in_order(only_handed):
            if job.handed:
                binds, why = self._try(job, cluster, plan)
                if binds:
                    yield binds[0] if len(binds) == 1 else BindTogether(tuple(binds))
                    self._running.sync(cluster)
                    started = {bind.pod.key for bind in binds}
                    for pod in job.members:
                        if pod.key not in started:
                            yield Wait(pod, why)
                    self._waiting.started(job)
                    continue
                for pod in job.members:
                    yield Wait(pod, why)
            if plan is None:
                plan = self._plan(cluster, self._running, admits, self._waiting.first())
            if not plan.complete:
                plan.wait(job)

    def _try(self, job: Job, cluster: ClusterView, plan: BackfillPlan | None) -> tuple[list[Bind], str]:
        """Where its members start now, none where too few do; and why the others do not."""
        if len(job.members) < job.wanted:
            return [], f"{len(job.members)} of at least {job.wanted} members wait"
        if plan is not None:
            plan.begin(job)
        binds, held_back = _start(job, cluster, plan)
        if len(binds) < job.wanted:
            if not held_back and len(job.members) == 1 and cluster.is_independent(job.members[0]):
                job.fits_nowhere_at = cluster.version
            if plan is not None:
                plan.undo()
            why = HELD_BACK if held_back else NOWHERE
            if len(job.members) > 1:
                why = f"gang {job.members[0].group}: {len(binds)} of at least {job.wanted} fit; {why}"
            return [], why
        if plan is not None:
            plan.started()
        return binds, HELD_BACK if held_back else NOWHERE


def _start(job: Job, cluster: ClusterView, plan: BackfillPlan | None) -> tuple[list[Bind], bool]:
    """Members on nodes, of a gang in a what-if; and whether one was kept from where it fits."""
    binds: list[Bind] = []
    held_back = False
    if len(job.members) == 1:
        node, held_back = _choose(job, 0, cluster, plan)
        if node is not None:
            binds.append(Bind(job.members[0], node))
        return binds, held_back
    with what_if(cluster) as trial:
        for at, pod in enumerate(job.members):
            node, held = _choose(job, at, cluster, plan)
            held_back |= held
            done = None if node is None else trial.bind(pod, node)
            if isinstance(done, Bind):
                binds.append(done)
    return binds, held_back


def _choose(job: Job, member: int, cluster: ClusterView, plan: BackfillPlan | None) -> tuple[int | None, bool]:
    """The node, and whether there is one where it fits and must not go."""
    fits = cluster.feasible(job.members[member]).nonzero()[0]
    if not len(fits):
        return None, False
    penalty = None if plan is None else plan.penalty(job)
    allowed = fits if penalty is None else fits[penalty[fits] >= 0]
    if not len(allowed):
        return None, True
    keys: list[Int64] = [cluster.rank[allowed], cluster.free[CPU][allowed], cluster.gpu_free[allowed].sum(axis=1)]
    if penalty is not None:
        keys.append(penalty[allowed])
    node = int(allowed[np.lexsort(keys)[0]])
    if plan is not None:
        plan.take(job, member, node)
    return node, False


def _admits(job: Job, cluster: ClusterView, known: dict[int, Bool]) -> Bool:
    out = np.ones(len(cluster.names), dtype=np.bool_)
    for pod in {pod.cls.id: pod for pod in job.members}.values():
        if pod.cls.id not in known:
            alive = cluster.alive
            found = [bool(alive[node]) and cluster.admits(pod, node) for node in range(len(alive))]
            known[pod.cls.id] = np.array(found, dtype=np.bool_)
        out &= known[pod.cls.id]
    return out


def easy(batch_size: int = BATCH) -> Backfill:
    """EASY: the first job that waits has a reservation."""
    before: list[Shadow] = []
    return Backfill(
        lambda cluster, running, admits, _: EasyPlan(cluster, running, admits, before), REMEMBERED, int(batch_size)
    )


def conservative(reservations: int = 256, batch_size: int = BATCH) -> Backfill:
    """Conservative: each job that waits has a reservation, but for those behind the first `reservations`."""
    most = int(reservations)
    if most < 1:
        raise UserError("no such number of reservations", found=repr(reservations), expected="at least 1")
    promises = Promises()
    return Backfill(
        lambda cluster, running, admits, waiting: ConservativePlan(cluster, running, admits, waiting, promises),
        most,
        int(batch_size),
        promises,
    )
