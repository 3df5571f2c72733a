"""podyard import: a dump of a cluster becomes a scenario that runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write

_SUFFIXES = (".gz", ".yaml", ".yml", ".json", ".jsonl", ".ndjson")


def import_dump(
    dump: Annotated[
        list[Path], typer.Argument(help="Files, folders (`kubectl cluster-info dump`, too), or - for standard input.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; else named after the dump.", show_default=False)
    ] = None,
    obfuscate: Annotated[
        bool, typer.Option("--obfuscate", help="Made-up names for names, labels, images, annotations: consistently.")
    ] = False,
    names: Annotated[
        Path | None, typer.Option(help="With --obfuscate: write which made-up name is which.", show_default=False)
    ] = None,
    duration: Annotated[str, typer.Option(help="Of virtual time that the scenario lasts.")] = "10m",
    scheduler: Annotated[str, typer.Option("-s", "--scheduler", help="The strategy that the scenario names.")] = "kube",
    output: Form = Output.table,
) -> None:
    """A dump of a cluster as a scenario that runs: of `kubectl get nodes,pods,.. -A -o yaml`, `kubectl cluster-info
    dump`,
    lists of one kind, exports of kube-scheduler-simulator, Helm's output, folders of all these. What is not modelled
    is told by name, and stands in the scenario.
    """
    from harness.experiment.import_dump import import_dump as read
    from harness.model.errors import UserError

    if names is not None and not obfuscate:
        raise UserError("--names says nothing without --obfuscate", found=str(names), expected="--obfuscate, too")
    if names is not None and names.exists():
        raise UserError("the file is there already", file=names, expected="another name for --names")
    made = read(dump, out or _folder_for(dump[0]), hide_names=obfuscate, duration=duration, scheduler=scheduler)
    if names is not None:
        names.write_text(json.dumps(made.names, indent=1) + "\n", encoding="utf-8")
    if output is not Output.table:
        write(made.to_data(), output)
        return
    for text in made.notices:
        print(f"note: {text}", file=sys.stderr)
    print(f"{made.scenario}: {', '.join(f'{count} {kind}' for kind, count in made.objects.items())}")
    print(f"try: podyard run {made.scenario}")


def _folder_for(dump: Path) -> Path:
    name = "cluster-dump" if str(dump) == "-" else dump.resolve().name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    folder = Path(name)
    return Path(f"{name}-scenario") if folder.exists() else folder
