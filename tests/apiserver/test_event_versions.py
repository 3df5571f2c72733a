"""An Event in v1 and in events.k8s.io/v1: the same object under two sets of names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.kinds import RULES

(VERSION,) = RULES["Event"].versions

V1: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "d"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "involvedObject": {"kind": "Pod", "name": "p"},
    "message": "it fits",
    "reason": "Scheduled",
    "type": "Normal",
    "action": "Binding",
    "reportingComponent": "default-scheduler",
    "reportingInstance": "one",
    "source": {"component": "default-scheduler"},
    "count": 2,
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:01:00Z",
    "series": {"count": 2},
    "related": {"kind": "Node", "name": "n"},
}


def test_its_names_in_the_other_version() -> None:
    assert VERSION.outward(V1) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "d"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "it fits",
        "reason": "Scheduled",
        "type": "Normal",
        "action": "Binding",
        "reportingController": "default-scheduler",
        "reportingInstance": "one",
        "deprecatedSource": {"component": "default-scheduler"},
        "deprecatedCount": 2,
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
        "deprecatedLastTimestamp": "2026-01-01T00:01:00Z",
        "series": {"count": 2},
        "related": {"kind": "Node", "name": "n"},
    }


ALWAYS = {"apiVersion", "kind", "metadata", "involvedObject", "source", "eventTime"}


@given(st.sets(st.sampled_from(sorted(V1.keys() - ALWAYS))))
def test_there_and_back_nothing_is_lost(left_out: set[str]) -> None:
    event = {name: value for name, value in V1.items() if name not in left_out}
    assert VERSION.inward(VERSION.outward(event)) == event


@pytest.mark.parametrize(("first", "time"), [("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"), (None, None)])
def test_an_event_without_a_time_gets_that_of_its_first_occurrence(first: str | None, time: str | None) -> None:
    event = {**V1, "eventTime": None, "firstTimestamp": first}
    assert VERSION.outward(event).get("eventTime") == time
