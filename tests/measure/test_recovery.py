"""Every loss has one cause: small scenarios through whole clusters, and what recovery says about their faults."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.experiment.run import run_once
from harness.experiment.scenario import LoadedScenario, from_data
from harness.experiment.waterfalls import waterfalls
from harness.measure.recovery import Recovery
from tests.experiment.scenarios import SERVICE, loaded

SHOP: dict[str, Any] = {"name": "shop", "replicas": 6, "cpu": 1, "load": {"constant": {"rps": 30}}}


def recovery(
    *faults: dict[str, Any],
    seed: int = 0,
    duration: str = "15m",
    shop: dict[str, Any] | None = None,
    workload: list[dict[str, Any]] | None = None,
    count: int = 6,
) -> list[dict[str, Any]]:
    workload = workload if workload is not None else [{"service": {**SHOP, **(shop or {})}}]
    data = scenario_of(faults, workload, duration, count)
    found: list[dict[str, Any]] = run_once(data, "least-allocated", seed).metrics["recovery"]
    return found


def scenario_of(
    faults: Sequence[dict[str, Any]], workload: list[dict[str, Any]], duration: str = "15m", count: int = 6
) -> LoadedScenario:
    data = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "faults"},
        "spec": {
            "duration": duration,
            "bound": False,
            "nodes": [{"group": {"name": "w", "count": count, "cpu": 4, "memory": "16Gi", "zones": ["a", "b", "c"]}}],
            "workload": workload,
            "faults": list(faults),
        },
    }
    return from_data(data, "faults.yaml")


def crash(at: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"at": at, "nodeCrash": {"select": {"names": list(names)}, **more}}


def test_a_crash_is_seen_evicted_and_replaced_in_kubernetes_times() -> None:
    (fault,) = recovery(crash("1m", "w-0"))
    phases = fault["phases"]
    assert 40 <= phases["detected"]["last"] <= 55.1
    assert phases["evicted"]["last"] - phases["detected"]["last"] == pytest.approx(300, abs=1)
    assert fault["replaced"] == fault["victims"] == 1
    assert phases["serving"]["last"] > phases["running"]["last"] >= phases["bound"]["last"]
    assert fault["requestsLost"]["default/shop"] == pytest.approx(5 * phases["detected"]["last"], rel=0.02)


def test_detection_spreads_over_the_seeds() -> None:
    seen = [
        recovery(crash("1m", "w-0"), seed=seed, duration="3m")[0]["phases"]["detected"]["last"] for seed in range(12)
    ]
    assert len({round(value, 3) for value in seen}) == 12
    assert all(40 <= value <= 55.1 for value in seen)
    assert max(seen) - min(seen) > 4


def test_the_second_fault_on_a_dead_node_hits_nothing_and_takes_nothing_from_the_first() -> None:
    alone = recovery(crash("1m", "w-0"))
    first, second, third = recovery(
        crash("1m", "w-0"),
        crash("70s", "w-0"),
        {"at": "80s", "nodeFreeze": {"select": {"names": ["w-0"]}, "for": "5s"}},
    )
    assert first == alone[0]
    for fault in (second, third):
        assert fault["hitNothing"] == "what it was to hit was down already"
        assert (fault["victims"], fault["phases"]) == (0, {})
        assert sum(fault["requestsLost"].values()) == 0


def test_a_container_crash_hits_its_pod_alone() -> None:
    (fault,) = recovery({"at": "1m", "containerCrash": {"app": "shop"}}, duration="4m", shop={"replicas": 12})
    assert (fault["victims"], fault["returned"], fault["replaced"]) == (1, 1, 0)
    assert fault["phases"]["serving"]["last"] < 10


def test_pods_that_somebody_deletes_are_hit_by_that() -> None:
    """They are replaced at once; one that a dead node held already is charged to the crash."""
    (fault,) = recovery({"at": "1m", "podDeletion": {"app": "shop", "count": 2}}, duration="4m")
    assert (fault["fault"], fault["victims"], fault["replaced"], len(fault["targets"])) == ("PodDeletion", 2, 2, 2)
    assert set(fault["phases"]) == {"recreated", "bound", "running", "serving"}
    assert fault["phases"]["serving"]["last"] < 10
    first, second = recovery(
        crash("1m", "w-0"), {"at": "70s", "podDeletion": {"app": "shop", "count": 6}}, duration="4m"
    )
    assert (first["victims"], second["victims"]) == (1, 5)


def test_a_fault_that_finds_nobody_says_so() -> None:
    """Before any pod of the service runs."""
    (told,) = recovery({"at": "1s", "containerCrash": {"app": "shop"}}, duration="1m")
    assert told["hitNothing"] == "nothing was there to be hit"
    assert told["targets"] == []


def test_overlapping_faults_share_no_victim() -> None:
    """A freeze of a whole zone, then a crash within it: what was hit by the first is not charged to the second."""
    zone, node = recovery(
        {"at": "1m", "zonePartition": {"zone": "a", "for": "30s"}}, crash("70s", "w-0"), duration="12m", count=6
    )
    assert (zone["victims"], node["victims"]) == (2, 0)
    assert (zone["returned"], zone["replaced"]) == (1, 1)
    assert zone["phases"]["evicted"]["last"] > 300


@pytest.mark.parametrize(
    "first",
    [
        {"at": "1m", "nodeFreeze": {"select": {"names": ["w-0"]}, "for": "30s"}},
        {"at": "1m", "zonePartition": {"zone": "a", "for": "30s"}},
    ],
)
def test_a_fault_that_outlasts_the_one_before_is_told(first: dict[str, Any], tmp_path: Path) -> None:
    """It said that it hit nothing, and the waterfall of the first had its node wait for an eviction rate."""
    spec = scenario_of([first, crash("70s", "w-0")], [{"service": SHOP}], "12m")
    result = run_once(spec, "least-allocated", 1, out=tmp_path)
    one, two = result.metrics["recovery"]
    assert (one["replaced"], two["victims"], two["prolonged"]) == (1, 0, 1)
    assert "hitNothing" not in two
    assert result.folder is not None
    falls = waterfalls(result.folder).recoveries
    names = [hop.name for hop in falls[0].hops]
    assert names[:3] == ["lease not renewed", "lease runs out", "monitor looks"]
    assert sum(hop.ns for hop in falls[0].hops) == falls[0].total_ns
    assert any(note.startswith("Crash w-0, at 70") for note in falls[0].notes)
    assert any("kept away for longer" in note for note in falls[1].notes)


@pytest.mark.parametrize(
    ("second", "victims", "prolonged"),
    [
        ({"at": "2m", "zonePartition": {"zone": "a", "for": "1m"}}, 0, 0),
        ({"at": "2m", "zonePartition": {"zone": "a", "for": "3m"}}, 0, 2),
        ({"at": "90s", "nodeFreeze": {"select": {"names": ["w-0"]}, "for": "20s"}}, 0, 0),
        ({"at": "90s", "nodeFreeze": {"select": {"names": ["w-0", "w-1"]}, "for": "20s"}}, 1, 0),
    ],
)
def test_a_fault_on_pods_that_are_down_already_says_so(second: dict[str, Any], victims: int, prolonged: int) -> None:
    first, told = recovery({"at": "1m", "zonePartition": {"zone": "a", "for": "3m"}}, second, duration="8m")
    assert first["victims"] == first["returned"] == 2
    assert told["victims"] == victims
    assert told.get("prolonged", 0) == prolonged
    assert told.get("hitNothing") == (None if victims or prolonged else "its pods had been hit before")


def test_a_control_plane_outage_is_charged_with_no_loss_of_a_crash_meanwhile() -> None:
    for outage in ("apiServerRestart", "schedulerOutage", "controllerManagerOutage"):
        down, crashed = recovery({"at": "1m", outage: {"downFor": "90s"}}, crash("65s", "w-0"), duration="9m")
        assert (down["victims"], sum(down["requestsLost"].values())) == (0, 0)
        assert (crashed["victims"], crashed["replaced"]) == (1, 1)
        assert sum(crashed["requestsLost"].values()) > 100


def test_what_an_autoscaler_takes_away_during_a_fault_is_no_eviction() -> None:
    """The load falls while a zone is cut off: the replicas that go are wanted no longer, and none is made for them."""
    shop = {
        "replicas": 12,
        "cpuPerRequest": "20m",
        "load": {"step": {"at": "2m", "before": 360, "after": 30}},
        "autoscaler": {"min": 2, "max": 12, "targetCpu": 60},
    }
    (fault,) = recovery({"at": "6m", "zonePartition": {"zone": "a", "for": "4m"}}, shop=shop, duration="14m")
    assert fault["removed"] > 0
    assert "evicted" not in fault["phases"]
    assert fault["replaced"] == 0
    assert fault["victims"] == fault["returned"] + fault["removed"]


@pytest.mark.parametrize("with_service", [False, True])
def test_when_all_zones_are_down_nothing_is_evicted(with_service: bool, tmp_path: Any) -> None:
    labels = {"app": "d"}
    pod = {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "replicas": 6,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(deployment))
    workload: list[dict[str, Any]] = [{"manifests": [str(path)]}]
    if with_service:
        workload.append({"service": SHOP})
    everyone = {"at": "2m", "nodeCrash": {"select": {"count": 6}, "downFor": "10m"}}
    (fault,) = recovery(everyone, workload=workload, duration="16m")
    assert "evicted" not in fault["phases"]
    assert fault["returned"] == fault["victims"] == (12 if with_service else 6)


def test_what_never_comes_back_counts_to_the_end_as_a_lower_bound() -> None:
    """No room is left for what the node held."""
    (fault,) = recovery(crash("2m", "w-0"), shop={"replicas": 3, "cpu": 3}, count=3, duration="12m")
    for phase in ("bound", "running", "serving"):
        assert fault["phases"][phase]["last"] == pytest.approx(600, abs=0.1)
        assert "last" in fault["phases"][phase]["atLeast"]
    assert "atLeast" not in fault["phases"]["evicted"]


def test_bare_tasks_of_a_dead_node_are_lost() -> None:
    tasks = {"openbLike": {"pods": 60, "longest": "10m", "load": 200}}
    (fault,) = recovery({"at": "4m", "nodeCrash": {"select": {"count": 2}}}, workload=[tasks], duration="14m", count=4)
    if fault["victims"]:
        assert fault["lost"] == fault["victims"] - fault["completed"]


def test_a_freeze_that_nobody_noticed_is_over_when_it_is_over() -> None:
    (fault,) = recovery({"at": "1m", "nodeFreeze": {"select": {"names": ["w-0"]}, "for": "10s"}}, duration="3m")
    assert (fault["victims"], fault["returned"]) == (1, 1)
    assert fault["phases"]["running"]["last"] == pytest.approx(10)
    assert "detected" not in fault["phases"]
    assert fault["requestsLost"]["default/shop"] == pytest.approx(50, abs=2)


def test_an_outage_of_the_api_server_is_measured() -> None:
    tasks = {"openbLike": {"pods": 80, "longest": "1m", "load": 60}}
    data = [tasks]
    nodes_down = {"at": "60s", "apiServerRestart": {"downFor": "30s"}}
    (fault,) = recovery(nodes_down, workload=data, duration="6m")
    outage = fault["outage"]
    assert outage["seconds"] == 30
    if outage["backlog"]:
        assert outage["withoutDecisions"] >= 30


def test_no_deletion_is_charged_twice() -> None:
    """Faults at random, on top of each other, for a while: no pod stands in two of them at once."""
    from harness.experiment.run import Home, Run
    from harness.scheduling.registry import load

    for seed in range(3):
        data = yaml.safe_load(
            """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: storm}
spec:
  duration: 20m
  bound: false
  nodes: [{group: {name: w, count: 6, cpu: 4, memory: 16Gi, zones: [a, b, c]}}]
  workload: [{service: {name: shop, replicas: 12, cpu: 1, load: {constant: {rps: 60}}}}]
  faults:
    - {every: 60s, nodeCrash: {downFor: 90s}}
    - {every: 60s, nodeFreeze: {for: 70s}}
    - {every: 30s, containerCrash: {app: shop}}
    - {every: 200s, zonePartition: {zone: a, for: 100s}}
"""
        )
        run = Run(from_data(data, "storm.yaml"), load("least-allocated")(), seed, Home())
        run.play()
        seen: Recovery = run.measures.recovery
        told = seen.metrics(run.end_ns)
        for uid in {hit.life.uid for fault in seen.faults for hit in fault.hits}:
            mine = sorted(
                (hit.fault.at_ns, hit.back_ns if hit.back_ns >= 0 else hit.left_ns if hit.left_ns >= 0 else 1 << 62)
                for fault in seen.faults
                for hit in fault.hits
                if hit.life.uid == uid
            )
            assert all(end <= begin for (_, end), (begin, _) in pairwise(mine)), (seed, mine)
        news = [hit.new.uid for fault in seen.faults for hit in fault.hits if hit.new is not None]
        assert len(news) == len(set(news))
        lost = sum(sum(fault["requestsLost"].values()) for fault in told)
        everything = run.measures.traffic.metrics(run.end_ns)["default/shop"]["lost"]
        assert lost <= everything + 1e-3 * len(told)
        run.close()


@pytest.mark.parametrize("of", ["process", "watches"])
def test_a_scheduler_that_is_away_when_the_run_ends_breaks_nothing(of: str) -> None:
    """What it remembered was held against the store, its absence 'detected', and said to last for an hour of a run of
    ten minutes."""
    faults = [
        {"at": "8m", "schedulerOutage": {"downFor": "1h", **({} if of == "process" else {"of": of})}},
        {"at": "9m", "podDeletion": {"app": "web", "count": 2}},
    ]
    result = run_once(loaded(duration="10m", workload=[SERVICE], faults=faults, bound=False), "least-allocated", 1)
    assert result.broken == []
    away, deletion = result.metrics["recovery"]
    assert away["phases"] == {}
    assert away["outage"]["seconds"] == away["outage"]["withoutDecisions"] == 120
    assert {"seconds", "withoutDecisions", "catchUp"} == set(away["outage"]["atLeast"])
    assert deletion["phases"]["bound"]["censored"] == 2


DAEMON_SET: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "d"}},
        "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]},
        },
    },
}  # fmt: skip


def test_a_daemon_pod_is_replaced_on_its_node_alone() -> None:
    """The pod on a node that joined later stood for the one on a node that was gone for good."""
    faults = [
        {"at": "2m", "nodeLeave": {"select": {"names": ["n-0"]}}},
        {"at": "3m", "nodeJoin": {"like": "n-1", "name": "later", "count": 1}},
        {"at": "4m", "podDeletion": {"app": "d", "count": 2}},
    ]
    spec = loaded(duration="8m", workload=[{"objects": [DAEMON_SET]}], faults=faults, bound=False)
    left, joined, deleted = run_once(spec, "greedy", 1).metrics["recovery"]
    assert (left["victims"], left["removed"], left["replaced"]) == (1, 1, 0)
    assert joined["victims"] == 0
    assert (deleted["victims"], deleted["replaced"], deleted["back"]) == (2, 2, 2)
    assert deleted["phases"]["running"]["last"] < 60


@pytest.mark.parametrize(
    "removal",
    [
        {"objectDeletion": {"kind": "Deployment", "name": "web"}},
        {"deploymentChange": {"name": "web", "replicas": 0}},
    ],
)
def test_a_crash_is_not_charged_with_what_a_removal_of_its_service_costs(removal: dict[str, Any]) -> None:
    """Whom it had hit was served for no more, so that all that found no endpoint from then on was the crash's."""
    faults = [crash("2m", "n-0"), {"at": "4m", **removal}]
    spec = loaded(duration="12m", workload=[SERVICE], faults=faults, bound=False)
    metrics = run_once(spec, "least-allocated", 1).metrics
    first, _ = metrics["recovery"]
    assert first["removed"] == first["victims"] > 0
    # Sent to the dead node's pods (a share of 40 a second) until its silence is noticed, after 55 s at most.
    assert 0 < first["requestsLost"]["default/web"] < 55 * 40
    assert metrics["requests"]["default/web"]["lostBy"]["noEndpoint"] > 400 * 40


def test_a_daemon_set_that_is_deleted_waits_for_no_pod() -> None:
    """Its pods were gone and its controller away when it was deleted: they were waited for to the end of the run."""
    faults = [
        {"at": "2m", "controllerManagerOutage": {"downFor": "60s"}},
        {"at": "125s", "podDeletion": {"app": "d", "count": 2}},
        {"at": "150s", "objectDeletion": {"kind": "DaemonSet", "name": "d"}},
    ]
    spec = loaded(duration="8m", workload=[{"objects": [DAEMON_SET]}], faults=faults, bound=False)
    _, deleted, _ = run_once(spec, "greedy", 1).metrics["recovery"]
    assert (deleted["victims"], deleted["removed"]) == (2, 2)
    assert "atLeast" not in str(deleted["phases"])


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicationController"])
def test_a_victim_whose_owner_is_scaled_down_is_removed(kind: str) -> None:
    """How many pods these want was not looked at: each that was scaled away was waited for to the end of the run."""
    template = {**DAEMON_SET["spec"]["template"], "metadata": {"labels": {"app": "s"}}}
    of_kind: dict[str, Any] = {"selector": {"app": "s"}}
    if kind == "StatefulSet":
        of_kind = {"selector": {"matchLabels": {"app": "s"}}, "serviceName": "s", "podManagementPolicy": "Parallel"}
    owner = {
        "apiVersion": "apps/v1" if kind == "StatefulSet" else "v1", "kind": kind,
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"replicas": 3, "template": template, **of_kind},
    }  # fmt: skip
    faults = [
        crash("2m", *(f"n-{at}" for at in range(6))),
        {"at": "4m", "objectChange": {"kind": kind, "name": "s", "patch": {"spec": {"replicas": 1}}}},
    ]
    spec = loaded(duration="8m", workload=[{"objects": [owner]}], faults=faults, bound=False)
    fault = run_once(spec, "greedy", 1).metrics["recovery"][0]
    assert (fault["victims"], fault["removed"]) == (3, 2)
    assert fault["phases"]["running"]["censored"] == 1


def test_an_outage_of_the_registry_stops_no_decision_and_says_whose_images_failed(tmp_path: Path) -> None:
    """It read as 120 s without decisions, though a pod was bound, and nothing told that no pull had failed."""
    faults = [
        {"at": "2m", "registryOutage": {"for": "1m", "images": ["nothing/*"]}},
        {"at": "4m", "registryOutage": {"for": "2m", "does": "notFound"}},
        {"at": "4m30s", "scale": {"name": "shop", "replicas": 3}},
    ]
    spec = scenario_of(faults, [{"service": {**SHOP, "replicas": 1}}], "12m")
    result = run_once(spec, "least-allocated", 1, out=tmp_path)
    idle, refusing = result.metrics["recovery"][:2]
    assert "outage" not in idle
    assert "outage" not in refusing
    assert idle["hitNothing"] == "no pod asked it for an image that it did not give"
    assert "pullsFailed" not in idle
    assert refusing["pullsFailed"] > 0
    assert "hitNothing" not in refusing
