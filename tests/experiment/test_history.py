"""What fit() of a strategy that learns is shown: a past list, nothing or, where it is asked for, the run's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.lint import lint
from harness.experiment.record import read_record
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.experiment.strategy_fit import unfitted
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
    assert past == shown(None)
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


def told(tmp_path: Path, scheduler: str, workload: Any = None, **spec: Any) -> tuple[list[str], str]:
    """(what a run says of it, what its record says)."""
    tasks = [{"openbLike": {"pods": 5}}] if workload is None else workload
    made = scenario(duration="1m", nodes=[{"openbLike": {"count": 6}}], workload=tasks, **spec)
    result = run_once(from_data(made, "history"), scheduler, 1, out=tmp_path)
    assert result.folder is not None
    return [text for text in result.notices if "fit()" in text], read_record(result.folder)["fittedOn"]


def test_records_say_what_a_strategy_was_shown(tmp_path: Path) -> None:
    learner = f"{__name__}:Learner"
    assert told(tmp_path, learner) == ([], "past")
    assert told(tmp_path, learner, scheduling={"history": "workload"}) == ([], "workload")
    assert told(tmp_path, learner, scheduling={"history": "past"}) == ([], "past")
    assert told(tmp_path, learner, scheduling={"history": "none"}) == ([], "")
    assert told(tmp_path, "greedy") == ([], "")


@pytest.fixture
def trace(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "pods.csv"
    header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time"
    path.write_text(f"{header}\na,100,64,0,0,0,30\nb,200,64,0,0,5,30\n")
    return [{"trace": {"path": str(path), "format": "openb"}}]


def test_a_trace_shows_its_future_only_to_who_asks_for_it(tmp_path: Path, trace: list[dict[str, Any]]) -> None:
    learner = f"{__name__}:Learner"
    SHOWN.clear()
    notices, shown_to = told(tmp_path, learner, trace)
    assert (SHOWN, shown_to) == ([], "")
    assert len(notices) == 1
    assert learner in notices[0]
    assert "spec.scheduling.history: workload" in notices[0]
    assert told(tmp_path, learner, trace, scheduling={"history": "none"}) == ([], "")
    assert told(tmp_path, learner, trace, scheduling={"history": "workload"}) == ([], "workload")
    assert len(SHOWN) == 2
    assert told(tmp_path, "greedy", trace) == ([], "")


def test_lint_names_who_is_shown_nothing(trace: list[dict[str, Any]]) -> None:
    made = scenario(nodes=[{"openbLike": {"count": 6}}], workload=trace)
    loaded = from_data(made, "history")
    found = lint([Job(loaded, name, 1) for name in ("greedy", f"{__name__}:Learner")])
    notes = [note for note in found.notices if "fit()" in note]
    assert notes == unfitted(loaded, f"{__name__}:Learner", Learner()) != []


def test_a_past_is_drawn_for_strategies_that_learn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("drawn")

    monkeypatch.setattr("harness.experiment.workload._history", refuse)
    made = scenario(duration="1m", nodes=[{"openbLike": {"count": 6}}], workload=[{"openbLike": {"pods": 5}}])
    assert not run_once(from_data(made, "history"), "greedy", 1).violations
    with pytest.raises(AssertionError, match="drawn"):
        run_once(from_data(made, "history"), f"{__name__}:Learner", 1)
