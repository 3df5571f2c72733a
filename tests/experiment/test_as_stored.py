"""Measures count what pods ask for as the API server keeps them, and what the scheduler counts for them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from tests.experiment.scenarios import scenario

GROUP = {"name": "w", "count": 1, "cpu": 16, "memory": "64Gi", "gpus": 4}
RANGE = {
    "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "default"},
    "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "3"}, "default": {"cpu": "4"}}]},
}  # fmt: skip
KATA = {
    "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata",
    "overhead": {"podFixed": {"cpu": "500m", "memory": "128Mi"}},
}  # fmt: skip


def container(name: str = "c", **resources: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", "resources": resources}


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"restartPolicy": "Never", "containers": list(containers) or [container()], **more}


def pod(name: str, of: dict[str, Any], **annotations: str) -> dict[str, Any]:
    noted = {"podyard.dev/duration": "300s", **{key.replace("_", "-"): text for key, text in annotations.items()}}
    meta = {"name": name, "namespace": "default", "annotations": noted}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": of}


def job(name: str, of: dict[str, Any]) -> dict[str, Any]:
    template = {"metadata": {"annotations": {"podyard.dev/duration": "300s"}}, "spec": of}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}}


def placement(*objects: dict[str, Any]) -> dict[str, Any]:
    data = scenario(duration="10m", nodes=[{"group": GROUP}], workload=[{"objects": list(objects)}])
    return dict(run_once(from_data(data, "small.yaml"), "greedy", 1).metrics["placement"])


TWO = spec(container(limits={"cpu": "2"}))
SIDECAR = spec(
    container(requests={"cpu": "1"}),
    initContainers=[{**container("s", requests={"cpu": "2"}), "restartPolicy": "Always"}],
)
FIRST = spec(
    container(requests={"cpu": "1"}),
    initContainers=[
        {**container("s", requests={"cpu": "2"}), "restartPolicy": "Always"}, container("i", requests={"cpu": "3"}),
    ],
)  # fmt: skip
ASKED: dict[str, tuple[list[dict[str, Any]], float]] = {
    # what is created, cores that it holds
    "a limit is a request": ([pod("a", TWO), job("b", TWO)], 4),
    "a LimitRange fills in, but not what was there before it": ([pod("a", spec()), RANGE, pod("b", spec())], 3),
    "a LimitRange fills in for a Job, whatever the order": ([job("a", spec()), RANGE, job("b", TWO)], 5),
    "sidecars run beside the containers": ([pod("a", SIDECAR), job("b", SIDECAR)], 6),
    "an init container beside the sidecars before it": ([pod("a", FIRST)], 5),
    "a RuntimeClass has its overhead": (
        [KATA, *(make(name, {**SIDECAR, "runtimeClassName": "kata"}) for name, make in (("a", pod), ("b", job)))], 7,
    ),
    "with and without it, of one template": ([KATA, pod("a", TWO), pod("b", {**TWO, "runtimeClassName": "kata"})], 4.5),
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
def test_what_is_held_is_what_the_scheduler_counts_and_the_bound_knows_it(what: str) -> None:
    """The bound saw objects as they were sent, and was passed: limits without requests, LimitRanges. Sidecars and
    overhead were counted nowhere."""
    objects, cores = ASKED[what]
    found = placement(*objects)
    bound = found["bound"]
    assert bound["allocated"] == pytest.approx(cores * 300 / 599.5, rel=0.002)  # from 0.5 s to 600 s
    assert bound["most"] == pytest.approx(cores * 300 / 599.5, rel=0.002)
    assert 0 <= bound["gap"] < 0.002
    assert found["allocation"]["cpu"] == pytest.approx(cores / 16 * 300 / 599.5, rel=0.002)


def test_gpus_that_only_limits_name_and_shares_of_one_without_a_count() -> None:
    gpus = pod("a", spec(container(limits={"nvidia.com/gpu": "2"})))
    share = pod("b", spec(container(requests={"cpu": "1"})), **{"alibaba.com/gpu_milli": "500"})
    found = placement(gpus, share)
    assert found["allocation"]["gpu"] == pytest.approx(2.5 / 4 * 300 / 599.5, rel=0.002)
    assert found["bound"]["resource"] == "gpu"
    assert 0 <= found["bound"]["gap"] < 0.002


def test_where_a_later_limit_range_decides_the_bound_says_nothing() -> None:
    meta = {"name": "l", "namespace": "default", "annotations": {"podyard.dev/arrival": "60s"}}
    late = {**RANGE, "metadata": meta}
    assert "LimitRange l comes later" in placement(job("a", spec()), late)["bound"]["saysNothing"]
