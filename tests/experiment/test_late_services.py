"""Services whose pods come late, or never: what clients lose meanwhile is lost, and nothing looks better for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.compare import compare, question
from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.experiment.waterfalls import waterfalls
from harness.measure.elasticity import Elasticity, Target
from harness.measure.queue_model import QueueModel
from harness.measure.shipped import shipped
from harness.measure.traffic import Traffic
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded
from workloads.generators.load import Points

S = 10**9
NODES = [{"group": {"name": "w", "count": 12, "cpu": 4, "memory": "16Gi", "zones": ["a", "b", "c"]}}]
SERVICE: dict[str, Any] = {"name": "shop", "replicas": 6, "cpu": 1, "load": {"constant": {"rps": 300}}}
SCALED = {
    **SERVICE,
    "name": "auto",
    "replicas": 2,
    "cpuPerRequest": "10m",
    "autoscaler": {"min": 2, "max": 30, "targetCpu": 60},
}
SPEC: dict[str, Any] = {
    "duration": "10m",
    "bound": False,
    "nodes": NODES,
    "workload": [{"service": SERVICE}, {"service": SCALED}],
}
LATE, NEVER = "tests.experiment.lazy:LateRiser", "tests.experiment.lazy:Never"


@pytest.fixture(scope="module")
def runs() -> dict[str, Result]:
    """They came out as 0 % lost, under-provisioned for 0 % of the time, and half as many node-hours."""
    spec = loaded(**SPEC)
    return {name: run_once(spec, name, 0) for name in ("greedy", LATE, NEVER)}


def test_what_is_sent_to_a_service_that_is_late_is_lost(runs: dict[str, Result]) -> None:
    prompt, late, never = (runs[name].metrics["requests"] for name in ("greedy", LATE, NEVER))
    for name in ("default/shop", "default/auto"):
        assert prompt[name]["lostShare"] < 0.001
        # Clients begin at the start, thirty seconds are warm-up, pods are there after 300 s and some.
        assert late[name]["lostShare"] == pytest.approx(275 / 570, rel=0.02)
        assert late[name]["warmUp"] == never[name]["warmUp"] == pytest.approx(300 * 30, rel=0.01)
        assert never[name]["lostShare"] == 1.0
        assert never[name]["sloAttainment"] == never[name]["goodput"] == 0.0
        assert never[name]["lostBy"]["noEndpoint"] == pytest.approx(never[name]["sent"])


def test_who_is_late_is_under_provisioned_and_pays_for_its_nodes(runs: dict[str, Result]) -> None:
    prompt, late, never = (runs[name].metrics["autoscaling"]["default/auto"] for name in ("greedy", LATE, NEVER))
    assert prompt["underTimeshare"] == 0
    assert late["underTimeshare"] == pytest.approx(100 * 275 / 570, rel=0.02)
    assert never["underTimeshare"] == never["underAccuracy"] == 100
    assert late["responseSeconds"]["max"] == pytest.approx(275, abs=3)
    assert never["responseSeconds"]["atLeast"] == ["mean", "max"]
    hours = 12 * 600 / 3600  # they are there, and paid for, whoever is served when
    assert late["nodeHours"] == pytest.approx(hours, rel=0.01)
    assert never["nodeHours"] == pytest.approx(hours, rel=0.01)


def test_a_comparison_says_who_is_better(runs: dict[str, Result]) -> None:
    arms = {name: [_as(runs[name], name, seed) for seed in range(8)] for name in ("greedy", LATE, NEVER)}
    results = [result for arm in arms.values() for result in arm]
    paths = ("requests.*.lostShare", "requests.*.sloAttainment", "autoscaling.*.underTimeshare")
    rows = compare(arms, question(shipped(), results, paths))
    assert len(rows) == 6
    assert {row.verdict for row in rows} == {"greedy is better"}


def _as(result: Result, name: str, seed: int) -> Result:
    return Result("s", name, seed, "", result.metrics, [], [], {})


def test_a_load_that_is_none_has_no_share_that_was_lost() -> None:
    idle = {"name": "idle", "replicas": 0, "cpu": 1, "load": {"constant": {"rps": 0}}}
    spec = {**SPEC, "duration": "2m", "workload": [{"service": idle}, {"service": {**SERVICE, "replicas": 0}}]}
    requests = run_once(loaded(**spec), "greedy", 0).metrics["requests"]
    assert "lostShare" not in requests.get("default/idle", {})
    assert requests["default/shop"]["lostShare"] == 1.0  # no replica is asked for: nobody answers


@pytest.mark.parametrize("warm_up_s", [0, 10, 60])
def test_the_warm_up_is_a_setting(warm_up_s: int) -> None:
    traffic = Traffic(warm_up_ns={"d/web": warm_up_s * S})
    traffic.observe(0, "client", "route", ("d/web", (), 0))
    traffic.observe(5 * S, "client", "route", ("d/web", (), 2000))  # clients begin after five seconds
    found = traffic.metrics(100 * S)["d/web"]
    assert (found["warmUp"], found["sent"]) == (2 * warm_up_s, 2 * (95 - warm_up_s))
    assert found["lost"] == found["sent"]


def test_a_service_that_is_there_within_the_warm_up_counts_from_then_on() -> None:
    traffic = Traffic()
    traffic.observe(0, "client", "route", ("d/web", (), 1000))
    traffic.observe(8 * S, "client", "route", ("d/web", (("u", 1000),), 0))
    traffic.observe(8 * S, "kubelet", "serving", ("d/p", "u", 1))
    traffic.observe(20 * S, "kubelet", "serving", ("d/p", "u", 0))
    found = traffic.metrics(50 * S)["d/web"]
    assert (found["warmUp"], found["sent"], found["lost"]) == (8, 42, 30)


def test_a_shortage_that_goes_on_may_become_the_longest() -> None:
    load = Points(((100 * S, 9000), (100 * S, 0), (190 * S, 0), (190 * S, 9000)))
    seen = Elasticity((Target("d/web", load, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9)),))
    found = seen.metrics(200 * S)["d/web"]["responseSeconds"]
    assert (found["episodes"], found["max"]) == (2, 70)
    assert found["atLeast"] == ["mean", "max"]


def test_a_warm_up_that_is_no_duration_is_told() -> None:
    spec = {**SPEC, "workload": [{"service": {**SERVICE, "warmUp": "soon"}}]}
    with pytest.raises(UserError, match=r"workload\[0\].service.warmUp"):
        run_once(loaded(**spec), "greedy", 0)


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [("NapsInSilence", "strategy waits"), ("Naps", "strategy waits"), ("NeverAgain", "not yet bound to a node")],
)
def test_a_recovery_that_its_strategy_holds_up_says_so(strategy: str, waits: str, tmp_path: Path) -> None:
    """It came out as 'no node has room', with room on nine nodes, and as no timer's where it had no end."""
    spec = {
        **SPEC,
        "duration": "25m",
        "workload": [{"service": {**SERVICE, "replicas": 12}}],
        "faults": [{"at": "5m", "nodeCrash": {"select": {"names": ["w-00"]}}}],
    }
    result = run_once(loaded(**spec), f"tests.experiment.lazy:{strategy}", 0, out=tmp_path)
    assert result.folder is not None
    (fall,) = waterfalls(result.folder).recoveries
    assert sum(hop.ns for hop in fall.hops) == fall.total_ns
    (hop,) = [hop for hop in fall.hops if hop.name == waits]
    assert hop.timer == "decision of the strategy"
    assert hop.note == ("nodes had room" if strategy == "NapsInSilence" else "nodes had room: asleep")
    assert hop.ns > 250 * S
    assert (fall.dominant[0] == hop.timer) == (strategy == "NeverAgain" or hop.ns > 300 * S)


def test_a_scale_up_that_waits_for_its_first_pods_says_so(tmp_path: Path) -> None:
    """It came out as the autoscaler's tolerance."""
    spec = {**SPEC, "workload": [{"service": SCALED}]}
    result = run_once(loaded(**spec), LATE, 0, out=tmp_path)
    assert result.folder is not None
    first, *_ = waterfalls(result.folder).scale_ups
    took = {hop.name: hop.ns / S for hop in first.hops}
    assert took["its pods have no node"] > 250
    assert sum(hop.ns for hop in first.hops) == first.total_ns
    assert first.dominant[0] == "scheduling queue"
