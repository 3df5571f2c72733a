"""podyard journal: what happened in a run, in kubectl's words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write
from harness.model.errors import UserError, did_you_mean
from harness.model.times import parse_duration

if TYPE_CHECKING:
    from harness.report.transcript import Line


def journal(
    record: Annotated[Path, typer.Argument(help="A folder that `podyard run` wrote.")],
    pod: Annotated[str | None, typer.Option(help="Lines about this pod: NAMESPACE/NAME, or NAME.")] = None,
    node: Annotated[str | None, typer.Option(help="Lines about this node and the pods on it.")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="From this instant of the run, as 90s or 1h30m.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to this instant, as 90s or 1h30m.")] = None,
    output: Form = Output.table,
) -> None:
    """Print what happened, one line per event: events, phases, conditions, scaling, faults, each with its instant."""
    from harness.report.transcript import read_lines, text

    first, last = _instant(begin, "--from"), _instant(end, "--to")
    if first is not None and last is not None and first > last:
        raise UserError("--from is after --to", found=f"--from {begin} --to {end}")
    lines = read_lines(record)
    if pod is not None:
        lines = list(_of_pod(lines, pod))
    if node is not None:
        lines = list(_of_node(lines, node))
    lines = [line for line in lines if (first is None or line.at_ns >= first) and (last is None or line.at_ns <= last)]
    if output is Output.table:
        sys.stdout.write(text(lines))
        if not lines:
            print("nothing happened there", file=sys.stderr)
    else:
        write([line.to_data() for line in lines], output)


def _instant(asked: str | None, option: str) -> int | None:
    if asked is None:
        return None
    try:
        return parse_duration(asked)
    except ValueError:
        raise UserError(
            f"{option} is no instant", found=asked, expected="time since the run began, as 90s or 1h30m"
        ) from None


def _of_pod(lines: Iterable[Line], asked: str) -> Iterator[Line]:
    namespace, _, name = asked.rpartition("/")
    seen = [line for line in lines if line.kind == "Pod"]
    named = [line for line in seen if line.name == name and namespace in ("", line.namespace)]
    spaces = sorted({line.namespace for line in named})
    if not named:
        known = {line.name for line in seen} | {f"{line.namespace}/{line.name}" for line in seen}
        raise UserError("no such pod in this record", found=asked, hint=did_you_mean(asked, sorted(known)))
    if len(spaces) > 1:
        raise UserError(
            "several pods are called so", found=asked, expected=", ".join(f"{space}/{name}" for space in spaces)
        )
    yield from named


def _of_node(lines: Iterable[Line], asked: str) -> Iterator[Line]:
    seen = list(lines)
    known = {line.name for line in seen if line.kind == "Node"} | {line.node for line in seen if line.node}
    if asked not in known:
        raise UserError("no such node in this record", found=asked, hint=did_you_mean(asked, sorted(known)))
    for line in seen:
        if asked == line.node or (line.kind == "Node" and line.name == asked):
            yield line
