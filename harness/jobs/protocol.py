"""What a round strategy is: it is asked at each boundary which jobs run until the next one, and on which GPUs.

Unlike a strategy of `harness.scheduling.strategy`, which places pending pods one after the other, it sees the running
jobs with their history too, and answers with the whole schedule: what is in it runs, what is not waits. It may keep
state between the calls; one object serves one run. This module imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Schedule: TypeAlias = Mapping[int, tuple[int, ...]]
"""By job, the GPUs of its gang until the next boundary: as many as the gang, or another of its sizes."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One active job at a boundary. Times in seconds since the trace's start, work in steps of its batch size.

    `gang`: GPUs that it asks for; `steps_per_s`: how fast it goes with so many. `speeds`: GPUs and steps a second of
    each size that its gang may have now, ascending; none: `gang` alone.
    """

    id: int
    gang: int
    arrival_s: float
    steps_left: int
    steps_per_s: float
    gpus: tuple[int, ...] = ()  # where it ran in the round that has ended; empty: it did not
    speeds: tuple[tuple[int, float], ...] = ()

    @property
    def sizes(self) -> Mapping[int, float]:
        """Steps a second by GPUs of its gang, for each size that it may have now."""
        return dict(self.speeds) or {self.gang: self.steps_per_s}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a round gave one job. `elapsed_s`: the time that counted, without what its restart took.

    One that corrects settlements before it has differences: `elapsed_s` is below 0 where it became known only now that
    a gang was broken in a round that is over.
    """

    job: int
    elapsed_s: float
    completed: bool
    failed: bool = False  # it could do nothing: no step was left to plan
    lost_s: float = 0.0  # it ran so long for nothing: its gang was broken, and it goes on from its last checkpoint


@dataclass(frozen=True, slots=True)
class Boundary:
    """`settlements`: corrections of earlier ones, if any; then of the round that has ended, in the order of the
    accounts: the last to finish first.

    `arrived`: ids of jobs that came since the boundary before, or that were told as complete and are not. `active`: all
    jobs that are not complete, by id; none where the next ones are still to come. `unusable`: GPUs that nothing can run
    on now. `round_s`: how long a round lasts at most.
    """

    round: int
    now_s: float
    gpus: int
    settlements: Sequence[Settlement]
    arrived: Sequence[int]
    active: Sequence[JobView]
    unusable: frozenset[int] = frozenset()
    round_s: int = 120


class RoundStrategy(Protocol):
    def schedule(self, boundary: Boundary) -> Schedule:
        """Which jobs run in the round that begins, and on which GPUs (0 to `gpus` - 1, each once; as many as one of the
        job's `sizes`)."""
