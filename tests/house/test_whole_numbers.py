"""Text becomes a whole number in harness/model/whole_numbers.py alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.source import modules, tree_of


def digits(tree: ast.Module) -> Iterator[int]:
    """Lines that ask whether a text consists of digits."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("isdecimal", "isdigit", "isnumeric"):
            yield node.lineno


def test_digits_are_read_in_one_place() -> None:
    """`isdecimal` and `isdigit` hold for text that `int` reads otherwise, or refuses: use whole_number."""
    found = [
        f"{path}:{line}"
        for path in modules("harness", "schedulers", "workloads")
        if path.name != "whole_numbers.py"
        for line in digits(tree_of(path))
    ]
    assert found == []


def test_the_rule_sees() -> None:
    assert list(digits(ast.parse("a = text.isdigit() and int(text)"))) == [1]
    assert not list(digits(ast.parse("a = whole_number(text)")))
