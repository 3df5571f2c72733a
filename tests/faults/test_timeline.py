"""Faults: how they are written, whom they hit, when."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.faults.targets import Targets
from harness.faults.timeline import parse
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, loaded


def faults(*items: Any, **spec: Any) -> list[dict[str, Any]]:
    result = run_once(loaded(duration="10m", workload=[SERVICE], faults=list(items), **spec), "least-allocated", 2)
    assert result.broken == []
    found: list[dict[str, Any]] = result.metrics.get("recovery", [])
    return found


def test_by_name_by_zone_by_app_or_drawn() -> None:
    (named,) = faults({"at": "1m", "nodeFreeze": {"select": {"names": ["n-3"]}, "for": "10s"}})
    assert named["targets"] == ["n-3"]
    (zone,) = faults({"at": "1m", "nodeFreeze": {"select": {"zone": "b"}, "for": "10s"}})
    assert zone["targets"] == ["n-1", "n-4"]
    (app,) = faults({"at": "1m", "nodeFreeze": {"select": {"app": "web", "count": 2}, "for": "10s"}})
    assert len(app["targets"]) == 2
    assert app["victims"] >= 2
    (drawn,) = faults({"at": "1m", "nodeFreeze": {"select": {"count": 3}, "for": "10s"}})
    assert len(drawn["targets"]) == 3
    assert "gateway" not in drawn["targets"]


def test_a_short_freeze_is_nobodys_business() -> None:
    (fault,) = faults({"at": "1m", "nodeFreeze": {"select": {"app": "web"}, "for": "20s"}})
    assert "detected" not in fault["phases"]
    assert fault["replaced"] == 0


def test_a_cut_off_zone_is_taken_out_of_service_and_comes_back() -> None:
    (fault,) = faults({"at": "1m", "zonePartition": {"zone": "a", "for": "2m"}})
    assert fault["victims"] > 0
    assert fault["returned"] == fault["victims"]
    assert 40 <= fault["phases"]["detected"]["last"] <= 56
    assert fault["requestsLost"]["default/web"] > 0


def test_a_container_that_crashes_serves_again_after_its_restart() -> None:
    (fault,) = faults({"at": "1m", "containerCrash": {"app": "web", "count": 1}})
    assert fault["phases"]["serving"]["last"] < 5


def test_the_api_server_restarts_and_nothing_is_lost() -> None:
    spec: dict[str, Any] = {
        "duration": "10m",
        "nodes": [{"openbLike": {"count": 5}}],
        "workload": [SERVICE, {"openbLike": {"pods": 60, "longest": "2m", "load": 60}}],
    }
    restarts = [{"at": "1m", "apiServerRestart": {"downFor": "30s"}}, {"every": "2m", "apiServerRestart": {}}]
    calm = run_once(loaded(**spec), "greedy", 2).metrics["placement"]
    shaken = run_once(loaded(**spec, faults=restarts), "greedy", 2)
    assert shaken.broken == []
    assert shaken.metrics["placement"]["podsNeverBound"] == calm["podsNeverBound"]
    assert shaken.metrics["placement"]["pods"] == calm["pods"]


def test_at_a_rate_faults_are_drawn_from_their_own_stream() -> None:
    item = {"every": "1m", "nodeFreeze": {"for": "1s"}}
    first, again = faults(item), faults(item)
    assert 3 <= len(first) <= 25
    assert [f["atSeconds"] for f in first] == [f["atSeconds"] for f in again]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"at": "1m", "nodeCrush": {}}, "did you mean 'nodeCrash'?"),
        ({"at": "1m"}, "one fault an entry"),
        ({"nodeCrash": {}}, "when?"),
        ({"at": "1m", "every": "1m", "nodeCrash": {}}, "when?"),
        ({"every": "0s", "nodeCrash": {}}, "too often"),
        ({"every": "1ns", "nodeCrash": {}}, "too often"),
        ({"every": "1m", "until": "0s", "nodeCrash": {}}, "before they begin"),
        ({"at": "soon", "nodeCrash": {}}, "'soon' is not a duration"),
        ({"at": "1m", "nodeFreeze": {}}, "for"),
        ({"at": "1m", "nodeFreeze": {"for": "1 hour"}}, "not a duration"),
        ({"at": "1m", "nodeCrash": {"select": {"zones": "a"}}}, "unknown field `zones`"),
        ({"at": "1m", "nodeCrash": {"count": 1}}, "unknown field `count`"),
        ({"at": "1m", "nodeCrash": {"count": 1}}, "select, downFor"),
        ("boom", "not a fault"),
    ],
)
def test_what_is_wrong_with_a_fault_is_told(item: Any, told: str) -> None:
    with pytest.raises(UserError, match=r"faults\[0\]") as error:
        parse([item])
    assert told in str(error.value)


def test_nothing_to_hit_is_no_fault() -> None:
    (planned,) = parse([{"at": "1m", "nodeCrash": {}}])
    assert planned.fault.effects(Targets(), Random(1)) == []


def test_pods_are_deleted_and_made_anew() -> None:
    spec = loaded(duration="2m", workload=[SERVICE], faults=[{"at": "1m", "podDeletion": {"app": "web", "count": 2}}])
    result = run_once(spec, "greedy", 1)
    assert result.metrics["placement"]["pods"] == 6
    assert str(result.end_state) == "converged"


def test_a_deployment_is_changed_by_somebody() -> None:
    faults = [
        {"at": "1m", "deploymentChange": {"name": "web", "replicas": 6}},
        {"at": "2m", "deploymentChange": {"name": "web", "image": "i:2"}},
    ]
    result = run_once(loaded(duration="5m", workload=[SERVICE], faults=faults), "greedy", 1)
    assert result.metrics["placement"]["pods"] == 4 + 2 + 6
    assert str(result.end_state) == "converged"


def test_a_deployment_that_is_not_there_is_told() -> None:
    fault = {"at": "3m", "deploymentChange": {"name": "nobody", "replicas": 1}}
    with pytest.raises(UserError, match="DeploymentChange of nobody"):
        run_once(loaded(duration="5m", workload=[SERVICE], faults=[fault]), "greedy", 1)


def test_an_object_is_deleted_with_what_it_owns() -> None:
    spec: dict[str, Any] = {"duration": "3m", "workload": [SERVICE]}
    gone = run_once(
        loaded(**spec, faults=[{"at": "1m", "objectDeletion": {"kind": "Deployment", "name": "web"}}]), "greedy", 1
    )
    assert str(gone.end_state) == "converged"
    with pytest.raises(UserError, match="'Deploy' is no kind"):
        parse([{"at": "1m", "objectDeletion": {"kind": "Deploy", "name": "web"}}])


@pytest.mark.parametrize(
    "fault",
    [
        {"nodeFreeze": {"for": "0s"}},
        {"zonePartition": {"zone": "a", "for": "0ms"}},
        {"providerOutage": {"does": "quota", "for": "0h"}},
    ],
    ids=str,
)
def test_a_fault_that_lasts_no_time_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"found 0.*nothing would happen"):
        parse([{"at": "1m", **fault}])
