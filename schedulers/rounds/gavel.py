"""From shares of time to rounds, as Gavel does it (Narayanan et al., OSDI 2020) in Shockwave's fork.

A policy says for each job which share of the time it should run. The jobs that have had least of their share run
first. Shares are computed again at the first boundary at which a job came or went at least 1,000 s after the last time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from harness.jobs.protocol import Boundary, JobView, Schedule

Shares: TypeAlias = Mapping[int, float]

RECOMPUTE_AFTER_S = 1000


class SharePolicy(Protocol):
    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        """For each of `jobs` (all active ones, by id) a share from 0 to 1. `gpus`, at least 1: those that are usable.
        `last`: what was answered before."""


@dataclass(slots=True)
class _Account:
    received_s: float
    deficit_s: float = 0.0
    share: float | None = None  # none before the first computation after its arrival


class GavelRounds:
    """A round strategy around a policy of shares.

    `strict`: the walk ends at the first job that does not fit, instead of going on with smaller ones.
    `positive`: jobs whose share is 0 do not fill what is left over.
    """

    def __init__(self, policy: SharePolicy, *, strict: bool = False, positive: bool = False) -> None:
        self._policy = policy
        self._strict = strict
        self._positive = positive
        self._accounts: dict[int, _Account] = {}
        self._received_s = 0.0  # of all jobs since the last computation
        self._computed_s = 0.0
        self._stale = False
        self._usable: int | None = None  # GPUs at the boundary before

    def schedule(self, boundary: Boundary) -> Schedule:
        self._account(boundary)
        due = boundary.now_s - self._computed_s >= RECOMPUTE_AFTER_S or self._computed_s == 0
        if self._stale and due and boundary.active and self._usable:
            self._recompute(boundary)
        # A job without a share takes its part of the walk, but does not run: the policy has not seen it.
        chosen = [job for job in self._walk(boundary) if self._accounts[job.id].share is not None]
        return keep_gpus(chosen, boundary.gpus, boundary.unusable)

    def _account(self, boundary: Boundary) -> None:
        usable, first_s = boundary.gpus - len(boundary.unusable), _first_s(boundary)
        self._stale |= usable != self._usable  # shares of fewer GPUs may leave out a gang that fits again
        self._usable = usable
        for settlement in boundary.settlements:
            self._stale |= settlement.failed or settlement.completed
            if not settlement.failed:
                account, given_s = self._accounts[settlement.job], settlement.elapsed_s
                if given_s < 0:  # a correction, of more perhaps than it received since the last computation
                    given_s = max(given_s, first_s - account.received_s)
                account.received_s += given_s
                self._received_s += given_s
            if settlement.completed:
                del self._accounts[settlement.job]
        for job in boundary.arrived:
            self._accounts[job] = _Account(first_s)
            self._stale = True
        gone = self._accounts.keys() - {job.id for job in boundary.active}  # somebody took them away
        for job in gone:
            del self._accounts[job]
            self._stale = True

    def _recompute(self, boundary: Boundary) -> None:
        passed, first_s = boundary.now_s - self._computed_s, _first_s(boundary)
        for account in self._accounts.values():
            account.deficit_s += (account.share or 0.0) * passed - (account.received_s - first_s)
            account.received_s = first_s
        self._received_s = first_s * len(boundary.active)
        self._computed_s = boundary.now_s
        self._stale = False
        last = {job: account.share for job, account in self._accounts.items() if account.share is not None}
        shares = self._policy.shares(boundary.now_s, boundary.active, boundary.gpus - len(boundary.unusable), last)
        for job in boundary.active:
            self._accounts[job.id].share = shares[job.id]

    def _walk(self, boundary: Boundary) -> list[JobView]:
        accounts = self._accounts

        def order(job: JobView) -> tuple[float, float, float, int]:
            account = accounts[job.id]
            return (-self._priority(account), -account.deficit_s, -(account.share or 0.0), job.id)

        free = boundary.gpus - len(boundary.unusable)
        chosen = []
        for job in sorted(boundary.active, key=order):
            if not free:
                break
            if self._positive and not self._priority(accounts[job.id]):
                continue
            if job.gang > free:
                if self._strict:
                    break
                continue
            chosen.append(job)
            free -= job.gang
        return chosen

    def _priority(self, account: _Account) -> float:
        if not account.share:
            return 0.0
        return account.share / (account.received_s / self._received_s)


def _first_s(boundary: Boundary) -> float:
    """A job counts as having run for half a round when it comes, and after each computation of shares."""
    return boundary.round_s / 2


def keep_gpus(
    chosen: Sequence[JobView],
    gpus: int,
    unusable: frozenset[int] = frozenset(),
    sizes: Mapping[int, int] | None = None,
) -> dict[int, tuple[int, ...]]:
    """GPUs for jobs in the order of the walk: the larger gangs first, and of one size those that keep their GPUs.
    `sizes`: of gangs, by job; none: what each asks for.
    """
    free = set(range(gpus)) - unusable
    places: dict[int, tuple[int, ...]] = {}
    if sizes is None:
        sizes = {job.id: job.gang for job in chosen}
    for gang in sorted({sizes[job.id] for job in chosen}, reverse=True):
        rest = []
        for job in chosen:
            if sizes[job.id] != gang:
                continue
            if len(job.gpus) == gang and free.issuperset(job.gpus):
                places[job.id] = job.gpus
                free.difference_update(job.gpus)
            else:
                rest.append(job)
        for job in rest:
            places[job.id] = tuple(sorted(free)[:gang])
            free.difference_update(places[job.id])
    return places
