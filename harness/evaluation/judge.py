"""A stranger's file on a suite: contained, held to the contract, scored against a baseline on seeds it cannot know.

One judge for many files: the baseline is run once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.evaluation.feedback import Refusals, Waited, feedback, waits
from harness.evaluation.process import Faulty, Limits, Stopped, StrategyProcess
from harness.evaluation.remote_strategy import RemoteStrategy
from harness.evaluation.suite import Suite, Task, fingerprint, hidden_seeds
from harness.experiment.run import Clock, Home, Run
from harness.experiment.scenario import LoadedScenario
from harness.experiment.strategies import load_strategy
from harness.measure.catalogue import number_paths
from harness.measure.statistics import Paired, paired
from harness.model.errors import UserError
from harness.model.loading import check_regular
from harness.scheduling.strategy import Strategy
from harness.testing import conformance
from harness.testing.trial import trial
from harness.testing.worlds import World, seeded

PROPERTIES = ("legality", "liveness", "gang atomicity", "input order")
WORLDS = 10
"""On which each property is tried, from the smallest to the largest."""

_MOST_SOURCE = 1 << 20
"""Bytes. A file of a person or a model has some thousands; it is sent to two processes, and compiled in each."""

_GUARD_S = 3600.0  # the process has its own limits, which come first; inside them the guard's would tear a message


@dataclass(slots=True)
class Evaluation:
    """`verdict`: scored, contained (it tried what it may not, or ran out of something), does not conform, or faulty.

    `score`: mean gain over the baseline in the unit of the suite's measure, None where there is no verdict 'scored'."""

    file: str
    suite: str
    verdict: str
    reason: str = ""
    containment: dict[str, Any] = field(default_factory=dict)
    conformance: list[dict[str, Any]] = field(default_factory=list)
    found: Paired | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    feedback: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def score(self) -> float | None:
        return None if self.found is None else self.found.mean

    def to_data(self) -> dict[str, Any]:
        found = self.found
        return {
            "file": self.file,
            "suite": self.suite,
            "verdict": self.verdict,
            **({"reason": self.reason} if self.reason else {}),
            "score": None if found is None else found.mean,
            **(
                {}
                if found is None
                else {"low": found.low, "high": found.high, "p": found.p, "seeds": found.n, "baseline": found.base}
            ),
            "tasks": self.tasks,
            "conformance": self.conformance,
            "violations": self.violations,
            "feedback": self.feedback,
            "containment": self.containment,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class _Played:
    value: float
    waited: Waited
    violations: tuple[str, ...] = ()


class Judge:
    """`key`: what the seeds follow from; none: a fresh one, so that scores of two judges are not comparable."""

    def __init__(self, suite: Suite, *, key: str = "", limits: Limits | None = None, containment: str = "auto") -> None:
        self.suite = suite
        self.limits = limits or Limits()
        secret = key.encode() or secrets.token_bytes(16)
        self.fingerprint = fingerprint(secret)
        self._seeds = hidden_seeds(suite, secret)
        self._containment = containment
        self._loaded: dict[str, LoadedScenario] = {task.name: task.load() for task in suite.tasks}
        self._baseline: dict[tuple[str, int], _Played] = {}

    def evaluate(self, file: Path) -> Evaluation:
        """Raises UserError for a file that cannot be read, and a machine that cannot contain it."""
        began = time.perf_counter()
        out = Evaluation(file.name, self.suite.name, "scored")
        try:
            check_regular(file)
            with file.open("rb") as opened:
                source = opened.read(_MOST_SOURCE + 1)
            if len(source) > _MOST_SOURCE:
                out.verdict, out.reason = "faulty", f"loads: more than {_MOST_SOURCE} bytes of source"
                return out
            text = source.decode("utf-8-sig")
        except OSError as error:
            alone = Path(str(file).rpartition(":")[0])
            hint = f"podyard evaluate {alone}: the file, without what is in it" if alone.is_file() else None
            raise UserError("the strategy cannot be read", file=file, found=error.strerror, hint=hint) from None
        except UnicodeDecodeError as error:  # of a program that writes files, one of many
            out.verdict, out.reason = "faulty", f"loads: not text in UTF-8 at byte {error.start}"
            return out
        processes: list[StrategyProcess] = []

        def start(hash_seed: int) -> StrategyProcess:
            made = StrategyProcess(file, text, self.limits, containment=self._containment, hash_seed=hash_seed)
            processes.append(made)
            made.begin()
            return made

        try:
            self._judge(out, start)
        except Stopped as stopped:
            out.verdict, out.reason = "contained", str(stopped)
        except Faulty as fault:
            out.verdict, out.reason = "faulty", f"{fault.kind}: {fault.reason}"
        finally:
            printed = processes[0].printed() if processes else ""
            for process in processes:
                process.close()
        if printed.strip():
            out.notes.append(f"it printed: {printed.strip()[-500:]}")
        out.seconds = time.perf_counter() - began
        return out

    def _judge(self, out: Evaluation, start: Callable[[int], StrategyProcess]) -> None:
        process = start(0)
        out.containment = {
            "files": process.containment,
            "systemCalls": "seccomp",
            "limits": self.limits.to_data(),
            "seeds": self.fingerprint,
        }
        if RemoteStrategy(process).learns:
            out.notes.append("fit() is not called: a suite has no past to learn from")
        for verdict in self._contract(process, start):
            world = None if verdict.world is None else verdict.world.text()
            out.conformance.append(
                {
                    "property": verdict.name,
                    "holds": verdict.ok,
                    **({"reason": verdict.reason} if verdict.reason else {}),
                    **({"counterexample": world} if world else {}),
                }
            )
            if verdict.ok is False:
                out.verdict, out.reason = "does not conform", f"{verdict.name}: {verdict.reason}"
                return
        self._score(out, process)

    # -- the contract --------------------------------------------------------------------------------------------------

    def _contract(
        self, process: StrategyProcess, start: Callable[[int], StrategyProcess]
    ) -> Iterator[conformance.Verdict]:
        subject = conformance.Subject(lambda: RemoteStrategy(process), None, _GUARD_S)
        for name in PROPERTIES:
            gangs = conformance.PROPERTIES[name][1].get("gangs", True)
            verdict = conformance.try_on(name, subject, _worlds(gangs))
            _check_running(process)
            yield verdict
        yield self._repeatable(process, start(4711))

    @staticmethod
    def _repeatable(process: StrategyProcess, other: StrategyProcess) -> conformance.Verdict:
        """Two processes, one later by the clock and with another PYTHONHASHSEED: the same decisions."""
        name = "determinism"
        for world in _worlds(gangs=True):
            binds = []
            for one in (process, other):
                binds.append(trial(lambda one=one: RemoteStrategy(one), world, deadline_s=_GUARD_S).binds)  # type: ignore[misc]
                _check_running(one)
            if binds[0] != binds[1]:
                reason = "in another process, with another PYTHONHASHSEED and at another time, it decides otherwise"
                return conformance.Verdict(name, False, reason, world)
        return conformance.Verdict(name, True)

    # -- the score -----------------------------------------------------------------------------------------------------

    def _score(self, out: Evaluation, process: StrategyProcess) -> None:
        gains: list[list[float]] = [[] for _ in self._seeds]
        worst: tuple[float, dict[str, Any]] | None = None
        for task in self.suite.tasks:
            mine: list[float] = []
            base: list[float] = []
            for index, seed in enumerate(self._seeds):
                before = self._played_by_baseline(task, seed)
                run, now = self._play(task, seed, RemoteStrategy(process), process)
                gain = task.scale * (now.value - before.value)
                gains[index].append(gain)
                mine.append(task.scale * now.value)
                base.append(task.scale * before.value)
                out.violations += [text for text in now.violations if text not in out.violations][:5]
                if worst is None or gain < worst[0]:
                    told = feedback(run, now.waited, before.waited)
                    worst = gain, {"task": task.name, "gain": round(gain, 3), **told}
                run.close()
            out.tasks.append(_task(task, mine, base))
        means = [sum(values) / len(values) for values in gains]
        out.found = paired([0.0] * len(means), means)
        if worst is not None:
            out.feedback = worst[1]
        if out.violations:
            out.verdict, out.reason = "faulty", out.violations[0]
            out.found = None

    def _played_by_baseline(self, task: Task, seed: int) -> _Played:
        at = (task.name, seed)
        if at not in self._baseline:
            strategy = load_strategy(self._loaded[task.name], self.suite.baseline)()
            run, self._baseline[at] = self._play(task, seed, strategy, None)
            run.close()
        return self._baseline[at]

    def _play(self, task: Task, seed: int, strategy: Strategy, process: StrategyProcess | None) -> tuple[Run, _Played]:
        def look(what: str, at: int, ended: int) -> None:
            if process is not None:
                _check_running(process)

        run = Run(self._loaded[task.name], strategy, seed, Home(), Clock(), None)
        refusals = Refusals(run)
        try:
            run.play(look)
            placement = run.measures.placement.metrics(run.end_ns, bound=False)
        except BaseException:
            run.close()
            raise
        value = next(value for path, value, _ in number_paths({"placement": placement}) if path == task.measure)
        violations = run.scheduler.tally.violations
        wrong = [f"{kind} {pod}: {reason}".replace(" :", ":") for _, kind, pod, reason in violations]
        return run, _Played(float(value), waits(run, refusals), tuple(wrong))


def _check_running(process: StrategyProcess) -> None:
    if process.stopped is not None:
        raise process.stopped


def _worlds(gangs: bool) -> Iterator[World]:
    return (seeded(size, gangs=gangs, nodes=1 + size // 2, pods=2 + size) for size in range(WORLDS))


def _task(task: Task, mine: list[float], base: list[float]) -> dict[str, Any]:
    found = paired(base, mine)
    return {
        "name": task.name,
        "measure": task.measure,
        "unit": task.unit,
        "mean": found.other,
        "baseline": found.base,
        "gain": found.mean,
        "low": found.low,
        "high": found.high,
    }
