"""No test has a deadline by the wall clock: a loaded machine must not fail one."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.house.source import ROOT, modules, tree_of


def deadlines(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, code) of each Hypothesis `settings` that sets a deadline other than None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("settings", "register_profile"):
            for given in node.keywords:
                if given.arg == "deadline" and not (
                    isinstance(given.value, ast.Constant) and given.value.value is None
                ):
                    yield node.lineno, ast.unparse(node)


def test_no_settings_have_a_deadline() -> None:
    found = [
        f"{path}:{line}: {code}" for path in modules("tests", "benchmarks") for line, code in deadlines(tree_of(path))
    ]
    assert found == []


def test_the_rule_sees() -> None:
    assert list(deadlines(ast.parse("@settings(deadline=200)\ndef test(): ...")))
    assert not list(deadlines(ast.parse("@settings(deadline=None, max_examples=3)\ndef test(): ...")))


@pytest.mark.parametrize("name", ["development", "ci", "search"])
def test_each_profile_is_free_of_deadlines_and_prints_how_to_come_back(name: str) -> None:
    profile = settings.get_profile(name)
    assert profile.deadline is None
    assert profile.print_blob


@pytest.mark.parametrize(("ci", "name"), [("true", "ci"), ("", "development")])
def test_ci_draws_the_same_examples_each_time(ci: str, name: str) -> None:
    code = "import tests.conftest; from hypothesis import settings; print(settings.get_current_profile_name())"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"CI": ci}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == name
    assert settings.get_profile("ci").derandomize
