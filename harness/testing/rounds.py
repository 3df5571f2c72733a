"""The conformance kit for round strategies: what each owes the harness, tried on generated jobs and GPUs that fail.

Jobs run through the round loop without a cluster, so that a whole run costs milliseconds. What fails is told with the
jobs of the example in one line; `play` plays it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from random import Random

from harness.jobs.protocol import Boundary, RoundStrategy, Schedule
from harness.jobs.rounds import RoundLoop
from harness.model.training import MODELS, Speeds, TrainingJob
from harness.scheduling.sandbox.round_guard import RoundGuard
from harness.scheduling.strategy import StrategyFault
from harness.testing.another_time import another_time
from harness.testing.conformance import Verdict
from harness.testing.global_randomness import GlobalRandomness

EXAMPLES = 30
DEADLINE_S = 10.0
HASH_SEEDS = ("0", "1", "77")

_SPEEDS = Speeds(
    {
        (model, batch, gang): 2.0 * gang
        for model, of in MODELS.items()
        for batch in (of.smallest_batch * 2**power for power in range(12))
        for gang in (1, 2, 4)
    },
    {},
)
_SPARE_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Example:
    """`down`: by round, GPUs that cannot be used in it; later all can."""

    gpus: int
    jobs: tuple[TrainingJob, ...]
    down: tuple[frozenset[int], ...] = ()

    def text(self) -> str:
        """In one line."""
        jobs = ", ".join(
            f"job {job.id}(gang of {_gang_text(job)}, {job.steps} steps, at {job.arrival_s:g} s)" for job in self.jobs
        )
        down = "".join(f"; round {at} without GPUs {sorted(gpus)}" for at, gpus in enumerate(self.down) if gpus)
        return f"{self.gpus} GPUs: {jobs}{down}"


def _gang_text(job: TrainingJob) -> str:
    return f"{job.gang}, or {'/'.join(map(str, job.sizes))}" if job.sizes else str(job.gang)


@dataclass(frozen=True, slots=True)
class Played:
    """`rounds`: what was answered at each boundary. `left`: jobs that are not complete."""

    rounds: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]
    faults: tuple[StrategyFault, ...]
    left: tuple[int, ...]
    changed: str = ""  # what it did to what it was shown


def example(index: int) -> Example:
    """From the index alone: the same in each process. The first few have one job, then they grow."""
    rng, sizing = Random(f"rounds/{index}"), Random(f"sizes/{index}")
    gpus = rng.choice((4, 5, 8))
    jobs = []
    for number in range(1 + min(index, rng.randint(0, 7))):
        gang, minutes = rng.choice((1, 1, 2, 4)), rng.choice((1, 3, 10, 30))
        arrival_s = rng.choice((0.0, 0.0, 60.0, 1500.0)) + number
        sizes = tuple(sorted({gang, *sizing.sample((1, 2, 4), 2)})) if sizing.random() < 1 / 3 else ()
        steps = 2 * gang * 60 * minutes
        jobs.append(TrainingJob(number, "Transformer", 16, gang, "static", steps, arrival_s, sizes))
    down: tuple[frozenset[int], ...] = ()
    if index % 3 == 2:
        down = tuple(frozenset(rng.sample(range(gpus), rng.randint(0, 2))) for _ in range(12))
    return Example(gpus, tuple(jobs), down)


def play(factory: Callable[[], RoundStrategy], on: Example, deadline_s: float = DEADLINE_S) -> Played:
    """The jobs to their end, or to where nothing more can come of it."""
    faults: list[StrategyFault] = []
    watch = _Watch(factory())
    guard = RoundGuard(watch, lambda at_s, fault: faults.append(fault), deadline_s)
    loop = RoundLoop(_SPEEDS, on.gpus, guard)
    for job in on.jobs:
        loop.submit(job)
    least = sum(job.steps / (2.0 * job.gang) for job in on.jobs) / 120
    most = int(4 * least) + len(on.jobs) + _SPARE_ROUNDS
    for at in range(most):
        going_on = loop.step(on.down[at] if at < len(on.down) else frozenset())
        if not going_on or guard.given_up:
            break
    record = loop.record
    left = tuple(sorted(record.jobs.keys() - record.completed_s.keys()))
    rounds = tuple(tuple(schedule.items()) for schedule in record.schedules)
    return Played(rounds, tuple(faults), left, watch.changed)


class _Watch:
    """Whether a strategy changes the boundary that it is shown."""

    def __init__(self, strategy: RoundStrategy) -> None:
        self._strategy = strategy
        self.changed = ""

    def schedule(self, boundary: Boundary) -> Schedule:
        before = replace(boundary, active=tuple(replace(job) for job in boundary.active))
        try:
            return self._strategy.schedule(boundary)
        finally:
            if not self.changed and boundary != before:
                self.changed = f"it changed what it was shown at {boundary.now_s:g} s"


def verdicts(
    factory: Callable[[], RoundStrategy],
    *,
    spec: str | None = None,
    examples: int = EXAMPLES,
    deadline_s: float = DEADLINE_S,
    only: Collection[str] = (),
) -> Iterator[Verdict]:
    """One for each of PROPERTIES, or of those in `only`. `factory` makes a fresh strategy; `spec` names it as
    --scheduler would, which is needed to ask for it in other processes."""
    unknown = sorted(set(only) - set(PROPERTIES))
    if unknown:
        raise ValueError(f"no property is called {unknown[0]!r}; there are {', '.join(PROPERTIES)}")
    played: list[tuple[Example, Played]] = []
    found: dict[str, Verdict] = {}

    def fails(name: str, reason: str, on: Example | None) -> None:
        found.setdefault(name, Verdict(name, False, f"{reason}\n          {on.text()}" if on else reason))

    global_randomness = GlobalRandomness()
    for index in range(examples):
        on = example(index)
        done = play(factory, on, deadline_s)
        played.append((on, done))
        for fault in done.faults:
            fails("deadline" if fault.kind == "deadline" else "legality", f"{fault.kind}: {fault.reason}", on)
        if done.changed:
            fails("purity", done.changed, on)
        if done.left and not done.faults:
            fails("liveness", f"job {done.left[0]} is not complete after {len(done.rounds)} rounds", on)
        if "deadline" in found:
            break
    for stream in global_randomness.drawn_from():
        fails("purity", f"it draws from {stream}; a stream of its own makes its runs repeatable", None)
    if "deadline" not in found:
        _find_differences(factory, spec, played, deadline_s, fails)
    for name in PROPERTIES:
        if only and name not in only:
            continue
        if name in found:
            yield found[name]
        elif "deadline" in found:
            yield Verdict(name, None, "not tried: its calls do not end")
        elif name == "liveness" and "legality" in found:
            yield Verdict(name, None, "not judged: it did something that it may not")
        elif name == "hash seed" and spec is None:
            yield Verdict(name, None, "it has no name that another process could load")
        else:
            yield Verdict(name, True)


PROPERTIES = ("deadline", "legality", "purity", "liveness", "determinism", "hash seed")


def _find_differences(
    factory: Callable[[], RoundStrategy],
    spec: str | None,
    played: list[tuple[Example, Played]],
    deadline_s: float,
    fails: Callable[[str, str, Example | None], None],
) -> None:
    for on, first in played:
        if play(factory, on, deadline_s).rounds != first.rounds:
            fails("determinism", "twice the same, and yet another schedule", on)
            return
        with another_time():
            later = play(factory, on, deadline_s)
        if later.rounds != first.rounds:
            fails("determinism", "it looks at the clock: at another time of day another schedule", on)
            return
    if spec is None:
        return
    told = [_elsewhere(spec, len(played), seed) for seed in HASH_SEEDS]
    for seed, text in zip(HASH_SEEDS, told, strict=True):
        if text is not None and text != told[0]:
            why = "another PYTHONHASHSEED, another schedule: it goes through a set, or a hash"
            fails("hash seed", f"{why} (seeds {HASH_SEEDS[0]} and {seed})", None)
            return


def schedules_of(spec: str, examples: int) -> str:
    """What `spec` answers on the first examples: what another process compares."""
    from harness.jobs.registry import load

    return repr([play(load(spec), example(index)).rounds for index in range(examples)])


def _elsewhere(spec: str, examples: int, hash_seed: str) -> str | None:
    code = f"from harness.testing.rounds import schedules_of; print(schedules_of({spec!r}, {examples}))"
    path = os.pathsep.join(filter(None, ("", *sys.path)))
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1] if done.returncode == 0 else None
