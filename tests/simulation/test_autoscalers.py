"""The conformance of autoscalers: the shipped ones conform, and each property is broken by one that breaks it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.model.errors import UserError
from harness.simulation.autoscalers import autoscaler_verdicts, broken

pytestmark = pytest.mark.component_faults

POLICIES = '''
import random, time
from harness.autoscaling.policy import Proposal
from harness.autoscaling.cluster.autoscaler import ClusterAutoscaling

class Good:
    def propose(self, target, metric):
        used = target.metrics.resource("cpu", target.pods, "")
        return Proposal(2 + sum(item.value for item in used.values()) // 200, "cpu", {})

class Stubborn:
    def propose(self, target, metric):
        return Proposal(2, "two", {})

class Negative:
    def propose(self, target, metric):
        return Proposal(-1, "minus", {})

class Relabels(Good):
    def propose(self, target, metric):
        for pod in target.pods:
            pod.metadata.labels["seen"] = "yes"
        return super().propose(target, metric)

class Draws(Good):
    def propose(self, target, metric):
        found = super().propose(target, metric)
        return Proposal(found.replicas + random.randrange(9), "cpu", {})

class LooksAtTheClock(Good):
    def propose(self, target, metric):
        return Proposal(super().propose(target, metric).replicas + int(time.time() / 1e6) % 7, "cpu", {})

class Loops:
    def propose(self, target, metric):
        while True:
            pass

class Idle:
    def component(self, pools, rng):
        class Component:
            name, watches = "idle", ()
            def step(self, now, events):
                return ()
        return Component()

class Passing(ClusterAutoscaling):
    """The shipped one, under another name: nobody's trust, and yet nothing wrong."""
'''


@pytest.fixture(autouse=True)
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "kit_policies.py").write_text(POLICIES)
    monkeypatch.delitem(sys.modules, "kit_policies", raising=False)


@pytest.mark.parametrize(
    "name",
    [
        "utilization",
        "kit_policies:Passing",
        pytest.param("least-waste", marks=pytest.mark.slow),
        pytest.param("kit_policies:Good", marks=pytest.mark.slow),
    ],
)
def test_these_conform(name: str) -> None:
    assert broken(name, examples=1) == []


@pytest.mark.parametrize(
    ("name", "property_", "told"),
    [
        ("Stubborn", "liveness", "2 replicas are ready at the end"),
        ("Idle", "liveness", "wait for a node at the end"),
        ("Negative", "legality", "illegal: replicas are a whole number"),
        ("Relabels", "purity", "mutation: Pod default/web-"),
        ("Draws", "purity", "it draws from the module random"),
        ("LooksAtTheClock", "determinism", "it looks at the clock"),
        ("Loops", "deadline", "took longer than 0.2 s"),
    ],
)
def test_each_property_is_broken_by_one(name: str, property_: str, told: str, tmp_path: Path) -> None:
    deadline_s = 0.2 if name == "Loops" else 60.0
    found = autoscaler_verdicts(f"kit_policies:{name}", examples=1, deadline_s=deadline_s, write_to=tmp_path / "out")
    verdict = next(item for item in found if item.name == property_)  # what comes after it is not tried
    assert verdict.ok is False
    assert told in verdict.reason
    assert verdict.file is not None
    assert verdict.file.is_file()


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(UserError, match="there is no autoscaler 'utilisation'"):
        broken("utilisation")


@pytest.mark.slow
def test_a_policy_that_goes_by_node_pools_is_given_one() -> None:
    assert broken("just-in-time", examples=1) == []
