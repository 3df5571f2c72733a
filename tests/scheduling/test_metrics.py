"""kube-scheduler's metrics: names, buckets and text format, and that they count what happened."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.model.core import Pod, PodSchedulingGate
from harness.scheduling.cycle.metrics import (
    ATTEMPT_S,
    ATTEMPTS,
    POINT_S,
    SLI_S,
    VICTIMS,
    Histogram,
    Page,
    exponential,
    unschedulable,
)
from harness.scheduling.cycle.queue import SchedulingQueue
from tests.experiment.scenarios import loaded
from tests.scheduling.test_snapshot import node, pod, snapshot

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Strictly: every line a comment of a family or a sample of the family above it; histograms are cumulative."""
    out: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    kinds: dict[str, str] = {}
    family = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in kinds
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in ("counter", "gauge", "histogram")
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            assert name == family or (kinds[family] == "histogram" and name.removeprefix(family) in SUFFIXES), line
            labels = tuple(LABEL.findall(match[2] or ""))
            assert (name, labels) not in out, line
            out[name, labels] = float(match[3])
    for family, kind in kinds.items():
        if kind == "histogram":
            _check_histogram(family, out)
    return out


def test_buckets_grow_by_a_factor() -> None:
    assert exponential(0.5, 2, 4) == (0.5, 1.0, 2.0, 4.0)
    assert ATTEMPT_S[0] == 0.001
    assert len(ATTEMPT_S) == 15


def test_unschedulable_pods_are_counted_each_not_by_class() -> None:
    on, queue = snapshot(node("n")), SchedulingQueue()
    for name in ("a", "b", "c"):
        queue.add(on.classes.view(pod(name, requests={"cpu": "9"})), name, 0)
    queue.add(on.classes.view(pod("d", requests={"cpu": "8"})), "d", 0)
    for waiting in queue.pop(9):
        queue.put_back(waiting, 0)
    assert unschedulable(queue, on) == {"NodeResourcesFit": 4}


SUFFIXES = ("_bucket", "_sum", "_count")


def _check_histogram(family: str, samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> None:
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (name, labels), value in samples.items():
        if name == f"{family}_bucket":
            bound = float(dict(labels)["le"])
            series.setdefault(tuple(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
    for labels, buckets in series.items():
        assert buckets == sorted(buckets)
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
        assert buckets[-1][0] == float("inf")
        assert buckets[-1][1] == samples[f"{family}_count", labels]


def of(samples: dict[Any, float], name: str, **labels: str) -> float:
    found = [v for (n, had), v in samples.items() if n == name and labels.items() <= dict(had).items()]
    return sum(found)


def test_what_a_run_counts(tmp_path: Path) -> None:
    nodes = [{"group": {"name": "n", "count": 4, "cpu": 16, "memory": "64Gi", "gpus": 2}}]
    result = run_once(loaded(nodes=nodes), "greedy", 3, out=tmp_path)
    assert result.folder is not None
    samples = parsed((result.folder / "metrics.prom").read_text())
    scheduling = result.metrics["scheduling"]
    attempts = "scheduler_schedule_attempts_total"
    assert of(samples, attempts, result="scheduled", profile="default-scheduler") == scheduling["decisions"] > 0
    assert of(samples, attempts, result="unschedulable") == scheduling["unschedulableAttempts"] > 0
    assert of(samples, "scheduler_pod_scheduling_attempts_count") == scheduling["decisions"]
    assert of(samples, "scheduler_pod_scheduling_sli_duration_seconds_count") == scheduling["decisions"]
    bind = {"extension_point": "Bind", "status": "Success"}
    assert of(samples, "scheduler_framework_extension_point_duration_seconds_count", **bind) == scheduling["decisions"]
    assert of(samples, "scheduler_queue_incoming_pods_total", event="PodAdd") == 40
    failed = of(samples, "scheduler_queue_incoming_pods_total", event="ScheduleAttemptFailure")
    assert failed == scheduling["unschedulableAttempts"]
    waiting = result.metrics["placement"]["podsNeverBound"]
    assert of(samples, "scheduler_pending_pods") == waiting
    if waiting:
        assert of(samples, "scheduler_unschedulable_pods", plugin="NodeResourcesFit") <= waiting
    assert of(samples, "scheduler_scheduler_cache_size", type="nodes") == 4


def test_buckets_are_kube_schedulers() -> None:
    assert (ATTEMPT_S[0], ATTEMPT_S[-1], len(ATTEMPT_S)) == (0.001, 16.384, 15)
    assert (POINT_S[0], POINT_S[-1], len(POINT_S)) == (0.0001, 0.2048, 12)
    assert (SLI_S[0], round(SLI_S[-1], 2), len(SLI_S)) == (0.01, 5242.88, 20)


def test_labels_are_escaped() -> None:
    page = Page()
    page.gauge("a_b", 'one "line"\nor two', {(("x", 'q"\\\n'),): 1.5})
    assert str(page) == '# HELP a_b one "line"\\nor two\n# TYPE a_b gauge\na_b{x="q\\"\\\\\\n"} 1.5\n'
    assert of(parsed(str(page)), "a_b") == 1.5


def test_gated_pods_wait_in_a_queue_of_their_own() -> None:
    from harness.engine.component import Watch
    from harness.engine.streams import array_stream, stream
    from harness.model.core import PodSpec
    from harness.model.meta import ObjectMeta
    from harness.scheduling.cycle.scheduler import Scheduler
    from schedulers.greedy import greedy

    scheduler = Scheduler(greedy(), stream(1, "s"), array_stream(1, "s"))
    spec = PodSpec(scheduler_name="default-scheduler", scheduling_gates=(PodSchedulingGate(name="quota"),))
    pod = Pod(metadata=ObjectMeta(name="a", namespace="default", uid="1"), spec=spec)
    scheduler.step(1, [Watch("ADDED", pod)])
    assert of(parsed(scheduler.prometheus()), "scheduler_pending_pods", queue="gated") == 1
    free = Pod(metadata=pod.metadata, spec=PodSpec(scheduler_name="default-scheduler"))
    scheduler.step(2, [Watch("MODIFIED", free, pod)])
    samples = parsed(scheduler.prometheus())
    assert of(samples, "scheduler_pending_pods", queue="gated") == 0
    assert of(samples, "scheduler_pending_pods", queue="unschedulable") == 1


def test_buckets_are_those_of_kube_scheduler() -> None:
    """Source: kubernetes 1.32 pkg/scheduler/metrics/metrics.go: ExponentialBuckets of each histogram."""
    assert Histogram(ATTEMPTS).bounds == (1, 2, 4, 8, 16)
    assert Histogram(VICTIMS).bounds == (1, 2, 4, 8, 16, 32, 64)
    for bounds, first, last in ((ATTEMPT_S, 0.001, 16.384), (SLI_S, 0.01, 5242.88), (POINT_S, 0.0001, 0.2048)):
        assert bounds[0] == first
        assert bounds[-1] == pytest.approx(last)
        assert all(high == 2 * low for low, high in pairwise(bounds))
