"""The table in harness/scheduling/README.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import harness.scheduling

HERE = Path(__file__).parent
README = Path(harness.scheduling.__file__).parent / "README.md"
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", README.read_text(encoding="utf-8"))))


def test_the_table_names_tests() -> None:
    tables = README.read_text(encoding="utf-8").partition("## What of kube-scheduler")[2]
    rows = [line for line in tables.splitlines() if line.startswith("| ")]
    without = [row for row in rows if "::" not in row and not row.startswith("| plugin")]
    assert len(NAMED) > 25
    assert without == []


def test_every_test_that_the_table_names_exists() -> None:
    for file, name in NAMED:
        body = ast.parse((HERE / file).read_text(encoding="utf-8")).body
        targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
        there = {target.id for target in targets if isinstance(target, ast.Name)}
        there |= {node.name for node in body if isinstance(node, ast.FunctionDef)}
        assert name in there, f"{file} has no {name}"
