"""What a run says of its end: converged, what did not, or why it cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.experiment.result import from_record
from harness.experiment.run import run_once
from tests.experiment.scenarios import SERVICE, loaded

CRASH = {"at": "1m", "nodeCrash": {"select": {"app": "web"}, "downFor": "2m"}}
STUCK = "tests.experiment.test_end_state:GivesUp"


class GivesUp:
    """Places the first four pods, and nothing after that."""

    def __init__(self) -> None:
        self.placed = 0

    def place(self, pods: Any, cluster: Any, rng: Any) -> Any:
        from harness.scheduling.strategy import Bind, Wait

        for pod in pods:
            feasible = cluster.feasible(pod)
            if self.placed < 4 and feasible.any():
                self.placed += 1
                yield Bind(pod, int(feasible.argmax()))
            else:
                yield Wait(pod, "enough is enough")


def run(scheduler: str = "greedy", out: Path | None = None, **spec: Any) -> Any:
    return run_once(loaded(**{"bound": False, "workload": [SERVICE], **spec}), scheduler, 1, out=out)


def test_a_cluster_that_heals_has_converged_and_its_record_says_so(tmp_path: Path) -> None:
    result = run(out=tmp_path, duration="35m", faults=[CRASH])
    assert result.ok
    assert str(result.end_state) == "converged"
    assert from_record(result.folder).end_state == result.end_state


def test_what_did_not_converge_fails_the_run_and_leaves_its_digest_alone(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"duration": "40m", "faults": [{"at": "1m", "nodeCrash": {"select": {"app": "web"}}}]}
    result = run(STUCK, tmp_path, **spec)
    assert not result.ok
    assert {text.partition(":")[0] for text in result.end_state.findings} == {"pending"}
    assert "waits, though it fits on n-" in result.end_state.findings[0]
    assert from_record(result.folder).end_state == result.end_state
    from harness.experiment.replay import replay_record

    assert replay_record(result.folder).same


def test_where_it_cannot_be_told_the_reason_is() -> None:
    assert run(duration="2m").end_state is None
    early = run(STUCK, duration="10m", faults=[{"at": "1m", "nodeCrash": {"select": {"app": "web"}}}])
    assert early.ok
    assert "are needed; the first: pending" in str(early.end_state)
    assert "undone" in run(duration="2m", faults=[CRASH]).end_state.not_judged
    assert (
        "until" in run(duration="10m", faults=[{"every": "1m", "containerCrash": {"app": "web"}}]).end_state.not_judged
    )
    at_a_rate = run(duration="40m", faults=[{"every": "1m", "until": "8m", "containerCrash": {"app": "web"}}])
    assert str(at_a_rate.end_state) == "converged"
