"""The notebooks of docs/ run, and print what they have in print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.notebooks import NOTEBOOKS, ROOT, executed, printed


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_prints_what_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text())
    assert executed(notebook) == printed(notebook), "python -m tests.notebooks writes it anew"


def test_there_are_notebooks_and_the_docs_name_them() -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    assert NOTEBOOKS
    assert [path.name for path in NOTEBOOKS if path.name not in pages] == []
