"""Errors of lists are as good as those of keys: the item, its line, what there is, and what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.parsing import strategies_of
from harness.experiment.prepared import prepare
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, scenario

NODES = [{"group": {"name": "n", "count": 4, "cpu": 4, "zones": ["a", "b c"]}}]
CRASH = {"at": "10s", "nodeCrash": {"select": {"names": ["n-0", "m-1"]}}}
NO_KIND = {"at": "10s", "objectDeletion": {"kind": "Deplyment", "name": "web"}}


def resolve(file: Path) -> None:
    loaded = read_scenario(file)
    strategies_of(loaded, None)
    prepare(loaded, 1)


@pytest.mark.parametrize(
    ("spec", "line", "path", "hint"),
    [
        ({"schedulers": ["greedy", "binpak"]}, "- binpak", "spec.schedulers[1]", "'binpack'"),
        ({"controllers": ["*", "-job-controler"]}, "- -job-controler", "spec.controllers[1]", "'job-controller'"),
        ({"controllers": ["*", "job-controler"]}, "- job-controler", "spec.controllers[1]", "'job-controller'"),
        ({"compare": {"primary": ["placement.podsBuond"]}}, "- placement.podsBuond", "primary[0]", "podsBound"),
        ({"compare": {"within": {"placement.podsBuond": 1.0}}}, "podsBuond: 1.0", "compare.within", "podsBound"),
        ({"measures": ["waste"]}, "- waste", "spec.measures[0]", ""),
        ({"measures": ["nothing.there:Waste"]}, "- nothing.there:Waste", "spec.measures[0]", ""),
        ({"faults": [CRASH]}, "- m-1", "spec.faults[0].nodeCrash.select.names[1]", "'n-1'"),
        ({"faults": [NO_KIND]}, "kind: Deplyment", "spec.faults[0].objectDeletion.kind", "'Deployment'"),
        ({"latencies": {"imagePull": {"samples": ["1ms", "2 ms"]}}}, "- 2 ms", "imagePull.samples[1]", ""),
        ({"nodes": NODES}, "- b c", "spec.nodes[0].group", ""),
    ],
)
def test_the_item_is_told_with_its_line(spec: dict[str, Any], line: str, path: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(scenario(**{"duration": "5m", "workload": [SERVICE], **spec}), sort_keys=False))
    with pytest.raises(UserError) as found:
        resolve(file)
    error = found.value
    assert path in error.what
    assert hint in (error.hint or "")
    assert error.line is not None
    if "group" not in path:  # of a node that a group makes, the group is told
        assert file.read_text().splitlines()[error.line - 1].strip().endswith(line)
