"""Replica policies that look ahead, against the shipped one that does not, on a load that rises steeply."""

from __future__ import annotations

from typing import Any

import pytest

from harness.experiment.run import Home, Run
from harness.model.errors import UserError
from schedulers.greedy import greedy
from tests.experiment.scenarios import SERVICE, loaded

RAMP = {"ramp": {"start": "3m", "end": "4m", "from": 40, "to": 600}}
SERVED = {
    "service": {
        **SERVICE["service"],
        "cpuPerRequest": "20m",
        "cpu": "500m",
        "load": RAMP,
        "autoscaler": {"min": 1, "max": 40, "targetCpu": 90},
    }
}


def replicas_at(policy: str, seconds: list[int], **spec: Any) -> list[int]:
    controllers = ["*", f"horizontal-pod-autoscaler?policy={policy}"]
    run = Run(
        loaded(bound=False, workload=[SERVED], duration="10m", controllers=controllers, **spec), greedy(), 1, Home()
    )
    out = []
    for second in seconds:
        run.cluster.run(second * 10**9)
        out.append(run.cluster.server.get("Deployment", "default", "web").spec.replicas)
    assert run.cluster.component_faults == []
    return out


def shares(policy: str) -> dict[str, float]:
    controllers = ["*", f"horizontal-pod-autoscaler?policy={policy}"]
    run = Run(loaded(bound=False, workload=[SERVED], duration="8m", controllers=controllers), greedy(), 1, Home())
    run.play()
    result = run.result("greedy")
    assert result.ok
    return {
        "in time": result.metrics["requests"]["default/web"]["sloAttainment"],
        "pods": result.metrics["autoscaling"]["default/web"]["podHours"],
        "missing": result.metrics["autoscaling"]["default/web"]["underAccuracy"],
    }


def test_the_oracle_is_a_yardstick() -> None:
    """It knows the load: it misses nothing, keeps the SLO of 99 %, and that with fewer pods than those that do not."""
    oracle, reactive, predictive = map(shares, ("oracle-yardstick", "utilization", "predictive"))
    assert oracle["missing"] == 0.0
    assert oracle["in time"] >= 0.99
    assert 0.0 < predictive["missing"] < reactive["missing"]
    assert oracle["in time"] > predictive["in time"] > reactive["in time"]
    assert oracle["pods"] < reactive["pods"] < predictive["pods"]


def test_the_plan_is_a_floor() -> None:
    planned = replicas_at("scheduled%3Fplan%3D0s:2/1m:8/9m:3", [70, 540])
    reactive = replicas_at("utilization", [70, 540])
    assert (reactive[0], planned[0]) == (4, 8)
    assert planned[1] > 3, "above the plan, by utilization"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("oracle-yardstick?ahead=soon", "ahead is no duration"),
        ("predictive?window=0s", "window is no duration"),
        ("scheduled?plan=0s=2", "a plan cannot be read"),
        ("scheduled?plan=25h:2", "a plan cannot be read"),
        ("scheduled", "missing a required argument: 'plan'"),
    ],
)
def test_bad_parameters_are_told_before_anything_runs(policy: str, told: str) -> None:
    from urllib.parse import quote

    with pytest.raises(UserError) as error:
        replicas_at(quote(policy), [1])
    assert told in str(error.value)
