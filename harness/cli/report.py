"""podyard report: records as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    records: Annotated[list[Path], typer.Argument(help="Folders that `podyard run` wrote, or folders of such.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML file: the tables, curves over time, recovery by stage, and how to run it again."""
    from harness.model.errors import UserError
    from harness.report.page import find, load, page

    text = page([load(folder) for folder in find(records)])
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the report: {error.strerror}", file=out) from None
    print(out)
