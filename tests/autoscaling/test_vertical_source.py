"""The vertical autoscaler against its source: drawn inputs, and what the source made of them.

`vertical_source.json` came of the packages recommender/model, recommender/logic, utils/vpa and updater/priority of
vertical-pod-autoscaler 1.8, compiled, and fed with samples, policies, LimitRanges and requests drawn at random. Left
out: inputs at which the source panics (a recommendation without a target under a pod's LimitRange), at which it
recommends minus one byte (`harness/model/vertical_capping.py` says when), or overflows 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.autoscaling.vertical.estimator import PodEstimator
from harness.autoscaling.vertical.settings import RecommenderSettings
from harness.autoscaling.vertical.update_priority import priority_of
from harness.autoscaling.vertical.usage_history import ContainerUsage, new_history
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.model.vertical_capping import capped_for_pod

SOURCE = json.loads((Path(__file__).parent / "vertical_source.json").read_text())
SETTINGS = RecommenderSettings()


def test_there_is_something_to_compare_with() -> None:
    assert (len(SOURCE["recommender"]), len(SOURCE["capping"])) == (30, 100)


@pytest.mark.parametrize("case", SOURCE["recommender"])
def test_recommendations_are_the_source_s_to_the_byte(case: dict[str, Any]) -> None:
    """Samples: kind, instant in ns, milli-CPU or bytes. Expected: target, lower and upper bound."""
    histories = {}
    for name, samples in case["samples"].items():
        histories[name] = new_history(SETTINGS)
        usage = ContainerUsage(histories[name], SETTINGS)
        take: dict[str, Callable[[int, int], bool]] = {
            "cpu": usage.add_cpu,
            "memory": usage.add_memory,
            "oom": usage.record_oom,
        }
        for kind, at_ns, value in samples:
            take[kind](value, at_ns)
    found = {
        item.container_name: [
            {"cpu": bound["cpu"].milli, "memory": bound["memory"].value}
            for bound in (item.target, item.lower_bound, item.upper_bound)
        ]
        for item in PodEstimator(SETTINGS).recommend(histories, None).container_recommendations
    }
    assert found == case["expected"]


def milli(amounts: dict[str, str] | None) -> dict[str, int]:
    return {name: parse_quantity(text).milli for name, text in (amounts or {}).items()}


@pytest.mark.parametrize("case", SOURCE["capping"])
def test_what_policies_limits_and_ranges_leave_of_it(case: dict[str, Any]) -> None:
    meta = {"name": "p", "namespace": "d"}
    pod = from_wire(
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "annotations": case["annotations"]},
            "spec": {"containers": case["containers"]},
        }
    )  # fmt: skip
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    policy = {} if case["policy"] is None else {"resourcePolicy": case["policy"]}
    status = {} if case["recommendation"] is None else {"recommendation": case["recommendation"]}
    vpa = from_wire(
        {
            "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": meta,
            "spec": {"targetRef": target, **policy}, "status": status,
        }
    )  # fmt: skip
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": meta, "spec": {"limits": case["ranges"]}}
    capped, notes = capped_for_pod(vpa, pod, [from_wire(limits)] if case["ranges"] else [])
    items = [] if case["capped"] is None else case["capped"].get("containerRecommendations", [])
    found = [] if capped is None else capped.container_recommendations
    assert (capped is None) == (case["capped"] is None)
    assert [
        (item.container_name, *(milli({k: str(v) for k, v in bound.items()})
         for bound in (item.target, item.lower_bound, item.upper_bound)))
        for item in found
    ] == [
        (item["containerName"], milli(item.get("target")), milli(item.get("lowerBound")), milli(item.get("upperBound")))
        for item in items
    ]  # fmt: skip
    assert {name: sorted(told) for name, told in notes.items() if told} == {
        name: sorted(told) for name, told in (case["notes"] or {}).items() if told
    }
    priority, expected = priority_of(pod, capped), case["priority"]
    assert (priority.out_of_range, priority.scales_up) == (expected["OutsideRecommendedRange"], expected["ScaleUp"])
    assert priority.diff == pytest.approx(expected["ResourceDiff"])
