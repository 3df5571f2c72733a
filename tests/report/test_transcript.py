"""Lines of a journal that the golden stories do not reach, and how they are laid out."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.journal import JournalEntry
from harness.report.transcript import Line, text, transcript


def entry(kind: str, change: str, key: str, *data: Any, at_s: float = 1.0) -> JournalEntry:
    return JournalEntry(round(at_s * 10**9), 1, kind, change, key, data)


def observed(topic: str, source: str, *data: Any, at_s: float = 1.0) -> JournalEntry:
    return entry("observed", topic, source, *data, at_s=at_s)


POD = ("u-1", "", "Pending", "", False, 0, -1, "")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            observed("violation", "s", "greedy", "illegal bind", "d/p", "no room"),
            "Warning StrategyViolation pod/p illegal bind: no room",
        ),
        (
            observed("violation", "s", "greedy", "raised", "", "KeyError"),
            "Warning StrategyViolation greedy raised: KeyError",
        ),
        (
            observed("componentFault", "c", "job-controller", "", "", "KeyError: 'a'", "step, job.py:3"),
            "Warning ComponentFault job-controller KeyError: 'a' (step, job.py:3)",
        ),
        (
            observed("unhandledOutcome", "c", "scheduler", "Update of Pod d/p: 409"),
            "Warning UnhandledOutcome scheduler Update of Pod d/p: 409",
        ),
        (observed("fault", "faults", 0, "NodeCrash", 0), "Fault NodeCrash - nobody to hit"),
        (
            observed("autoscaling", "cluster-autoscaler", "burst", "down", 2),
            "Status ScaleDown nodepool/burst 2 nodes given back",
        ),
        (
            entry("Event", "ADDED", "d/p.1", "Warning", "BackOff", "Pod", "p", "again", 3),
            "Warning BackOff pod/p again (x3)",
        ),
    ],
)
def test_a_line(given: JournalEntry, told: str) -> None:
    (line,) = transcript([given])
    assert " ".join(part for part in (line.type, line.reason, line.object, line.message) if part) == told


def reasons(*entries: JournalEntry) -> list[str]:
    return [f"{line.reason} {line.message}".strip() for line in transcript(entries)]


def test_what_a_pod_goes_through() -> None:
    names = ("uid", "node", "phase", "why", "ready", "restarts", "going", "owner")
    changes: list[dict[str, Any]] = [
        {"node": "n"},
        {"phase": "Running", "ready": True},
        {"ready": False, "restarts": 1},
        {"phase": "Failed", "why": "Evicted"},
        {"going": 5 * 10**9},
    ]
    now = dict(zip(names, POD, strict=True))
    entries = [entry("Pod", "ADDED", "d/p", *now.values())]
    for change in changes:
        now |= change
        entries.append(entry("Pod", "MODIFIED", "d/p", *now.values()))
    entries.append(entry("Pod", "DELETED", "d/p", *now.values()))
    assert reasons(*entries) == [
        "Created Pending",
        "Scheduled to n",
        "Running was Pending",
        "Ready",
        "Restarted 1 restart",
        "NotReady",
        "Failed was Running: Evicted",
        "Terminating gone by 5.000s",
        "Deleted",
    ]


def test_lines_are_in_order_of_time_though_an_observation_is_heard_of_later() -> None:
    lines = transcript(
        [entry("Pod", "ADDED", "d/p", *POD, at_s=2.0), observed("disturbed", "driver", "n", "Crash", at_s=1.5)]
    )
    assert [line.at_ns for line in lines] == [1_500_000_000, 2_000_000_000]


def test_metrics_and_routes_are_left_out() -> None:
    assert transcript([entry("PodMetrics", "ADDED", "d/p", 5), observed("route", "gateway", "d/web", (), 3)]) == []


def test_columns() -> None:
    lines = [
        Line(at_ns=5, type="Status", reason="Created", kind="Pod", namespace="d", name="p", message=""),
        Line(at_ns=10**12, type="Warning", reason="BackOff", kind="Pod", namespace="d", name="longer", message="why"),
    ]
    assert text(lines).splitlines() == [
        "       AT  TYPE     REASON   OBJECT      MESSAGE",
        "   0.000s  Status   Created  pod/p",
        "1000.000s  Warning  BackOff  pod/longer  why",
    ]
    assert text([]) == ""
