"""Waterfalls of faults that overlap: each second goes to what it was waited for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.waterfalls import waterfalls
from tests.experiment.test_waterfalls import WEB, check, crash, run

AWAY: dict[str, tuple[list[dict[str, Any]], int, str, str]] = {
    # faults, number of the one that is looked at, hop, timer
    "scheduler": (
        [{"at": "4m", "schedulerOutage": {"downFor": "3m"}}, {"at": "5m", "podDeletion": {"app": "web"}}],
        2, "kube-scheduler away", "outage of kube-scheduler",
    ),
    "scheduler's watches": (
        [
            {"at": "4m", "schedulerOutage": {"downFor": "3m", "of": "watches"}},
            {"at": "5m", "podDeletion": {"app": "web"}},
        ],
        2, "kube-scheduler away", "watches of kube-scheduler",
    ),
    "controllers": (
        [{"at": "4m", "controllerManagerOutage": {"downFor": "3m"}}, {"at": "5m", "podDeletion": {"app": "web"}}],
        2, "kube-controller-manager away", "outage of kube-controller-manager",
    ),
    "API server": (
        [{"at": "5m", "podDeletion": {"app": "web"}}, {"at": "301s", "apiServerRestart": {"downFor": "2m"}}],
        1, "kube-apiserver away", "outage of kube-apiserver",
    ),
}  # fmt: skip


@pytest.mark.parametrize("process", AWAY)
def test_who_waits_for_a_process_that_is_away_waits_for_its_outage(tmp_path: Path, process: str) -> None:
    """It read as latency of the scheduler, the controllers and the kubelet."""
    faults, number, name, timer = AWAY[process]
    falls = waterfalls(run(tmp_path, faults=faults))
    check(falls)
    fall = falls.recoveries[number - 1]
    assert sum(hop.ns for hop in fall.hops if hop.name == name) == pytest.approx(120e9, abs=1.5e9)
    assert fall.dominant[0] == timer


def test_a_new_controller_manager_counts_silence_and_toleration_anew(tmp_path: Path) -> None:
    """Source: nodelifecycle's nodeHealthMap and tainteviction's queue are a process's own (kubernetes 1.34)."""
    away = {"at": "10m", "controllerManagerOutage": {"downFor": "3m"}}
    falls = waterfalls(run(tmp_path, duration="25m", faults=[crash("5m", "n-0"), away]))
    check(falls)
    hops = {hop.name: hop for hop in falls.recoveries[0].hops}
    assert hops["kube-controller-manager away"].ns == pytest.approx(180e9, abs=1e9)
    assert hops["taint tolerated anew"].ns == 300 * 10**9
    assert falls.recoveries[0].dominant[0] == "default-unreachable-toleration-seconds"
    # An eviction waited for it, so it is not said that nothing did.
    assert falls.recoveries[1].notes == ["at its end no pod was without a node, and no replica was missing"]


def test_a_drain_of_a_node_that_crashed_is_in_the_way_of_its_pods(tmp_path: Path) -> None:
    """The way went on until the node was seen to be NotReady, when its pods had long been served elsewhere."""
    drain = {"at": "330s", "drain": {"select": {"names": ["n-0"]}}}
    falls = waterfalls(run(tmp_path, faults=[crash("5m", "n-0"), drain]))
    check(falls)
    first, second = falls.recoveries
    assert first.hops[0].name == "until Drain n-0"
    assert first.hops[0].ns == pytest.approx(30e9, abs=1e8)
    assert first.total_ns < 35e9
    assert second.unended == "done"  # a machine that is off ends no pod


def test_what_came_in_a_pods_place_and_was_hit_itself_goes_on_with_that_fault(tmp_path: Path) -> None:
    """A pod is deleted, and the new one is bound to a node that crashes before it runs."""
    faults = [{"at": "5m", "podDeletion": {"app": "web"}}, crash("300500ms", *(f"n-{at}" for at in range(1, 6)))]
    falls = waterfalls(run(tmp_path, service={**WEB, "replicas": 1}, duration="20m", faults=faults))
    check(falls)
    deletion, crashed = falls.recoveries
    assert f"hit by {crashed.title}" in [hop.name for hop in deletion.hops]
    assert not deletion.unended
    assert deletion.end_ns == crashed.end_ns


WATCHES_CUT = {"at": "288s", "controllerManagerOutage": {"downFor": "134s", "of": "watches"}}
OTHERS_CORDONED = {"at": "10s", "cordon": {"select": {"names": [f"n-{at}" for at in range(2, 6)]}}}
CAUSES: dict[str, tuple[dict[str, Any], int, str, str, float]] = {
    # the run, number of the fault that is looked at, hop, timer, seconds at least
    "a pod goes to a node that stands still": (
        {
            "service": {**WEB, "replicas": 1, "cpu": 3},
            "faults": [
                OTHERS_CORDONED,
                {"at": "5m", "nodeFreeze": {"select": {"names": ["n-0", "n-1"]}, "for": "30s"}},
                {"at": "301s", "podDeletion": {"app": "web", "graceSeconds": 0}},
            ],
        },
        2, "its node away", "Freeze of its node", 25,
    ),
    "a node is seen to be silent although watches are cut": (
        {"faults": [crash("244s", "n-1"), WATCHES_CUT], "duration": "20m"},
        1, "taint tolerated anew", "default-unreachable-toleration-seconds", 300,
    ),
    "a node whose object is deleted, and that crashes": (
        {
            "faults": [
                {"at": "280s", "objectDeletion": {"kind": "Node", "name": "n-1"}}, crash("331s", "n-1", downFor="25s")
            ],
        },
        2, "collected as a pod of no node", "gcCheckPeriod", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CAUSES)
def test_what_a_pod_waited_for_is_no_latency(tmp_path: Path, what: str) -> None:
    """All of these read as latencies, of a registry, of a proxy, or of whoever told a pod to go."""
    spec, number, name, timer, least = CAUSES[what]
    falls = waterfalls(run(tmp_path, **spec))
    check(falls)
    hops = falls.recoveries[number - 1].hops
    assert [(hop.timer, hop.ns >= least * 1e9) for hop in hops if hop.name.endswith(name)] == [(timer, True)]


def test_who_is_ready_again_before_anybody_noticed_is_an_endpoint_still(tmp_path: Path) -> None:
    """It waited for the endpoint that it had, until it was deleted."""
    faults = [
        {"at": "248s", "controllerManagerOutage": {"downFor": "200s"}},
        {"at": "303s", "containerCrash": {"app": "web"}},
        {"at": "500s", "podDeletion": {"app": "web", "count": 6}},
    ]
    falls = waterfalls(run(tmp_path, faults=faults))
    check(falls)
    crashed = falls.recoveries[1]
    assert crashed.hops[-1].name == "ready"
    assert crashed.total_ns < 5e9


def test_a_crash_long_after_a_node_is_back_is_not_in_its_way(tmp_path: Path) -> None:
    faults = [
        {"at": "58s", "zonePartition": {"zone": "a", "for": "120s"}},
        {"at": "348s", "containerCrash": {"app": "web", "count": 6}},
    ]
    falls = waterfalls(run(tmp_path, faults=faults))
    check(falls)
    assert falls.recoveries[0].total_ns == pytest.approx(120e9, abs=1e8)


def test_a_crash_ends_a_freeze_and_what_is_down_does_not_stand_still(tmp_path: Path) -> None:
    """The way was open to the end, though its pods had been served for minutes; starts were charged to a freeze."""
    still, off = {"nodeFreeze": {"select": {"names": ["n-0"]}, "for": "300s"}}, {"downFor": "30s"}
    for number, faults in enumerate(
        (
            [{"at": "300s", **still}, crash("320s", "n-0", **off)],
            [crash("320s", "n-0", **off), {"at": "330s", **still}],
        )
    ):
        record = run(tmp_path / str(number), faults=faults)
        falls = waterfalls(record)
        check(falls)
        fall = falls.recoveries[0]
        assert not fall.unended
        assert not [hop for hop in fall.hops if hop.name == "its node away"]
        assert sum(hop.ns for hop in fall.hops if hop.timer == "readiness of the container") == 2 * 10**9
        measured = json.loads((record / "record.json").read_text())["metrics"]["recovery"][0]
        serving = measured["phases"]["serving"]["last"]
        ended = (fall.hops[-1].start_ns - fall.start_ns) / 1e9
        assert ended == pytest.approx(serving, abs=0.01)
        assert ended == pytest.approx(30 + 2.5 + 20 * (number == 0), abs=0.1)


JOB = {
    "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"},
    "spec": {
        "completions": 6, "parallelism": 3,
        "template": {
            "metadata": {"labels": {"app": "j"}, "annotations": {"podyard.dev/duration": "200s"}},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}],
            },
        },
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (crash("100s", "n-0", downFor="60s"), ["NotReady written", "until it is undone", "seen to have failed"]),
        (crash("100s", "n-0", downFor="20s"), ["until it is undone", "seen to have failed"]),
        ({"at": "100s", "containerCrash": {"app": "j"}}, ["seen to have failed"]),
    ],
)
def test_a_pod_that_failed_for_good_is_replaced_by_its_job(
    tmp_path: Path, fault: dict[str, Any], names: list[str]
) -> None:
    """The way of a Job's pod waited to the end of the run for an eviction, or a restart, while another ran."""
    nodes = [{"group": {"name": "n", "count": 3, "cpu": 4, "memory": "16Gi"}}]
    record = run(tmp_path, workload=[{"objects": [JOB]}], faults=[fault], nodes=nodes)
    falls = waterfalls(record)
    check(falls)
    (fall,) = falls.recoveries
    assert not fall.unended
    assert [
        hop.name for hop in fall.hops if hop.name in ("NotReady written", "until it is undone", "seen to have failed")
    ] == names
    replaced = next(hop for hop in fall.hops if hop.name == "replaced")
    assert 9e9 < replaced.ns < 10.1e9  # DefaultJobPodFailureBackOff, from when its container ended
    measured = json.loads((record / "record.json").read_text())["metrics"]["recovery"][0]
    running = next(hop.start_ns for hop in fall.hops if hop.name == "ready") / 1e9 - fall.start_ns / 1e9
    assert running == pytest.approx(measured["phases"]["running"]["last"], abs=0.01)


def test_an_outage_that_lasts_to_the_end_is_waited_for_to_the_end(tmp_path: Path) -> None:
    """It ended with the last entry of the journal, after which nothing more happened; the rest was room's."""
    faults = [{"at": "5m", "schedulerOutage": {"downFor": "11m"}}, {"at": "6m", "podDeletion": {"app": "web"}}]
    falls = waterfalls(run(tmp_path, faults=faults))
    check(falls)
    fall = falls.recoveries[1]
    assert fall.unended
    assert fall.hops[-1].name == "kube-scheduler away"
    assert fall.hops[-1].ns == pytest.approx(540e9, abs=1e8)


def test_who_is_deleted_before_it_is_ready_again_is_followed_to_what_came_in_its_place(tmp_path: Path) -> None:
    """A container crashed, its node stood still, and its pod was deleted: the way was open to the end of the run."""
    faults = [
        {"at": "91s", "containerCrash": {"app": "web", "count": 6}},
        {"at": "92600ms", "nodeFreeze": {"select": {"names": ["n-2"]}, "for": "160s"}},
        {"at": "99s", "podDeletion": {"app": "web", "count": 6, "graceSeconds": 0}},
    ]
    record = run(tmp_path, faults=faults)
    falls = waterfalls(record)
    check(falls)
    fall = falls.recoveries[0]
    assert not fall.unended
    (way,) = (way for way in fall.ways if any(hop.name.startswith("until PodDeletion") for hop in way))
    measured = json.loads((record / "record.json").read_text())["metrics"]["recovery"][0]
    ended = max(way[-1].start_ns for way in fall.ways) - fall.start_ns
    assert ended / 1e9 == pytest.approx(measured["phases"]["serving"]["last"], abs=0.01)
    assert way[0].name == "seen to have ended"


@pytest.mark.parametrize("after_ms", [0, 3, 30])
def test_a_crash_right_after_a_partition_has_victims_of_its_own(tmp_path: Path, after_ms: int) -> None:
    """The news that the node was ready again arrived after the crash: the pods were said to be back, the crash to have
    hit nothing, and nobody waited for the five minutes that followed."""
    faults = [
        {"at": "3m", "zonePartition": {"zone": "a", "for": "83s"}},
        {"at": f"{263_000 + after_ms}ms", "nodeCrash": {"select": {"zone": "a"}}},
    ]
    nodes = [{"group": {"name": "n", "count": 6, "cpu": 2, "memory": "16Gi", "zones": ["a", "b", "c"]}}]
    record = run(tmp_path, faults=faults, nodes=nodes)
    falls = waterfalls(record)
    check(falls)
    partition, crashed = json.loads((record / "record.json").read_text())["metrics"]["recovery"]
    assert partition["victims"] == partition["returned"] == crashed["victims"] == crashed["replaced"] == 2
    assert partition["phases"]["running"]["last"] == pytest.approx(83, abs=0.1)
    assert crashed["phases"]["running"]["first"] > 340
    assert crashed["phases"]["detected"]["first"] > 40
    assert [fall.total_ns // 10**9 for fall in falls.recoveries] == [
        pytest.approx(83, abs=1),
        pytest.approx(355, abs=12),
    ]
