"""Whether clusters converge under a strategy: random scenarios with faults, each checked at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.simulation.campaign import SeedResult, watched, write_scenario
from harness.simulation.shrink import shrink
from harness.simulation.swarm import random_pods
from harness.simulation.training import random_training
from harness.simulation.trial import Outcome
from harness.testing.conformance import Verdict

NAME = "end state"
SEEDS = range(1, 13)
ATTEMPTS = 60
"""Most scenarios that are tried to shrink one that fails."""


@dataclass(frozen=True, slots=True)
class Draws:
    """`scenario`: of a seed. `reference`: the strategy that tells the cluster's own faults from another's."""

    scenario: Callable[[int], dict[str, Any]]
    reference: str


PODS = Draws(random_pods, "greedy")
TRAINING = Draws(random_training, "fifo")
"""Of strategies of either kind."""


def judge_end_states(
    scheduler: str, *, seeds: Iterable[int] = SEEDS, write_to: Path | None = None, draws: Draws = PODS
) -> Verdict:
    """'converged', or what did not in the first scenario where that is the strategy's doing: the reference converges.

    `scheduler`: a name, or module:object. That scenario is made small and written into `write_to`.
    """
    count = own = 0
    for seed in seeds:
        data = _under(draws.scenario(seed), scheduler)
        outcome = watched(data)
        count += 1
        if not outcome.findings:
            continue
        if watched(_under(data, draws.reference)).findings:
            own += 1  # the cluster's own fault
            continue
        return _failed(seed, data, outcome, scheduler, write_to)
    if own == count:
        return Verdict(NAME, None, f"not judged: these clusters do not converge under {draws.reference} either")
    return Verdict(NAME, True, f"converged in {count - own} clusters with faults")


def _under(data: dict[str, Any], scheduler: str) -> dict[str, Any]:
    return {**data, "spec": {**data["spec"], "schedulers": [scheduler]}}


def _failed(seed: int, data: dict[str, Any], outcome: Outcome, scheduler: str, write_to: Path | None) -> Verdict:
    first = outcome.findings[0]
    reason = f"{len(outcome.findings)} findings at the end of a run with faults, the first: {first}"
    if write_to is None:
        return Verdict(NAME, False, reason)

    def fails(candidate: dict[str, Any]) -> bool:
        same = candidate["spec"]["schedulers"] == [scheduler]
        return same and any(found.about == first.about for found in watched(candidate).findings)

    smallest, tried = shrink(data, fails, ATTEMPTS)
    item = SeedResult(seed, outcome, smallest, tried)
    return Verdict(NAME, False, reason, file=write_scenario(write_to, item))
