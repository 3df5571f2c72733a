"""How results are written: -o table, json or yaml; on stdout, and nothing else there."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"


Form = Annotated[Output, typer.Option("-o", "--output", help="How results are written.")]


def write(data: Any, output: Output) -> None:
    """`data` as JSON or YAML."""
    if output is Output.json:
        json.dump(data, sys.stdout, indent=2)
        print()
    else:
        import yaml

        yaml.safe_dump(data, sys.stdout, sort_keys=False)
