"""Why this node: decisions brought back from records, and smallest changes that are what they say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.explain.explain import explain
from harness.explain.node_changes import Allocatable, Change, Devices, Verdict, holds, to_fit, to_win
from harness.explain.pod_changes import PodChange, to_fit_by_pod, with_changes
from harness.explain.recorded_decision import RecordNotes, ask
from harness.explain.regret import of_snapshot
from harness.model.core import (
    Affinity,
    Container,
    ContainerPort,
    Node,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    ResourceRequirements,
    Taint,
    TopologySpreadConstraint,
)
from harness.model.errors import UserError
from harness.model.gpu import GPU_COUNT, GPU_MILLI, GPU_MODEL
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import bytes_quantity, milli_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView, Strategy
from schedulers.fgd import best_fit
from schedulers.greedy import greedy, least_allocated
from tests.examples import examples
from tests.experiment.scenarios import loaded
from tests.scheduling import worlds

NODES = [{"group": {"name": "n", "count": 5, "cpu": 16, "memory": "64Gi", "gpus": 2}}]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for name in ("greedy", "binpack"):
        run_once(loaded(nodes=NODES), name, 3, out=folder)
    return folder / "small"


@pytest.mark.parametrize("name", ["greedy", "binpack"])
def test_every_decision_of_a_run_is_brought_back(out: Path, name: str) -> None:
    recorded = RecordNotes(out / name / "3")
    pods = [row["pod"] for row in recorded.pods()]
    assert len(pods) == 40
    again = [recorded.case(pod) for pod in pods]
    assert sum(bool(case.node) for case in again) > 20
    for case in again:
        assert (case.again or "") == case.node, (case.view.key, case.how)


def test_a_search_that_goes_on_where_the_last_one_ended_is_brought_back(tmp_path: Path) -> None:
    """Of 130 nodes kube looks for 100 that fit, from where the search for the pod before ended."""
    nodes = [{"group": {"name": "n", "count": 130, "cpu": 16, "memory": "64Gi", "gpus": 2, "zones": ["a", "b", "c"]}}]
    workload = [{"openbLike": {"pods": 60, "longest": "3m", "load": 10}}]
    run_once(loaded(nodes=nodes, workload=workload), "kube", 3, out=tmp_path)
    recorded = RecordNotes(tmp_path / "small" / "kube" / "3")
    cases = [recorded.case(row["pod"]) for row in recorded.pods()]
    assert len({case.node for case in cases}) > 20
    for case in cases:
        assert (case.again or "") == case.node, (case.view.key, case.how)


def test_the_command_says_why_and_why_not(out: Path) -> None:
    recorded = RecordNotes(out / "greedy" / "3")
    cases = [recorded.case(row["pod"]) for row in recorded.pods()]
    placed = next(case for case in cases if case.node and np.count_nonzero(case.on.feasible(case.view)) > 1)
    record, key = str(out / "greedy" / "3"), placed.view.key
    done = CliRunner().invoke(app, ["explain", record, key.partition("/")[2]])
    assert done.exit_code == 0
    for text in (f"{key} went to {placed.node}", "NodeResourcesFit", "runner-up", "picked"):
        assert text in done.stdout
    other = next(name for name in placed.on.node_table.names if name != placed.node)
    found = json.loads(CliRunner().invoke(app, ["explain", record, key, "--node", other, "-o", "json"]).stdout)
    assert found["node"] == placed.node == found["askedAgain"]
    assert found["onNode"]["node"] == other
    left = found["constraints"][-1]["left"]
    assert left == found["feasible"] == np.count_nonzero(placed.on.feasible(placed.view))
    nowhere = next((case for case in cases if not case.node), None)
    if nowhere is not None:
        told = CliRunner().invoke(app, ["explain", record, nowhere.view.key]).stdout
        assert "went nowhere" in told
        assert "nodes are available" in told


def test_what_the_record_does_not_know_is_told(out: Path, tmp_path: Path) -> None:
    record = out / "greedy" / "3"
    with pytest.raises(UserError, match="no pod 'nobody'"):
        explain(record, "nobody")
    with pytest.raises(UserError, match="no node 'm-1'"):
        explain(record, RecordNotes(record).pods()[0]["pod"], "m-1")
    run_once(loaded(nodes=NODES), "greedy", 3, out=tmp_path, journal=False)
    with pytest.raises(UserError, match="what the scheduler saw"):
        explain(tmp_path / "small" / "greedy" / "3", "x")


# -- the smallest change -----------------------------------------------------------------------------------------------


def check_least(on: Snapshot, node: int, way: Sequence[Change], verdict: Verdict) -> None:
    """With the change the verdict flips; with less of it, it does not."""
    assert way
    assert holds(on, node, way, verdict)
    for index, change in enumerate(way):
        rest = [*way[:index], *way[index + 1 :]]
        assert not holds(on, node, rest, verdict), f"{change} is not needed"
        if isinstance(change, Allocatable | Devices):
            one = 1 if change.amount > 0 else -1
            less = replace(change, amount=change.amount - one)
            if less.amount:
                assert not holds(on, node, [*rest, less], verdict), f"{change}: one less does it, too"


def snapshot(nodes: list[Node], running: list[tuple[Pod, int]]) -> Snapshot:
    on = Snapshot()
    for node in nodes:
        on.add_node(**node_columns(node))
    for pod, at in running:
        view = on.classes.view(pod)
        on.assume(view, at % len(nodes))
    return on


@st.composite
def constrained(draw: st.DrawFn) -> tuple[Snapshot, PodView]:
    on, pod = draw(constrained_pods())
    return on, on.classes.view(pod)


@st.composite
def constrained_pods(draw: st.DrawFn) -> tuple[Snapshot, Pod]:
    count = draw(st.integers(1, 5))
    nodes = [
        worlds.node(f"n{i}", draw(worlds.node_labels), draw(st.booleans()), draw(st.integers(1, 4)))
        for i in range(count)
    ]
    running = [
        (worlds.pod(f"r{i}", draw(worlds.metas), draw(worlds.pod_specs)), draw(st.integers(0, 4)))
        for i in range(draw(st.integers(0, 6)))
    ]
    on = snapshot(nodes, running)
    return on, worlds.pod("new", draw(worlds.metas), draw(worlds.pod_specs))


@settings(max_examples=examples(150), deadline=None)
@given(constrained())
def test_the_smallest_change_that_makes_a_node_feasible(world: tuple[Snapshot, PodView]) -> None:
    on, view = world
    before = (on.free.copy(), on.feasible(view).copy(), on.placements.node_of)
    for node in range(len(on.node_table)):

        def fits(at: Snapshot, node: int = node) -> bool:
            return at.verdicts.holds(at.classes.class_now(view), node)

        ways = to_fit(on, view, node)
        assert not ways or not fits(on)
        for way in ways:
            check_least(on, node, way, fits)
    assert np.array_equal(before[0], on.free)
    assert np.array_equal(before[1], on.feasible(view))
    assert sorted(before[2]) == sorted(on.placements.node_of)


@settings(max_examples=examples(150), deadline=None)
@given(constrained_pods())
def test_the_smallest_change_of_a_pod_that_a_node_takes(world: tuple[Snapshot, Pod]) -> None:
    on, pod = world
    view = on.classes.view(pod)
    before = (on.free.copy(), on.feasible(view).copy())
    for node in range(len(on.node_table)):
        way = to_fit_by_pod(on, pod, view, node)
        assert not (way and before[1][node])

        def fits(changes: Sequence[PodChange], node: int = node) -> bool:
            changed = on.classes.view(with_changes(pod, changes))
            return bool(on.feasible(changed)[node])

        if not way:
            continue
        assert fits(way), way
        for index, change in enumerate(way):
            rest = [*way[:index], *way[index + 1 :]]
            assert not fits(rest), f"{change} is not needed"
            if getattr(change, "amount", 0) > 1:
                less = replace(change, amount=change.amount - 1)  # type: ignore[union-attr, arg-type]
                assert not fits([*way[:index], less, *way[index + 1 :]]), f"{change}: one less does it, too"
    assert np.array_equal(before[0], on.free)
    assert np.array_equal(before[1], on.feasible(view))


def test_changes_of_a_pod_in_words() -> None:
    """One node, tainted and cordoned, with 300 of one GPU, 1 CPU and 2 Gi idle; its pod holds the port."""
    requests = {"cpu": milli_quantity(1000), "memory": bytes_quantity(1 << 30)}
    ports = (ContainerPort(container_port=80, host_port=80),)
    container = Container(name="c", ports=ports, resources=ResourceRequirements(requests=requests))
    on = Snapshot()
    on.add_node(
        "n",
        {"cpu": 2000, "memory": 3 << 30, "pods": 10},
        gpu_devices=1,
        gpu_model="A",
        labels={"kubernetes.io/hostname": "n"},
        taints=(Taint(key="only", value="them", effect="NoExecute"), Taint(key="rather", effect="PreferNoSchedule")),
        unschedulable=True,
    )
    shares = {GPU_COUNT: "1", GPU_MILLI: "700"}
    meta = ObjectMeta(name="r", namespace="a", labels={"app": "x"}, annotations=shares)
    on.assume(on.classes.view(Pod(metadata=meta, spec=PodSpec(containers=(container,)))), 0)
    wants = {"cpu": milli_quantity(1500), "memory": bytes_quantity(3 << 30)}
    mine = LabelSelector(match_labels={"app": "x"})
    asking = Pod(
        metadata=ObjectMeta(name="w", namespace="a", labels={"app": "x"}, annotations={**shares, GPU_MODEL: "B|C"}),
        spec=PodSpec(
            containers=(
                Container(name="c", ports=ports, resources=ResourceRequirements(requests=wants)),
                Container(name="d", resources=ResourceRequirements(requests={"cpu": milli_quantity(250)})),
            ),
            node_selector={"disk": "ssd", "kubernetes.io/hostname": "n"},
            affinity=Affinity(
                pod_anti_affinity=PodAffinity(
                    required_during_scheduling_ignored_during_execution=(
                        PodAffinityTerm(topology_key="rack", label_selector=mine),
                        PodAffinityTerm(topology_key="kubernetes.io/hostname", label_selector=mine),
                    )
                )
            ),
            topology_spread_constraints=(
                TopologySpreadConstraint(
                    max_skew=1,
                    topology_key="kubernetes.io/hostname",
                    when_unsatisfiable="DoNotSchedule",
                    label_selector=mine,
                    min_domains=2,
                ),
            ),
        ),
    )
    assert sorted(map(str, to_fit_by_pod(on, asking, on.classes.view(asking), 0))) == [
        "the pod allows a maxSkew over kubernetes.io/hostname that is 1 more",
        "the pod asks for 0.75 less cpu",
        "the pod asks for 1Gi less memory",
        "the pod asks for 400 milli less of alibaba.com/gpu-milli",
        "the pod does not select disk",
        "the pod does not take host port 80",
        "the pod requires no podAntiAffinity[1]",
        "the pod takes any GPU model",
        "the pod tolerates node.kubernetes.io/unschedulable:NoSchedule",
        "the pod tolerates only=them:NoExecute",
    ]


AMOUNTS = st.tuples(st.integers(1, 40), st.integers(1, 40))


def sized(name: str, amounts: tuple[int, int]) -> Pod:
    requests = {"cpu": milli_quantity(100 * amounts[0]), "memory": bytes_quantity(amounts[1] << 28)}
    container = Container(name="c", resources=ResourceRequirements(requests=requests))
    return Pod(metadata=ObjectMeta(name=name, namespace="a"), spec=PodSpec(containers=(container,)))


@st.composite
def loads(draw: st.DrawFn) -> tuple[Snapshot, PodView]:
    on = Snapshot()
    for index in range(draw(st.integers(2, 5))):
        cpu, memory = draw(AMOUNTS)
        on.add_node(f"n{index}", {"cpu": 200 * cpu, "memory": memory << 29, "pods": 10})
    for index, amounts in enumerate(draw(st.lists(AMOUNTS, max_size=6))):
        view = on.classes.view(sized(f"r{index}", amounts))
        fits = np.flatnonzero(on.feasible(view))
        if len(fits):
            on.assume(view, int(fits[index % len(fits)]))
    return on, on.classes.view(sized("new", draw(AMOUNTS)))


@pytest.mark.parametrize("make", [greedy, least_allocated, best_fit])
@settings(max_examples=examples(60), deadline=None)
@given(world=loads())
def test_the_smallest_change_that_makes_a_node_the_winner(
    make: type[Strategy], world: tuple[Snapshot, PodView]
) -> None:
    on, view = world
    strategy = make()

    def picks(at: Snapshot, asked: PodView) -> int:
        return ask(strategy, at, [asked], asked.key)

    first = picks(on, view)
    for node in np.flatnonzero(on.feasible(view)).tolist():
        ways = to_win(on, view, node, picks)
        assert (node != first) or not ways

        def wins(at: Snapshot, node: int = node) -> bool:
            return picks(at, at.classes.current(view)) == node

        for way in ways:
            check_least(on, node, way, wins)
    assert picks(on, view) == first


# -- regret ------------------------------------------------------------------------------------------------------------


def test_a_case_whose_regret_is_known() -> None:
    """A pod of 2 cores on the node of 4, though one of 2 was free; then came a pod of 4."""
    on = Snapshot()
    for name, cpu in (("big", 4000), ("small", 2000), ("full", 3000)):
        on.add_node(name, {"cpu": cpu, "memory": 64 << 30, "pods": 10})
    on.assume(on.classes.view(sized("misplaced", (20, 1))), 0)
    on.assume(on.classes.view(sized("rightly", (30, 1))), 2)  # nowhere else to go
    waiting = [on.classes.view(sized(name, amounts)) for name, amounts in (("large", (40, 1)), ("huge", (50, 1)))]
    (found,) = of_snapshot(on, waiting, 10)
    assert (found.pod, found.node, found.elsewhere, found.kept_out) == ("a/misplaced", "big", 1, "a/large")
    assert (found.gpu_milli, found.cpu_milli) == (0, 4000)


@settings(max_examples=examples(60), deadline=None)
@given(world=loads(), asked=st.lists(AMOUNTS, min_size=1, max_size=4))
def test_what_is_regretted_would_have_been_possible(
    world: tuple[Snapshot, PodView], asked: list[tuple[int, int]]
) -> None:
    on, _ = world
    waiting = {f"a/w{i}": on.classes.view(sized(f"w{i}", amounts)) for i, amounts in enumerate(asked)}
    for item in of_snapshot(on, list(waiting.values()), 10):
        twin = on.copy()
        home = twin.node_table.index[item.node]
        view = next(pod for pod in twin.pods_on(home) if pod.key == item.pod)
        kept_out = waiting[item.kept_out]
        assert not twin.feasible(kept_out)[home]
        twin.forget(item.pod)
        elsewhere = [node for node in np.flatnonzero(twin.feasible(view)).tolist() if node != home]
        assert len(elsewhere) == item.elsewhere > 0
        twin.assume(view, elsewhere[0])
        assert twin.feasible(kept_out)[home]


def test_the_command_tells_regrets_of_a_record(out: Path) -> None:
    done = CliRunner().invoke(app, ["regret", str(out / "greedy" / "3")])
    assert done.exit_code == 0
    assert "hindsight" in done.stdout or "no binding is regretted" in done.stdout
