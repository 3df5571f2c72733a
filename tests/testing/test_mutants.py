"""Mutation testing: which faults are planted, and that a fault is one where the tests run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutants import mutants, mutated
from tests.house.source import ROOT

SOURCE = '''"""Text."""
from typing import Protocol
LIMIT = 3
class Known(Protocol):
    size: int = 1
class Queue:
    def __init__(self, most: int = LIMIT) -> None:
        """Text."""
        assert most > 0
        self.items: list[int] = []
        self.most = most
    def put(self, item: int) -> bool:
        if not item or len(self.items) >= self.most:
            return False
        self.items.append(item)
        return True
    def even(self) -> list[int]:
        return [item for item in self.items if item % 2 == 0]
    def kind(self, item: object) -> str:
        return "number" if isinstance(item, int | float) else "text"
'''


def test_which_faults_are_planted(tmp_path: Path) -> None:
    path = tmp_path / "queue.py"
    path.write_text(SOURCE)
    found = mutants(str(path))
    assert [(mutant.function, mutant.what) for mutant in found] == [
        ("", "3 -> 4"),
        ("Queue.__init__", "removed: self.most = most"),
        ("Queue.put", "Or -> And"),
        ("Queue.put", "not x -> bool(x)"),
        ("Queue.put", "GtE -> Gt"),
        ("Queue.put", "not: not item or len(self.items) >= self.most"),
        ("Queue.put", "False -> True"),
        ("Queue.put", "removed: self.items.append(item)"),
        ("Queue.put", "True -> False"),
        ("Queue.even", "without: if item % 2 == 0"),
        ("Queue.even", "Eq -> NotEq"),
        ("Queue.even", "Mod -> Mult"),
        ("Queue.even", "0 -> 1"),
        ("Queue.even", "2 -> 3"),
        ("Queue.even", "returns None"),
        ("Queue.kind", "not: isinstance(item, int | float)"),
        ("Queue.kind", "returns None"),
    ]
    before = ast.dump(ast.parse(SOURCE))
    changed = {ast.dump(mutated(mutant)) for mutant in found}
    assert len(changed) == len(found)
    assert before not in changed
    assert all(compile(mutated(mutant), str(path), "exec") for mutant in found)
    assert {mutant.source for mutant in found if mutant.what == "GtE -> Gt"} == {
        "if not item or len(self.items) >= self.most:"
    }


@pytest.mark.slow
def test_a_part_is_judged_by_its_tests(tmp_path: Path) -> None:
    """A file with a table of known answers: what is planted in it is noticed, but for what changes nothing."""
    pytest.importorskip("coverage")
    command = "-m benchmarks.mutation --part controllers --only int_or_percent --count 0 --out"
    subprocess.run(
        [sys.executable, *command.split(), tmp_path],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    rows = (tmp_path / "controllers.csv").read_text().splitlines()
    assert len(rows) > 8
    killed = [row for row in rows if ",killed" in row]
    assert len(killed) >= 0.8 * (len(rows) - 1), json.dumps(rows, indent=1)
