"""podyard compact: how many nodes could be taken away, by strategy, next to a proven bound."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write
from harness.cli.parsing import Settings, names_of, settings_of


# size: each parameter is an option of the command line.
def compact(
    scenario: Annotated[str, typer.Argument(help="A YAML file, or the name of a built-in scenario.")],
    scheduler: Annotated[
        list[str] | None,
        typer.Option("--scheduler", "-s", help="Strategies, separated by commas or repeated; greedy."),
    ] = None,
    load: Annotated[
        int | None, typer.Option(min=1, help="Only the first pods that ask for so many percent of the GPUs, or CPU.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Orders in which nodes are taken away.")] = 11,
    seed: Annotated[int, typer.Option(help="Of the orders, and of the scenario.")] = 0,
    no_bound: Annotated[bool, typer.Option("--no-bound", help="Leave out the proven bound.")] = False,
    settings: Settings = None,
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Cell compaction (Borg, EuroSys 2015): the fewest nodes that still hold the load of the busiest instant.

    Nodes go in random order, and the load is packed anew for each number of them; 90 means nine of ten orders.
    """
    from harness.experiment.compact import Cell
    from harness.experiment.compact import compact as compacted
    from harness.experiment.scenario import find_scenario, read_scenario

    loaded = read_scenario(find_scenario(scenario), settings_of(settings))
    names = names_of(scheduler) or ["greedy"]
    with redirect_stdout(sys.stderr):  # what a strategy prints is not our result
        rows = compacted(
            Cell(loaded, seed, load),
            names,
            seed=seed,
            trials=trials,
            bound=not no_bound,
            told=lambda text: None if quiet else print(text, file=sys.stderr),
        )
    if output is not Output.table:
        write([row.to_data() for row in rows], output)
        return
    from harness.report.tables import print_table

    first = rows[0]
    title = f"Cell compaction: {first.pods} pods on {first.found.nodes} nodes, {trials} orders of removal"
    cells = [
        [
            row.scheduler,
            *(
                (
                    f"{data['keptMedian']:g}",
                    data["kept90"],
                    data["removable"],
                    f"{100 * row.found.removable / row.found.nodes:.1f}",
                )
                if row.found.fits_at_all
                else ("does not fit", "", "", "")
            ),
        ]
        for row in rows
        for data in [row.to_data()]
    ]
    print_table(title, ("strategy", "kept, median", "kept, 90 %", "removable", "% of nodes"), cells)
    if first.needed is None:
        return
    if first.needed.value > first.found.nodes:
        print(f"it is proven that the load does not fit on these {first.found.nodes} nodes; --load takes a part of it")
    else:
        print(f"whoever chooses the nodes needs at least {first.needed.value} of them (proven)")
