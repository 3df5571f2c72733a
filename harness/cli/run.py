"""podyard run: a scenario under one or more strategies, and what came out."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write
from harness.cli.parsing import (
    RAY_ADDRESS,
    Schedulers,
    Settings,
    Vary,
    seeds_of,
    settings_of,
    strategies_of,
    variables_of,
)
from harness.cli.progress import bar, tell_actors
from harness.cli.sweep import run_jobs

if TYPE_CHECKING:
    from harness.experiment.result import Result
    from harness.experiment.run import Clock, Home, Run
    from harness.experiment.sweep import Job


class ClockKind(StrEnum):
    virtual = "virtual"
    wall = "wall"


class Nodes(StrEnum):
    inline = "inline"
    ray = "ray"


# size: each parameter is an option of the command line.
def run(
    scenario: Annotated[str, typer.Argument(help="A YAML file, or the name of a built-in scenario.")] = "quickstart",
    scheduler: Schedulers = None,
    autoscaler: Annotated[
        str, typer.Option(help="Autoscalers, separated by commas (`podyard autoscalers`); else the scenario's.")
    ] = "",
    seeds: Annotated[str | None, typer.Option(help="Seeds: 3, 1-5 or 1,4,7; else the scenario's.")] = None,
    nodes: Annotated[
        Nodes | None,
        typer.Option(help="Where nodes live: in this process, or in Ray actors; many runs have theirs inline."),
    ] = None,
    actors: Annotated[int | None, typer.Option(min=1, help="Ray actors that share the nodes; 2.")] = None,
    ray_address: Annotated[str | None, typer.Option(help=RAY_ADDRESS)] = None,
    clock: Annotated[ClockKind, typer.Option(help="Virtual time, or the wall clock.")] = ClockKind.virtual,
    time_scale: Annotated[
        float | None, typer.Option(min=0.001, help="On the wall clock: seconds of the cluster for each of yours; 1.")
    ] = None,
    settings: Settings = None,
    vary: Vary = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at once, as Ray tasks with their nodes inline.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Take runs that are recorded already as they are.")] = False,
    journal: Annotated[bool, typer.Option(help="Whether records hold the journal, entry by entry.")] = True,
    out: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/local"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run a scenario and print placement quality, autoscaling response and recovery latency of each strategy."""
    # Many runs in turn have their nodes inline, and side by side they start Ray themselves.
    many_runs = parallel > 1 or bool(vary) or resume or "," in autoscaler
    in_actors = nodes is not Nodes.inline and not many_runs
    _check_effects(nodes, actors, ray_address, clock, time_scale, parallel, many_runs=many_runs)
    actors = actors or 2
    if in_actors:
        from harness.node.actors.session import ray_session

        ray_session(ray_address, actors)  # it starts while everything else is imported and read
    try:
        from harness.experiment.autoscalers import named, reader
        from harness.experiment.record import check_writable
        from harness.experiment.run import Clock, Home
        from harness.experiment.scenario import find_scenario, read_scenario
        from harness.experiment.sweep import jobs
        from harness.experiment.window import settle

        path, given = find_scenario(scenario), settings_of(settings)
        loaded = read_scenario(path, given)
        spec = loaded.scenario.spec
        variables = variables_of(vary, path, given)
        read = reader(path, given, named(autoscaler) if autoscaler else [], variables)
        names = strategies_of(loaded, scheduler)
        todo = jobs(read, variables, names, [spec.seed] if seeds is None else seeds_of(seeds))
        check_writable(out)
        pace = Clock((time_scale or 1.0) if clock is ClockKind.wall else 0.0)
        home = Home(nodes="ray" if in_actors else "inline", actors=actors, ray_address=ray_address)
        # Ray's driver prints what happens to its workers on stdout, which is for results alone.
        with redirect_stdout(sys.stderr):
            if many_runs:
                results, failed = run_jobs(todo, out, parallel, journal, resume, quiet, ray_address)
            else:
                results, failed = _in_turn(todo, home, pace, out, journal, quiet), 0
    finally:
        if in_actors or parallel > 1:
            _end_ray()  # also where the scenario turns out to be wrong while it starts
    settle(results, lambda result: read(result.variables))
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


_MANY = "many runs: --vary, --resume, --parallel, several autoscalers"


# size: the options that bear on where and when a run is played.
def _check_effects(
    nodes: Nodes | None,
    actors: int | None,
    ray_address: str | None,
    clock: ClockKind,
    time_scale: float | None,
    parallel: int,
    *,
    many_runs: bool,
) -> None:
    """An option that would have no effect is told. Raises typer.BadParameter."""
    inline = "many runs have their nodes inline" if many_runs else "the nodes are inline"
    if many_runs and nodes is Nodes.ray:
        raise typer.BadParameter(f"Ray actors are not for {_MANY}", param_hint="--nodes")
    if many_runs and clock is ClockKind.wall:
        raise typer.BadParameter(f"the wall clock is not for {_MANY}", param_hint="--clock")
    if actors is not None and (many_runs or nodes is Nodes.inline):
        raise typer.BadParameter(f"{inline}: there are no actors", param_hint="--actors")
    if ray_address is not None and parallel == 1 and (many_runs or nodes is Nodes.inline):
        raise typer.BadParameter(f"{inline}, and without --parallel no Ray is used", param_hint="--ray-address")
    if time_scale is not None and clock is ClockKind.virtual:
        raise typer.BadParameter("is of the wall clock: --clock wall", param_hint="--time-scale")


def _in_turn(todo: list[Job], home: Home, pace: Clock, out: Path, journal: bool, quiet: bool) -> list[Result]:
    from harness.experiment.run import run_once

    results: list[Result] = []
    with bar(quiet, len(todo)) as told:
        for job in todo:
            told.start(str(job))
            result = run_once(
                job.loaded,
                job.scheduler,
                job.seed,
                home,
                out=out,
                progress=told,
                clock=pace,
                begun=_begun,
                journal=journal,
            )
            results.append(result)
    for result in results:
        for text in result.lost_actors:
            told_of = f"{result.scheduler}, seed {result.seed}"
            print(f"{told_of}: {text}; this run cannot be replayed", file=sys.stderr, flush=True)
    return results


def _end_ray() -> None:
    """Also after Ctrl-C: no process of ours stays behind."""
    from harness.node.actors.session import end_ray

    end_ray()


def _begun(run: Run) -> None:
    if run.clock.wall:
        tell_actors(run.cluster)
        run.cluster.fault_listeners.append(lambda text: print(text, file=sys.stderr, flush=True))
