"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real traces; a test that needs them skips where they are absent."""
    root = Path(os.environ.get("PODYARD_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "traces").is_dir():
        pytest.skip("the real traces are absent (set PODYARD_SHARED to the folder that holds traces/ and fgd/)")
    return root
