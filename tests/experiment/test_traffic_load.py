"""Capacity is finite and demand is the load's: overload costs requests, and no autoscaler changes what was needed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded

NODES = [{"group": {"name": "n", "count": 6, "cpu": 16, "memory": "64Gi"}}]


def web(load: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A replica may use 2 CPUs, and answers 200 requests a second at most."""
    return {"service": {"name": "web", "replicas": 4, "cpu": 1, "cpuPerRequest": "10m", "load": load, **more}}


def measured(service: dict[str, Any], duration: str = "5m") -> dict[str, Any]:
    metrics: dict[str, Any] = run_once(loaded(nodes=NODES, workload=[service], duration=duration), "greedy", 1).metrics
    return metrics


@pytest.mark.parametrize(("rps", "lost"), [(80, 0.0), (1600, 0.5), (80_000, 0.99)])
def test_what_is_beyond_capacity_is_lost(rps: int, lost: float) -> None:
    requests = measured(web({"constant": {"rps": rps}}))["requests"]["default/web"]
    assert requests["lostShare"] == pytest.approx(lost, abs=0.001)
    assert requests["lostBy"]["overload"] == pytest.approx(requests["lost"], rel=1e-6, abs=1e-3)
    assert requests["sloAttainment"] == pytest.approx(0.0 if lost else 1.0, abs=0.001)
    assert requests["utilisation"] == pytest.approx(min(1.0, rps / 800), rel=0.01)
    assert requests["goodput"] <= 800


def test_latency_grows_with_load() -> None:
    found = [
        measured(web({"constant": {"rps": rps}}))["requests"]["default/web"]["latencySeconds"]["p99"]
        for rps in (80, 400, 700, 790)
    ]
    assert found == sorted(found)
    assert found[-1] > 5 * found[0]


def test_many_requests_cost_no_more_than_few() -> None:
    def seconds(rps: int) -> float:
        began = time.process_time()
        measured(web({"constant": {"rps": rps}}))
        return time.process_time() - began

    seconds(10)
    assert seconds(480_000) < 3 * seconds(300) + 0.5


def test_demand_is_the_same_for_every_autoscaler_and_starving_shows() -> None:
    ramp = {"ramp": {"start": "1m", "end": "3m", "from": 200, "to": 2000}}
    peaks, shortage = {}, {}
    for most, target in ((5, 30), (5, 90), (40, 30), (40, 60), (40, 90)):
        metrics = measured(web(ramp, autoscaler={"min": 2, "max": most, "targetCpu": target}), "10m")
        scaling = metrics["autoscaling"]["default/web"]
        peaks[most, target] = scaling["demandPeak"]
        shortage[most, target] = scaling["underTimeshare"]
        assert (metrics["requests"]["default/web"]["lostShare"] > 0.3) is (most == 5)
    assert len(set(peaks.values())) == 1
    assert min(shortage[5, target] for target in (30, 90)) > 60
    assert max(shortage[40, target] for target in (30, 60, 90)) < 20


def test_service_times_that_scatter_more_take_longer_at_the_tail() -> None:
    found = [
        measured(web({"constant": {"rps": 600}}, serviceTime=shape))["requests"]["default/web"]["latencySeconds"]["p99"]
        for shape in (
            "deterministic",
            {"distribution": "gamma", "cv": 0.5},
            "exponential",
            {"distribution": "samples", "samples": ["1ms", "1ms", "1ms", "20ms"]},
            {"distribution": "lognormal", "cv": 2.5},
        )
    ]
    assert found == sorted(found)
    assert found[-1] > 5 * found[0]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("lognormall", "did you mean 'lognormal'"),
        ("lognormal", "lognormal needs cv"),
        ({"distribution": "exponential", "cv": 2}, "exponential has no cv"),
        ({"distribution": "gamma", "cv": 9}, "too large"),
        ({"distribution": "samples"}, "samples needs samples"),
        ({"distribution": "samples", "samples": ["0s"]}, "take no time"),
        ({"distribution": "samples", "samples": ["fast"]}, "samples[0]"),
        ({"distribution": "gamma", "cvv": 1}, "unknown key 'cvv'"),
    ],
)
def test_a_service_time_that_cannot_be_is_told(shape: Any, told: str) -> None:
    with pytest.raises(UserError) as error:
        measured(web({"constant": {"rps": 10}}, serviceTime=shape))
    assert "serviceTime" in str(error.value)
    assert told in str(error.value)


def test_a_slo_that_no_number_of_replicas_meets_is_told() -> None:
    with pytest.raises(UserError, match="no number of replicas meets it"):
        measured(web({"constant": {"rps": 10}}, slo={"latency": "1ms"}))
