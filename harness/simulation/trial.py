"""Runs one simulated scenario, with checks at every write and at the end."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from typing import Any

from harness.engine.component import SECOND
from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.experiment.strategies import load_strategy
from harness.model.errors import UserError
from harness.simulation.safety import Safety
from harness.simulation.work import WorkWatch


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """`check`: what was looked at, the same for findings of one kind. `what`: what is wrong."""

    check: str
    what: str

    @property
    def about(self) -> str:
        """The check, and the kind of the object where it is about one, so that shrinking does not end at another's."""
        kind = self.what.partition(" ")[0]
        return f"{self.check} {kind}" if kind[:1].isupper() else self.check

    def __str__(self) -> str:
        return f"{self.check}: {self.what}"


@dataclass(frozen=True, slots=True)
class Outcome:
    findings: tuple[Finding, ...]
    simulated_s: float = 0.0
    writes: int = 0
    digest: str = ""


def play(data: dict[str, Any]) -> Outcome:
    """A scenario as plain data, under its first strategy. What goes wrong is a finding, never an exception."""
    try:
        loaded = from_data(data, "simulated")
        spec = loaded.scenario.spec
        run = Run(loaded, load_strategy(loaded, spec.schedulers[0])(), spec.seed, Home())
    except UserError as error:
        return Outcome((Finding("scenario", str(error)),))
    safety = Safety(run.cluster.server)
    run.cluster.server.listeners.append(safety.written)
    run.cluster.server.eviction_listeners.append(safety.evicted)
    work = WorkWatch.of(run)
    try:
        run.play()
        result = run.result(spec.schedulers[0])
        end_state = run.end_state()
    except Exception as error:  # whatever broke it is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rpartition('/harness/')[2]}:{where.name}"
        found = Finding(f"crash in {place}", f"{type(error).__name__}: {error}")
        return Outcome((found, *_said(safety)), run.cluster.now / SECOND, safety.writes)
    finally:
        run.close()
    findings = [*_said(safety)]
    findings += [Finding("invariant", text) for text in result.broken]
    findings += [Finding(_check_of(text), text) for text in result.component_faults]
    findings += [Finding(f"strategy {kind}", f"{pod}: {reason}") for _, kind, pod, reason in result.violations[:5]]
    findings += [] if work is None else [Finding(check, text) for check, text in work.wrong()]
    if end_state is not None:
        if end_state.not_judged:
            findings.append(Finding("scenario", str(end_state)))
        for text in end_state.findings:
            check, _, what = text.partition(": ")
            findings.append(Finding(check, what))
    return Outcome(tuple(findings), run.end_ns / SECOND, safety.writes, result.digest)


def _check_of(fault: str) -> str:
    """The component and what, so that shrinking does not end at another's."""
    found = re.match(r"component (\S+) (failed|did not handle)", fault)
    return f"component {found[1]} {found[2]}" if found else "component"


def _said(safety: Safety) -> list[Finding]:
    return [Finding(check, what) for check, what in safety.findings]
