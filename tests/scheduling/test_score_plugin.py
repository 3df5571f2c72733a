"""A stranger's Score plugin through the public door: placing and explain use the same object."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.registry import load
from harness.scheduling.sandbox.guard import Guard
from harness.scheduling.scores import Grouping
from harness.scheduling.strategy import Bind, ClusterView, DependsOn, Int64, PodView, StrategyFault
from schedulers.kube import Kube, Profile, parse

ZONES, NODES = 4, 24


class Spot:
    """Prefers nodes labelled spot, as much as `liking` says."""

    name = "Spot"
    depends_on = DependsOn.NODE_SPEC

    def __init__(self, liking: int = 1) -> None:
        self.liking = liking

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        return np.array([self.liking if cluster.label(int(n), "spot") == "yes" else 0 for n in nodes])

    def normalize(self, scores: Int64) -> Int64:
        liked: Int64 = np.minimum(scores * 10, 100)
        return liked


class FewPods:
    """The fewer pods run there, the better."""

    name = "FewPods"
    depends_on = DependsOn.NODE

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        there = cluster.capacity[2][nodes] - cluster.free[2][nodes]
        scores: Int64 = np.maximum(100 - 10 * there, 0)
        return scores


class FewPodsOneByOne(FewPods):
    """The same, also of one node."""

    def score_node(self, pod: PodView, cluster: ClusterView, node: int) -> int:
        return max(100 - 10 * int(cluster.capacity[2][node] - cluster.free[2][node]), 0)


class QuietZone:
    """The fewest pods in the zone; it looks at other nodes."""

    name = "QuietZone"
    depends_on = DependsOn.CLUSTER

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        by_zone = np.zeros(len(cluster.zones) + 1, dtype=np.int64)
        np.add.at(by_zone, cluster.zone, cluster.capacity[2] - cluster.free[2])
        return by_zone[cluster.zone[nodes]]

    def normalize(self, scores: Int64) -> Int64:
        return 100 - scores * 100 // max(int(scores.max()), 1)


class Wrong:
    """Scores above what a score may be."""

    name = "Wrong"
    depends_on = DependsOn.CLUSTER

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        return np.full(len(nodes), 101)


class Writes:
    """Tries to take room away."""

    name = "Writes"
    depends_on = DependsOn.CLUSTER

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        cluster.free[:] = 0
        return np.zeros(len(nodes), dtype=np.int64)


def cluster(random: Random) -> Snapshot:
    on = Snapshot()
    for i in range(NODES):
        labels = {"topology.kubernetes.io/zone": f"z{i % ZONES}", "kubernetes.io/hostname": f"n{i}"}
        if random.randrange(3) == 0:
            labels["spot"] = "yes"
        on.add_node(f"n{i}", {"cpu": random.choice((4000, 8000)), "memory": 8 << 30, "pods": 8}, labels=labels)
    return on


def pod(name: str, cpu: str = "500m") -> Pod:
    requests = {"cpu": parse_quantity(cpu)}
    containers = (Container(name="c", resources=ResourceRequirements(requests=requests)),)
    return Pod(metadata=ObjectMeta(name=name, namespace="d", labels={"app": "a"}), spec=PodSpec(containers=containers))


def config(plugin: str, weight: int = 3, args: str = "") -> str:
    given = f"    pluginConfig:\n      - name: {plugin}\n        args: {args}\n" if args else ""
    return (
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\npercentageOfNodesToScore: 100\n"
        f"profiles:\n  - plugins:\n      score:\n        enabled:\n          - name: {plugin}\n"
        f"            weight: {weight}\n{given}"
    )


@pytest.mark.parametrize("name", ["Spot", "FewPods", "FewPodsOneByOne", "QuietZone"])
@pytest.mark.parametrize("grouping", [Grouping(), Grouping(nodes=0, alike=1)], ids=["one by one", "groups"])
def test_it_is_used_in_placing_and_in_explaining_alike(name: str, grouping: Grouping) -> None:
    """Each decision is the node that explain's columns make the best, through nodes and pods that come and go."""
    random = Random(7)
    on = cluster(random)
    (profile,) = parse(config(f"{__name__}:{name}"))
    strategy = Kube([profile], grouping=grouping)
    told = False
    for turn in range(60):
        view = on.classes.view(pod(f"p{turn}", random.choice(("100m", "500m", "900m"))))
        columns = strategy.explain(view, on)
        assert list(columns)[-1] == name.removesuffix("OneByOne")
        told = told or bool(np.nanmax(columns[name.removesuffix("OneByOne")]) > 0)
        total = sum(columns.values())
        best = np.flatnonzero(total == np.nanmax(total))
        (decision,) = strategy.place([view], on, np.random.default_rng(0))
        assert isinstance(decision, Bind)
        assert decision.node == int(best[on.rank[best].argmin()]), turn
        on.assume(view, decision.node)
        if turn % 5 == 4:
            on.forget(f"d/p{random.randrange(turn)}")
        if turn % 11 == 10:
            node = random.randrange(NODES)
            labels = {"topology.kubernetes.io/zone": f"z{node % ZONES}", "spot": random.choice(("yes", "no"))}
            on.update_node(f"n{node}", {"cpu": 4000, "memory": 8 << 30, "pods": 8}, labels=labels)
    assert told


def test_it_moves_decisions() -> None:
    on = cluster(Random(1))
    (profile,) = parse(config(f"{__name__}:Spot", weight=100, args="{liking: 10}"))
    view = on.classes.view(pod("p"))
    (plain,) = Kube([Profile(percentage=100)]).place([view], on, np.random.default_rng(0))
    (liked,) = Kube([profile]).place([view], on, np.random.default_rng(0))
    assert isinstance(plain, Bind)
    assert isinstance(liked, Bind)
    assert on.label(plain.node, "spot") is None
    assert on.label(liked.node, "spot") == "yes"


def test_it_comes_by_entry_point_and_through_the_strategy_kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "liking-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: liking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[podyard.score_plugins]\nspot = {__name__}:Spot\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(config("spot", args="{liking: 7}"))
    strategy = load(f"kube?config={file}")()
    on = cluster(Random(1))
    columns = strategy.explain(on.classes.view(pod("p")), on)  # type: ignore[attr-defined]
    assert float(np.nanmax(columns["Spot"])) == 3 * 70


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("Wrong", "scores 101..101 are outside 0..100"),
        ("Writes", "read-only"),
    ],
)
def test_what_it_does_wrong_is_a_fault_of_the_strategy(plugin: str, message: str) -> None:
    on = cluster(Random(1))
    free = on.free.copy()
    strategy = Kube(parse(config(f"{__name__}:{plugin}")))
    answers = list(Guard(strategy).place([on.classes.view(pod("p"))], on, np.random.default_rng(0)))
    (fault,) = [answer for answer in answers if isinstance(answer, StrategyFault)]
    assert message in fault.reason
    assert np.array_equal(on.free, free)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config(f"{__name__}:Sopt"), "did you mean 'Spot'"),
        (config("nowhere:Spot"), "module 'nowhere' does not load"),
        (config(f"{__name__}:ZONES"), "is no Score plugin"),
        (config(f"{__name__}:Spot", args="{likng: 1}"), "did you mean 'liking'"),
        (config("Spto"), "there is no such plugin"),
    ],
)
def test_what_a_wrong_one_is_told(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, "config.yaml")
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)
