"""What other constants would buy: predicted from a record's waterfalls, then run, both side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.experiment.constants import defaults
from harness.experiment.record import read_record
from harness.experiment.run import run_once
from harness.experiment.scenario import CONSTANT, LoadedScenario, from_document
from harness.experiment.waterfalls import timers_of, waterfalls
from harness.measure.waterfall.hops import Hop, Waterfall
from harness.measure.waterfall.prediction import depending, follows, predict, refusal
from harness.model.constants import UNMODELLED
from harness.model.errors import UserError, did_you_mean
from harness.model.loading import Document


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one waterfall. `hops`: as predicted. `refused`: why they are no prediction, '' where they are one. `depends`:
    names of those that depend on what was changed. `ran`: the same waterfall of the run, None where there is none."""

    was: Waterfall
    hops: list[Hop]
    depends: list[str]
    ran: Waterfall | None
    refused: str = ""

    @property
    def predicted_ns(self) -> int:
        return self.hops[-1].end_ns - self.was.start_ns if self.hops else 0

    def to_data(self) -> dict[str, Any]:
        ran = self.ran
        return {
            "kind": self.was.kind,
            "number": self.was.number,
            "title": self.was.title,
            "wasNs": self.was.total_ns,
            "predictedNs": None if self.refused else self.predicted_ns,
            **({"notPredicted": self.refused} if self.refused else {}),
            "ranNs": None if ran is None else ran.total_ns,
            **({"ranTitle": ran.title} if ran is not None and ran.title != self.was.title else {}),
            "depends": self.depends,
            "hops": [
                {
                    "name": hop.name,
                    "timer": hop.timer,
                    "wasNs": was.ns,
                    "predictedNs": None if self.refused else hop.ns,
                    "ranNs": _ran(ran, hop),
                }
                for was, hop in zip(self.was.hops, self.hops, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`changes`: constant -> (value of the record, value asked for)."""

    changes: dict[str, tuple[str, str]]
    answers: list[Answer]
    digest: str
    folder: Path | None

    def to_data(self) -> dict[str, Any]:
        return {
            "constants": {name: {"was": was, "is": now} for name, (was, now) in self.changes.items()},
            "digest": self.digest,
            "waterfalls": [answer.to_data() for answer in self.answers],
        }


def _ran(ran: Waterfall | None, hop: Hop) -> int | None:
    if ran is None:
        return None
    return next((other.ns for other in ran.hops if other.name == hop.name), None)


def changed_scenario(folder: Path, values: Mapping[str, str]) -> LoadedScenario:
    """The record's scenario with other constants. Raises UserError."""
    known = defaults()
    for name in values:
        if name not in known and name not in UNMODELLED:
            hint = did_you_mean(name, known) or "podyard constants"
            raise UserError("there is no such constant", found=name, hint=hint)
    record = read_record(folder)
    chosen = {**record.get("variables", {}), **{f"{CONSTANT}{name}": value for name, value in values.items()}}
    return from_document(Document(record["scenario"], str(folder / "record.json"), None), {}, chosen)


def whatif(folder: Path, values: Mapping[str, str], out: Path | None = None) -> WhatIf:
    """`values`: constant -> value, as of --vary. `out`: where the run's record goes, if it is to stay. Raises UserError
    for what is no record or no constant."""
    record = read_record(folder)
    loaded, before = changed_scenario(folder, values), waterfalls(folder)
    after = timers_of(loaded, int(record["seed"]))
    was = timers_of(changed_scenario(folder, {}), int(record["seed"]))
    texts = {name: (was.text(name), after.text(name)) for name in values}
    strategy = record.get("schedulerVersion") or record["scheduler"]
    with tempfile.TemporaryDirectory(prefix="podyard-") as scratch:
        result = run_once(loaded, strategy, int(record["seed"]), out=out or Path(scratch))
        assert result.folder is not None
        found = waterfalls(result.folder)
    answers = []
    for mine, others in ((before.recoveries, found.recoveries), (before.scale_ups, found.scale_ups)):
        for fall in mine:
            if fall.hops:
                ran = next((other for other in others if _same(fall, other)), None)
                hops = predict(fall, before.timers, after)
                refused = refusal(fall, hops, before.timers, after, values) or follows(fall, mine, values)
                answers.append(Answer(fall, hops, [] if refused else depending(fall, set(values)), ran, refused))
    return WhatIf(texts, answers, result.digest, result.folder if out is not None else None)


def _same(fall: Waterfall, other: Waterfall) -> bool:
    """Whether the other run's waterfall is of the same thing: the fault of the same number, the first growth from the
    same size, whatever to."""
    if fall.kind == "recovery":
        return fall.number == other.number
    return fall.title.partition(" ->")[0] == other.title.partition(" ->")[0] and bool(other.hops)
