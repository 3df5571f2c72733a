"""A Ray actor's process killed from outside, on the wall clock: the control plane alone brings its pods back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import run_once
from tests.experiment.scenarios import loaded, written

SPEC: dict[str, Any] = {
    "duration": "9m",
    "nodes": [{"group": {"name": "n", "count": 6, "cpu": 4, "memory": "8Gi", "zones": ["a", "b", "c"]}}],
    "workload": [
        {"service": {"name": "web", "replicas": 6, "cpu": 1, "memory": "1Gi", "load": {"constant": {"rps": 60}}}}
    ],
}
PHASES = ["detected", "evicted", "recreated", "bound", "running", "serving"]


@pytest.mark.slow
def test_kill_minus_nine_is_survived_by_the_control_plane_alone(tmp_path: Path) -> None:
    path = written(tmp_path, **SPEC)
    command = [
        sys.executable, "-m", "harness.cli", "run", str(path), "-s", "least-allocated", "--clock", "wall",
        "--time-scale", "40", "--nodes", "ray", "--actors", "3", "-o", "json", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as run:
        assert run.stderr is not None
        victim: tuple[int, list[str]] | None = None
        for line in run.stderr:
            match = re.match(r"actor (\d+): (.*)", line)
            if match and "gateway" not in match[2]:
                victim = int(match[1]), match[2].strip().split(", ")
                break
        assert victim is not None, "no actor was named"
        pid, nodes = victim
        _wait_until_running(run)
        os.kill(pid, signal.SIGKILL)
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    (fault,) = json.loads(out)[0]["metrics"]["recovery"]
    assert sorted(fault["targets"]) == sorted(nodes)
    assert fault["victims"] > 0
    assert fault["replaced"] == fault["victims"]
    assert list(fault["phases"]) == PHASES
    assert 38 < fault["phases"]["detected"]["last"] < 90
    assert fault["phases"]["evicted"]["first"] > 338
    assert fault["requestsLost"]["default/web"] > 0


def _wait_until_running(run: subprocess.Popen[str]) -> None:
    """Three seconds of ours are two minutes of the cluster's: everything has started."""
    try:
        run.wait(3)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError("the run ended before anything could be killed")


def test_the_same_fault_in_virtual_time_has_the_same_phases_within_the_modelled_latencies() -> None:
    faults = [{"at": "2m", "nodeCrash": {"select": {"names": ["n-1", "n-4"]}}}]
    result = run_once(loaded(**SPEC, faults=faults), "least-allocated", 1)
    (fault,) = result.metrics["recovery"]
    phases = fault["phases"]
    assert fault["replaced"] == fault["victims"] > 0
    assert list(phases) == PHASES
    # A lease is renewed every 10 s and good for 50 s; the monitor looks every 5 s; tolerations last 300 s, and a zone's
    # second node gets its NoExecute taint 10 s after the first.
    assert 40 <= phases["detected"]["last"] <= 56
    assert 0 <= phases["evicted"]["first"] - phases["detected"]["first"] - 300 < 1
    assert phases["evicted"]["last"] - phases["evicted"]["first"] <= 10.1
    # Everything after is API calls and watches of 5 ms, 1 ms of deciding, and half a second to start a container
    # (besides an image that the node has not pulled yet: 0.5 s and 1.5 s of bytes).
    assert phases["recreated"]["last"] - phases["evicted"]["last"] < 0.1
    assert phases["bound"]["last"] - phases["recreated"]["last"] < 0.1
    assert phases["running"]["last"] - phases["bound"]["last"] < 3
    assert phases["serving"]["last"] - phases["running"]["last"] < 2.5
