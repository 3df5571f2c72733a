"""Where the autoscaler's numbers come from: kubelets' samples, metrics-server's scrapes, requests, declared series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.experiment.manifests import read_checked_manifests
from harness.experiment.prepared import prepare
from harness.experiment.run import Home, Run
from harness.model.core import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.objects import HorizontalPodAutoscaler
from harness.model.pod_usage import CPU_PER_REQUEST, CPU_USAGE, MEMORY_USAGE, Scrapes, measured
from harness.model.quantity import parse_quantity
from harness.model.wire import Time
from harness.node.usage import _Counter
from harness.scheduling.registry import load
from tests.experiment.scenarios import loaded

SECOND = 10**9


@pytest.mark.parametrize(
    # Samples at 0, 10, 20, ..; scrapes at 15, 30, 45, .. get those of 10, 30, 40, 60, ..
    ("started", "scrape", "expected"),
    [
        (5, 15, None),  # 5 s old at its first sample
        (5, 30, (10, 30)),
        (5, 45, (30, 40)),
        (18, 30, (18, 30)),  # 12 s old: its start stands for the first point
        (11, 30, None),  # 19 s old, and one point alone
        (11, 45, (30, 40)),
        (35, 45, None),
        (35, 60, (40, 60)),
    ],
)
def test_two_points_make_a_window(started: int, scrape: int, expected: tuple[int, int] | None) -> None:
    found = Scrapes().window(started * SECOND, scrape * SECOND)
    assert found == (None if expected is None else tuple(at * SECOND for at in expected))


@given(
    changes=st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 2_000)), min_size=1, max_size=12),
    started=st.integers(0, 29_000),
)
@example(changes=[(1, 1), (1, 0)], started=25_001)  # the next window begins with the container, not with a sample
def test_averages_are_those_of_the_counter(changes: list[tuple[int, int]], started: int) -> None:
    """Against the integral, second by millisecond: the window that ends with a scrape, and the next one."""
    ms = 10**6
    counter = _Counter(Scrapes(), started * ms, started * ms)
    counter.advance(started * ms)
    history = [(started, 0)]
    at = started
    for gap, milli in changes:
        while at // 15_000 < (at + gap) // 15_000 and (at // 15_000 + 1) * 15_000 < at + gap:
            gap -= (at // 15_000 + 1) * 15_000 - at
            at = (at // 15_000 + 1) * 15_000
            _check(counter, history, at)
        at += gap
        counter.advance(at * ms)
        counter.milli = milli
        history.append((at, milli))
    _check(counter, history, (at // 15_000 + 1) * 15_000)


def _check(counter: _Counter, history: list[tuple[int, int]], at: int) -> None:
    ms = 10**6
    counter.advance(at * ms)
    now, then = counter.windows(at * ms)
    for found, scrape in ((now, at), (then, at + 15_000)):
        points = Scrapes().window(history[0][0] * ms, scrape * ms)
        if points is not None:
            begin, end = points[0] // ms, points[1] // ms
            area = _area(history, begin, end)
            assert found == -(-area // (end - begin)), (scrape, history)


def _area(history: list[tuple[int, int]], begin: int, end: int) -> int:
    total = 0
    for index, (since, milli) in enumerate(history):
        until = history[index + 1][0] if index + 1 < len(history) else end
        total += milli * max(0, min(until, end) - max(since, begin))
    return total


def running(annotations: dict[str, str], *containers: dict[str, str], started: int = 0) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", namespace="default", annotations=annotations),
        spec=PodSpec(
            containers=tuple(
                Container(
                    name=f"c{index}",
                    resources=ResourceRequirements(requests={n: parse_quantity(v) for n, v in asked.items()}),
                )
                for index, asked in enumerate(containers)
            )
        ),
        status=PodStatus(
            phase="Running",
            start_time=Time(started),
            container_statuses=tuple(
                ContainerStatus(
                    name=f"c{index}", state=ContainerState(running=ContainerStateRunning(started_at=Time(started)))
                )
                for index in range(len(containers))
            ),
        ),
    )


def used(pod: Pod, at: int) -> list[tuple[str, str, str]]:
    found = measured(pod, None, at * SECOND, Scrapes())
    items = () if found is None else found.containers
    return [(item.name, str(item.usage["cpu"]), str(item.usage["memory"])) for item in items]


def test_every_running_pod_has_metrics() -> None:
    asked = {"cpu": "1", "memory": "1Gi"}
    assert used(running({}, asked), 40) == [("c0", "100m", "512Mi")]
    assert used(running({CPU_USAGE: "250m", MEMORY_USAGE: "64Mi"}, asked), 40) == [("c0", "250m", "64Mi")]
    assert used(running({}, {}), 40) == [("c0", "0", "0")]
    two = running({}, {"cpu": "300m", "memory": "100Mi"}, {"cpu": "100m", "memory": "300Mi"})
    assert used(two, 40) == [("c0", "30m", "50Mi"), ("c1", "10m", "150Mi")]
    assert used(running({}, asked, started=5 * SECOND), 30) == [], "the scrape before 30 s had one point"
    assert used(running({CPU_PER_REQUEST: "1m"}, asked), 40) == [], "its kubelet has not said yet"
    pending = Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(containers=()), status=PodStatus(phase="Pending"))
    assert measured(pending, None, 40 * SECOND, Scrapes()) is None


# -- through a scenario ------------------------------------------------------------------------------------------------

NODES = [{"group": {"name": "n", "count": 4, "cpu": 16, "memory": "64Gi"}}]
WORKER: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "worker"},
    "spec": {
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}, "annotations": {"podyard.dev/memory-usage": "120Mi"}},
            "spec": {
                "containers": [
                    {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}
                ]
            },
        },
    },
}


def scaler(*metrics: dict[str, Any], of: str = "worker", most: int = 40) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": of},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of},
            "maxReplicas": most,
            "metrics": list(metrics),
        },
    }


def sizes(of: str, **spec: Any) -> list[tuple[int, int]]:
    """(second, replicas) of a Deployment at each change."""
    run = Run(loaded(bound=False, nodes=NODES, **spec), load("least-allocated")(), 1, Home())
    found: list[tuple[int, int]] = []

    def write(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Deployment" and obj.metadata.name == of and (not found or found[-1][1] != obj.spec.replicas):
            found.append((run.cluster.server.now // SECOND, obj.spec.replicas))

    run.cluster.server.listeners.append(write)
    run.play()
    return found


def external(target: dict[str, Any], **selector: str) -> dict[str, Any]:
    metric: dict[str, Any] = {"name": "queue_depth"}
    if selector:
        metric["selector"] = {"matchLabels": selector}
    return {"type": "External", "external": {"metric": metric, "target": target}}


STEP = {"step": {"at": "3m", "before": 10, "after": 95}}


def test_an_external_series_scales_by_its_value_a_pod() -> None:
    metric = external({"type": "AverageValue", "averageValue": "10"}, queue="orders")
    found = sizes(
        "worker",
        duration="5m",
        metrics=[
            {"name": "queue_depth", "labels": {"queue": "orders"}, "series": STEP},
            {"name": "queue_depth", "labels": {"queue": "other"}, "series": {"constant": {"value": 500}}},
        ],
        workload=[{"objects": [WORKER, scaler(metric)]}],
    )
    assert [count for _, count in found] == [1, 4, 8, 10]
    assert 181 < found[1][0] <= 181 + 30


def test_memory_scales_by_what_pods_use() -> None:
    metric = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}},
    }
    found = sizes("worker", duration="4m", workload=[{"objects": [WORKER, scaler(metric, most=6)]}])
    assert [count for _, count in found] == [1, 2, 3, 4, 5, 6], "120 % of the target, whatever the number of pods"


def test_requests_scale_by_pods_and_by_service() -> None:
    web = {"name": "web", "replicas": 2, "cpu": 1, "cpuPerRequest": "2m"}
    web["load"] = {"step": {"at": "2m", "before": 100, "after": 400}}
    by_pods = {
        "type": "Pods",
        "pods": {"metric": {"name": "http_requests"}, "target": {"type": "AverageValue", "averageValue": "50"}},
    }
    found = sizes("web", duration="4m", workload=[{"service": web}, {"objects": [scaler(by_pods, of="web")]}])
    assert [count for _, count in found] == [2, 4, 8]
    by_service = {
        "type": "Object",
        "object": {
            "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "web"},
            "metric": {"name": "requests_per_second"},
            "target": {"type": "Value", "value": "100"},
        },
    }
    found = sizes("web", duration="3m", workload=[{"service": web}, {"objects": [scaler(by_service, of="web")]}])
    assert [count for _, count in found][:2] == [2, 4]


def test_queue_length_grows_without_bound_near_capacity() -> None:
    web = {"name": "web", "replicas": 1, "cpu": 1, "cpuPerRequest": "10m", "load": {"constant": {"rps": 190}}}
    metric = {
        "type": "Pods",
        "pods": {"metric": {"name": "queue_length"}, "target": {"type": "AverageValue", "averageValue": "1"}},
    }
    found = sizes("web", duration="90s", workload=[{"service": web}, {"objects": [scaler(metric, of="web", most=2)]}])
    assert [count for _, count in found] == [1, 2], "95 of 100 busy: some 18 wait on average"


def test_a_metric_that_nothing_serves_is_refused_by_name() -> None:
    metric = {
        "type": "Pods",
        "pods": {"metric": {"name": "http_request"}, "target": {"type": "AverageValue", "averageValue": "1"}},
    }
    for item, name in ((metric, "http_request"), (external({"type": "Value", "value": "1"}), "queue_depth")):
        with pytest.raises(UserError) as told:
            prepare(loaded(nodes=NODES, workload=[{"objects": [WORKER, scaler(item)]}], duration="1m"), 1)
        assert told.value.found == name
        assert "HorizontalPodAutoscaler worker" in told.value.what or "default/worker" in told.value.what


def test_scale_to_zero_and_back_by_its_gate() -> None:
    series = [{"spike": {"at": at, "base": 0, "peak": 30, "hold": "1m"}} for at in ("1m", "9m")]
    to_zero = scaler(external({"type": "AverageValue", "averageValue": "10"}))
    to_zero["spec"]["minReplicas"] = 0
    spec: dict[str, Any] = {
        "duration": "10m",
        "metrics": [{"name": "queue_depth", "series": series}],
        "workload": [{"objects": [WORKER, to_zero]}],
    }
    with pytest.raises(UserError, match=r"minReplicas.*greater than or equal to 1"):
        sizes("worker", **spec)
    found = sizes("worker", constants={"HPAScaleToZero": True}, **spec)
    assert [count for _, count in found] == [1, 3, 0, 3]
    # Of five minutes the highest recommendation, of which the last is from a scrape up to 15 s before the end at 121 s.
    assert found[2][0] >= 121 - 15 + 300


def test_version_1_is_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    annotation = '[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"10"}}]'
    behavior = '{"ScaleDown":{"SelectPolicy":"Disabled"}}'
    file.write_text(
        "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: h\n  annotations:\n"
        f"    autoscaling.alpha.kubernetes.io/metrics: '{annotation}'\n"
        f"    autoscaling.alpha.kubernetes.io/behavior: '{behavior}'\n"
        "spec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}\n  maxReplicas: 4\n"
        "  targetCPUUtilizationPercentage: 70\n"
    )
    (found,) = read_checked_manifests([file])
    made: HorizontalPodAutoscaler = found.object
    pods, cpu = made.spec.metrics
    assert pods.pods is not None
    assert pods.pods.metric.name == "rps"
    assert str(pods.pods.target.average_value) == "10"
    assert cpu.resource is not None
    assert cpu.resource.target.average_utilization == 70
    assert made.spec.behavior is not None
    assert made.spec.behavior.scale_down is not None
    assert made.spec.behavior.scale_down.select_policy == "Disabled"
    assert made.metadata.annotations == {}
    file.write_text(file.read_text().replace("targetCPUUtilizationPercentage", "targetCPUUtilisationPercentage"))
    with pytest.raises(UserError, match=r"targetCPUUtilisationPercentage"):
        read_checked_manifests([file])


def test_a_resource_that_nobody_measures_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "h.json"
    metric = {"type": "Resource", "resource": {"name": "nvidia.com/gpu", "target": {"type": "AverageValue"}}}
    metric["resource"]["target"]["averageValue"] = "1"  # type: ignore[index]
    file.write_text(json.dumps(scaler(metric)))
    with pytest.raises(UserError, match=r"spec\.metrics\[0\]\.resource\.name is not modelled: metrics-server measures"):
        read_checked_manifests([file])
