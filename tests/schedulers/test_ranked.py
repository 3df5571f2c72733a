"""ranked: work-conserving, its waste tables, its model file; trained on nothing that results are judged by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.model.errors import UserError
from harness.scheduling.feasibility.legality import apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, Int64, PodView, Wait
from schedulers.ranked import Ranked
from schedulers.ranked.features import KINDS, NAMES
from schedulers.ranked.lists import LEAST_SEED, TEST_SEEDS, TrainingList, parse_seeds, training_list
from schedulers.ranked.model import SHIPPED, Model, read_model, write_model
from schedulers.ranked.train import Training, start, train
from schedulers.ranked.waste import MICRO, table
from tests.examples import examples
from workloads.manifests import to_nodes, to_pods

REFUSED = r"is a test list|is not a training list"


def loaded(made: TrainingList) -> tuple[Snapshot, list[PodView], list[PodView]]:
    """(empty cluster, pods that the mix is learned from, arrivals)."""
    snapshot = Snapshot()
    for node in to_nodes(made.nodes):
        snapshot.add_node(**node_columns(node))

    def views(workload: object) -> list[PodView]:
        return [snapshot.classes.view(pod) for _, pod in to_pods(workload)]  # type: ignore[arg-type]

    return snapshot, views(made.original), views(made.arrivals)


def drawn(seed: int) -> Int64:
    return np.random.default_rng(seed).integers(-1000, 1001, (len(KINDS), len(NAMES)))


# What it is trained on


@pytest.mark.parametrize("seed", [min(TEST_SEEDS), max(TEST_SEEDS), 0, LEAST_SEED - 1])
def test_a_list_that_results_are_judged_by_is_refused(seed: int) -> None:
    with pytest.raises(UserError, match=REFUSED):
        training_list(seed, 10)
    with pytest.raises(UserError, match=REFUSED):
        train(Training(lists=(LEAST_SEED, seed)))
    with pytest.raises(UserError, match=REFUSED):
        train(Training(held_out=(seed,)))


@pytest.mark.parametrize("lists", ["default", "gpushare80", "2000,cpu050", "42-51", "1990-2005", ""])
@pytest.mark.parametrize("option", ["--lists", "--held-out"])
def test_the_command_refuses_them_too(lists: str, option: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "m.json"), f"{option}={lists}"])
    assert result.exit_code != 0
    assert isinstance(result.exception, UserError | SystemExit)
    assert not (tmp_path / "m.json").exists()


def test_a_list_is_not_both_trained_on_and_held_out() -> None:
    with pytest.raises(UserError, match="held out"):
        train(Training(lists=(2000, 2001), held_out=(2001,)))


def test_ranges_of_seeds() -> None:
    assert parse_seeds("2000-2002,2010") == (2000, 2001, 2002, 2010)


def test_training_lists_differ_in_their_mix() -> None:
    mixes = set()
    for seed in range(2000, 2006):
        made = training_list(seed, 20).original
        mixes.add(tuple(np.bincount(np.minimum(made.gpu_count, 2), minlength=3) * 20 // len(made)))
    assert len(mixes) > 2


def test_the_shipped_model_was_trained_on_training_lists_alone() -> None:
    model = read_model()
    command = str(model.card["command"]).split()
    for option in ("--lists", "--held-out"):
        assert parse_seeds(command[command.index(option) + 1])
    assert "openb" in model.card["neverSeen"]
    assert {"date", "podyard", "seed", "trainingLists", "heldOut"} <= set(model.card)


@pytest.mark.slow  # Numba compiles for some six seconds
@pytest.mark.xdist_group("numba")  # in one process
def test_training_again_gives_the_same_weights() -> None:
    pytest.importorskip("cma")
    pytest.importorskip("numba")
    how = Training(
        lists=(2000, 2001), held_out=(3000,), nodes=3, held_out_nodes=4, batch=1, population=4, generations=2
    )
    one, two = train(how), train(how)
    assert one.card == two.card
    assert (one.weights == two.weights).all()
    assert one.card["reached"] >= one.card["startedAt"]


@pytest.mark.slow
@pytest.mark.xdist_group("numba")
@pytest.mark.parametrize("seed", [2000, 2002, 2004])
def test_the_compiled_ranker_decides_as_the_strategy(seed: int) -> None:
    pytest.importorskip("numba")
    from schedulers.ranked.compiled import CompiledList

    made = training_list(seed, 30)
    for weights in (start(), drawn(seed)):
        snapshot, original, arrivals = loaded(made)
        strategy = Ranked.of(weights)
        strategy.fit(original)
        placed = fill(strategy, snapshot, arrivals, seed=0)
        assert not placed.violations
        where, device = CompiledList.of(made).fill(weights)
        assert placed.node == where.tolist()
        for at, chosen in placed.devices.items():
            if device[at] >= 0:
                assert chosen == (device[at],)


# What it decides


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(2000, 2**31), weights=st.integers(0, 2**31))
def test_it_is_work_conserving(seed: int, weights: int) -> None:
    snapshot, _, arrivals = loaded(training_list(seed, 4))
    strategy = Ranked.of(drawn(weights))
    waits = 0
    for pod in arrivals:
        (decision,) = strategy.place([pod], snapshot, np.random.default_rng(0))
        match decision:
            case Bind():
                apply(snapshot, decision)
            case Wait():
                waits += 1
                assert not snapshot.feasible(pod).any()
            case _:
                raise AssertionError(decision)
    assert waits, "arrivals of 130 % must leave some out"


def test_what_it_explains_sums_to_what_it_ranks_by() -> None:
    snapshot, original, arrivals = loaded(training_list(2000, 8))
    strategy = Ranked()
    strategy.fit(original)
    for pod in arrivals[:60]:
        (decision,) = strategy.place([pod], snapshot, np.random.default_rng(0))
        parts = strategy.explain(pod, snapshot)
        assert list(parts) == list(NAMES)
        total = np.nansum(list(parts.values()), axis=0)
        total[~snapshot.feasible(pod)] = -np.inf
        if isinstance(decision, Wait):
            continue
        assert isinstance(decision, Bind)
        assert total[decision.node] == total.max()
        apply(snapshot, decision)


# The tables of waste


def test_waste_of_one_size() -> None:
    waste = table(1000, 10, [40], [0], 4, [1])
    assert waste[100].tolist() == [200_000] * 5  # two of 400 fit, 200 stay
    assert waste[39, 0] == 390_000  # nothing fits


def test_waste_is_what_chance_leaves_and_less_where_one_can_choose() -> None:
    # 700 leaves 300 of a device; 500 fits twice. Either comes first with equal chance.
    sizes, free, counts = [70, 50], [0, 0], [1, 1]
    assert table(1000, 10, sizes, free, 0, counts)[100, 0] == 150_000
    assert table(1000, 10, sizes, free, 0, counts, 20.0)[100, 0] < 150_000


@settings(max_examples=examples(30), deadline=None)
@given(
    pods=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10), st.integers(1, 9)), min_size=1, max_size=5),
    pickiness=st.sampled_from([0.0, 5.0, 20.0]),
)
def test_waste_is_never_more_than_is_idle_and_all_of_it_where_nothing_fits(
    pods: list[tuple[int, int, int]], pickiness: float
) -> None:
    gpu, other, counts = ([pod[at] for pod in pods] for at in range(3))
    waste = table(600, 20, gpu, other, 12, counts, pickiness)
    idle = np.arange(31)[:, None] * 20 * MICRO // 1000
    assert (waste >= 0).all()
    assert (waste <= idle).all()
    for row in range(31):
        for free in range(13):
            if not any(g <= row and o <= free for g, o, _ in pods):
                assert waste[row, free] == idle[row, 0]


# The model file


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    weights = drawn(1)
    write_model(tmp_path / "m.json", Model(weights, {"method": "drawn"}))
    model = read_model(tmp_path / "m.json")
    assert (model.weights == weights).all()
    assert model.card == {"method": "drawn"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "other/v1"}, "not a model"),
        ({"features": ["age"]}, "other features"),
        ({"kinds": ["all"]}, "other kinds"),
        ({"weights": [[0.5] * len(NAMES)] * len(KINDS)}, "not as expected"),
        ({"weights": [[10**9] * len(NAMES)] * len(KINDS)}, "not as expected"),
    ],
)
def test_what_is_no_model_of_this_ranker_is_refused(change: dict[str, object], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(json.loads(SHIPPED.read_text()) | change))
    with pytest.raises(UserError, match=complaint):
        Ranked(str(path))
