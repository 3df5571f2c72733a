"""Windows of the queue: constraints between their pods; the fill protocol, 64 at a time, with retries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment.run import run_once
from harness.experiment.scenario import find_scenario, read_scenario
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView
from schedulers.binpack import BinPack
from tests.examples import examples
from tests.scheduling import worlds


@pytest.mark.slow
def test_a_window_of_the_queue_allocates_a_point_more_than_fgd(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODYARD_TRACES", os.pathsep.join([str(shared / "traces"), str(shared)]))
    loaded = read_scenario(find_scenario("fgd-window"), {})
    allocated = {}
    for strategy in ("fgd", "binpack"):
        result = run_once(loaded, strategy, 42)
        assert result.ok, result.broken + [str(item) for item in result.violations[:3]]
        assert result.metrics["scheduling"]["cycles"] < 250  # 170 windows of arrivals, and what was tried again
        allocated[strategy] = result.metrics["filling"]["130"]["allocated"]
    assert allocated["fgd"] == pytest.approx(95.28, abs=0.01)
    assert allocated["binpack"] >= allocated["fgd"] + 1.0


@st.composite
def tangled(draw: st.DrawFn) -> tuple[Snapshot, list[PodView]]:
    """A small cluster, and pods with terms towards each other, spread, ports, and some in a gang."""
    on = Snapshot()
    for index, labels in enumerate(draw(st.lists(worlds.node_labels, min_size=2, max_size=6))):
        on.add_node(**node_columns(worlds.node(f"n{index}", labels, tainted=False, pods=4)))
    pods = []
    asked = st.lists(st.tuples(worlds.metas, worlds.pod_specs, st.booleans()), min_size=2, max_size=14)
    for index, (meta, spec, grouped) in enumerate(draw(asked)):
        labels = meta[1] | ({GROUP_LABEL: "g"} if grouped else {})
        made = worlds.pod(f"p{index}", (meta[0], labels), spec)
        pods.append(on.classes.view(made, group_min=2 if grouped else 0))
    return on, pods


@settings(max_examples=examples(150), deadline=None)
@given(tangled(), st.sampled_from([3, 64]))
def test_constraints_between_pods_of_one_window_hold_and_leave_nobody_out(
    world: tuple[Snapshot, list[PodView]], window: int
) -> None:
    on, pods = world
    strategy = BinPack(deterministic_seconds=0.01)
    for start in range(0, len(pods), window):
        batch = pods[start : start + window]
        out = fill(strategy, on, batch, seed=0, window=window)
        assert out.violations == []
        for pod, node in zip(batch, out.node, strict=True):
            if node < 0 and pod.group is None:
                assert not on.feasible(on.classes.current(pod)).any(), pod.key
