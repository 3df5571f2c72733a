"""podyard replay: run a record again; the same digest, or where it first differs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


def replay(
    record: Annotated[Path, typer.Argument(help="A folder that `podyard run` wrote.")],
    output: Form = Output.table,
) -> None:
    """Run a record again and say "same digest", or name the first entry of the journal that differs."""
    from harness.experiment.replay import replay_record

    verdict = replay_record(record)
    if output is Output.table:
        print(verdict)
    else:
        write(verdict.to_data(), output)
    if not verdict.same:
        raise typer.Exit(1)
