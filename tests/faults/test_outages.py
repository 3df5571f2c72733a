"""Outages of the scheduler and of the controller manager: what waits, for how long, and that everything converges."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.simulation.swarm import random_scenario
from harness.simulation.trial import play
from tests.experiment.scenarios import SERVICE, loaded


def run(*faults: dict[str, Any], duration: str = "6m", **service: Any) -> Result:
    workload = [{"service": {**SERVICE["service"], **service}}]
    found = run_once(loaded(duration=duration, workload=workload, faults=list(faults)), "greedy", 1)
    assert found.end_state is not None
    assert not found.end_state.findings
    assert not found.broken
    return found


SCHEDULER = {"at": "60s", "schedulerOutage": {"downFor": "40s"}}
MANAGER = {"at": "60s", "controllerManagerOutage": {"downFor": "40s"}}
DELETED = {"at": "70s", "podDeletion": {"app": "web", "count": 3}}


def test_pods_wait_for_a_scheduler_that_is_away() -> None:
    outage = run(SCHEDULER, DELETED).metrics["recovery"][0]["outage"]
    assert (outage["seconds"], outage["backlog"]) == (40, 3)
    assert 40 < outage["withoutDecisions"] < 41
    assert 0 < outage["catchUp"] < 1


def test_replicas_are_missing_while_no_controller_makes_them() -> None:
    """Deleted 10 s into the outage, made anew when it is over; the scheduler binds them at once."""
    found = run(MANAGER, DELETED)
    outage = found.metrics["recovery"][0]["outage"]
    assert (outage["seconds"], outage["backlog"]) == (40, 3)
    assert 40 < outage["withoutDecisions"] < 41
    assert 0 < outage["catchUp"] < 2
    assert found.metrics["placement"]["pods"] == 7


def test_a_deployment_that_grows_meanwhile_is_looked_at_afterwards() -> None:
    grown = {"at": "70s", "deploymentChange": {"name": "web", "replicas": 9}}
    outage = run(MANAGER, grown).metrics["recovery"][0]["outage"]
    assert outage["backlog"] == 5
    assert outage["catchUp"] < 2


def test_an_outage_in_which_nothing_is_due_has_no_backlog() -> None:
    for fault in (SCHEDULER, MANAGER):
        outage = run(fault).metrics["recovery"][0]["outage"]
        assert outage == {"seconds": 40, "backlog": 0, "withoutDecisions": 40, "catchUp": 0}


def test_a_dead_node_is_noticed_when_its_controller_is_back() -> None:
    crash = {"at": "70s", "nodeCrash": {"select": {"app": "web"}}}
    away = {"at": "60s", "controllerManagerOutage": {"downFor": "3m"}}
    alone = run(crash, duration="12m").metrics["recovery"][0]["phases"]["detected"]["last"]
    delayed = run(away, crash, duration="12m").metrics["recovery"]
    assert alone < 56
    # A monitor that has just started believes a lease that it has never seen for as long as any other.
    assert 170 < delayed[1]["phases"]["detected"]["last"] <= 170 + 56
    assert delayed[0]["victims"] == 0


def test_an_outage_that_outlasts_the_run_is_a_lower_bound() -> None:
    found = run_once(
        loaded(
            duration="2m", workload=[SERVICE], faults=[{"at": "60s", "schedulerOutage": {"downFor": "10m"}}, DELETED]
        ),
        "greedy",
        1,
    )
    outage = found.metrics["recovery"][0]["outage"]
    assert outage["withoutDecisions"] == 60
    assert "withoutDecisions" in outage["atLeast"]
    assert outage["backlog"] == 3


def test_overlapping_outages_end_with_the_later_one() -> None:
    longer = {"at": "80s", "schedulerOutage": {"downFor": "60s"}}
    first, second = (
        fault["outage"] for fault in run(SCHEDULER, longer, DELETED).metrics["recovery"] if "outage" in fault
    )
    assert first["withoutDecisions"] == pytest.approx(80, abs=1)
    assert second["withoutDecisions"] == pytest.approx(60, abs=1)


def test_there_is_nobody_to_stop_without_controllers() -> None:
    data = loaded(
        duration="2m",
        workload=[{"openbLike": {"pods": 5, "longest": "1m"}}],
        controllers=[],
        faults=[{"at": "60s", "controllerManagerOutage": {}}],
    )
    (fault,) = run_once(data, "greedy", 1).metrics["recovery"]
    assert fault["hitNothing"] == "no such process runs"


@pytest.mark.parametrize("seed", [3, 11, 20, 34])
def test_random_clusters_converge_after_outages(seed: int) -> None:
    data = random_scenario(seed)
    rng = Random(seed)
    faults = data["spec"].setdefault("faults", [])
    for name in ("schedulerOutage", "controllerManagerOutage", "controllerManagerOutage"):
        down = rng.choice(("100ms", "5s", "45s", "2m"))
        faults.append({"at": f"{rng.randint(2_000, 150_000)}ms", name: {"downFor": down}})
    assert play(data).findings == ()
