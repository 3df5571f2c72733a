"""The door for Python: the example of its page, and that it is the command line's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.api import frame, load, run, sweep
from harness.experiment.run import run_once
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded, scenario

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert len(names["results"]) == 4
    assert names["pods"].height == 40
    assert names["by_load"]["load"].to_list() == ["60", "90"]
    assert names["verdicts"].height == 1
    assert names["verdicts"]["verdict"][0]


def test_it_is_the_same_run(tmp_path: Path) -> None:
    (result,) = run(scenario(), ["greedy"], [3], out=tmp_path)
    assert result.digest == run_once(loaded(), "greedy", 3).digest
    record = load(tmp_path / "small" / "greedy" / "3")
    assert record.result.digest == result.digest
    assert record.metrics.select("scheduler", "seed", "digest").rows() == [("greedy", 3, result.digest)]
    assert record.metrics["placement.podsBound"][0] == frame([result])["placement.podsBound"][0]
    with pytest.raises(UserError, match="no table 'pod'"):
        record.table("pod")


def test_what_is_wrong_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="binpack"):
        run(scenario(), ["greedy", "binpak"], [1], out=tmp_path)
    with pytest.raises(UserError, match="no variable"):
        sweep(scenario(), {"n": [1]}, ["greedy"])
    assert list(tmp_path.iterdir()) == []
