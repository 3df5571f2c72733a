"""Files, classes and parameter lists stay short, unless a sentence beside them says why.

The sentence is a comment that begins with `# size:` and ends with a full stop: above the `class` or the `def` (or its
decorators), or, for a file, right below its docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import FOLDERS, modules, text_of, tree_of

FILE, CLASS, PARAMETERS = 500, 300, 8
SENTENCE = re.compile(r"\s*# size: (\w.{10,})")


def excused(lines: list[str], first: int) -> bool:
    """Whether the comment lines right above line `first` (counted from 0) hold the sentence, to its full stop."""
    above: list[str] = []
    while first > 0 and lines[first - 1].strip().startswith("#"):
        first -= 1
        above.insert(0, lines[first])
    for index, line in enumerate(above):
        if SENTENCE.match(line):
            return above[-1].rstrip().endswith(".") or any(rest.rstrip().endswith(".") for rest in above[index:])
    return False


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many a caller may give, `self` and `cls` left out."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    bound = len(positional) > 0 and positional[0].arg in ("self", "cls")
    return len(positional) + len(given.kwonlyargs) - bound


def too_long(text: str, tree: ast.Module | None = None) -> Iterator[tuple[str, str]]:
    """(what, how long) for each file, class and function beyond its measure without a sentence that says why."""
    tree = tree or ast.parse(text)
    lines = text.splitlines()
    if len(lines) > FILE:
        first = tree.body[1].lineno - 1 if len(tree.body) > 1 else 0
        if not any(excused(lines, at) for at in range(1, first + 1)):
            yield "file", f"{len(lines)} lines, at most {FILE}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)]) - 1
        if isinstance(node, ast.ClassDef):
            length = (node.end_lineno or node.lineno) - first
            if length > CLASS and not excused(lines, first):
                yield f"class {node.name}", f"{length} lines, at most {CLASS}"
        elif (count := parameters(node)) > PARAMETERS and not excused(lines, first):
            yield f"def {node.name}", f"{count} parameters, at most {PARAMETERS}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_too_long(folder: str) -> None:
    found = [
        f"{path}: {what}: {how}" for path in modules(folder) for what, how in too_long(text_of(path), tree_of(path))
    ]
    assert not found, "split it, or say why above it in a comment that begins with '# size: '\n" + "\n".join(found)


LONG_CLASS = "class Long:\n" + "    x = 1\n" * CLASS
MANY = "def many(a, b, c, d, e, f, g, h, *, i): ...\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = 1\n" * (FILE + 1), ["file"]),
        ("x = 1\n" * FILE, []),
        ('"""Doc."""\n\n# size: a table, one row a line.\n\nx = 1\n' + "x = 1\n" * FILE, []),
        ('"""Doc."""\n\n# a table, one row a line.\n\nx = 1\n' + "x = 1\n" * FILE, ["file"]),
        (LONG_CLASS, ["class Long"]),
        ("# size: the grammar of one format, read as one.\n" + LONG_CLASS, []),
        ("# size: short\n" + LONG_CLASS, ["class Long"]),
        ("# It is long.\n" + LONG_CLASS, ["class Long"]),
        (MANY, ["def many"]),
        ("# size: each parameter is an option of the\n# command line.\n@command\n" + MANY, []),
        ("class A:\n    def eight(self, a, b, c, d, e, f, g, h): ...\n", []),
    ],
)
def test_the_rule_itself(text: str, what: list[str]) -> None:
    assert [found for found, _ in too_long(text)] == what
