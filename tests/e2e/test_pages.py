"""The pages of docs/ for a live cluster: each command that they print, in their order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.pages import blocks, run_page

pytest.importorskip("uvicorn", reason="the live extra is not installed")

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]


def test_ten_minutes(tmp_path: Path) -> None:
    out = run_page("ten-minutes.md", tmp_path)
    assert re.findall(r"(?m)^(?:yes|no|and that is right)$", out) == ["yes", "no", "and that is right"]
    assert re.search(r"node-1\s+NotReady", out)
    assert "node/node-3 drained" in out
    assert out.count("deployment.apps/shop condition met") == 3


def test_the_page_of_a_live_cluster(tmp_path: Path) -> None:
    out = run_page("live-page.md", tmp_path)
    assert re.search(r"^page: http://127\.0\.0\.1:\d+/#token=\S{40}", out, re.MULTILINE)
    assert re.search(r"crash +nodeCrash +Active +node-1", out)


def test_a_scheduler_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes", reason="the official client is not installed")
    (code,) = blocks("own-scheduler.md", "python")
    (tmp_path / "own_scheduler.py").write_text(code)
    out = run_page("own-scheduler.md", tmp_path)
    assert "0/2 nodes are available: 2 Insufficient cpu." in out
    log = (tmp_path / "own.log").read_text().splitlines()
    assert log[:2] in (["one -> node-1", "two -> node-0"], ["one -> node-1", "two -> node-0", ""])
    assert log[2:] == ["two makes room on node-0", "first -> node-0"]
