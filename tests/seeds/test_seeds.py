"""Scenarios that once broke something, each the smallest that did, with its story at the top of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.simulation.trial import play

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_is_mended(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Seed "), "the story: which seed, what was wrong"
    assert [str(found) for found in play(yaml.safe_load(text)).findings] == []
