"""What came out of a run, as it is printed, compared and recorded."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.experiment.record import read_record, whole_record


@dataclass(frozen=True, slots=True)
class EndState:
    """`not_judged`: why it could not be, '' where it was; `findings`: what is not as it should be, and was not a minute
    before either."""

    not_judged: str = ""
    findings: tuple[str, ...] = ()

    @property
    def converged(self) -> bool | None:
        """None: not judged."""
        return None if self.not_judged else not self.findings

    def __str__(self) -> str:
        if self.not_judged:
            return f"convergence not judged: {self.not_judged}"
        return "not converged" if self.findings else "converged"

    def to_data(self) -> dict[str, Any]:
        return {
            "converged": self.converged,
            **({"notJudged": self.not_judged} if self.not_judged else {}),
            **({"findings": list(self.findings)} if self.findings else {}),
        }

    @staticmethod
    def from_data(data: dict[str, Any]) -> EndState:
        return EndState(str(data.get("notJudged", "")), tuple(map(str, data.get("findings", ()))))


@dataclass(slots=True)
class Result:
    """`metrics` by family; `timing` is measured and differs between runs. `digest` of the journal, empty on the wall
    clock, where a strategy was ended by its deadline, and where a Ray actor died: such runs cannot be replayed."""

    scenario: str
    scheduler: str
    seed: int
    digest: str
    metrics: dict[str, Any]
    broken: list[str]
    violations: list[tuple[int, str, str, str]]
    timing: dict[str, float]
    missed: list[str] = field(default_factory=list)
    folder: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)
    end_state: EndState | None = None  # of a run with faults
    variables: dict[str, str] = field(default_factory=dict)  # those of the scenario that were chosen
    tracebacks: dict[str, str] = field(default_factory=dict)  # of violations, by reason
    notices: list[str] = field(default_factory=list)  # what was asked for and had no effect, in words
    scheduler_version: str = ""  # the scheduler's full name, as fgd-v1; empty in records older than versions
    accounts: dict[str, Any] = field(default_factory=dict)  # what averages over time are made of (Occupancy.accounts)
    component_faults: list[str] = field(default_factory=list)  # what components and kubelets failed on
    refused: list[str] = field(default_factory=list)  # objects of the workload that the API server did not take
    lost_actors: list[str] = field(default_factory=list)  # Ray actors that died, on virtual time
    measures_failed: list[str] = field(default_factory=list)  # a user's own measures that raised

    @property
    def ok(self) -> bool:
        settled = self.end_state is None or self.end_state.converged is not False
        return settled and not self.violations and not any(self.wrong())

    def wrong(self) -> Iterator[tuple[str, str]]:
        """(what kind of thing went wrong, what), besides the end state and what the strategy did."""
        for kind, texts in (
            ("INVARIANT BROKEN", self.broken),
            ("COMPONENT FAILED", self.component_faults),
            ("REFUSED BY THE API SERVER", self.refused),
            ("CANNOT BE REPLAYED", self.lost_actors),
            ("MEASURE FAILED", self.measures_failed),
            ("GATE MISSED", self.missed),
        ):
            for text in texts:
                yield kind, text

    def _rare(self) -> dict[str, list[str]]:
        return {
            "componentFaults": self.component_faults,
            "refused": self.refused,
            "lostActors": self.lost_actors,
            "measuresFailed": self.measures_failed,
        }

    def to_data(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "scheduler": self.scheduler,
            "schedulerVersion": self.scheduler_version,
            "seed": self.seed,
            **({"variables": self.variables} if self.variables else {}),
            "digest": self.digest,
            "metrics": self.metrics,
            "accounts": self.accounts,
            "invariantsBroken": self.broken,
            **{name: texts for name, texts in self._rare().items() if texts},
            **({} if self.end_state is None else {"endState": self.end_state.to_data()}),
            "violations": [
                {"atSeconds": at / 1e9, "kind": kind, "pod": pod, "reason": reason}
                for at, kind, pod, reason in self.violations
            ],
            **({"tracebacks": self.tracebacks} if self.tracebacks else {}),
            "gatesMissed": self.missed,
            **({"notices": self.notices} if self.notices else {}),
            "timing": self.timing,
            "versions": self.versions,
        }


def from_record(folder: Path) -> Result:
    """What a record says came out. Raises UserError for what is no record, or a damaged one."""
    data = read_record(folder)
    with whole_record(folder):
        return _of_data(data, folder)


def _of_data(data: dict[str, Any], folder: Path) -> Result:
    scenario = data["scenario"]
    return Result(
        scenario=str(scenario.get("metadata", {}).get("name", "")) if isinstance(scenario, dict) else str(scenario),
        scheduler=data["scheduler"],
        seed=data["seed"],
        digest=data["digest"],
        metrics=data.get("metrics", {}),
        broken=data.get("invariantsBroken", []),
        violations=[
            (round(item["atSeconds"] * 1e9), item["kind"], item["pod"], item["reason"])
            for item in data.get("violations", [])
        ],
        timing=data.get("timing", {}),
        missed=data.get("gatesMissed", []),
        component_faults=data.get("componentFaults", []),
        refused=data.get("refused", []),
        lost_actors=data.get("lostActors", []),
        measures_failed=data.get("measuresFailed", []),
        notices=data.get("notices", []),
        tracebacks=data.get("tracebacks", {}),
        folder=folder,
        versions=data.get("versions", {}),
        variables=data.get("variables", {}),
        scheduler_version=data.get("schedulerVersion", ""),
        accounts=data.get("accounts", {}),
        end_state=EndState.from_data(data["endState"]) if "endState" in data else None,
    )


def versions() -> dict[str, str]:
    return {
        "podyard": _version("podyard"),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("numpy", "ortools", "ray", "polars", "msgspec")},
        "platform": sys.platform,
    }


@cache
def _version(distribution: str) -> str:
    return version(distribution)
