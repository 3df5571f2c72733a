"""The Python in the README of workloads runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.workloads import small_traces as small
from workloads.readers import names

README = Path(__file__).resolve().parents[2] / "workloads" / "README.md"


def test_the_code_runs_as_printed(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    said: dict[str, Any] = {}
    exec(code, said)
    assert (len(said["workload"]), len(said["nodes"])) == (3000, 100)
    assert int(said["workload"].arrival_ns[-1]) == 3600 * 10**9
    assert (said["first_instant_ns"], said["first_pod"].metadata.name) == (0, "task-000000")
    pods, nodes = small.openb(tmp_path), small.openb_nodes(tmp_path)
    assert said["with_departures"](pods, nodes).workload.duration_ns.tolist() == [60 * 10**9, 30 * 10**9, 2 * 10**9]
    assert said["fill"](pods, nodes).workload.arrival_ns.tolist() == [0, 10**9, 2 * 10**9]


def test_every_format_has_its_line() -> None:
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", README.read_text(), re.MULTILINE)) == list(names())
