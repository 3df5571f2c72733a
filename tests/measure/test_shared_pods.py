"""Services that select the same pods: one queue, and each with its own losses."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.measure.queue_model import QueueModel
from harness.measure.traffic import Traffic

S = 10**9
LATENCIES = ("p50", "p90", "p95", "p99", "mean")


@pytest.mark.parametrize("rps", [30, 90, 99, 150])
def test_services_that_share_a_pod_stand_in_one_line(rps: int) -> None:
    """The last of them was served as if it were alone, the others were neither served nor lost."""
    model = QueueModel(0.02, 2, 100, 15.0, 0.25, 0.99)  # 100 requests a second at most

    def measured(rates: dict[str, int], quick: int = 1) -> dict[str, Any]:
        models = dict.fromkeys(rates, model) | {"d/quick": replace(model, service_s=model.service_s / quick)}
        traffic = Traffic(models)
        traffic.observe(0, "n", "serving", ("d/a", "a", 1))
        for at, share in ((0, 0.5), (60, 1.0), (200, 0.4)):  # into overload and out of it
            for name, rate in rates.items():
                traffic.observe(at * S, name, "route", (name, (("a", round(rate * 1000 * share)),), 0))
        return traffic.metrics(300 * S)

    (alone,) = measured({"d/web": rps}).values()
    shares = measured({"d/web": rps // 3, "d/api": rps - rps // 3})
    twice = measured({"d/web": rps // 3, "d/quick": 2 * (rps - rps // 3)}, quick=2)
    for found in (*shares.values(), twice["d/web"]):
        assert found["lostShare"] == pytest.approx(alone["lostShare"], rel=1e-3, abs=1e-9)
        ours, theirs = found["latencySeconds"], alone["latencySeconds"]
        assert ours.get("atLeast") == theirs.get("atLeast")
        assert [ours[key] for key in LATENCIES] == pytest.approx([theirs[key] for key in LATENCIES], rel=1e-2)
        assert found["utilisation"] == pytest.approx(alone["utilisation"], rel=1e-3)
    assert sum(found["lost"] for found in shares.values()) == pytest.approx(alone["lost"], rel=1e-3, abs=1e-6)
    assert alone["lostShare"] > 0.1 if rps > 100 else alone["lostShare"] < 0.05


def test_each_service_has_its_own_losses_on_a_pod_that_they_share() -> None:
    traffic = Traffic()
    traffic.observe(0, "n", "serving", ("d/a", "a", 1))
    for name, rate in (("d/web", 1000), ("d/api", 3000)):
        traffic.observe(0, name, "route", (name, (("a", rate),), 0))
    traffic.observe(10 * S, "n", "disturbed", ("n", "Crash", -1, "", 1))
    traffic.observe(10 * S, "n", "serving", ("d/a", "a", 0))
    traffic.observe(14 * S, "d/api", "route", ("d/api", (), 0))
    assert traffic.lost_on("a", 20 * S) == {"d/web": 10 * 1000 * S, "d/api": 4 * 3000 * S}


def test_a_line_dies_with_its_container_though_nothing_is_sent_there_any_more() -> None:
    """A container that was taken from its Service, and then restarted, began with the requests that had stood in line
    before."""
    model = QueueModel(0.02, 2, 100, 15.0, 0.25, 0.99)  # 100 requests a second at most

    def measured(uid: str) -> dict[str, Any]:
        traffic = Traffic({"d/web": model})
        traffic.observe(0, "n", "serving", ("d/a", "a", 1))
        for at, targets in ((0, (("a", 150_000),)), (60, ())):
            traffic.observe(at * S, "d/web", "route", ("d/web", targets, 0))
        traffic.observe(60 * S + S // 10, "n", "serving", ("d/a", "a", 0))
        traffic.observe(60 * S + S // 5, "n", "serving", ("d/a", uid, 1))
        traffic.observe(60 * S + S // 4, "d/web", "route", ("d/web", ((uid, 50_000),), 0))
        found: dict[str, Any] = traffic.metrics(90 * S)["d/web"]
        return found

    assert measured("a") == measured("another")
