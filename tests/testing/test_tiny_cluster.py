"""The tiny cluster: a story in a line, its log as text."""

from __future__ import annotations

from harness.testing.cluster import Cluster
from schedulers.greedy import greedy
from tests.testing.bad import Overfills


def test_a_pod_goes_where_it_fits() -> None:
    sim = Cluster(greedy).node("n", cpu_milli=2000).pod("a", cpu_milli=1500)
    assert sim.run() == "0s a -> n"


def test_departures_gangs_and_waits_are_told() -> None:
    sim = Cluster("greedy").node("n", cpu_milli=2000).pod("a", cpu_milli=1500).pod("b", cpu_milli=600, at_s=1)
    sim.delete("a", at_s=5)
    for name in ("g1", "g2"):
        sim.pod(name, cpu_milli=900, group="g", group_min=2, at_s=10)
    log = sim.run().splitlines()
    assert log[:3] == ["0s a -> n", "5s a gone", "5s b -> n"]
    assert [line.partition(":")[0] for line in log[3:]] == ["g1 waits", "g2 waits"]
    assert "gang default/g: 1 of at least 2 fit" in log[3]


def test_what_went_wrong_is_told() -> None:
    sim = Cluster(Overfills).node("n", cpu_milli=1000).pod("a", cpu_milli=1500)
    log = sim.run()
    assert "0s ! illegal bind a: n: Insufficient cpu" in log
    assert sim.violations[0][:2] == ("illegal bind", "default/a")


def test_a_pool_grows_for_a_pod_that_fits_nowhere_and_a_crash_is_told() -> None:
    sim = Cluster(greedy).node("n", cpu_milli=1000).pool("p", most=2, provisioning_s=5, cpu_milli=4000)
    sim.pod("a", cpu_milli=3000).pod("b", cpu_milli=500)
    sim.fault("nodeCrash", at_s=60, select={"names": ["p-0"]}, downFor="6m")
    assert sim.run(480).splitlines() == ["0s b -> n", "13s a -> p-0", "420s a gone"]
