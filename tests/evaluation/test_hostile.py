"""Files that nobody should run: each is contained, and the verdict says what it tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.evaluation.judge import Judge
from harness.evaluation.process import Limits
from harness.evaluation.suite import find_suite
from tests.evaluation.hostile_files import HOSTILE
from tests.evaluation.hostile_messages import MESSAGES
from tests.evaluation.hostile_tricks import TRICKS

ALL = {**HOSTILE, **TRICKS, **MESSAGES}
ENDLESS = {"endless_import", "endless_place", "endless_in_c", "sleeps", "reads_no_answer"}
DRIBBLING = {"sleeps_in_each_call", "messages_without_end"}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(find_suite("gpu-small"), key="tests", limits=Limits(call_s=30.0, cpu_s=60.0))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if item.quick else pytest.mark.slow) for name, item in ALL.items()]
)
def test_it_is_contained_and_named(name: str, judge: Judge, tmp_path: Path) -> None:
    item = ALL[name]
    file = tmp_path / f"{name}.py"
    file.write_text(item.text)
    if name in ENDLESS:
        judge = Judge(find_suite("gpu-small"), limits=Limits(call_s=0.5))
    if name in DRIBBLING:
        judge = Judge(find_suite("gpu-small"), limits=Limits(call_s=30.0, wait_s=1.5))
    found = judge.evaluate(file)
    assert (found.verdict, found.score) == (item.verdict, None)
    assert item.words in found.reason
    assert found.containment == {} or found.containment["files"] in ("namespaces", "landlock")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == item.text
