"""The catalogue names every number of a run, once, and everything that shows measures is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment.run import run_once
from harness.measure.catalogue import Catalogue, Measure, Value, number_paths, values_of
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, loaded


def test_every_number_of_a_run_is_in_it() -> None:
    service = {"service": {**SERVICE["service"], "autoscaler": {"max": 9}}}
    spec = loaded(
        duration="12m",
        nodes=[{"openbLike": {"count": 6, "zones": 2}}],
        workload=[service, {"openbLike": {"pods": 40, "longest": "3m", "load": 90}}],
        faults=[{"at": "2m", "nodeCrash": {"select": {"app": "web"}}}, {"at": "4m", "nodeFreeze": {"for": "1m"}}],
    )
    metrics = run_once(spec, "greedy", 1).metrics
    catalogue = shipped()
    unnamed = [path for path, _, _ in number_paths(metrics) if catalogue.of(path) is None]
    assert unnamed == []


def test_the_page_is_what_the_catalogue_says() -> None:
    """Made by `podyard measures --markdown > harness/measure/MEASURES.md`."""
    from harness.report.measures import markdown

    page = Path(__file__).resolve().parents[2] / "harness" / "measure" / "MEASURES.md"
    assert page.read_text() == markdown(shipped())


def test_a_name_is_given_once() -> None:
    one = Measure("a.b", "speed", "s", "less", "how fast")
    for other in (Measure("a.b", "other", "s", "less", ""), Measure("a.c", "speed", "s", "less", "")):
        with pytest.raises(UserError, match="of this name already"):
            Catalogue([one, other])


def test_stars_stand_for_names_and_lower_bounds_are_told() -> None:
    metrics = {"requests": {"d/web.v2": {"lost": 3.0}, "d/api": {"lost": 1, "atLeast": ["lost"]}}, "ok": True}
    lost = Measure("requests.*.lost", "lost", "", "less", "", scale=2)
    assert values_of(metrics, lost) == {("d/web.v2",): Value(6.0), ("d/api",): Value(2.0, at_least=True)}
    catalogue = Catalogue([lost])
    assert catalogue.of("requests.d/web.v2.lost") is lost
    assert catalogue.of("requests.lost") is None
    with pytest.raises(UserError) as told:
        catalogue.get("requests.*.lots")
    assert "requests.*.lost" in str(told.value)
