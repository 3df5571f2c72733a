"""The simulation: what it draws, that it finds what is wrong, that it makes it small; and some seeds of it."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import Effect, InjectFault
from harness.experiment.prepared import prepare
from harness.experiment.scenario import from_data
from harness.faults.fault import FaultForm
from harness.faults.registry import FAULTS
from harness.faults.targets import Targets
from harness.jobs.rounds import RoundLoop
from harness.model.errors import RunFailed
from harness.model.faults import Crash
from harness.simulation import random_faults
from harness.simulation.campaign import campaign, simulate, watched, write_scenario
from harness.simulation.shrink import candidates, shrink
from harness.simulation.swarm import FEATURES, random_scenario
from harness.simulation.training import is_training, random_training
from harness.simulation.trial import play
from tests.experiment.scenarios import scenario

SEEDS = Path(__file__).parents[1] / "seeds"


class Lazy(ReplicaSetController):
    """Makes no pod for one that was deleted after the first minute."""

    def step(self, now: Any, events: Any) -> Any:
        if now > 60 * 10**9:
            return ()
        return super().step(now, events)


class Explodes(FaultForm, frozen=True, kw_only=True):
    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        if targets.nodes and rng.random() != Random(0).random():  # not when the scenario is checked
            raise RuntimeError("boom")
        return [InjectFault((), Crash())] if targets.nodes else []

    def lasts_ns(self) -> int | None:
        return 0


def broken() -> dict[str, Any]:
    """A scenario whose ReplicaSets are not looked after, and much that has nothing to do with it."""
    service = {"replicas": 3, "cpu": "50m", "load": {"constant": {"rps": 1}}}
    return scenario(
        duration="40m",
        bound=False,
        controllers=["*", "-replicaset-controller", "tests.simulation.test_simulate:Lazy"],
        pools=[{"name": "p", "max": 2, "cpu": 2}],
        workload=[{"service": {"name": "other", **service}}, {"service": {"name": "victim", **service}}],
        faults=[
            {"at": "1m", "nodeFreeze": {"for": "5s"}},
            {"at": "2m", "podDeletion": {"app": "victim", "count": 3}},
            {"at": "3m", "containerCrash": {"app": "other"}},
        ],
    )


def test_a_seed_always_draws_the_same_and_what_it_draws_is_a_scenario() -> None:
    for seed in range(1, 20):
        data = random_scenario(seed)
        assert data == random_scenario(seed)
        from_data(json.loads(json.dumps(data)), "drawn")


def test_every_shipped_fault_can_be_drawn() -> None:
    assert sorted(random_faults.FAULTS) == sorted(FAULTS.names())
    assert len(set(FEATURES)) == len(FEATURES)


def test_the_same_seed_plays_the_same() -> None:
    first, again = play(random_scenario(4)), play(random_scenario(4))
    assert first.digest
    assert first == again


def test_what_does_not_converge_is_found_and_made_small() -> None:
    data = broken()
    assert "replicas" in {found.check for found in play(data).findings}

    def fails(candidate: dict[str, Any]) -> bool:
        return any(found.check == "replicas" for found in play(candidate).findings)

    smallest, tried = shrink(data, fails, attempts=40)
    assert tried <= 40
    assert [list(fault)[1] for fault in smallest["spec"]["faults"]] == ["podDeletion"]
    assert [source["service"]["name"] for source in smallest["spec"]["workload"]] == ["victim"]
    assert "pools" not in smallest["spec"] or not smallest["spec"]["pools"]
    assert fails(smallest)


def test_each_candidate_is_smaller() -> None:
    data = random_scenario(11)
    data["spec"] |= {"schedulers": ["greedy"], "events": False}
    size = len(json.dumps(data))
    for candidate in candidates(data):
        assert len(json.dumps(candidate)) <= size
        assert candidate != data


@pytest.mark.component_faults
def test_a_crash_is_a_finding() -> None:
    data = random_scenario(5)
    data["spec"]["faults"] = [{"at": "5m", "tests.simulation.test_simulate:Explodes": {}}]
    assert any("boom" in found.what for found in play(data).findings)


def test_a_scenario_that_never_ends_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm is no exception that a guard, or the trial itself, takes for a component's failure."""

    def forever(*_: Any) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                raise AssertionError("somebody caught it") from None

    monkeypatch.setattr("harness.simulation.campaign.LONGEST_S", 0.2)
    monkeypatch.setattr("harness.experiment.run.Run.play", forever)
    (finding,) = watched(random_scenario(1)).findings
    assert finding.check == "hang"


def test_what_a_seed_may_draw_is_drawn_by_some() -> None:
    """Each kind of object, and just-in-time nodes."""
    kinds, autoscalers, fields = set(), set(), set()
    for seed in range(1, 150):
        spec = random_scenario(seed)["spec"]
        autoscalers.add(spec.get("autoscaler", "").partition("?")[0])
        for source in spec["workload"]:
            for obj in source.get("objects", ()):
                kinds.add(obj["kind"])
                fields.update(obj.get("spec", {}))
    assert {"CronJob", "ReplicationController", "NodePool", "StatefulSet", "Job"} <= kinds
    assert {"cluster-autoscaler", "just-in-time"} <= autoscalers
    assert {
        "podFailurePolicy",
        "successPolicy",
        "backoffLimitPerIndex",
        "persistentVolumeClaimRetentionPolicy",
    } <= fields


def test_training_jobs_are_drawn_under_round_strategies() -> None:
    drawn = [random_training(seed) for seed in range(1, 200)]
    assert {data["spec"]["schedulers"][0] for data in drawn} >= {"fifo-v1", "tiresias-v1", "pop-v1"}
    faults = {name for data in drawn for fault in data["spec"]["faults"] for name in fault}
    assert faults >= {"nodeCrash", "etcdRestore"}
    assert 0.05 < sum(map(is_training, range(1000))) / 1000 < 0.2
    for data in drawn[:20]:
        prepare(from_data(json.loads(json.dumps(data)), "drawn"), 1)


@pytest.mark.parametrize("seed", [10012, 10028, pytest.param(10100, marks=pytest.mark.slow)])
def test_training_jobs_keep_what_they_did_and_converge(seed: int) -> None:
    assert [str(found) for found in play(random_training(seed)).findings] == []


def test_work_that_nobody_did_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round scheduler that never takes a gang for broken counts what it did not do."""
    monkeypatch.setattr(RoundLoop, "interrupt", lambda *_: None)
    monkeypatch.setattr(RoundLoop, "revise", lambda *_: None)
    data = yaml.safe_load((SEEDS / "training-on-upgraded-nodes.yaml").read_text())
    data["spec"]["faults"] = [{"at": "30s", "podDeletion": {"app": "job-0"}}]
    assert "time on nodes" in {found.check for found in play(data).findings}


@pytest.mark.parametrize("last", [1002, pytest.param(1005, marks=pytest.mark.slow)])
def test_seeds_converge(last: int) -> None:
    """A few of those that `podyard simulate` runs; make sim and CI run a hundred."""
    failed = {item.seed: [str(found) for found in item.outcome.findings] for item in campaign(range(1001, last + 1))}
    assert {seed: found for seed, found in failed.items() if found} == {}


@pytest.mark.slow
def test_a_process_that_is_killed_is_told() -> None:
    results = campaign(range(1001, 1009), parallel=2)
    next(results)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(RunFailed, match="ended early"):
        list(results)


@pytest.mark.slow
def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "--seeds", "1001-1004", "--parallel", "2", "--out", str(tmp_path)])
    assert "4 seeds, " in result.stdout


def test_a_small_scenario_is_written_with_its_story(tmp_path: Path) -> None:
    item = simulate(1001, shrunk=False)
    from dataclasses import replace

    from harness.simulation.trial import Finding, Outcome

    failed = replace(item, outcome=Outcome((Finding("pending", "Pod a/b: waits"),)), smallest=random_scenario(1001))
    text = write_scenario(tmp_path, failed).read_text()
    assert text.startswith("# Seed 1001 of podyard simulate")
    assert "# pending: Pod a/b: waits" in text
