"""What `podyard new autoscaler --decides nodes` writes keeps the rules, as it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.simulation.autoscalers import broken
from harness.testing.autoscaler_skeleton import write_autoscaler_package


def test_a_policy_of_nodes_keeps_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_autoscaler_package("my-sizer", tmp_path / "my-sizer", "nodes")
    source = tmp_path / "my-sizer" / "src"
    assert source / "podyard_my_sizer" / "__init__.py" in written
    assert "least-waste,my-sizer" in (tmp_path / "my-sizer" / "README.md").read_text()
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert broken("podyard_my_sizer:MySizer", examples=2) == []
