"""podyard new: a scheduler's package, or a scenario, to begin with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Begin something: a scheduler or an autoscaler as a package, or a scenario.",
)


@app.callback()
def new() -> None:
    """Begin something."""


@app.command("scheduler")
def scheduler(
    name: Annotated[str, typer.Argument(help="As --scheduler will know it: a-z, 0-9 and -.")],
    folder: Annotated[Path | None, typer.Option(help="Where the package goes; else ./NAME.")] = None,
) -> None:
    """Write a package with a strategy and a test of it, ready for pip install."""
    from harness.testing.skeleton import write_package

    where = folder if folder is not None else Path(name)
    for path in write_package(name, where):
        print(path)


@app.command("scenario")
def scenario(
    name: Annotated[str, typer.Argument(help="Of the scenario and its file: a-z, 0-9 and -.")],
    folder: Annotated[Path, typer.Option(help="Where NAME.yaml goes.")] = Path(),
) -> None:
    """Write a small scenario with comments that runs in seconds."""
    from harness.experiment.scenario_skeleton import write_scenario

    print(write_scenario(name, folder))


class Decides(StrEnum):
    replicas = "replicas"
    nodes = "nodes"


@app.command("autoscaler")
def autoscaler(
    name: Annotated[str, typer.Argument(help="As --autoscaler will know it: a-z, 0-9 and -.")],
    folder: Annotated[Path | None, typer.Option(help="Where the package goes; else ./NAME.")] = None,
    decides: Annotated[
        Decides, typer.Option(help="How many replicas there are, or which nodes pools add and remove.")
    ] = Decides.replicas,
) -> None:
    """Write a package with an autoscaling policy and a test of it, ready for pip install."""
    from harness.testing.autoscaler_skeleton import write_autoscaler_package

    where = folder if folder is not None else Path(name)
    for path in write_autoscaler_package(name, where, decides.value):
        print(path)
