"""CONTRIBUTING.md: what each row names is there, and so is the test that shows it."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from tests.house.source import ROOT, modules, text_of

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## To add X")[2]
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines() if line.startswith("| ") and "---" not in line][1:]
SHOWN = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_each_row_is_shown_by_a_test() -> None:
    assert [row[0] for row in ROWS if not re.search(r"`tests/", row[-1])] == []


@pytest.mark.parametrize(("file", "name"), SHOWN)
def test_the_test_is_there(file: str, name: str) -> None:
    path = ROOT / file
    assert path.is_file()
    if name:
        assert name in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_each_group_of_entry_points_is_a_door() -> None:
    """Every group that the page names is looked up by the code, and every group that we register in is on the page."""
    named = set(re.findall(r"`(podyard\.[a-z_]+)`", PAGE)) - {"podyard.dev"}
    code = "\n".join(text_of(path) for path in modules("harness", "workloads"))
    assert [group for group in sorted(named) if f'"{group}"' not in code] == []
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert {group for group in ours if group.startswith("podyard.")} <= named
