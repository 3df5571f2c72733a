"""Systematic outages: a sample of all points in every run of the tests, all of them where slow tests are run."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.outage_scenarios import SCENARIOS
from benchmarks.outages import KUBELET, OUTAGES, Point, all_points, failures, pairs, points_of, scenario

SAMPLE, PAIRS = 80, 20


FOUND = (
    # A lease, a deletion, a status that met a conflict was not tried again.
    Point("preemption", KUBELET, 1, "conflict"),
    Point("jobs", KUBELET, 7, "conflict"),
    Point("jobs", KUBELET, 17, "conflict"),
    # What had arrived although the answer was lost was sent again, changed nothing, and was waited for.
    Point("jobs", KUBELET, 2, "timeout"),
    # Pods of a node that had been lost before were not marked.
    Point("node loss", "node-lifecycle-controller", 0, "component restart"),
    Point("node loss", "node-lifecycle-controller", 2, "conflict"),
    # A pod that was assumed was nominated again by older news of it, and kept its node's room for ever.
    Point("preemption", "default-scheduler", 19, "watch replayed"),
)


@pytest.mark.parametrize("point", FOUND, ids=str)
def test_what_was_found_is_mended(point: Point) -> None:
    assert failures([point]) == []


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return list(all_points())


def test_every_controller_has_a_write_that_goes_wrong(points: list[Point]) -> None:
    assert {point.component for point in points} == {
        "cluster-autoscaler", "daemonset-controller", "default-scheduler", "deployment-controller",
        "disruption-controller", "endpointslice-controller", "ephemeral-volume-controller", "external-provisioner",
        "garbage-collector", "horizontal-pod-autoscaler", "job-controller", "kubelet n0", "namespace-controller",
        "node-lifecycle-controller", "persistentvolume-binder", "pod-garbage-collector", "replicaset-controller",
        "cronjob-controller", "replicationcontroller-controller", "resourcequota-controller",
        "statefulset-controller", "taint-eviction-controller", "persistentvolume-attach-detach-controller",
        "external-attacher",
    }  # fmt: skip
    assert {point.outage for point in points} == set(OUTAGES)
    assert len(points) > 4000


def test_after_any_single_outage_of_a_sample_everything_comes_to_rest(points: list[Point]) -> None:
    drawn = Random(20).sample(points, SAMPLE)
    found = {str(point): wrong for point in drawn if (wrong := failures([point]))}
    assert found == {}


def test_after_two_outages_everything_comes_to_rest(points: list[Point]) -> None:
    drawn = pairs(points, PAIRS, Random(21))
    found = {" and ".join(map(str, both)): wrong for both in drawn if (wrong := failures(both))}
    assert found == {}


def test_a_point_is_told_that_is_not_reached() -> None:
    assert failures([Point("volumes", "default-scheduler", 1000, "refused")]) == ["the point was not reached"]


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in SCENARIOS])
def test_after_every_single_outage_everything_comes_to_rest(name: str) -> None:
    every = points_of(scenario(name))
    found = {str(point): wrong for point in every if (wrong := failures([point]))}
    assert found == {}
