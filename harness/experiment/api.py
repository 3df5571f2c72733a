"""Podyard from Python: the same runs and comparisons as the command line's, with frames of polars as results.

`frame.to_pandas()` gives pandas, where it is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.experiment.compare import Within, question
from harness.experiment.compare import compare as held_against
from harness.experiment.result import Result, from_record
from harness.experiment.scenario import LoadedScenario, find_scenario, from_data, read_scenario
from harness.experiment.strategies import load_strategy
from harness.experiment.sweep import jobs
from harness.experiment.sweep import sweep as runs_of
from harness.experiment.window import settle
from harness.measure.catalogue import number_paths
from harness.measure.registry import catalogue
from harness.model.errors import RunFailed

if TYPE_CHECKING:
    import polars as pl

Scenario = str | Path | Mapping[str, Any]
"""A YAML file, the name of a built-in scenario, or a scenario as plain data."""


@dataclass(frozen=True, slots=True)
class Record:
    """`metrics`: the numbers in one row; `table`: the Parquet files as they are."""

    folder: Path
    result: Result

    @property
    def metrics(self) -> pl.DataFrame:
        return frame([self.result])

    def table(self, name: str) -> pl.DataFrame:
        """`pods`, `measures` or another one of docs/reference/records.md. Raises UserError where there is none."""
        from harness.model.errors import UserError

        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            known = sorted(item.stem for item in self.folder.glob("*.parquet"))
            raise UserError(f"the record has no table {name!r}", file=self.folder, expected=", ".join(known))
        import polars

        return polars.read_parquet(path)


def run(
    scenario: Scenario,
    schedulers: Sequence[str] = (),
    seeds: Sequence[int] = (),
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    settings: Mapping[str, str] | None = None,
    out: Path | None = None,
    parallel: int = 1,
) -> list[Result]:
    """Each strategy, seed and value of the variables (`vary`: by name), as `podyard run`: those of the scenario where
    none are given. `settings`: as --set, of a file. `out`: the folder of records; none: nothing is written.

    Raises UserError for what is wrong with the scenario or a name, before anything runs; RunFailed for a failed run.
    """
    varied = {name: [str(value) for value in values] for name, values in (vary or {}).items()}
    first = read(scenario, settings or {}, {})
    names = list(schedulers) or first.scenario.spec.schedulers
    for name in names:
        load_strategy(first, name)
    todo = jobs(
        lambda chosen: read(scenario, settings or {}, chosen), varied, names, list(seeds) or [first.scenario.spec.seed]
    )
    found: dict[str, Result] = {}
    for ended in runs_of(todo, out=out, parallel=parallel):
        if ended.result is None:
            raise RunFailed(f"{ended.job}: {ended.error}")
        found[str(ended.job)] = ended.result
    results = [found[str(job)] for job in todo]
    settle(results, lambda result: read(scenario, settings or {}, result.variables))
    return results


def sweep(
    scenario: Scenario,
    vary: Mapping[str, Sequence[Any]],
    schedulers: Sequence[str] = (),
    seeds: Sequence[int] = (),
    *,
    out: Path | None = None,
    parallel: int = 1,
) -> pl.DataFrame:
    """One row per run of `run`, with the variables, the strategy and the seed as columns."""
    return frame(run(scenario, schedulers, seeds, vary=vary, out=out, parallel=parallel))


def compare(
    scenario: Scenario,
    schedulers: Sequence[str],
    seeds: Sequence[int],
    *,
    metrics: Sequence[str] = (),
    within: float = 0.01,
    parallel: int = 1,
) -> pl.DataFrame:
    """Every later strategy against the first on the same seeds, as `podyard compare`: one row per measure, with the
    mean of the differences, its interval and the verdict. `metrics`: decided is about these; `within`: a share of the
    base's mean that is no difference. Raises as `run`."""
    import polars

    first = read(scenario, {}, {})
    results = run(scenario, schedulers, seeds, parallel=parallel)
    arms = {name: [result for result in results if result.scheduler == name] for name in schedulers}
    known = catalogue(first.scenario.spec.measures)
    asked = question(known, results, metrics, first.scenario.spec.compare.primary)
    rows = [row.to_data() for row in held_against(arms, asked, Within(within))]
    flat = [{key: value for key, value in row.items() if not isinstance(value, (dict, list))} for row in rows]
    return polars.DataFrame(flat, infer_schema_length=None)


def load(folder: str | Path) -> Record:
    """A record that a run has written. Raises UserError for what is none."""
    return Record(Path(folder), from_record(Path(folder)))


def frame(results: Sequence[Result]) -> pl.DataFrame:
    """One row per run: scenario, scheduler, seed, variables, whether all is fine, and every number by its path."""
    import polars

    rows = [
        {
            "scenario": result.scenario,
            "scheduler": result.scheduler,
            "seed": result.seed,
            **result.variables,
            "ok": result.ok,
            "digest": result.digest,
            **{path: float(value) for path, value, _ in number_paths(result.metrics)},
        }
        for result in results
    ]
    return polars.DataFrame(rows, infer_schema_length=None)


def read(scenario: Scenario, settings: Mapping[str, str], chosen: Mapping[str, str]) -> LoadedScenario:
    if isinstance(scenario, Mapping):
        from harness.experiment.scenario import from_document
        from harness.model.loading import Document

        if not settings and not chosen:
            return from_data(dict(scenario), "scenario")
        return from_document(Document(dict(scenario), "scenario", None), settings, chosen, told=True)
    return read_scenario(find_scenario(str(scenario)), settings, chosen)
