"""Rounds that are settled, and may have to be settled anew: news of a gang that broke may come late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.jobs.book import ActiveJob, JobBook, Run
from harness.jobs.protocol import Settlement

NOTICEABLE_S = 2e-6
"""Instants of a cluster come to the book in whole microseconds."""


@dataclass(frozen=True, slots=True)
class SettledRound:
    """One job in one round that is over. `before`: its entry in the book, as it was. `round`: the number of the
    boundary at which the round ended."""

    round: int
    began_s: float
    run: Run
    charged: bool
    before: ActiveJob
    settlement: Settlement

    @property
    def until_s(self) -> float:
        return self.run.finish_s if self.run.broken_s is None else self.run.broken_s


class SettledRounds:
    """By job, those that are not known for certain, oldest first."""

    def __init__(self, book: JobBook) -> None:
        self._book = book
        self._rounds: dict[int, list[SettledRound]] = {}

    def add(self, each: SettledRound) -> None:
        self._rounds.setdefault(each.settlement.job, []).append(each)

    def forget(self, job: int) -> None:
        """What was settled so far of `job` holds."""
        self._rounds.pop(job, None)

    def before(self, job: int) -> ActiveJob:
        """The entry of `job`, kept as it is now."""
        entry = self._book.active[job]
        return replace(entry, batch_sizes=[*entry.batch_sizes])

    def revise(self, job: int, at_s: float, heard_s: float) -> tuple[Sequence[SettledRound], Sequence[SettledRound]]:
        """The gang of `job` was broken at `at_s`, and nobody has heard of some node of it since `heard_s`: the rounds
        that this concerns as they were settled, and as they are settled anew. The job goes on from its last checkpoint
        before that, as one that is active."""
        rounds = self._rounds.get(job, [])
        known_s = min(at_s, heard_s) + NOTICEABLE_S
        first = next((at for at, each in enumerate(rounds) if self._differs(each, known_s, at_s)), None)
        if first is None:
            return (), ()
        was, rounds[first:] = rounds[first:], []
        book = self._book
        book.reopen(job, replace(was[0].before, batch_sizes=[*was[0].before.batch_sizes]))
        for each in was:
            before = self.before(job)
            broken_s = min(each.until_s, max(at_s, each.began_s))
            run = replace(each.run, broken_s=broken_s, heard_s=min(heard_s, at_s, each.run.heard_s))
            told = book.settle_again(job, run, each.began_s, each.charged)
            rounds.append(SettledRound(each.round, each.began_s, run, each.charged, before, told))
        return was, rounds[first:]

    @staticmethod
    def _differs(each: SettledRound, known_s: float, at_s: float) -> bool:
        if each.run.broken_s is None:
            return each.until_s > known_s
        # It is told as broken already: later than it was, or with a checkpoint that was never written.
        return each.until_s > max(at_s, each.began_s) + NOTICEABLE_S or (
            each.settlement.elapsed_s > 0 and each.run.heard_s > known_s
        )
