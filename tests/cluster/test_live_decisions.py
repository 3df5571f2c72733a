"""What is remembered of a strategy's decisions, and that it changes none of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from harness.cluster.live_decisions import EXPLAINED_EVERY_NS, KEPT, RecentDecisions
from harness.experiment.run import Home, Run
from harness.scheduling.strategy import Bind
from schedulers.greedy import greedy
from tests.experiment.scenarios import SERVICE, loaded


def played(strategy: Any) -> Run:
    run = Run(loaded(duration="4m", workload=[SERVICE]), strategy, 3, Home())
    run.play()
    run.close()
    return run


@pytest.fixture(scope="module")
def watched() -> tuple[RecentDecisions, Run]:
    strategy = RecentDecisions(greedy())
    return strategy, played(strategy)


def test_a_strategy_that_is_watched_decides_the_same(watched: tuple[RecentDecisions, Run]) -> None:
    assert watched[1].measures.journal.digest() == played(greedy()).measures.journal.digest()


def test_decisions_are_numbered_and_told_once(watched: tuple[RecentDecisions, Run]) -> None:
    told = watched[0].after(0)
    assert 0 < len(told) <= KEPT
    numbers = [item["number"] for item in told]
    assert numbers == sorted(set(numbers))
    assert watched[0].after(numbers[-2]) == told[-1:]
    assert watched[0].after(numbers[-1]) == []


def test_the_chosen_node_is_among_the_scored_and_no_other_is_better(watched: tuple[RecentDecisions, Run]) -> None:
    scored = [item for item in watched[0].after(0) if item.get("scores")]
    assert scored
    for item in scored:
        totals = {node["node"]: node["total"] for node in item["scores"]}
        assert totals[item["node"]] == max(totals.values())
        assert item["feasible"] >= len(totals)


def test_scores_are_asked_for_at_most_five_times_a_second(watched: tuple[RecentDecisions, Run]) -> None:
    times = [item["atNs"] for item in watched[0].after(0) if "scores" in item]
    assert all(later - earlier >= EXPLAINED_EVERY_NS for earlier, later in itertools.pairwise(times))


def test_an_explain_that_fails_is_told_and_the_decision_stands() -> None:
    class Broken:
        def place(self, pods: Any, cluster: Any, rng: np.random.Generator) -> Any:
            for pod in pods:
                yield Bind(pod, int(np.flatnonzero(cluster.feasible(pod))[0]))

        def explain(self, pod: Any, cluster: Any) -> Any:
            raise ValueError("no idea")

    strategy = RecentDecisions(Broken())
    run = played(strategy)
    assert run.result("broken").violations == []
    assert strategy.after(0)[0]["does"] == "bind"
    assert any(item.get("unexplained") == "ValueError: no idea" for item in strategy.after(0))
