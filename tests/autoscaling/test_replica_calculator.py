"""The replica calculator agrees with every row of Kubernetes' own table, and with its arithmetic at the edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.autoscaling.horizontal.replica_calculator import (
    Replicas,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group_pods,
    pod_requests,
    total,
)
from harness.autoscaling.metrics_client import (
    MetricError,
    PodMetric,
    Startup,
    Tolerances,
    container_samples,
    pod_samples,
)
from harness.engine.component import MINUTE, SECOND
from harness.model.core import Container, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import Condition, ObjectMeta
from harness.model.objects import PodMetrics
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import ContainerMetrics
from tests.autoscaling.published_calculator import (
    GROUP_ROWS,
    METRIC_ROWS,
    REQUEST_ROWS,
    RESOURCE_ROWS,
    Group,
    Metric,
    Requests,
    Resource,
    each,
)

NOW = 60 * MINUTE
STARTUP = Startup(cpu_initialization_ns=2 * MINUTE, readiness_delay_ns=10 * SECOND)
STARTED = {"H": NOW, "c": NOW - 3 * MINUTE, "-": 0}
PHASES = {"R": "Running", "P": "Pending", "F": "Failed", "S": "Succeeded"}


def pods_of(row: Resource | Metric, count: int, requests: tuple[int, ...] = (), deleted: str = "") -> list[Pod]:
    pods = []
    for index in range(max(count, len(row.phase), len(deleted))):
        request = {"cpu": milli_quantity(requests[index])} if index < len(requests) else {}
        ready = row.ready[index : index + 1] != "F"
        pods.append(
            Pod(
                metadata=ObjectMeta(
                    name=f"test-pod-{index}",
                    deletion_timestamp=Time(NOW) if deleted[index : index + 1] == "D" else None,
                ),
                spec=PodSpec(
                    containers=tuple(
                        Container(name=name, resources=ResourceRequirements(requests=request))
                        for name in ("container1", "container2")
                    )
                ),
                status=PodStatus(
                    phase=PHASES[row.phase[index : index + 1] or "R"],
                    start_time=Time(STARTED[row.hot[index : index + 1] or "-"]),
                    conditions=(
                        Condition(type="Ready", status="True" if ready else "False", last_transition_time=Time(0)),
                    ),
                ),
            )
        )
    return pods


def metrics_of(row: Resource) -> list[PodMetrics]:
    return [
        PodMetrics(
            metadata=ObjectMeta(
                name=row.names[index] if row.names else f"test-pod-{index}", namespace="test-namespace"
            ),
            timestamp=Time(0),
            window="1m0s",
            containers=tuple(
                ContainerMetrics(name=f"container{number + 1}", usage={"cpu": milli_quantity(level)})
                for number, level in enumerate(levels)
            ),
        )
        for index, levels in enumerate(row.levels)
    ]


def resource_replicas(row: Resource) -> Replicas:
    pods = pods_of(row, row.current, row.requests, row.deleted)
    measured = metrics_of(row)
    try:
        samples = container_samples(measured, "cpu", row.container) if row.container else pod_samples(measured, "cpu")
    except MetricError as error:
        raise MetricError(f"unable to get metrics for resource cpu: {error}") from None
    groups = group_pods(pods, samples, "cpu", NOW, STARTUP)
    return by_utilization(row.current, row.target, pods, samples, groups, row.tolerances, ("cpu", row.container))


@pytest.mark.parametrize("row", RESOURCE_ROWS, ids=lambda row: row.name)
def test_published_resource_rows(row: Resource) -> None:
    if row.error:
        with pytest.raises(MetricError, match=row.error):
            resource_replicas(row)
    else:
        assert resource_replicas(row) == Replicas(row.replicas, row.raw, row.utilization)


@pytest.mark.parametrize("row", METRIC_ROWS, ids=lambda row: row.name)
def test_published_metric_rows(row: Metric) -> None:
    pods = pods_of(row, row.current)
    match row.kind:
        case "pods":
            samples = {f"test-pod-{index}": PodMetric(level) for index, level in enumerate(row.levels)}
            groups = group_pods(pods, samples, "", NOW, STARTUP)
            found = by_average(row.current, row.target, pods, samples, groups, row.tolerances)
        case "object" | "external":
            found = by_value(row.current, row.target, total(row.levels), pods, row.tolerances)
        case _:
            found = by_value_per_pod(row.current, row.target, total(row.levels), row.tolerances)
    assert found == Replicas(row.replicas, row.usage)


@pytest.mark.parametrize("row", GROUP_ROWS, ids=lambda row: row.name)
def test_published_groups(row: Group) -> None:
    pods = [
        Pod(
            metadata=ObjectMeta(name=name, deletion_timestamp=Time(SECOND) if deleted else None),
            spec=PodSpec(containers=()),
            status=PodStatus(
                phase=phase,
                start_time=None if start is None else Time(NOW - start * SECOND),
                conditions=()
                if ready is None
                else (Condition(type="Ready", status=ready[0], last_transition_time=Time(NOW - ready[1] * SECOND)),),
            ),
        )
        for name, phase, start, ready, deleted in row.pods
    ]
    samples = {
        name: PodMetric(1, 0 if age is None else NOW - age * SECOND, window * SECOND)
        for name, age, window in row.metrics
    }
    groups = group_pods(pods, samples, row.resource, NOW, STARTUP)
    assert (groups.ready, groups.unready, groups.missing, groups.ignored) == (
        row.ready,
        frozenset(row.unready),
        frozenset(row.missing),
        frozenset(row.ignored),
    )


@pytest.mark.parametrize("row", REQUEST_ROWS, ids=lambda row: row.name)
def test_published_requests(row: Requests) -> None:
    def container(name: str, milli: int | None, always: bool = False) -> Container:
        requests = {} if milli is None else {"cpu": milli_quantity(milli)}
        return Container(
            name=name,
            resources=ResourceRequirements(requests=requests),
            restart_policy="Always" if always else "",
        )

    pod = Pod(
        metadata=ObjectMeta(name="test-pod"),
        spec=PodSpec(
            containers=tuple(container(*item) for item in row.containers),
            init_containers=tuple(container(*item) for item in row.inits),
        ),
    )
    if row.error:
        with pytest.raises(MetricError, match=f"^{row.error}$"):
            pod_requests([pod], "cpu", row.container)
    else:
        assert pod_requests([pod], "cpu", row.container) == {"test-pod": row.expected}


# -- edges, worked by hand from the source -----------------------------------------------------------------------------


def usage_row(current: int, target: int, *levels: int) -> Resource:
    return Resource("", current, target, (1000,) * current, each(*levels))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # Percent is cut, not rounded: 559 of 1000 is 55 %, and 55/50 = 1.1 is just within the tolerance.
        (usage_row(1, 50, 559), 1),
        (usage_row(1, 50, 560), 2),
        # 45/50 = 0.9 is within, 44/50 is not: 449 of 1000 is 44 %.
        (usage_row(10, 50, *[450] * 10), 10),
        (usage_row(10, 50, *[449] * 10), 9),
        # Replicas are rounded up from what is ready: 51 % of 30 % over 3 pods.
        (usage_row(3, 30, 510, 510, 510), 6),
        # Two pods without a sample count as what they request: 6 % becomes 53 %, which is too much, so it stays.
        (usage_row(4, 50, 60, 60), 4),
        # More samples than replicas asked for: never down on a high ratio.
        (usage_row(2, 50, 1000), 2),
    ],
)
def test_edges_of_utilization(row: Resource, expected: int) -> None:
    assert resource_replicas(row).count == expected


def test_averages_are_cut_to_whole_milli_units() -> None:
    pods = pods_of(Metric("", "pods", 3, 1, (), 0, 0), 3)
    samples = {f"test-pod-{n}": PodMetric(value) for n, value in enumerate((1, 1, 0))}
    groups = group_pods(pods, samples, "", NOW, STARTUP)
    # 2/3 of a thousandth is nothing at all.
    assert by_average(3, 1, pods, samples, groups, Tolerances()) == Replicas(0, 0)


def test_without_replicas_only_metrics_that_need_no_pods_scale() -> None:
    assert by_value(0, 15000, 20000, [], Tolerances()) == Replicas(2, 20000)
    assert by_value(0, 1000, 1000, [], Tolerances()).count == 1
    assert by_value(0, 1000, 0, [], Tolerances()).count == 0
    assert by_value_per_pod(0, 1000, 2500, Tolerances()).count == 3
    assert by_value_per_pod(0, 1000, 0, Tolerances()).count == 0
    with pytest.raises(MetricError, match="unable to calculate ready pods: no pods returned by selector"):
        by_value(2, 1000, 5000, [], Tolerances())


@given(
    usages=st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=10),
    ready=st.text("TF", min_size=10, max_size=10),
    target=st.integers(1, 200),
)
def test_what_is_not_known_never_turns_a_decision_round(usages: list[int | None], ready: str, target: int) -> None:
    """Filling in pods without a trusted sample may weaken a change, or stop it, and never reverse it."""
    known = [usage for usage, letter in zip(usages, ready, strict=False) if usage is not None and letter == "T"]
    if not known:
        return
    current = len(usages)
    row = Resource("", current, target, (1000,) * current, (), ready=ready)
    pods = pods_of(row, current, row.requests)
    samples = {f"test-pod-{n}": PodMetric(2 * usage) for n, usage in enumerate(usages) if usage is not None}
    groups = group_pods(pods, samples, "cpu", NOW, STARTUP)
    found = by_utilization(current, target, pods, samples, groups, Tolerances(), ("cpu", ""))
    assert found.utilization is not None
    if groups.missing or (groups.unready and found.utilization > target):
        assert found.count <= current or found.utilization > target
        assert found.count >= current or found.utilization < target
