"""podyard regret: the bindings of a run that cost most with hindsight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


def regret(
    record: Annotated[Path, typer.Argument(help="A folder that `podyard run` wrote.")],
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    output: Form = Output.table,
) -> None:
    """Which single pod, had it gone elsewhere, would have let in a pod that never got a node; the largest first."""
    from harness.explain.recorded_decision import RecordNotes
    from harness.explain.regret import regrets

    recorded = RecordNotes(record)
    found = regrets(recorded, top)
    if output is not Output.table:
        write([item.to_data() for item in found], output)
        return
    if not found:
        print("no binding is regretted: no pod was left out that one move would have let in")
        return
    from harness.report.tables import print_table

    rows = [
        [i.pod, i.node, i.elsewhere, i.kept_out, f"{i.gpu_milli / 1000:g}", f"{i.cpu_milli / 1000:g}"] for i in found
    ]
    columns = ("pod", "is on", "other nodes for it", "kept out", "GPUs", "cores")
    print_table("Bindings that cost most with hindsight", columns, rows)
