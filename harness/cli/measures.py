"""podyard measures: what every number of a run means."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


def measures(
    measure: Annotated[
        list[str] | None, typer.Option(help="A measure of your own, as module:object; repeatable.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page.")] = False,
    output: Form = Output.table,
) -> None:
    """List the measures: path, unit, which way is better, definition; for gates, --metric and spec.compare."""
    from harness.measure.registry import catalogue
    from harness.report.measures import markdown as page
    from harness.report.measures import rows

    known = catalogue(measure or ())
    if markdown:
        typer.echo(page(known), nl=False)
    elif output is Output.table:
        from harness.report.tables import print_table

        print_table(
            "",
            ("path", "name", "unit", "better", "decided"),
            [(m.path, m.name.strip(), m.unit, m.better, "yes" if m.primary else "") for m in known],
        )
    else:
        write(rows(known), output)
