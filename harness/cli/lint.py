"""podyard lint: what a scenario would run, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write
from harness.cli.parsing import Schedulers, Settings, Vary, seeds_of, settings_of, strategies_of, variables_of

if TYPE_CHECKING:
    from harness.experiment.lint import Linted


def lint(
    scenario: Annotated[str, typer.Argument(help="A YAML file, or the name of a built-in scenario.")],
    scheduler: Schedulers = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds: 3, 1-5 or 1,4,7; else the scenario's.")] = None,
    vary: Vary = None,
    settings: Settings = None,
    output: Form = Output.table,
) -> None:
    """Read and resolve all that a scenario names, and say what `podyard run` would run: nodes, pods, runs, and roughly
    how long and in how much memory. Exit code 2, file and line for what is wrong."""
    from harness.experiment.lint import lint as resolve
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.experiment.sweep import jobs

    path, given = find_scenario(scenario), settings_of(settings)
    loaded = read_scenario(path, given)
    names = strategies_of(loaded, scheduler)
    wanted = seeds_of(seeds) if seeds else [loaded.scenario.spec.seed]
    todo = jobs(lambda chosen: read_scenario(path, given, chosen), variables_of(vary, path, given), names, wanted)
    found = resolve(todo)
    if output is Output.table:
        _print(found)
    else:
        write(found.to_data(), output)


def _print(found: Linted) -> None:
    from harness.experiment.lint import ROUGHLY
    from harness.report.tables import print_table

    rows = []
    for chosen, seed, size in found.sizes:
        what = ", ".join([*(f"{name}={value}" for name, value in chosen.items()), f"seed {seed}"])
        nodes = str(size.nodes) if size.nodes == size.most_nodes else f"{size.nodes} to {size.most_nodes}"
        pods = str(size.pods) if size.pods == size.most_pods else f"{size.pods} to {size.most_pods}"
        lasts = "until all has ended" if size.duration_s is None else f"{size.duration_s:g} s"
        rows.append((what, nodes, pods, str(size.faults), lasts, f"{size.seconds:.1f} s", f"{size.mib:.0f} MiB"))
    heads = ("run", "nodes", "pods", "faults", "virtual time", "roughly takes", "roughly needs")
    print_table(found.scenario, heads, rows)
    data = found.to_data()
    print(f"runs: {found.runs}, one each of {', '.join(found.schedulers)}; roughly {data['roughSeconds']} s in all")
    print(f"roughly: {ROUGHLY}")
    for note in found.notices:
        print(f"note: {note}")
