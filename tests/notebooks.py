"""Notebooks of docs/: each is run from its first cell to its last, and must say what it says in print.

Plain JSON (nbformat 4), without any tool of Jupyter: a cell's output is what it prints, and the repr of its last
expression. `python -m tests.notebooks` writes the outputs anew; the diff is to be reviewed like code.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def executed(notebook: dict[str, Any]) -> list[list[str]]:
    """The output of each code cell, in lines, run one after the other in the folder that is current."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [_output("".join(cell["source"]), names) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _output(source: str, names: dict[str, Any]) -> list[str]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
            if value is not None:
                print(repr(value))
    return out.getvalue().splitlines(keepends=True)


def printed(notebook: dict[str, Any]) -> list[list[str]]:
    """The output that each code cell has in the file."""
    return [
        [line for output in cell["outputs"] for line in output["text"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def main() -> None:
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text())
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            told = executed(notebook)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, (cell, lines) in enumerate(zip(cells, told, strict=True), 1):
            cell["execution_count"] = number
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
        path.write_text(json.dumps(notebook, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("POLARS_FMT_MAX_COLS", "12")
    main()
