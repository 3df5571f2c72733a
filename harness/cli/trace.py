"""podyard trace: which trace formats are known, what is dirty in a file, and any of them as one Parquet form."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workloads.lint import LintReport

app = typer.Typer(name="trace", help="Public traces: list, lint, convert.", no_args_is_help=True)


class Output(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"


Form = Annotated[Output, typer.Option("-o", "--output", help="How results are written.")]
FormatName = Annotated[
    str | None, typer.Option("--format", "-f", help="Trace format; recognised from the file if left out.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE, an option of the format; repeatable.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="FIELD=COLUMN[:UNIT] of any CSV, JSON or Parquet, as arrival=submit:iso,cpu=req_cpu:cores; repeatable.",
    ),
]


@contextmanager
def _user_errors() -> Iterator[None]:
    """A user's mistake becomes one screen on stderr and the exit code that it asks for."""
    from harness.model.errors import UserError

    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None


@app.command("ls")
def ls(output: Form = Output.table) -> None:
    """The known formats, with where such a trace comes from."""
    from workloads.readers import by_name, names

    rows = []
    for name in names():
        format = by_name(name)
        rows.append(
            {
                "format": name,
                "source": format.provenance.source,
                "licence": format.provenance.licence,
                "options": format.options(format.pods),
                "nodeList": format.nodes is not None,
            }
        )
    if output is not Output.table:
        _print_data(rows, output)
        return
    table = _table("format", "source", "licence", "options", "node list")
    for row in rows:
        options = "\n".join(f"{name}={_shown(value)}" for name, value in row["options"].items())  # type: ignore[attr-defined]
        table.add_row(row["format"], row["source"], row["licence"], options, "yes" if row["nodeList"] else "no")
    _print_table(table)


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="A format of `podyard trace ls`.")], output: Form = Output.table
) -> None:
    """Where to get a public trace, under which licence, and what to cite. Nothing is downloaded."""
    with _user_errors():
        from workloads.readers import by_name

        provenance = by_name(name).provenance
        fields = {
            "source": provenance.source,
            "url": provenance.url,
            "licence": provenance.licence,
            "citation": provenance.citation,
            "changes": list(provenance.changes),
        }
        if output is not Output.table:
            _print_data(fields, output)
            return
        table = _table("", "", header=False)
        for key, value in fields.items():
            table.add_row(key, "\n".join(value) if isinstance(value, list) else value)
        _print_table(table)


@app.command("lint")
def lint(
    file: Annotated[Path, typer.Argument(help="The trace: its list of pods, tasks or VMs.")],
    format: FormatName = None,
    nodes: Annotated[Path | None, typer.Option(help="Its node list, to find pods that fit nowhere.")] = None,
    option: Settings = None,
    columns: Columns = None,
    examples: Annotated[int, typer.Option(min=0, max=20, help="Findings shown a rule.")] = 3,
    output: Form = Output.table,
) -> None:
    """Say what is dirty, where, and what reading it does about that. Exit code 1 where a run would refuse the trace."""
    with _user_errors():
        from workloads.trace import lint as check

        reports = check(file, format=format, options=_options(option, columns), nodes=nodes)
        if output is Output.table:
            for report in reports:
                _print_report(report, examples)
        else:
            _print_data([_report_data(report, examples) for report in reports], output)
        if any(report.errors for report in reports):
            raise typer.Exit(1)


@app.command("convert")
def convert(
    file: Annotated[Path, typer.Argument(help="The trace: its list of pods, tasks or VMs.")],
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    format: FormatName = None,
    option: Settings = None,
    columns: Columns = None,
    repair: Annotated[bool, typer.Option("--repair", help="Leave out rows that cannot be what was meant.")] = False,
    output: Form = Output.table,
) -> None:
    """Write a trace of any format as one Parquet file, block by block."""
    with _user_errors():
        from workloads.trace import convert as write

        report = write(file, out, format=format, options=_options(option, columns), repair=repair)
        if output is Output.table:
            _print_report(report, 0)
        else:
            _print_data(_report_data(report, 0), output)


def _options(pairs: Sequence[str] | None, columns: Sequence[str] | None) -> dict[str, Any]:
    from harness.model.errors import UserError
    from harness.model.whole_numbers import whole_number

    out: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError("not an option", found=pair, expected="NAME=VALUE")
        word = text.lower()
        if word in ("true", "false"):
            out[name] = word == "true"
        else:
            number = whole_number(text.removeprefix("-"))
            out[name] = text if number is None else -number if text.startswith("-") else number
    if columns:
        from workloads.readers.mapped import parse_map

        out["map"] = parse_map(columns)
    return out


def _report_data(report: LintReport, examples: int) -> dict[str, Any]:
    from workloads.lint import RULES

    return {
        "file": report.file,
        "format": report.format,
        "rows": report.rows,
        "kept": report.kept,
        "errors": report.errors,
        "findings": [
            {
                "rule": rule,
                "count": count,
                "error": RULES[rule].error,
                "action": RULES[rule].action,
                "meaning": RULES[rule].meaning,
                "examples": [
                    {"line": item.line, "column": item.column, "found": item.found, "expected": item.expected}
                    for item in [item for item in report.findings if item.rule == rule][:examples]
                ],
            }
            for rule, count in report.counts
        ],
    }


def _print_report(report: LintReport, examples: int) -> None:
    from rich.text import Text

    from workloads.lint import RULES

    if not report.counts:
        print(_headline(report))
        return
    table = _table("rule", "count", "done", "meaning, and where", title=_headline(report))
    for rule, count in report.counts:
        known = RULES[rule]
        shown = [item for item in report.findings if item.rule == rule][:examples]
        where = [known.meaning]
        for item in shown:
            line = "" if item.line is None else f"line {item.line}: "
            column = "" if item.column is None else f"{item.column} "
            where.append(f"  {line}{column}{item.found!r}, expected {item.expected}")
        style = "red" if known.error else ""
        table.add_row(Text(rule, style), str(count), known.action, Text("\n".join(where)))
    _print_table(table)


def _headline(report: LintReport) -> str:
    verdict = f"{report.errors} errors" if report.errors else "no errors"
    found = f"{verdict}, {report.warnings} findings"
    return f"{Path(report.file).name} ({report.format}): {report.rows} rows, {report.kept} kept, {found}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(*columns: str, header: bool = True, title: str | None = None) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=header, title=title, title_justify="left", pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if column == "count" else "left", no_wrap=at == 0)
    return table


def _print_table(table: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    # Into a file or a pipe nothing is cut to the width of a terminal that is not there.
    Console(highlight=False, width=None if console.is_terminal else 160).print(table)


def _print_data(data: Any, output: Output) -> None:
    if output is Output.json:
        print(json.dumps(data, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
