"""The waterfalls of a record: what its journal, its constants and its seed say about each recovery and scale-up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.autoscaling.cluster.settings import parse_flags
from harness.engine.streams import phase_of
from harness.experiment.constants import CLUSTER_AUTOSCALER, read_constants
from harness.experiment.record import read_journal, read_record, whole_record
from harness.experiment.scenario import LoadedScenario, from_data
from harness.measure.journal import JournalEntry
from harness.measure.recovery import Recovery, victims
from harness.measure.waterfall.held_back import Served
from harness.measure.waterfall.hops import Waterfall
from harness.measure.waterfall.recoveries import recoveries
from harness.measure.waterfall.scale_ups import scale_ups
from harness.measure.waterfall.story import KINDS, Story
from harness.measure.waterfall.summary import waterfall_metrics
from harness.measure.waterfall.timers import Timers
from harness.model.errors import UserError
from harness.model.pod_usage import IDLE_CPU_PERCENT
from harness.model.quantity import parse_quantity


@dataclass(frozen=True, slots=True)
class Waterfalls:
    recoveries: list[Waterfall]
    scale_ups: list[Waterfall]
    timers: Timers

    def to_data(self) -> dict[str, Any]:
        return {
            "recoveries": [fall.to_data() for fall in self.recoveries],
            "scaleUps": [fall.to_data() for fall in self.scale_ups],
        }


def timers_of(loaded: LoadedScenario, seed: int) -> Timers:
    """When the timers of a run of the scenario go off. Raises UserError."""
    constants, flags = read_constants(loaded)
    name, _, query = loaded.scenario.spec.autoscaler.partition("?")
    given = dict(item.split("=", 1) for item in query.split("&") if "=" in item) if name == CLUSTER_AUTOSCALER else {}
    scan_ns = parse_flags({key: value for key, value in {**given, **flags}.items() if key == "scan-interval"})
    return Timers(constants, scan_ns.scan_interval_ns, lambda stream, period: phase_of(seed, stream, period))


def waterfalls(folder: Path) -> Waterfalls:
    """Raises UserError for what is no record, or one without its journal."""
    record = read_record(folder)
    if "victims" not in record:
        raise UserError("the record is of an earlier version", file=folder, hint="run the scenario again")
    journal = read_journal(folder)
    loaded = from_data(record["scenario"], str(folder / "record.json"))
    timers = timers_of(loaded, int(record["seed"]))
    with whole_record(folder):
        until_ns = round(record["metrics"]["durationSeconds"] * 1e9)
        story = Story().read(_entries(journal))
        recovery = record["metrics"].get("recovery", [])
        return _waterfalls_of(loaded, timers, story, record["victims"], recovery, until_ns)


# size: what a story is read with.
def _waterfalls_of(
    loaded: LoadedScenario,
    timers: Timers,
    story: Story,
    victims: Sequence[Sequence[Mapping[str, Any]]],
    recovery: Sequence[Mapping[str, Any]],
    until_ns: int,
) -> Waterfalls:
    return Waterfalls(
        recoveries(story, timers, victims, recovery, until_ns),
        scale_ups(story, timers, _served(loaded), until_ns),
        timers,
    )


def run_waterfalls(
    loaded: LoadedScenario,
    seed: int,
    journal: Iterable[JournalEntry],
    recovery: Recovery,
    metrics: Mapping[str, Any],
    until_ns: int,
) -> dict[str, Any]:
    """Those of a run that is over, as metrics. `metrics`: its others."""
    if "recovery" not in metrics and "autoscaling" not in metrics:
        return {}
    kinds = frozenset(KINDS)
    story = Story().read((e.at_ns, e.kind, e.change, e.key, e.data) for e in journal if e.kind in kinds)
    timers = timers_of(loaded, seed)
    found = _waterfalls_of(loaded, timers, story, victims(recovery), metrics.get("recovery", []), until_ns)
    return waterfall_metrics(found.recoveries, found.scale_ups)


def _entries(journal: Any) -> Iterator[tuple[int, str, str, str, Any]]:
    import polars as pl

    rows = journal.filter(pl.col("kind").cast(pl.String).is_in(KINDS))
    decode = msgspec.json.Decoder().decode
    for at_ns, kind, change, key, data in rows.select("at_ns", "kind", "change", "key", "data").iter_rows():
        yield at_ns, kind, change, key, decode(data)


def _served(loaded: LoadedScenario) -> dict[str, Served]:
    """The services of the scenario that are scaled."""
    out = {}
    for task in loaded.scenario.spec.workload:
        form = task.service
        if form is None or form.autoscaler is None:
            continue
        asked = parse_quantity(form.cpu).milli
        key = f"default/{form.name}"
        cost = form.cpu_per_request
        out[key] = Served(key, asked, asked * IDLE_CPU_PERCENT // 100, _micro(cost), form.autoscaler.target_cpu)
    return out


def _micro(cost: str | int | float) -> int:
    return parse_quantity(cost).milli * 1000
