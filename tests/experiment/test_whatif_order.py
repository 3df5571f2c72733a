"""What other constants would buy is not predicted where they change who comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.whatif import whatif
from tests.experiment.test_waterfalls import POOL, WEB, crash, run

CUT = {"at": "1m", "zonePartition": {"zone": "a", "for": "7m"}}
SIX = [{"group": {"name": "n", "count": 6, "cpu": 4, "memory": "16Gi", "zones": ["a", "b", "c"]}}]
SPIKE: dict[str, Any] = {
    "name": "web", "replicas": 2, "cpu": 1, "load": {"spike": {"base": 40, "peak": 900, "at": "2m", "hold": "3m"}},
    "autoscaler": {"min": 2, "max": 12, "targetCpu": 50},
}  # fmt: skip


@pytest.mark.parametrize(
    ("constants", "predicted"),
    [
        ({"node-monitor-period": "2s"}, False),  # its second node would wait for its turn, as it had not
        ({"nodeLeaseDurationSeconds": "16"}, False),
        ({"default-unreachable-toleration-seconds": "100"}, True),
    ],
)
def test_two_nodes_of_a_zone_are_tainted_one_after_the_other(
    tmp_path: Path, constants: dict[str, str], predicted: bool
) -> None:
    """The run was up to ten seconds later than predicted."""
    record = run(tmp_path, seed=5, service=WEB, faults=[CUT], nodes=SIX, duration="12m")
    (answer,) = whatif(record, constants).answers
    assert answer.ran is not None
    assert ("turn for the taint" not in answer.refused) is predicted
    assert not predicted or answer.predicted_ns == answer.ran.total_ns


def test_what_follows_a_scale_up_depends_on_what_that_one_came_to(tmp_path: Path) -> None:
    """From 7 to 8 was predicted to take 26 s; there it took 111, as the pods before it were others."""
    record = run(tmp_path, seed=5, service=SPIKE, pools=[POOL], nodes=[{"group": {**SIX[0]["group"], "count": 2}}])
    found = whatif(record, {"horizontal-pod-autoscaler-sync-period": "6s"})
    first, *rest = (answer for answer in found.answers if answer.was.title.startswith("default/web"))
    assert not first.refused
    assert rest
    for answer in rest:
        assert "bears on the scale-ups before it" in answer.refused


def test_two_crashes_are_no_scale_ups(tmp_path: Path) -> None:
    record = run(tmp_path, faults=[crash("1m", "n-0"), crash("90s", "n-3")], nodes=SIX)
    found = whatif(record, {"horizontal-pod-autoscaler-sync-period": "6s"})
    assert [answer.refused for answer in found.answers] == ["", ""]
