"""How results are written: -o table, json, yaml, csv, latex or markdown; on stdout, and nothing else there."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from harness.model.strict_json import strict_json


class Output(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"
    csv = "csv"
    latex = "latex"
    markdown = "markdown"


Form = Annotated[Output, typer.Option("-o", "--output", help="How results are written.")]


def file_name(name: str) -> str:
    """A name of a strategy or an arm as the name of a file or folder: other characters become '_'."""
    return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in name)


def write(data: Any, output: Output) -> None:
    """`data` in another form than a table for people."""
    sys.stdout.write(text_of(data, output))


def text_of(data: Any, output: Output) -> str:
    """csv, latex and markdown have a row for each item of a list, a column for each value, named by its path."""
    if output is Output.json:
        return strict_json(data, indent=2) + "\n"
    if output is Output.yaml:
        import yaml

        return str(yaml.safe_dump(data, sort_keys=False))
    rows = [_flat(row) for row in rows_of(data)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[row.get(name, "") for name in columns] for row in rows]
    if output is Output.csv:
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerows([columns, *cells])
        return out.getvalue()
    if output is Output.markdown:
        escaped = [[_cell(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (columns, *cells)]
        lines = [escaped[0], ["---"] * len(columns), *escaped[1:]]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return _latex(columns, cells)


def rows_of(data: Any) -> list[Mapping[str, Any]]:
    """The items of a list; of a map with one list of maps inside: its items, each beside the map's plain values."""
    if isinstance(data, Mapping):
        inner = [name for name, value in data.items() if _is_table(value)]
        if len(inner) == 1:
            plain = {name: value for name, value in data.items() if not isinstance(value, Mapping | list)}
            return [{**plain, **row} for row in data[inner[0]]]
        return [data]
    return [row if isinstance(row, Mapping) else {"value": row} for row in data]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _flat(row: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Maps by paths; a list of plain values as one text, and one of maps by number."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            out |= _flat(value, f"{path}.")
        elif _is_table(value):
            out |= _flat({str(index): item for index, item in enumerate(value)}, f"{path}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            out[path] = "; ".join(map(str, value))
        else:
            out[path] = "" if value is None else value
    return out


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
}


def _latex(columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    """A tabular of the package booktabs; numbers to the right."""

    def line(row: Sequence[Any]) -> str:
        return " & ".join("".join(_SPECIAL.get(c, c) for c in _cell(cell)) for cell in row) + " \\\\\n"

    kinds = ["r" if all(isinstance(row[i], int | float) for row in cells) else "l" for i in range(len(columns))]
    body = "".join(map(line, cells))
    head = f"\\begin{{tabular}}{{{''.join(kinds)}}}\n\\toprule\n{line(columns)}\\midrule\n"
    return f"{head}{body}\\bottomrule\n\\end{{tabular}}\n"
