"""CHANGELOG's tables of old and new names: what is said to be there now is there, and an old module is gone."""

from __future__ import annotations

import importlib
import importlib.util
import re

import pytest

from tests.house.source import ROOT

PART = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Old and new names")[2].partition("\n### ")[0]
ROWS = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", PART, re.MULTILINE)


def found(dotted: str) -> bool:
    """A module, or a name in one."""
    try:
        if importlib.util.find_spec(dotted) is not None:
            return True
    except ModuleNotFoundError:
        pass
    module, _, name = dotted.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return False


def test_there_are_tables() -> None:
    assert len(ROWS) > 150


@pytest.mark.parametrize("new", sorted({new for _, new in ROWS}))
def test_a_new_name_is_there(new: str) -> None:
    assert found(new), f"{new} has another name now: say so in CHANGELOG.md"


def test_no_old_name_is_a_new_one_of_another_row() -> None:
    assert not {old for old, _ in ROWS} & {new for _, new in ROWS}
