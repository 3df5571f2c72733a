"""podyard plot: figures of records, or the rows that they draw."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    allocation = "allocation"
    waits = "waits"
    nodes = "nodes"
    gantt = "gantt"
    replicas = "replicas"
    waterfall = "waterfall"
    sweep = "sweep"
    comparison = "comparison"
    chrome_trace = "chrome-trace"


class PlotForm(StrEnum):
    pdf = "pdf"
    svg = "svg"
    png = "png"
    csv = "csv"
    latex = "latex"
    markdown = "markdown"
    json = "json"


OF_ONE = (Kind.nodes, Kind.gantt, Kind.replicas, Kind.waterfall, Kind.chrome_trace)


def plot(
    records: Annotated[list[Path], typer.Argument(help="Folders that `podyard run` wrote, or folders of such.")],
    kind: Annotated[Kind, typer.Option(help="What to show.")] = Kind.allocation,
    form: Annotated[
        PlotForm,
        typer.Option("-o", "--output", help="A picture, or the rows that it draws (csv, latex, markdown, json)."),
    ] = PlotForm.png,
    out: Annotated[
        Path | None, typer.Option(help="The file; KIND.pdf and so on. Rows go to stdout without it.")
    ] = None,
    measure: Annotated[
        str,
        typer.Option(
            help="A path of `podyard measures`. Of a sweep, else placement.allocation.gpu; of a comparison, else the "
            "primary measures."
        ),
    ] = "",
    x: Annotated[str, typer.Option("--x", help="Of a sweep: the variable along the axis; else the first.")] = "",
    base: Annotated[
        str, typer.Option(help="Of a comparison: the strategy that the others are held against; else the first.")
    ] = "",
    width: Annotated[float, typer.Option(min=2, max=20, help="Inches; a column of most papers has 3.5.")] = 7.2,
) -> None:
    """Draw allocation against its bound, waits, nodes over time, a Gantt chart, replicas against demand, waterfalls, a
    sweep or a comparison of strategies; or export a run for Perfetto (chrome-trace, JSON). Pictures need the extra
    `report`.
    """
    from harness.cli.output import Output, write
    from harness.model.errors import UserError
    from harness.report.figure_data import FRAMES, Asked, RunData
    from harness.report.page import find

    runs = [RunData(folder) for folder in find(records)]
    if kind in OF_ONE and len(runs) > 1:
        raise UserError(f"{kind.value} shows one run", found=f"{len(runs)} records", expected="one record's folder")
    if kind is Kind.chrome_trace:
        from harness.report.chrome_trace import trace

        path = out or Path("chrome-trace.json")
        _put(path, json.dumps(trace(runs[0])).encode())
        return
    asked = Asked(measure, x, base)
    frame = FRAMES[kind.value](runs, asked)
    if form in (PlotForm.pdf, PlotForm.svg, PlotForm.png):
        from harness.report.figures import draw, save

        _put(out or Path(f"{kind.value}.{form.value}"), save(draw(kind.value, frame, runs, asked, width), form.value))
    elif out is not None:
        from harness.cli.output import text_of

        _put(out, text_of(frame.to_dicts(), Output(form.value)).encode())
    else:
        sys.stdout.flush()
        write(frame.to_dicts(), Output(form.value))


def _put(path: Path, data: bytes) -> None:
    from harness.model.errors import UserError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", file=path) from None
    print(path)
