"""Tiresias: the least attained service first, in queues; it knows nothing of how long jobs take.

Source: Gu et al., NSDI 2019, section 3.2 (discretised 2D-LAS), and the authors' simulator (SymbioticLab/Tiresias
b0ef844 and 959f9b0, simulator/jobs.py line 104 and dlas_sim_jobs in run_sim.py, schedule dlas-gpu, with which the rules
below were compared): three queues with limits of 3,250 and 7,200 GPU-seconds; its third limit, 18,000, is never read.
A job moves to the next queue when its attained service, executed time times GPUs, reaches the limit. Queues are walked
in order, and what does not fit is passed over. Within a queue, jobs that ran last go before those that waited; who
comes goes before who is promoted.

Not modelled: placement by a profile of the model's skew (section 3.3), the Gittins index (it needs a distribution of
service), decisions between boundaries. Service is what the job book counts, without the time of a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.jobs.protocol import Boundary, Schedule
from harness.model.errors import UserError
from schedulers.rounds.gavel import keep_gpus
from schedulers.rounds.shortest import first_that_fit

LIMITS_GPU_S = (3250.0, 7200.0)
"""GPU-seconds at which a job leaves the first and the second queue."""


@dataclass(slots=True)
class _Account:
    queue: int = 0
    executed_s: float = 0.0  # since it came, or was promoted
    waited_s: float = 0.0  # since it first ran, or was promoted
    order: int = 0  # within its queue


class Tiresias:
    """`promote_after`: a job that has waited so many times its executed time goes back to the first queue with nothing
    attained (PROMOTEKNOB); 0, as in the simulator's default, never.
    """

    def __init__(self, limits: Sequence[float] = LIMITS_GPU_S, promote_after: float = 0.0) -> None:
        self._limits = tuple(limits)
        self._promote_after = promote_after
        self._accounts: dict[int, _Account] = {}
        self._last_s = 0.0
        self._count = 0

    def schedule(self, boundary: Boundary) -> Schedule:
        self._account(boundary)
        accounts = self._accounts
        order = sorted(boundary.active, key=lambda job: (accounts[job.id].queue, accounts[job.id].order))
        chosen = first_that_fit(order, boundary.gpus - len(boundary.unusable))
        running = {job.id for job in chosen}
        for job in order:  # those that wait go behind those that run, in their order
            if job.id not in running:
                self._to_the_end(accounts[job.id])
        return keep_gpus(chosen, boundary.gpus, boundary.unusable)

    def _account(self, boundary: Boundary) -> None:
        passed_s, self._last_s = boundary.now_s - self._last_s, boundary.now_s
        given: dict[int, float] = {}
        for each in boundary.settlements:
            given[each.job] = given.get(each.job, 0.0) + each.elapsed_s + each.lost_s
            if each.completed:
                self._accounts.pop(each.job, None)
        known = [job for job in boundary.active if job.id in self._accounts]
        for job in boundary.active:  # who comes is in the first queue ahead of those that go back to it now
            if job.id not in self._accounts:
                self._to_the_end(self._accounts.setdefault(job.id, _Account()))
        for job in known:
            account = self._accounts[job.id]
            if job.id in given:
                account.executed_s += given[job.id]
                last = len(self._limits)
                if account.queue < last and account.executed_s * job.gang >= self._limits[account.queue]:
                    account.queue += 1
                    self._to_the_end(account)
            elif account.executed_s > 0:
                account.waited_s += passed_s
                if account.queue and 0 < self._promote_after * account.executed_s <= account.waited_s:
                    account.queue, account.executed_s, account.waited_s = 0, 0.0, 0.0
                    self._to_the_end(account)

    def _to_the_end(self, account: _Account) -> None:
        self._count += 1
        account.order = self._count


def tiresias(limits: str = "3250/7200", promote_after: float = 0.0) -> Tiresias:
    """Discretised 2D-LAS. `limits`: GPU-seconds at which a job leaves each queue but the last, `3250/7200`."""
    try:
        found = [float(text) for text in str(limits).split("/")]
    except ValueError:
        found = []
    if not found or found != sorted(set(found)) or found[0] <= 0:
        raise UserError(
            "no limits of queues", found=repr(limits), expected="GPU-seconds in ascending order, 3250/7200 for instance"
        )
    if not float(promote_after) >= 0:
        raise UserError("no such knob", found=f"promote_after {promote_after!r}", expected="0 for never, or more")
    return Tiresias(found, float(promote_after))
