"""What fit() of a strategy that learns is shown: the run's own list, a past one, or nothing; never told otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.lint import lint
from harness.experiment.record import read_record
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.experiment.strategy_fit import foresight
from harness.experiment.sweep import Job
from harness.model.errors import UserError
from harness.scheduling.strategy import PodView
from schedulers.greedy import greedy
from tests.experiment.scenarios import scenario

SHOWN: list[tuple[Any, ...]] = []


class Learner:
    def __init__(self) -> None:
        self._greedy = greedy() if not hasattr(greedy, "place") else greedy

    def fit(self, history: Iterable[PodView]) -> None:
        SHOWN[:] = [(pod.cls.amounts, pod.gpu.total_milli) for pod in history]

    def place(self, *args: Any) -> Any:
        return self._greedy.place(*args)


def shown(history: str | None, seed: int = 1) -> list[tuple[Any, ...]]:
    made = scenario(
        duration="2m",
        nodes=[{"openbLike": {"count": 6}}],
        workload=[{"openbLike": {"pods": 40, "longest": "1m", "load": 60}}],
        **({} if history is None else {"scheduling": {"history": history}}),
    )
    SHOWN.clear()
    result = run_once(from_data(made, "history"), f"{__name__}:Learner", seed)
    assert not result.violations
    return list(SHOWN)


def test_the_past_is_a_list_of_the_same_kind_and_not_the_runs_own() -> None:
    own, past = shown("workload"), shown("past")
    assert own == shown(None)
    assert len(past) == len(own) == 40
    assert past != own
    assert past == shown("past")
    assert past != shown("past", seed=2)
    assert past != shown("workload", seed=2)
    assert shown("none") == []


def test_a_trace_has_no_past() -> None:
    made = scenario(workload=[{"trace": {"path": "pods.csv"}}], scheduling={"history": "past"})
    with pytest.raises(UserError, match="a trace has no past"):
        run_once(from_data(made, "history"), "greedy", 1)


def told(tmp_path: Path, scheduler: str, **spec: Any) -> tuple[list[str], str]:
    """(what a run says of it, what its record says)."""
    made = scenario(duration="1m", nodes=[{"openbLike": {"count": 6}}], workload=[{"openbLike": {"pods": 5}}], **spec)
    result = run_once(from_data(made, "history"), scheduler, 1, out=tmp_path)
    assert result.folder is not None
    return [text for text in result.notices if "fit()" in text], read_record(result.folder)["fittedOn"]


def test_who_is_shown_its_own_run_by_default_is_named_and_records_say_which(tmp_path: Path) -> None:
    learner = f"{__name__}:Learner"
    notices, shown_to = told(tmp_path, learner)
    assert len(notices) == 1
    assert learner in notices[0]
    assert "spec.scheduling.history: past" in notices[0]
    assert shown_to == "workload"
    assert told(tmp_path, learner, scheduling={"history": "workload"}) == ([], "workload")
    assert told(tmp_path, learner, scheduling={"history": "past"}) == ([], "past")
    assert told(tmp_path, learner, scheduling={"history": "none"}) == ([], "")
    assert told(tmp_path, "greedy") == ([], "")


def test_lint_names_it_too() -> None:
    made = scenario(nodes=[{"openbLike": {"count": 6}}], workload=[{"openbLike": {"pods": 5}}])
    loaded = from_data(made, "history")
    found = lint([Job(loaded, name, 1) for name in ("greedy", f"{__name__}:Learner")])
    assert [note for note in found.notices if "fit()" in note] == foresight(
        loaded,
        f"{__name__}:Learner",
        Learner(),
        [object()],  # type: ignore[list-item]
    )
