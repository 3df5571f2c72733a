"""podyard compare: arms on the same seeds, with intervals and a verdict in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, file_name, write
from harness.cli.parsing import RAY_ADDRESS, Settings, Vary, names_of, seeds_of, settings_of, variables_of
from harness.cli.sweep import run_jobs

if TYPE_CHECKING:
    from harness.experiment.compare import Question, Variables, Within
    from harness.experiment.result import Result
    from harness.experiment.scenario import LoadedScenario
    from harness.experiment.sequential import Sequential


@dataclass(frozen=True)
class Arm:
    """One of the things compared: a strategy on a scenario, with settings over it. `folder`: under --out."""

    name: str
    path: Path
    given: dict[str, str]
    scheduler: str
    folder: str = ""

    def read(self, chosen: Mapping[str, str] | None = None) -> LoadedScenario:
        from harness.experiment.scenario import read_scenario

        return read_scenario(self.path, self.given, chosen)


# size: each parameter is an option of the command line.
def compare(
    scenario: Annotated[
        list[str], typer.Argument(help="A YAML file, or the name of a built-in scenario; several are compared.")
    ],
    scheduler: Annotated[
        list[str] | None,
        typer.Option(
            "--scheduler",
            "-s",
            help="Strategies, separated by commas or repeated; all are held against the first. Else the scenario's.",
        ),
    ] = None,
    autoscaler: Annotated[
        str,
        typer.Option(help="Autoscalers, separated by commas, compared instead of strategies (`podyard autoscalers`)."),
    ] = "",
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="LABEL:PATH=VALUE[;PATH=VALUE..] over the scenario, compared instead of strategies; repeatable, the "
            "first is the base. 'LABEL:' alone is the scenario as it is."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 1-20 or 1,4,7; six at least decide about one measure.")] = "1-10",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Decide about this one and no other: a path, as placement.allocation.gpu; repeatable."),
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(help="What is no difference: 1% of the base's mean (the default), or PATH=AMOUNT; repeatable."),
    ] = None,
    vary: Vary = None,
    settings: Settings = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at once, as Ray tasks.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Take runs that are recorded already as they are.")] = False,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early",
            help="Look at most five times, and run no more seeds of an arm whose primary measures are all decided; the "
            "chance of a false verdict stays at 5 %.",
        ),
    ] = False,
    ray_address: Annotated[str | None, typer.Option(help=RAY_ADDRESS)] = None,
    out: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/local"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run strategies, settings or scenarios on the same seeds and say what differs: intervals, verdicts in words.

    What is decided about (a few primary measures, or those of --metric) holds together: the chance that any of a
    comparison's "is better" is false is at most 5 % (Holm). All other measures are exploratory.
    """
    from harness.experiment.autoscalers import PRIMARY
    from harness.experiment.compare import compare as held_against
    from harness.experiment.compare import question
    from harness.experiment.strategies import load_strategy
    from harness.measure.registry import catalogue

    arms = arms_of(scenario, names_of(scheduler), arm or [], settings_of(settings), autoscaler)
    first = arms[0].read()
    declared = first.scenario.spec.compare
    margins = within_of(within, first)
    for item in arms:
        load_strategy(item.read(), item.scheduler)
    known = catalogue(first.scenario.spec.measures)

    def asks(results: Sequence[Result]) -> Question:
        return question(known, results, metric or (), declared.primary, PRIMARY if autoscaler else ())

    runs = _Runs(arms, vary, out, parallel, resume, quiet, ray_address)
    chosen, stopped = seeds_of(seeds), None
    try:
        with redirect_stdout(sys.stderr):
            if stop_early:
                stopped = _look_by_look(runs, chosen, asks, margins)
            else:
                runs.play(chosen)
    finally:
        if parallel > 1:
            from harness.node.actors.session import end_ray

            end_ray()
    results = runs.all()
    rows = held_against(runs.found, asks(results), margins) if stopped is None else stopped.table()
    from harness.report.tables import print_comparison, print_failures

    if output is Output.table:
        print_comparison(first, rows)
    else:
        write([row.to_data() for row in rows], output)
    print_failures(results, on_stderr=output is not Output.table)
    if runs.failed or not all(result.ok for result in results):
        raise typer.Exit(1)


@dataclass
class _Runs:
    """The runs of all arms as they are played, on one window."""

    arms: list[Arm]
    vary: list[str] | None
    out: Path
    parallel: int
    resume: bool
    quiet: bool
    ray_address: str | None
    found: dict[str, list[Result]] = field(default_factory=dict)
    failed: int = 0

    def play(self, seeds: Sequence[int], wanted: Mapping[str, set[Variables]] | None = None) -> None:
        """`wanted`: of which values of the variables, by arm; None: all."""
        from harness.experiment.sweep import jobs
        from harness.experiment.window import settle

        for item in self.arms:
            variables = variables_of(self.vary, item.path, item.given)
            todo = jobs(item.read, variables, [item.scheduler], seeds)
            if wanted is not None:
                todo = [job for job in todo if tuple(job.loaded.chosen.items()) in wanted[item.name]]
            more, failed = run_jobs(
                todo, self.out / item.folder, self.parallel, True, self.resume, self.quiet, self.ray_address
            )
            self.found.setdefault(item.name, []).extend(more)
            self.failed += failed
        if all(item.path == self.arms[0].path for item in self.arms):
            of_result = {id(result): item for item in self.arms for result in self.found[item.name]}
            settle(self.all(), lambda result: of_result[id(result)].read(result.variables))

    def values(self) -> list[Variables]:
        """Of the variables, as results have them."""
        return list(dict.fromkeys(tuple(result.variables.items()) for result in self.all()))

    def all(self) -> list[Result]:
        return [result for runs in self.found.values() for result in runs]


def _look_by_look(
    runs: _Runs, seeds: Sequence[int], asks: Callable[[Sequence[Result]], Question], within: Within
) -> Sequential:
    """Until all seeds are run, or all is decided. What is decided about is fixed at the first look."""
    from harness.experiment.sequential import Sequential, looks

    # How many measures that is, one run of each arm tells.
    runs.play(seeds[:1])
    asked = asks(runs.all())
    others = len(runs.arms) - 1
    ends = looks(len(seeds), len(asked.primary) * others * max(len(runs.values()), 1))
    told = Sequential(len(seeds), asked, within)
    names, done = [item.name for item in runs.arms], 1
    wanted: Mapping[str, set[Variables]] = {name: set(runs.values()) for name in names}
    for end in ends:
        runs.play(seeds[done:end], wanted)
        done = end
        told.look(runs.found, end)
        wanted = told.active(names, runs.values())
        if not any(wanted.values()):
            break
    for (arm, variables), n in told.stopped.items():
        if n < len(seeds):
            where = " ".join(f"{name}={value}" for name, value in variables)
            print(f"{' '.join(filter(None, (where, arm)))}: decided after {n} of {len(seeds)} seeds", file=sys.stderr)
    return told


def arms_of(
    scenarios: list[str], names: list[str], labelled: list[str], given: dict[str, str], autoscaler: str = ""
) -> list[Arm]:
    """Strategies, autoscalers, settings or scenarios; one kind of thing is compared at a time. Where nothing is named,
    the strategies of the scenario. Raises UserError."""
    from harness.experiment.autoscalers import named, settings_of_autoscaler
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.model.errors import UserError

    paths = [find_scenario(name) for name in scenarios]
    scalers = named(autoscaler) if autoscaler else []
    if len(paths) == 1 and not (names or labelled or scalers):
        names = list(read_scenario(paths[0], given).scenario.spec.schedulers)
    if len(scalers) == 1 and len(paths) == 1:
        given = {**given, **settings_of_autoscaler(read_scenario(paths[0], given), scalers[0])}
    counts = (
        ("strategies", len(names)),
        ("autoscalers", len(scalers)),
        ("scenarios", len(paths)),
        ("arms", len(labelled)),
    )
    several = [what for what, n in counts if n > 1]
    if not several:
        raise UserError(
            "there is nothing to compare with",
            found=", ".join(names) or scenarios[0],
            hint=f"--scheduler greedy,{names[0]}" if names and names[0] != "greedy" else None,
            expected="two strategies (--scheduler greedy,binpack), --autoscaler a,b, two --arm, or two scenarios",
        )
    if len(several) > 1:
        raise UserError("one kind of thing is compared at a time", found=" and ".join(several), expected="one of them")
    if len(names) > 1:
        return [Arm(name, paths[0], given, name) for name in names]
    strategy = names[0] if names else read_scenario(paths[0], given).scenario.spec.schedulers[0]
    if len(scalers) > 1:
        loaded = read_scenario(paths[0], given)
        chosen = {name: settings_of_autoscaler(loaded, name) for name in scalers}
        return [Arm(name, paths[0], {**given, **chosen[name]}, strategy, file_name(name)) for name in scalers]
    if len(paths) > 1:
        return [Arm(label, path, given, strategy, "") for label, path in zip(scenarios, paths, strict=True)]
    out: list[Arm] = []
    for text in labelled:
        label, colon, changes = text.partition(":")
        if not colon or not label or any(item.name == label for item in out):
            raise UserError(
                "--arm wants LABEL:PATH=VALUE, each label once", found=text, expected="slow:spec.duration=9m"
            )
        over = settings_of([change for change in changes.split(";") if change])
        out.append(Arm(label, paths[0], {**given, **over}, strategy, file_name(label)))
    return out


def within_of(items: list[str] | None, loaded: LoadedScenario) -> Within:
    """'1%' for a share of the base's mean, 'PATH=AMOUNT' for one measure; over what the scenario says."""
    from harness.experiment.compare import Within
    from harness.model.errors import UserError

    form = loaded.scenario.spec.compare.within
    share, amounts = "1%", dict(form) if isinstance(form, dict) else {}
    if isinstance(form, str):
        share = form
    try:
        for item in items or []:
            path, equals, amount = item.partition("=")
            if equals:
                amounts[path] = float(amount)
            else:
                share = item
        if not share.endswith("%"):
            raise ValueError
        within = Within(float(share[:-1]) / 100, amounts)
        if not all(math.isfinite(amount) and amount >= 0 for amount in (within.share, *amounts.values())):
            raise ValueError
        return within
    except ValueError:
        raise UserError("--within is not understood", found=str(items or form), expected="1%, or PATH=AMOUNT") from None
