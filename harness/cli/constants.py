"""podyard constants: Kubernetes' timers and rates, what they are set to, and where that comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


def constants(
    scenario: Annotated[
        str | None, typer.Argument(help="A scenario: what it sets, beside the defaults.", show_default=False)
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page.")] = False,
    output: Form = Output.table,
) -> None:
    """List Kubernetes' constants: name, component, default, what each decides; for spec.constants and --vary."""
    from harness.experiment.constants import read_constants
    from harness.model.constants import DEFAULTS
    from harness.report.constants import markdown as page
    from harness.report.constants import rows

    found = rows(DEFAULTS)
    if scenario is not None:
        from harness.experiment.scenario import find_scenario, read_scenario

        found = rows(*read_constants(read_scenario(find_scenario(scenario))))
    if markdown:
        typer.echo(page(), nl=False)
    elif output is Output.table:
        from harness.report.tables import print_table

        cells = []
        for row in found:
            value = row["value"] if row["value"] == row["default"] else f"{row['value']} (default {row['default']})"
            if row["decides"] or row["value"] != row["default"]:
                cells.append((row["name"], value, row["decides"]))
        print_table("", ("constant", "value", "decides"), cells)
        print("and the flags of cluster-autoscaler: podyard constants -o yaml")
    else:
        write(found, output)
