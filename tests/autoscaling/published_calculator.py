"""What Kubernetes' own table of the replica calculator says: inputs and expected outcomes, as data.

Source: kubernetes 1.34 pkg/controller/podautoscaler/replica_calculator_test.go, by the names of its tests. CPU
initialization 2 min, readiness delay 10 s, samples over a minute; two containers a pod, alike unless levels differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.autoscaling.metrics_client import Tolerances

MOST = (1 << 63) - 1
INT32 = (1 << 31) - 1
Levels = tuple[tuple[int, ...], ...]
TENTH = Tolerances()


def each(*levels: int) -> Levels:
    """Both containers of each pod use the same."""
    return tuple((level, level) for level in levels)


@dataclass(frozen=True, slots=True)
class Resource:
    """CPU as a share of requests. One letter a pod: `ready` T or F; `hot` H: started now, c: 3 min ago, -: long ago;
    `phase` R, P, F or S; `deleted` D. `requests`: milli-CPU of each container, by pod."""

    name: str
    current: int
    target: int
    requests: tuple[int, ...]
    levels: Levels
    replicas: int = -1
    utilization: int = -1
    raw: int = -1
    container: str = ""
    ready: str = ""
    hot: str = ""
    phase: str = ""
    deleted: str = ""
    names: tuple[str, ...] = ()
    tolerances: Tolerances = TENTH
    error: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """`kind`: pods, object, objectPerPod, external or externalPerPod."""

    name: str
    kind: str
    current: int
    target: int
    levels: tuple[int, ...]
    replicas: int
    usage: int
    ready: str = ""
    hot: str = ""
    phase: str = ""
    tolerances: Tolerances = TENTH


ONE, THREE, FOUR, FIVE, SEVEN = (1000,), (1000,) * 3, (1000,) * 4, (1000,) * 5, (1000,) * 7
DOWN = (100, 300, 500, 250, 250)
DOWN_2 = ((1000, 100), (1000, 300), (1000, 500), (1000, 250), (1000, 250))
JITTERED = (900, 1000, 1100)

RESOURCE_ROWS = (
    Resource("ScaleUp", 3, 30, THREE, each(300, 500, 700), 5, 50, 1000),
    Resource("ScaleUp/container", 3, 30, THREE, ((1000, 300), (1000, 500), (1000, 700)), 5, 50, 500, "container2"),
    Resource("ScaleUp/unready", 3, 30, THREE, each(300, 500, 700), 4, 60, 1200, ready="FTT"),
    Resource(
        "ScaleUp/hotContainer", 3, 30, THREE, ((0, 300), (0, 500), (0, 700)), 4, 60, 600, "container2", hot="Hcc"
    ),
    Resource("ScaleUp/hot", 3, 30, THREE, each(300, 500, 700), 4, 60, 1200, hot="Hcc"),
    Resource("NoScale/unready", 3, 30, THREE, each(400, 500, 700), 3, 40, 800, ready="TFF"),
    Resource("NoScale/hot", 3, 30, THREE, each(400, 500, 700), 3, 40, 800, ready="TFF", hot="cHH"),
    Resource("ScaleUp/failed", 2, 30, FOUR, each(500, 700), 4, 60, 1200, ready="TTFF", phase="RRFF"),
    Resource(
        "ScaleUp/failedWithoutContainerMetric", 2, 30, FOUR, ((1000, 500), (9000, 700), (1000,), (9000,)), 4, 60, 600,
        "container2", ready="TTFF", phase="RRFF",
    ),
    Resource(
        "ScaleUp/failedContainer", 2, 30, FOUR, ((1000, 500), (9000, 700)), 4, 60, 600, "container2",
        ready="TTFF", phase="RRFF",
    ),
    Resource("ScaleUp/deleted", 2, 30, FOUR, each(500, 700), 4, 60, 1200, ready="TTFF", deleted="--DD"),
    Resource(
        "ScaleUp/deletedContainer", 2, 30, FOUR, each(500, 700), 4, 60, 600, "container1", ready="TTFF",
        deleted="--DD",
    ),
    Resource("ScaleDown", 5, 50, FIVE, each(*DOWN), 3, 28, 560),
    Resource("ScaleDown/container", 5, 50, FIVE, DOWN_2, 3, 28, 280, "container2"),
    Resource("ScaleDown/unready", 5, 50, FIVE, each(*DOWN), 2, 30, 600, ready="TTTFF"),
    Resource("ScaleDown/unreadyContainer", 5, 50, FIVE, DOWN_2, 2, 30, 300, "container2", ready="TTTFF"),
    Resource("ScaleDown/unscheduled", 5, 50, FIVE, each(100), 1, 10, 200, ready="TFFFF", phase="RPPPP"),
    Resource(
        "ScaleDown/unscheduledContainer", 5, 50, FIVE, DOWN_2, 1, 10, 100, "container2", ready="TFFFF", phase="RPPPP"
    ),
    Resource("ScaleDown/hot", 5, 50, FIVE, each(*DOWN), 2, 30, 600, hot="cccHH"),
    Resource(
        "ScaleDown/hotContainer", 5, 50, FIVE, ((1000, 100), (1000, 300), (1000, 500), (1000, 1000), (1000, 1000)),
        2, 30, 300, "container2", hot="cccHH",
    ),
    Resource("ScaleDown/failed", 5, 50, SEVEN, each(*DOWN), 3, 28, 560, ready="TTTTTFF", phase="RRRRRFF"),
    Resource(
        "ScaleDown/failedContainer", 5, 50, SEVEN, DOWN_2, 3, 28, 280, "container2", ready="TTTTTFF", phase="RRRRRFF"
    ),
    Resource("ScaleDown/deleted", 5, 50, SEVEN, each(*DOWN), 3, 28, 560, ready="TTTTTFF", deleted="-----DD"),
    Resource(
        "ScaleDown/deletedContainer", 5, 50, SEVEN, DOWN_2, 3, 28, 280, "container2", ready="TTTTTFF",
        deleted="-----DD",
    ),
    Resource(
        "DisjointResourcesMetrics", 1, 100, ONE, each(100), names=("an-older-pod-name",),
        error="no metrics returned matched known pods",
    ),
    Resource("Tolerance", 3, 100, JITTERED, each(1010, 1030, 1020), 3, 102, 2040),
    Resource(
        "ConfigurableTolerance/0%", 3, 100, JITTERED, each(909, 1010, 1111), 4, 101, 2020, tolerances=Tolerances(0, 0)
    ),
    Resource(
        "ConfigurableTolerance/up200%", 3, 100, JITTERED, each(1890, 1910, 1900), 3, 190, 3800,
        tolerances=Tolerances(0.1, 2.0),
    ),
    Resource(
        "ConfigurableTolerance/up8%", 3, 100, JITTERED, each(1100, 1080, 1090), 4, 109, 2180,
        tolerances=Tolerances(2.0, 0.08),
    ),
    Resource(
        "ConfigurableTolerance/down36%", 3, 100, JITTERED, each(660, 640, 650), 3, 65, 1300,
        tolerances=Tolerances(0.36, 0.1),
    ),
    Resource(
        "ConfigurableTolerance/down34%", 3, 100, JITTERED, each(660, 640, 650), 2, 65, 1300,
        tolerances=Tolerances(0.34, 0.1),
    ),
    Resource("SuperfluousMetrics", 4, 100, FOUR, each(4000, 9500, 3000, 7000, 3200, 2000), 24, 587, 11750),
    Resource("MissingMetrics", 4, 100, FOUR, each(400, 95), 3, 24, 495),
    Resource(
        "EmptyMetrics", 4, 100, THREE, (),
        error="unable to get metrics for resource cpu: no metrics returned from resource metrics API",
    ),
    Resource("EmptyCPURequest", 1, 100, (), each(200), error="missing request for"),
    Resource("MissingMetricsNoChangeEq", 2, 100, (1000, 1000), each(1000), 2, 100, 2000),
    Resource("MissingMetricsNoChangeGt", 2, 100, (1000, 1000), each(1900), 2, 190, 3800),
    Resource("MissingMetricsNoChangeLt", 2, 100, (1000, 1000), each(600), 2, 60, 1200),
    Resource("MissingMetricsUnreadyChange", 3, 50, THREE, each(100, 450), 3, 45, 900, ready="FTT"),
    Resource("MissingMetricsHotCpuNoChange", 3, 50, THREE, each(100, 450), 3, 45, 900, hot="Hcc"),
    Resource("MissingMetricsUnreadyScaleUp", 3, 50, THREE, each(100, 2000), 4, 200, 4000, ready="FTT"),
    Resource("MissingMetricsHotCpuScaleUp", 3, 50, THREE, each(100, 2000), 4, 200, 4000, ready="FTT", hot="Hcc"),
    Resource("MissingMetricsUnreadyScaleDown", 4, 50, FOUR, each(100, 100, 100), 3, 10, 200, ready="FTTT"),
    Resource(
        "MissingMetricsScaleDownTargetOver100", 4, 300, (1000, 1000, 2000, 2000), each(200, 100, 100), 2, 6, 200,
        ready="FTTT",
    ),
    Resource("DuringRollingUpdateWithMaxSurge", 2, 50, THREE, each(100, 100), 2, 10, 200, phase="RRR"),
    Resource(
        "ComputedToleranceAlgImplementation/down", 10, 56, (400, 200, 310, 290, 302, 298, 301, 299, 300, 300),
        each(*[150] * 10), 9, 50, 300,
    ),
    Resource(
        "ComputedToleranceAlgImplementation/stay", 10, 55, (400, 200, 310, 290, 302, 298, 301, 299, 300, 300),
        each(*[150] * 10), 10, 50, 300,
    ),
)  # fmt: skip

METRIC_ROWS = (
    Metric("ScaleUpOverflow", "object", 3, 1, (MOST,), INT32, MOST),
    Metric("ExternalPerPodMetricReplicaOverflow", "externalPerPod", 1, 1, (MOST,), INT32, MOST),
    Metric("ExternalPerPodMetricUsageOverflow", "externalPerPod", 1, MOST, (MOST,), 1, MOST),
    Metric("ExternalMetricUsageOverflow", "external", 3, MOST, (MOST // 2 + 1, MOST // 2 + 1), 3, MOST),
    Metric("ScaleUpCM", "pods", 3, 15000, (20000, 10000, 30000), 4, 20000),
    Metric(
        "ScaleUpCMUnreadyHotCpuNoLessScale", "pods", 3, 15000, (50000, 10000, 30000), 6, 30000, ready="TTF", hot="ccH"
    ),
    Metric(
        "ScaleUpCMUnreadyHotCpuScaleWouldScaleDown", "pods", 3, 15000, (50000, 15000, 30000), 7, 31666,
        ready="FTF", hot="HcH",
    ),
    Metric("ScaleUpCMObject", "object", 3, 15000, (20000,), 4, 20000),
    Metric("ScaleUpCMPerPodObject", "objectPerPod", 3, 5000, (20000,), 4, 6667),
    Metric("ScaleUpCMObjectIgnoresUnreadyPods", "object", 3, 10000, (50000,), 5, 50000, ready="FTF"),
    Metric("ScaleUpCMExternalIgnoresUnreadyPods", "external", 3, 4400, (8600,), 2, 8600, ready="FTF"),
    Metric("ScaleUpPerPodCMExternal", "externalPerPod", 3, 2150, (8600,), 4, 2867),
    Metric("ScaleDownCM", "pods", 5, 20000, (12000,) * 5, 3, 12000),
    Metric("ScaleDownPerPodCMObject", "objectPerPod", 5, 2000, (6000,), 3, 1200),
    Metric("ScaleDownCMObject", "object", 5, 20000, (12000,), 3, 12000),
    Metric("ScaleDownCMExternal", "external", 5, 14334, (8600,), 3, 8600),
    Metric("ScaleDownPerPodCMExternal", "externalPerPod", 5, 2867, (8600,), 3, 1720),
    Metric("ToleranceCM", "pods", 3, 20000, (20000, 21000, 21000), 3, 20666),
    Metric("ToleranceCMObject", "object", 3, 20000, (20666,), 3, 20666),
    Metric("TolerancePerPodCMObject", "objectPerPod", 4, 5000, (20166,), 4, 5042),
    Metric("ToleranceCMExternal", "external", 3, 8888, (8600,), 3, 8600),
    Metric("TolerancePerPodCMExternal", "externalPerPod", 3, 2900, (8600,), 3, 2867),
    Metric(
        "ConfigurableToleranceCM", "pods", 3, 20000, (20000, 21000, 21000), 4, 20666, tolerances=Tolerances(0.1, 0.01)
    ),
    Metric("ConfigurableToleranceCMObject", "object", 3, 20000, (20666,), 4, 20666, tolerances=Tolerances(0.1, 0.01)),
    Metric(
        "ConfigurableTolerancePerPodCMObject", "objectPerPod", 4, 5000, (20208,), 5, 5052,
        tolerances=Tolerances(0.1, 0.01),
    ),
    Metric("ConfigurableToleranceCMExternal", "external", 3, 8800, (8900,), 4, 8900, tolerances=Tolerances(0.1, 0.01)),
    Metric(
        "ConfigurableTolerancePerPodCMExternal", "externalPerPod", 3, 2800, (8600,), 4, 2867,
        tolerances=Tolerances(0.1, 0.01),
    ),
    Metric("MissingMetricsNoChangeEq/plain", "pods", 5, 20000, (20000, 19000, 21000), 5, 20000),
    Metric("DuringRollingUpdateWithMaxSurgeCM", "pods", 2, 17000, (10000, 10000), 2, 10000, phase="RRR"),
)  # fmt: skip

S, M = 1, 60


@dataclass(frozen=True, slots=True)
class Group:
    """Of TestGroupPods. Ages in seconds before now; None: not said. `pods`: (name, phase, start, Ready's status and
    age, deleted); `metrics`: (name, age of the sample or None: long ago, its window)."""

    name: str
    pods: tuple[tuple[str, str, int | None, tuple[str, int] | None, bool], ...]
    metrics: tuple[tuple[str, int | None, int], ...]
    ready: int
    unready: str = ""
    missing: str = ""
    ignored: str = ""
    resource: str = "cpu"


GROUP_ROWS = (
    Group("void", (), (), 0),
    Group("ready, memory", (("a", "Succeeded", None, None, False),), (("a", 0, M),), 1, resource="memory"),
    Group("no ready condition", (("a", "Succeeded", 0, None, False),), (("a", None, 0),), 0, unready="a"),
    Group("fresh sample while initializing", (("a", "Succeeded", M, ("True", 30), False),), (("a", 0, 30),), 1),
    Group(
        "no fresh sample while initializing", (("a", "Succeeded", M, ("True", 30), False),), (("a", 0, 60),), 0,
        unready="a",
    ),
    Group(
        "unready since its start", (("a", "Succeeded", 600, ("False", 594), False),), (("a", None, 0),), 0, unready="a"
    ),
    Group("old sample after initialization", (("a", "Succeeded", 180, ("True", 180), False),), (("a", 120, M),), 1),
    Group("was ready once", (("a", "Succeeded", 600, ("False", 540), False),), (("a", None, 0),), 1),
    Group(
        "unready after the readiness delay", (("a", "Succeeded", 600, ("False", 590), False),), (("a", None, 0),), 1
    ),
    Group("missing", (("a", "Succeeded", 180, None, False),), (), 0, missing="a"),
    Group(
        "several",
        (
            ("a", "Succeeded", 0, None, False),
            ("b", "Succeeded", 180, ("True", 180), False),
            ("c", "Succeeded", 180, None, False),
        ),
        (("a", None, 0), ("b", None, 0)), 1, unready="a", missing="c",
    ),
    Group("pending", (("a", "Pending", None, None, False),), (), 0, unready="a"),
    Group("deleted", (("a", "Pending", None, None, True),), (("a", None, 0),), 0, ignored="a"),
    Group("failed", (("a", "Failed", None, None, False),), (("a", None, 0),), 0, ignored="a"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Requests:
    """Of TestCalculateRequests. `containers`, `inits`: (name, milli-CPU or None, whether it restarts always)."""

    name: str
    containers: tuple[tuple[str, int | None], ...]
    inits: tuple[tuple[str, int, bool], ...] = ()
    container: str = ""
    expected: int = -1
    error: str = ""


REQUEST_ROWS = (
    Requests("sum of containers", (("container1", 100), ("container2", 50)), expected=150),
    Requests(
        "one without", (("container1", None), ("container2", 50)),
        error="missing request for cpu in container container1 of Pod test-pod",
    ),
    Requests("one container", (("container1", 100), ("container2", 50)), container="container1", expected=100),
    Requests("sidecars", (("container1", 100),), (("init", 20, False), ("side", 50, True)), expected=150),
    Requests(
        "no such container", (("container1", 100),), container="non-existent-container",
        error="container non-existent-container not found in Pod test-pod",
    ),
)  # fmt: skip

NOT_EXPRESSED = {
    "TestCalculateRequests: rows with enablePodLevelResources": "resources of a whole pod are refused in files, so "
    "that there are none (gate PodLevelResources)",
}
"""Rows that are left out, and why."""
