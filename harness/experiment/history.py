"""Results by commit, scenario and machine, kept in plain files; and what became worse from one commit to the next.

DIR/<machine>/machine.json says what the machine is, DIR/<machine>/<commit>.json what ran there of one commit, as
airspeed velocity keeps benchmarks (asv.readthedocs.io, "Result files"). Runs are the same when their scenario (as it
was resolved), strategy, variables and seed are; a scenario that has been edited is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.experiment.compare import Row, Within, compare, question
from harness.experiment.record import read_record, whole_record
from harness.experiment.result import Result, from_record
from harness.experiment.scenario import from_data
from harness.experiment.source import source_of
from harness.measure.catalogue import Catalogue
from harness.model.errors import UserError
from harness.model.loading import load_json, read_text

FORMAT = "podyard.dev/history/v1"
MACHINE = "machine.json"

_LEFT_OUT = ("waterfalls",)
"""Of a run's metrics: large, and nothing that is compared."""


@dataclass(frozen=True, slots=True)
class Commit:
    """`at`: seconds since 1970 when it was committed. `name`: its hash, with '-dirty' for a tree that differs from it,
    or what it was called."""

    name: str
    at: int
    subject: str = ""

    @property
    def short(self) -> str:
        found = re.fullmatch(r"([0-9a-f]{10})[0-9a-f]{30,}(-dirty)?", self.name)
        return self.name if found is None else found[1] + (found[2] or "")


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as it is kept. `scenario`: a digest of the scenario; `result` without folder."""

    scenario: str
    result: Result

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, str], ...], int]:
        return self.scenario, self.result.scheduler, tuple(sorted(self.result.variables.items())), self.result.seed

    @property
    def title(self) -> str:
        words = [f"{name}={value}" for name, value in self.result.variables.items()]
        return " ".join([self.result.scenario, *words, self.result.scheduler])


@dataclass(frozen=True, slots=True)
class Step:
    """One commit after another, for one scenario, strategy and value of the variables. `same`: of how many of the
    common seeds the journals are the same; `rows`: measures of the later beside the earlier, [] where all are."""

    title: str
    before: Commit
    after: Commit
    seeds: int
    same: int
    rows: list[Row]

    @property
    def worse(self) -> list[Row]:
        """Decided, and not to be found equivalent."""
        return [row for row in self.rows if _direction(row) < 0]

    @property
    def better(self) -> list[Row]:
        return [row for row in self.rows if _direction(row) > 0]

    @property
    def verdict(self) -> str:
        if self.same == self.seeds:
            return "same digests"
        if self.worse:
            return "REGRESSION"
        if self.better:
            return "better"
        if any(row.primary and row.found.differs and not row.found.equivalent for row in self.rows):
            return "changed: they differ"
        few = any(row.primary and row.found.too_few and not row.found.equal for row in self.rows)
        return "changed: too few seeds to decide" if few else "changed: no difference found"

    def to_data(self) -> dict[str, Any]:
        return {
            "what": self.title,
            "before": self.before.name,
            "after": self.after.name,
            "subject": self.after.subject,
            "seeds": self.seeds,
            "sameDigests": self.same,
            "verdict": self.verdict,
            "measures": [row.to_data() for row in self.rows],
        }


def _direction(row: Row) -> int:
    """1: decided better, -1: decided worse, 0: neither."""
    found = row.found
    if not row.primary or row.blocked or not found.differs or found.equivalent:
        return 0
    return 1 if found.mean * row.measure.sign > 0 else -1 if row.measure.sign else 0


# -- who and where -----------------------------------------------------------------------------------------------------


def this_machine() -> tuple[str, dict[str, Any]]:
    """(its name, what it is)."""
    name = platform.node() or "unnamed"
    about: dict[str, Any] = {"name": name, "arch": platform.machine(), "system": platform.system()}
    about |= {"cpu": _cpu(), "cpus": os.cpu_count() or 0, "python": platform.python_version()}
    return re.sub(r"[^\w.-]", "_", name), about


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def commit_of(folder: Path, called: str | None = None) -> Commit:
    """What is checked out at `folder`, or `called`. Raises UserError where there is no repository and no name."""
    head = _git(folder, "show", "--no-patch", "--format=%H%n%ct%n%s", "HEAD")
    if head is None:
        if called is None:
            raise UserError(
                "results are kept by commit, and this is no git repository", file=folder, hint="--commit NAME"
            )
        return Commit(_checked(called), int(time.time()), "")
    name, at, subject = [*head.splitlines(), "", "", ""][:3]
    if called is not None:
        return Commit(_checked(called), int(time.time()), subject)
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return Commit(f"{name}-dirty" if dirty else name, int(time.time()) if dirty else int(at), subject)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,80}", name) or name.startswith("."):
        raise UserError("--commit is no name of a file", found=name, expected="letters, digits, '-', '_' and '.'")
    return name


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


# -- keeping -----------------------------------------------------------------------------------------------------------


def entry_of(folder: Path, *, any_source: bool = False) -> Entry:
    """A record as an entry. Raises UserError for what is no record, and for one of other code than is there now (unless
    `any_source`): its figures would stand under a commit that they are not of."""
    record = read_record(folder)
    if not any_source:
        with whole_record(folder):
            loaded = from_data(record["scenario"], str(folder / "record.json"))
        if record.get("source") != source_of(loaded, record["scheduler"]):
            raise UserError(
                "this record is of other code than what is checked out",
                file=folder,
                hint="run it again, or say which commit it is of: --commit NAME",
            )
    result = from_record(folder)
    metrics = {name: value for name, value in result.metrics.items() if name not in _LEFT_OUT}
    return Entry(
        _digest(record["scenario"]), replace(result, folder=None, metrics={**metrics, "timing": result.timing})
    )


def _digest(scenario: Any) -> str:
    text = json.dumps(scenario, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def keep(store: Path, commit: Commit, entries: Iterable[Entry]) -> Path:
    """Beside what is kept of the commit already; the same runs are replaced. Raises UserError."""
    name, about = this_machine()
    folder = store / name
    path = folder / f"{commit.name}.json"
    held = {entry.key: entry for entry in (_read(path)[1] if path.exists() else ())}
    held |= {entry.key: entry for entry in entries}
    runs = [_to_data(held[key]) for key in sorted(held)]
    data = {"format": FORMAT, "commit": commit.name, "at": commit.at, "subject": commit.subject, "runs": runs}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MACHINE).write_text(json.dumps(about, indent=2) + "\n")
        beside = path.with_name(f".{path.name}")
        beside.write_text(json.dumps(data, indent=1) + "\n")
        beside.replace(path)
    except OSError as error:
        raise UserError(f"cannot write the history: {error.strerror}", file=path) from None
    return path


def _to_data(entry: Entry) -> dict[str, Any]:
    result = entry.result
    return {
        "scenario": result.scenario,
        "scenarioDigest": entry.scenario,
        "scheduler": result.scheduler,
        "variables": result.variables,
        "seed": result.seed,
        "digest": result.digest,
        "ok": result.ok,
        "metrics": result.metrics,
    }


def _read(path: Path) -> tuple[Commit, list[Entry]]:
    expected = "a file that `podyard history add` wrote"
    data = load_json(read_text(path, expected=expected, what="history"), path, expected=expected).data
    try:
        if data["format"] != FORMAT:
            raise UserError("not a history", file=path, found=data["format"], expected=FORMAT)
        commit = Commit(str(data["commit"]), int(data["at"]), str(data["subject"]))
        return commit, [_entry(run) for run in data["runs"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError("the history is damaged", file=path, found=f"{type(error).__name__}: {error}"[:120]) from None


def _entry(run: dict[str, Any]) -> Entry:
    variables = {str(name): str(value) for name, value in run["variables"].items()}
    result = Result(
        run["scenario"], run["scheduler"], int(run["seed"]), run["digest"], dict(run["metrics"]), [], [], {}
    )
    result.variables = variables
    return Entry(str(run["scenarioDigest"]), result)


# -- showing -----------------------------------------------------------------------------------------------------------


def read(store: Path, machine: str | None = None) -> list[tuple[Commit, list[Entry]]]:
    """What is kept of one machine, by the time of the commit; None: this one. Raises UserError."""
    machines = sorted(path.parent.name for path in store.glob(f"*/{MACHINE}"))
    wanted = machine or (machines[0] if len(machines) == 1 else this_machine()[0])
    if wanted not in machines:
        known = ", ".join(machines) or "none: podyard history add RECORD"
        raise UserError("the history has nothing of this machine", file=store, found=wanted, expected=known)
    files = [path for path in (store / wanted).glob("*.json") if path.name != MACHINE and not path.name.startswith(".")]
    return sorted((_read(path) for path in sorted(files)), key=lambda item: (item[0].at, item[0].name))


def steps(
    kept: Sequence[tuple[Commit, Sequence[Entry]]], known: Catalogue, asked: Sequence[str], within: Within
) -> list[Step]:
    """Of each scenario, strategy and value of the variables: every commit beside the last one before it that has runs
    of the same, paired by seed. `asked`: decided is about these measures; else the primary ones."""
    groups: dict[tuple[Any, ...], list[tuple[Commit, dict[int, Entry]]]] = {}
    for commit, entries in kept:
        of_commit: dict[tuple[Any, ...], dict[int, Entry]] = {}
        for entry in entries:
            of_commit.setdefault(entry.key[:-1], {})[entry.result.seed] = entry
        for key, by_seed in of_commit.items():
            groups.setdefault(key, []).append((commit, by_seed))
    out = []
    for line in groups.values():
        for (before, old), (after, new) in pairwise(line):
            seeds = sorted(old.keys() & new.keys())
            if seeds:
                out.append(_step(before, after, [old[s] for s in seeds], [new[s] for s in seeds], known, asked, within))
    return out


# size: both ends of a step, and how it is judged.
def _step(
    before: Commit,
    after: Commit,
    old: Sequence[Entry],
    new: Sequence[Entry],
    known: Catalogue,
    asked: Sequence[str],
    within: Within,
) -> Step:
    same = sum(a.result.digest == b.result.digest != "" for a, b in zip(old, new, strict=True))
    rows: list[Row] = []
    if same < len(old) or any(path.startswith("timing.") for path in asked):
        arms = {before.short: [item.result for item in old], after.short: [item.result for item in new]}
        rows = compare(arms, question(known, [*arms[before.short], *arms[after.short]], asked), within)
    return Step(new[0].title, before, after, len(old), same, rows)
