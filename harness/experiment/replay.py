"""Running a record again: whether the journal comes out the same, and where it first differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.experiment.record import read_journal, read_record
from harness.experiment.result import versions
from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.experiment.strategies import load_strategy
from harness.measure.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`difference`: the first entry that differs, in words; `versions`: what is installed now and was not then."""

    same: bool
    recorded: str
    replayed: str
    difference: str = ""
    versions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.same:
            return f"same digest: {self.recorded}"
        rows = [f"different: the record says {self.recorded}, the replay {self.replayed}"]
        if self.difference:
            rows.append(self.difference)
        rows += [f"  note:     {text}" for text in self.versions]
        return "\n".join(rows)

    def to_data(self) -> dict[str, Any]:
        return {
            "same": self.same,
            "recorded": self.recorded,
            "replayed": self.replayed,
            "difference": self.difference,
            "versions": list(self.versions),
        }


def replay_record(folder: Path) -> ReplayResult:
    """Raises UserError for a record that cannot be read or run."""
    record = read_record(folder)
    loaded = from_data(record["scenario"], str(folder / "record.json"))
    strategy = load_strategy(loaded, record.get("schedulerVersion") or record["scheduler"])()
    run = Run(loaded, strategy, int(record["seed"]), Home())
    try:
        run.play()
        digest = run.measures.journal.digest()
        difference = first_difference(read_journal(folder), run)
    finally:
        run.close()
    recorded = str(record["digest"])
    return ReplayResult(
        same=digest == recorded and not difference,
        recorded=recorded,
        replayed=digest,
        difference=difference,
        versions=_changed(record.get("versions", {})),
    )


def first_difference(recorded: Any, run: Run) -> str:
    """Entry by entry: the record's journal against the replay's; empty when they are equal."""
    encode = msgspec.json.Encoder().encode
    rows = recorded.iter_rows(named=True)
    number = 0
    for number, entry in enumerate(run.measures.journal, 1):
        row = next(rows, None)
        if row is None:
            return f"  entry {number}: the record ends, the replay goes on with {_entry_text(entry)}"
        for field in ("at_ns", "revision", "kind", "change", "key"):
            if row[field] != getattr(entry, field):
                return _differs(number, field, row[field], getattr(entry, field), entry)
        now = encode(entry.data).decode()
        if row["data"] != now:
            return _differs(number, "data", row["data"], now, entry)
    row = next(rows, None)
    if row is not None:
        return (
            f"  entry {number + 1}: the replay ends, the record goes on with {row['kind']} {row['change']} {row['key']}"
        )
    return ""


def _differs(number: int, field: str, was: object, now: object, entry: JournalEntry) -> str:
    return f"  entry {number} ({_entry_text(entry)}): {field}\n  recorded: {was}\n  replayed: {now}"


def _entry_text(entry: JournalEntry) -> str:
    return f"{entry.at_ns / 1e9:.6f}s {entry.kind} {entry.change} {entry.key}"


def _changed(then: dict[str, str]) -> tuple[str, ...]:
    now = versions()
    return tuple(f"{name} was {then[name]}, is {now.get(name)}" for name in sorted(then) if now.get(name) != then[name])
