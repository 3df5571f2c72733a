"""Faults that meet, in small clusters that must converge; each file says what happens.

Dead nodes, names used again, budgets, quotas, gangs, volumes, outages of the control plane and of its watches.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.scheduling.registry import load
from harness.simulation.trial import play

FILES = sorted((Path(__file__).parent / "stories").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_converges(path: Path) -> None:
    assert [str(found) for found in play(yaml.safe_load(path.read_text(encoding="utf-8"))).findings] == []


def test_faults_of_the_stories_hit_something() -> None:
    """A story in which nothing happens converges, too. What was to be deleted may be gone."""
    for path in FILES:
        run = Run(from_data(yaml.safe_load(path.read_text(encoding="utf-8")), str(path)), load("greedy")(), 0, Home())
        try:
            run.play()
            faults = run.result("greedy").metrics["recovery"]
        finally:
            run.close()
        assert [fault["fault"] for fault in faults if "hitNothing" in fault] == [], path.stem
