"""podyard run: a scenario under one or more strategies, and what came out."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.experiment.run import Clock, Home, Progress, Result, Run
    from harness.experiment.sweep import Job


class ClockKind(StrEnum):
    virtual = "virtual"
    wall = "wall"


class Nodes(StrEnum):
    inline = "inline"
    ray = "ray"


def run(
    scenario: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a scenario that comes along.")
    ] = "quickstart",
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", "-s", help="Strategies, separated by commas; else the scenario's.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds: 3, 1-5 or 1,4,7; else the scenario's.")] = None,
    nodes: Annotated[Nodes, typer.Option(help="Where nodes live: in this process, or in Ray actors.")] = Nodes.ray,
    actors: Annotated[int, typer.Option(min=1, help="Ray actors that share the nodes.")] = 2,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster that is running; else one is started.")] = None,
    clock: Annotated[ClockKind, typer.Option(help="Virtual time, or the wall clock.")] = ClockKind.virtual,
    time_scale: Annotated[
        float, typer.Option(min=0.001, help="On the wall clock: seconds of the cluster for each of yours.")
    ] = 1.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario, as spec.duration=5m; repeatable.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="NAME=a,b,.. of the scenario's variables, or NAME for all of its values; repeatable."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at once, as Ray tasks with their nodes inline.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Take runs that are recorded already as they are.")] = False,
    journal: Annotated[bool, typer.Option(help="Whether records hold the journal, entry by entry.")] = True,
    out: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/local"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run a scenario and print placement quality, autoscaling response and recovery latency of each strategy."""
    from harness.experiment.run import Clock, Home
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.experiment.sweep import jobs
    from harness.scheduling.registry import load

    path, given = find_scenario(scenario), _settings(settings)
    loaded = read_scenario(path, given)
    spec = loaded.scenario.spec
    variables = _variables(vary, path, given)
    names = [name.strip() for name in scheduler.split(",") if name.strip()] if scheduler else spec.schedulers
    for name in names:
        load(name)  # before anything runs: a wrong name is told at once
    todo = jobs(
        lambda chosen: read_scenario(path, given, chosen), variables, names, _seeds(seeds) if seeds else [spec.seed]
    )
    pace = Clock(time_scale if clock is ClockKind.wall else 0.0)
    if parallel > 1 and pace.wall:
        raise typer.BadParameter("runs on the wall clock are not run side by side", param_hint="--parallel")
    home = Home(nodes=nodes.value, actors=actors, ray_address=ray_address)
    try:
        # Ray's driver prints what happens to its workers on stdout, which is for results alone.
        with redirect_stdout(sys.stderr):
            if parallel > 1 or variables or resume:
                results, failed = _many(todo, out, parallel, journal, resume, quiet, ray_address)
            else:
                results, failed = _in_turn(todo, home, pace, out, journal, quiet), 0
    finally:
        _end(nodes)
    if output is Output.table:
        from harness.report.tables import print_results, print_sweep

        if variables:
            print_sweep(loaded, results)
        else:
            print_results(loaded, results)
    else:
        write([result.to_data() for result in results], output)
    if failed or not all(result.ok for result in results):
        raise typer.Exit(1)


def _in_turn(todo: list[Job], home: Home, pace: Clock, out: Path, journal: bool, quiet: bool) -> list[Result]:
    from harness.experiment.run import run_once

    results: list[Result] = []
    with _bar(quiet, len(todo)) as told:
        for job in todo:
            told.start(str(job))
            results.append(
                run_once(
                    job.loaded,
                    job.scheduler,
                    job.seed,
                    home,
                    out=out,
                    progress=told,
                    clock=pace,
                    begun=_tell_actors,
                    journal=journal,
                )
            )
    return results


def _many(
    todo: list[Job], out: Path, parallel: int, journal: bool, resume: bool, quiet: bool, address: str | None
) -> tuple[list[Result], int]:
    """(results in the order of `todo`, how many runs failed)."""
    from harness.experiment.sweep import recorded, sweep

    found: dict[int, Result] = {}
    place = {str(job): index for index, job in enumerate(todo)}
    failed = 0
    with _Counter(len(todo), quiet) as told:
        rest: list[Job] = []
        for index, job in enumerate(todo):
            before = recorded(job, out) if resume else None
            if before is None:
                rest.append(job)
            else:
                found[index] = before
                told(f"{job}: recorded before")
        for ended in sweep(rest, out=out, parallel=parallel, journal=journal, address=address):
            if ended.result is None:
                failed += 1
                told(f"{ended.job}: failed")
                print(f"{ended.job}: {ended.error}", file=sys.stderr, flush=True)
            else:
                found[place[str(ended.job)]] = ended.result
                told(f"{ended.job}: {ended.seconds:.1f} s")
    return [found[index] for index in sorted(found)], failed


def _end(nodes: Nodes) -> None:
    """Also after Ctrl-C: no process of ours stays behind."""
    if nodes is Nodes.ray:
        from harness.node.ray_actors import stop_ray

        stop_ray()


def _tell_actors(run: Run) -> None:
    """Which process holds which nodes: for those who want to kill one."""
    pids = getattr(run.cluster.homes, "pids", None)
    if run.clock.wall and pids:
        for pid, names in pids.items():
            print(f"actor {pid}: {', '.join(names)}", file=sys.stderr, flush=True)


def _settings(items: list[str] | None) -> dict[str, str]:
    from harness.model.errors import UserError

    out = {}
    for item in items or []:
        path, equals, value = item.partition("=")
        if not equals or not path:
            raise UserError("--set wants PATH=VALUE", found=item, expected="as spec.duration=5m")
        out[path] = value
    return out


def _variables(items: list[str] | None, path: Path, settings: dict[str, str]) -> dict[str, list[str]]:
    """'list=a,b' or 'list', for all of its values. Raises UserError for one that the scenario does not have."""
    from harness.experiment.scenario import read_variables
    from harness.model.errors import UserError, did_you_mean

    if not items:
        return {}
    known = read_variables(path, settings)
    out = {}
    for item in items:
        name, equals, values = item.partition("=")
        if name not in known:
            raise UserError(
                f"the scenario has no variable {name!r}",
                file=path,
                expected=", ".join(known) or "none",
                hint=did_you_mean(name, known),
            )
        out[name] = [value.strip() for value in values.split(",") if value.strip()] if equals else known[name]
        if not out[name]:
            raise UserError(f"--vary {item} names no value", expected=f"some of {', '.join(known[name])}")
    return out


def _seeds(text: str) -> list[int]:
    """'3', '1-5', '1,4,7-9'. Raises UserError."""
    from harness.model.errors import UserError

    out: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UserError("--seeds wants whole numbers", found=text, expected="as 3, 1-5 or 1,4,7")
        first, last = int(match[1]), int(match[2] or match[1])
        out.extend(range(first, last + 1))
    if not out:
        raise UserError("--seeds names none", found=text)
    return out


def _bar(quiet: bool, runs: int) -> Any:
    if quiet or not sys.stderr.isatty():
        return _Silent()
    return _Bar(runs)


class _Counter:
    """Runs that have ended: a bar on a terminal, else a line each."""

    def __init__(self, runs: int, quiet: bool) -> None:
        self._runs, self._done, self._quiet = runs, 0, quiet
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=runs)

    def __enter__(self) -> _Counter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, what: str) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=what)
        elif not self._quiet:
            print(f"{self._done}/{self._runs} {what}", file=sys.stderr, flush=True)


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, what: str) -> None:
        pass

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        pass


class _Bar(_Silent):
    """Which run it is, and where its clock stands."""

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=runs)
        self._what = ""
        self._started = 0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, what: str) -> None:
        self._what = what
        self._progress.update(self._task, completed=self._started, description=what)
        self._started += 1

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        text = f"{self._what}: {at_ns / 1e9:,.0f} s of virtual time, {settled} pods done"
        self._progress.update(self._task, description=text)


if TYPE_CHECKING:
    _: Progress = _Silent()
