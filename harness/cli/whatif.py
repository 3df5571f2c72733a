"""podyard whatif: what other constants would buy, predicted from a record and then run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.experiment.whatif import Answer, WhatIf


def whatif(
    record: Annotated[Path, typer.Argument(help="A folder that `podyard run` wrote.")],
    constants: Annotated[list[str], typer.Argument(help="CONSTANT=VALUE, as node-monitor-grace-period=20s.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the record of the run goes; none is kept without.", show_default=False)
    ] = None,
    output: Form = Output.table,
) -> None:
    """Predict each recovery and scale-up with other constants, then run it, and show both side by side."""
    from harness.experiment.whatif import whatif as ask
    from harness.model.errors import UserError

    values = {}
    for item in constants:
        name, equals, value = item.partition("=")
        if not name or not equals or not value:
            raise UserError("whatif wants CONSTANT=VALUE", found=item, expected="as node-monitor-grace-period=20s")
        values[name] = value
    found = ask(record, values, out)
    if output is Output.table:
        _print(found)
    else:
        write(found.to_data(), output)


def _print(found: WhatIf) -> None:
    from harness.report.tables import print_table

    for name, (was, now) in found.changes.items():
        print(f"{name}: {was} -> {now}")
    if not found.answers:
        print("the record has neither a recovery nor a scale-up")
        return
    rows = [
        (
            _which(answer),
            _seconds(answer.was.total_ns, answer.was.unended),
            "not predicted" if answer.refused else _seconds(answer.predicted_ns, answer.was.unended),
            "-" if answer.ran is None else _seconds(answer.ran.total_ns, answer.ran.unended),
            _off(answer),
        )
        for answer in found.answers
    ]
    columns = ("seconds", "was", "predicted", "run", "run - predicted")
    print_table("From what happened to the first request of the last pod", columns, rows)
    for answer in found.answers:
        if answer.refused:
            print(f"{_which(answer)}: not predicted: {answer.refused}")
    hops = [
        (
            f"{'fault' if answer.was.kind == 'recovery' else 'scale-up'} {answer.was.number}: {hop['name']}",
            f"{hop['wasNs'] / 1e9:.3f}",
            f"{hop['predictedNs'] / 1e9:.3f}",
            "-" if hop["ranNs"] is None else f"{hop['ranNs'] / 1e9:.3f}",
        )
        for answer in found.answers
        for hop in answer.to_data()["hops"]
        if hop["name"] in answer.depends
    ]
    if hops:
        print_table("Hops that depend on it", ("seconds", "was", "predicted", "run"), hops)
    elif not all(answer.refused for answer in found.answers):
        print("no hop of these waterfalls depends on it: the prediction is that nothing changes")
    if found.folder is not None:
        print(found.folder)


def _which(answer: Answer) -> str:
    kind = "fault" if answer.was.kind == "recovery" else "scale-up"
    return f"{kind} {answer.was.number}: {answer.was.title}"


def _off(answer: Answer) -> str:
    if answer.refused:
        return "-"
    if answer.ran is None:
        return "no such thing in the run"
    if answer.ran.unended or answer.was.unended:
        return "not ended"
    return f"{(answer.ran.total_ns - answer.predicted_ns) / 1e9:+.3f}"


def _seconds(ns: int, unended: str) -> str:
    return f"{'>' if unended else ''}{ns / 1e9:.3f}"
