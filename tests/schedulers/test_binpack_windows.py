"""Windows of the queue through the whole control plane: the fill protocol, 64 pods at a time, with retries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.experiment.run import run_once
from harness.experiment.scenario import find_scenario, read_scenario


@pytest.mark.slow
def test_a_window_of_the_queue_allocates_a_point_more_than_fgd(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODYARD_TRACES", os.pathsep.join([str(shared / "traces"), str(shared)]))
    loaded = read_scenario(find_scenario("fgd-window"), {})
    allocated = {}
    for strategy in ("fgd", "binpack"):
        result = run_once(loaded, strategy, 42)
        assert result.ok, result.broken + [str(item) for item in result.violations[:3]]
        assert result.metrics["scheduling"]["cycles"] < 250  # 170 windows of arrivals, and what was tried again
        allocated[strategy] = result.metrics["filling"]["130"]["allocated"]
    assert allocated["fgd"] == pytest.approx(95.28, abs=0.01)
    assert allocated["binpack"] >= allocated["fgd"] + 1.0
