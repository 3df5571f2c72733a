"""Work that came to nothing counts as lost, for as long as it was done; work that was done at once counts as done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from tests.measure.test_job_measures import metrics_of, task

BATCH: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "none"}}


def test_what_is_done_at_once_is_complete() -> None:
    """The kubelet tells of such a pod as Succeeded at first: it came out as never started and never complete."""
    nothing = {**BATCH, "spec": {"completions": 0, "template": task("t", "ann", 1, "5s", job=True)["spec"]["template"]}}
    found = metrics_of([task("z", "ann", 1, "0s"), nothing], duration="60s")["jobs"]
    assert (found["count"], found["censored"]) == (2, 0)
    assert "censored" not in found["waitSeconds"]
    assert "atLeast" not in found["completionSeconds"]
    assert found["completionSeconds"]["max"] < 5


@pytest.mark.parametrize(
    "fault",
    [
        {"nodeCrash": {"select": {"names": ["n-0", "n-1"]}}},
        {"nodeLeave": {"select": {"names": ["n-0", "n-1"]}, "deletedAfter": "6m"}},
        {"nodeFreeze": {"select": {"names": ["n-0", "n-1"]}, "for": "20m"}},
    ],
)
def test_who_runs_on_a_node_that_stopped_has_done_nothing_since(fault: dict[str, Any]) -> None:
    """Its pod is told to go after the toleration, five minutes later: it came out as six times the work."""
    nodes = [{"group": {"name": "n", "count": 4, "cpu": 4, "memory": "16Gi"}}]
    job = task("j", "ann", 4, "30m", job=True)
    job["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "n-0"}
    found = metrics_of([job], nodes=nodes, faults=[{"at": "62s", **fault}], duration="15m")["jobs"]
    assert found["interruptedPods"] == 1
    assert found["lostHours"]["cpu"] == pytest.approx(4 * 59 / 3600, rel=0.05)


def test_an_attempt_that_is_begun_anew_in_place_is_lost() -> None:
    """Its container crashed half way and was started again: all of it came out as work that counted."""
    job = task("j", "ann", 4, "100s", job=True, restartPolicy="OnFailure")
    job["spec"]["template"]["metadata"]["labels"]["app"] = "web"
    found = metrics_of([job], faults=[{"at": "62s", "containerCrash": {"app": "web"}}], duration="5m")["jobs"]
    assert (found["censored"], found["interruptedPods"]) == (0, 0)
    assert found["workHours"]["cpu"] == pytest.approx(4 * 100 / 3600, rel=0.02)
    assert found["lostHours"]["cpu"] == pytest.approx(4 * 59 / 3600, rel=0.05)


def test_a_node_that_was_cut_off_tells_late_what_it_did_in_time() -> None:
    fault = {"at": "30s", "zonePartition": {"zone": "a", "for": "4m"}}
    nodes = [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "16Gi", "zones": ["a"]}}]
    found = metrics_of([task("p", "ann", 4, "60s")], nodes=nodes, faults=[fault], duration="8m")["jobs"]
    assert found["censored"] == 0
    assert found["workHours"]["cpu"] == pytest.approx(4 * 60 / 3600, rel=0.02)


TRAINING = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: gangs}
spec:
  bound: false
  nodes:
    - group: {name: gpu, count: 4, cpu: 8, memory: 32Gi, gpus: 1, zones: [a, b]}
  workload:
    - training: {path: trace.csv, speeds: speeds.json, checkpoint: 0s}
  schedulers: [srtf]
  faults: [FAULT]
"""


def gangs(folder: Path, fault: str = "", duration: str = "") -> dict[str, Any]:
    """Three gangs of two GPUs for 900 s each, on four GPUs."""
    rows = ["job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s"]
    rows += [f"{job},LM,10,2,static,9000,0" for job in range(3)]
    (folder / "trace.csv").write_text("\n".join(rows) + "\n")
    (folder / "speeds.json").write_text('{"LM|10|2": 10.0}')
    text = TRAINING.replace("FAULT", fault) + (f"  duration: {duration}\n" if duration else "")
    (folder / "gangs.yaml").write_text(text)
    found: dict[str, Any] = run_once(read_scenario(folder / "gangs.yaml"), "srtf", 1, journal=False).metrics["jobs"]
    return found


def test_all_that_gangs_ran_either_counted_or_was_lost(tmp_path: Path) -> None:
    calm = gangs(tmp_path)
    assert calm["workHours"]["gpu"] == pytest.approx(3 * 2 * 900 / 3600, rel=0.001)
    assert 0 < calm["lostHours"]["gpu"] < 0.02  # one restart of 20 s, and gangs that wait for their second member
    crash = gangs(tmp_path, "{at: 5m, nodeCrash: {select: {names: [gpu-0]}, downFor: 3m}}")
    assert crash["lostHours"]["gpu"] == pytest.approx(
        calm["lostHours"]["gpu"] + crash["lostSeconds"] * 2 / 3600, abs=0.01
    )
    assert crash["goodputShare"]["gpu"] < calm["goodputShare"]["gpu"]


def test_a_gang_that_was_told_to_stop_and_goes_on_loses_what_it_does(tmp_path: Path) -> None:
    """It was cut off, so that nobody could reach it: what it ran from then on counted nowhere."""
    short, long = (gangs(tmp_path, f"{{at: 5m, zonePartition: {{zone: a, for: {lasts}}}}}") for lasts in ("3m", "20m"))
    for found in (short, long):
        assert found["lostHours"]["gpu"] >= found["lostSeconds"] * 2 / 3600 * 0.99
    assert long["lostHours"]["gpu"] - long["lostSeconds"] * 2 / 3600 > 0.01


def test_gangs_that_are_not_done_leave_lower_bounds(tmp_path: Path) -> None:
    found = gangs(tmp_path, duration="12m")
    assert found["censored"] == 3
    assert found["atLeast"] == ["makespanSeconds"]
    assert found["completionSeconds"]["atLeast"] == ["mean", "geometricMean", "harmonicMean"]
    assert found["rho"]["atLeast"] == ["worst", "unfairShare"]
    assert found["waitSeconds"]["atLeast"] == ["mean"]  # one never ran
    assert "jain" not in found  # of bounds it may be anything
    assert found["workHours"]["gpu"] > 0
