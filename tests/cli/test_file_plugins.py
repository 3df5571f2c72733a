"""A plug-in of a file is named by the file's path, from wherever one is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app

STRATEGY = '''
"""The first node that fits."""
import numpy as np
from first_fit_helper import FIRST
from harness.scheduling.strategy import Bind

class FirstFit:
    def place(self, pods, cluster, rng):
        for pod in pods:
            fits = np.flatnonzero(cluster.feasible(pod))
            if fits.size:
                yield Bind(pod, int(fits[FIRST]))

def scheduler():
    return FirstFit()
'''

SCENARIO = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: small}
spec:
  duration: 2m
  nodes: [{openbLike: {count: 3}}]
  workload: [{openbLike: {pods: 5, load: 30, longest: 1m, controller: none}}]
  schedulers: [greedy]
"""


def test_a_strategy_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "first-fit.py").write_text(STRATEGY)
    (tmp_path / "mine" / "first_fit_helper.py").write_text("FIRST = 0\n")
    (tmp_path / "small.yaml").write_text(SCENARIO)
    command = ["run", "small.yaml", "-s", "mine/first-fit.py:scheduler", "--seeds", "1-2", "--nodes", "inline"]
    ran = subprocess.run(
        [sys.executable, "-m", "harness.cli", *command, "--parallel", "2", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "out/small/mine_first-fit.py_scheduler/2/record.json").read_text())
    assert record["scheduler"] == "mine/first-fit.py:scheduler"
    assert record["metrics"]["placement"]["podsBound"] == 5
    assert record["source"]["strangers"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.py:scheduler", "there is no file absent.py"),
        ("json.py:scheduler", "another module has its name"),
        # A name that no file can have was a traceback.
        (f"{'x' * 300}.py:scheduler", "there is no file xxx"),
        ("x" * 300, "there is no scheduler 'xxx"),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("json.py").write_text("")
    Path("small.yaml").write_text(SCENARIO)
    result = CliRunner().invoke(app, ["run", "small.yaml", "-s", name])
    assert isinstance(result.exception, Exception)
    assert told in str(result.exception)
    assert not Path("results").exists()
