"""A public number of control code has a sentence beside it: its source, or why it is what it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import modules, text_of, tree_of

FOLDERS = ("apiserver", "autoscaling", "cluster", "controllers", "engine", "faults", "node", "scheduling", "store")
NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def names_of(node: ast.stmt) -> list[str]:
    """The public constants that a statement assigns a number to, computed from others or not."""
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, value = [node.target], node.value
    else:
        return []
    kinds = ast.Constant | ast.BinOp | ast.Tuple | ast.UnaryOp
    if not isinstance(value, kinds) or any(isinstance(item, ast.Call) for item in ast.walk(value)):
        return []
    numbers = (item.value for item in ast.walk(value) if isinstance(item, ast.Constant))
    if not any(isinstance(item, int | float) and not isinstance(item, bool) for item in numbers):
        return []
    found = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
    named = [item.id for item in found if isinstance(item, ast.Name)]
    return named if named and all(NAME.fullmatch(name) for name in named) else []


def is_sentence(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def bare(text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, names) of each constant with neither a comment nor a sentence below it or the constants that follow it."""
    lines = text.splitlines()
    for index, node in enumerate(tree.body):
        names = names_of(node)
        if not names:
            continue
        following = index + 1
        while following < len(tree.body) and names_of(tree.body[following]):
            following += 1
        here = lines[node.lineno - 1 : node.end_lineno]
        if is_sentence(tree.body[following]) if following < len(tree.body) else False:
            continue
        if any("#" in line for line in here) or lines[node.lineno - 2].startswith("#"):
            continue
        yield node.lineno, ", ".join(names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_number_says_why(folder: str) -> None:
    found = [
        f"{path}:{line}: {names}"
        for path in modules("harness")
        if path.parts[1] == folder
        for line, names in bare(text_of(path), tree_of(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("PERIOD_NS = 5 * SECOND\n", 1),
        ('PERIOD_NS = 5 * SECOND\n"""Source: --node-monitor-period."""\n', 0),
        ('FIRST = 1\nMOST = 5\n"""Source: there."""\n', 0),
        ("\nMOST = 5  # more would not fit\n", 0),
        ("# More would not fit.\nMOST = 5\n", 0),
        ('NAME = "a"\nNAMES = ("a", "b")\n', 0),
    ],
)
def test_the_rule_itself(code: str, found: int) -> None:
    assert len(list(bare(code, ast.parse(code)))) == found
