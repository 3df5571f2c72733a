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
    # Before anything is lost the lines fill: 1,024 requests in each of four pods, of all that came in some 5 minutes.
    waiting = 4 * 1024 / (300 * rps) if lost else 0.0
    assert requests["lostShare"] == pytest.approx(lost - waiting, abs=0.001)
    assert requests["lostBy"]["overload"] == pytest.approx(requests["lost"], rel=1e-6, abs=1e-3)
    assert requests["sloAttainment"] == pytest.approx(0.0 if lost else 1.0, abs=0.002)
    assert requests["utilisation"] == pytest.approx(min(1.0, rps / 800), rel=0.01)
    assert requests["goodput"] <= 800


def test_latency_grows_with_load() -> None:
    found = [
        measured(web({"constant": {"rps": rps}}))["requests"]["default/web"]["latencySeconds"]["p99"]
        for rps in (80, 400, 700, 790)
    ]
    assert found == sorted(found)
    assert found[-1] > 5 * found[0]


@pytest.mark.parametrize(("rps", "least", "most"), [(200, 0, 0), (700, 2, 3), (1000, 3, 4), (8000, 5, 5)])
def test_who_turns_requests_away_is_not_quick(rps: int, least: int, most: int) -> None:
    """Latencies are of those that were let in: with nine of ten refused the median looked as good as with none."""
    found = measured(web({"constant": {"rps": rps}}, queueLimit=5))["requests"]["default/web"]
    unsure = found["latencySeconds"].get("atLeast", [])
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "mean": 0.99}
    assert unsure == [key for key, share in shares.items() if found["lostShare"] > 1 - share]
    assert least <= len(unsure) <= most


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


@pytest.mark.parametrize(
    ("shapes", "factor"),
    [
        (["exponential", {"distribution": "lognormal", "cv": 2.5}], 4),
        pytest.param(
            [
                "deterministic",
                {"distribution": "gamma", "cv": 0.5},
                "exponential",
                {"distribution": "samples", "samples": ["1ms", "1ms", "1ms", "20ms"]},
                {"distribution": "lognormal", "cv": 2.5},
            ],
            5,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["two", "five"],
)
def test_service_times_that_scatter_more_take_longer_at_the_tail(shapes: list[Any], factor: float) -> None:
    found = [
        measured(web({"constant": {"rps": 600}}, serviceTime=shape))["requests"]["default/web"]["latencySeconds"]["p99"]
        for shape in shapes
    ]
    assert found == sorted(found)
    assert found[-1] > factor * found[0]


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


def test_load_from_a_file(tmp_path: Any) -> None:
    """Ten times as fast as it was measured, half of it: 5 minutes of 400 requests a second are 30 s of 200, after
    the second in which nodes register."""
    import yaml

    from harness.experiment.scenario import read_scenario
    from tests.experiment.scenarios import scenario

    rows = [f"{60 * minute},{24_000 if minute < 5 else 0}\n" for minute in range(8)]
    (tmp_path / "rates.csv").write_text("when,hits\n" + "".join(rows))
    load = {"file": {"path": "rates.csv", "time": "when", "rate": "hits", "per": "1m", "scale": 0.5, "speedup": 10}}
    path = tmp_path / "s.yaml"

    def write(load: dict[str, Any]) -> None:
        path.write_text(yaml.safe_dump(scenario(nodes=NODES, workload=[web(load)], duration="2m"), sort_keys=False))

    write(load)
    requests = run_once(read_scenario(path), "greedy", 1).metrics["requests"]["default/web"]
    assert requests["sent"] + requests["warmUp"] == pytest.approx(200 * 31, rel=0.01)
    for change, told in (
        ({"scal": 2}, "unknown key 'scal'"),
        ({"path": "no.csv"}, "no such file"),
        ({"scale": -1}, "scale: "),
        ({"between": "curve"}, "between"),
        ({"per": "0s"}, "no time at all"),
        ({"rate": "hit"}, "did you mean 'hits'"),
    ):
        write({"file": {**load["file"], **change}})
        with pytest.raises(UserError) as error:
            run_once(read_scenario(path), "greedy", 1)
        assert told in str(error.value)
        assert error.value.line is not None


def test_an_autoscaler_from_manifests_has_the_demand_of_its_service(tmp_path: Any) -> None:
    """The same HPA, written by hand: demand, supply, node-hours and money are told alike."""
    cpu = {"type": "Utilization", "averageUtilization": 60}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "by-hand", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2,
            "maxReplicas": 40,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
        },
    }
    ramp = {"ramp": {"start": "1m", "end": "3m", "from": 200, "to": 2000}}
    nodes = [{"group": {**NODES[0]["group"], "price": 0.5}}]

    def scaling(*workload: dict[str, Any]) -> dict[str, Any]:
        data = loaded(nodes=nodes, workload=list(workload), duration="10m")
        found: dict[str, Any] = run_once(data, "greedy", 1).metrics["autoscaling"]["default/web"]
        return found

    ours = scaling(web(ramp, autoscaler={"min": 2, "max": 40, "targetCpu": 60}))
    theirs = scaling(web(ramp), {"objects": [scaler]})
    assert set(ours) == set(theirs)
    for name in ("demandPeak", "nodesPeak"):
        assert ours[name] == theirs[name]
    assert theirs["overTimeshare"] == pytest.approx(ours["overTimeshare"], abs=5)
    assert theirs["cost"] == pytest.approx(0.5 * theirs["nodeHours"]) == pytest.approx(6 * 0.5 / 6, rel=0.02)


def test_services_that_select_the_same_pods_share_their_capacity() -> None:
    """One of them was told to lose nothing, the other to answer nothing and lose nothing."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]
        },
    }
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        }
    ]  # fmt: skip
    clients: list[dict[str, Any]] = []
    for name, rps in (("a", 400), ("b", 600)):
        objects.append(
            {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
            }
        )  # fmt: skip
        clients.append({"clients": {"service": name, "load": {"constant": {"rps": rps}}}})
    spec = loaded(nodes=NODES, workload=[{"objects": objects}, *clients], duration="10m")
    found = run_once(spec, "greedy", 1).metrics["requests"]
    for name in "ab":  # 1000 requests a second for 800: a fifth is lost once the lines are full
        assert found[f"default/{name}"]["lostShare"] == pytest.approx(0.197, abs=0.003)
        assert found[f"default/{name}"]["utilisation"] == pytest.approx(1.0, abs=0.01)
