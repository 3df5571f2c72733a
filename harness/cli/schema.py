"""podyard schema: what a scenario may say, for editors, and as a page."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def schema(markdown: Annotated[bool, typer.Option("--markdown", help="As a page.")] = False) -> None:
    """Print the JSON Schema of a scenario: save it, and editors complete and check scenarios as they are written.

    podyard schema > scenario.schema.json, and as a scenario's first line:
    # yaml-language-server: $schema=scenario.schema.json
    """
    from harness.experiment.schema import scenario_schema

    found = scenario_schema()
    if markdown:
        from harness.report.reference import markdown as page

        typer.echo(page(found), nl=False)
    else:
        typer.echo(json.dumps(found, indent=2))
