"""podyard compare: strategies on the same seeds, with intervals and a verdict in words."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.asked import seeds_of, settings_of, variables_of
from harness.cli.many import many
from harness.cli.output import Form, Output, write


# size: each parameter is an option of the command line.
def compare(
    scenario: Annotated[str, typer.Argument(help="A YAML file, or the name of a scenario that comes along.")],
    scheduler: Annotated[
        str, typer.Option("--scheduler", "-s", help="Strategies, separated by commas; all are held against the first.")
    ],
    seeds: Annotated[str, typer.Option(help="Seeds: 1-20 or 1,4,7; two at least for an interval.")] = "1-10",
    metric: Annotated[
        list[str] | None, typer.Option(help="A number of the runs by path, as placement.allocation.gpu; repeatable.")
    ] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="NAME=a,b,.. of the scenario's variables, or NAME for all; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario; repeatable.")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at once, as Ray tasks.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Take runs that are recorded already as they are.")] = False,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster that is running; else one is started.")] = None,
    out: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/local"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run strategies on the same seeds and say what differs: paired differences, 95 % intervals, verdicts.

    Verdicts hold together: the chance that any of a table's "is better" is false is at most 5 % (Holm).
    """
    from harness.experiment.compare import KNOWN, measures_of
    from harness.experiment.compare import compare as held_against
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.experiment.sweep import jobs
    from harness.experiment.window import settle
    from harness.model.errors import UserError
    from harness.scheduling.registry import load

    path, given = find_scenario(scenario), settings_of(settings)
    loaded = read_scenario(path, given)
    names = list(dict.fromkeys(name.strip() for name in scheduler.split(",") if name.strip()))
    if len(names) < 2:
        raise UserError(
            "there is nothing to compare with", found=scheduler, expected="two strategies or more, as greedy,binpack"
        )
    for name in names:
        load(name)
    todo = jobs(
        lambda chosen: read_scenario(path, given, chosen), variables_of(vary, path, given), names, seeds_of(seeds)
    )
    measures = measures_of(metric) if metric else KNOWN
    try:
        with redirect_stdout(sys.stderr):
            results, failed = many(todo, out, parallel, True, resume, quiet, ray_address)
    finally:
        if parallel > 1:
            from harness.node.ray_actors import stop_ray

            stop_ray()
    settle(results, lambda chosen: read_scenario(path, given, chosen))
    rows = held_against(results, names, measures)
    if output is Output.table:
        from harness.report.tables import print_comparison

        print_comparison(loaded, names[0], rows)
    else:
        write([row.to_data() for row in rows], output)
    if failed or not all(result.ok for result in results):
        raise typer.Exit(1)
