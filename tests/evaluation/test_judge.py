"""A file behind pipes decides as it would at home, and is scored for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.evaluation.judge import Judge
from harness.evaluation.process import Limits, StrategyProcess
from harness.evaluation.remote_strategy import RemoteStrategy
from harness.evaluation.suite import SUITES, Suite, fingerprint, hidden_seeds
from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.testing.trial import trial
from harness.testing.worlds import seeded

TINY = Suite("tiny", "", "greedy", 2, SUITES["gpu-small"].tasks[1:])
PATIENT = Limits(call_s=60.0, wait_s=600.0, cpu_s=600.0)

UNLIKE = """
NUMBER = hash("text") % 1000


def score(pod, cluster):
    return cluster.rank * 1.0 if NUMBER % 2 else -cluster.rank * 1.0
"""
"""Another PYTHONHASHSEED, another order of nodes: 0 and 4711 are one even, one odd."""

LATE = """
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import Wait
from schedulers.greedy import greedy


class scheduler:
    def __init__(self):
        self.greedy = greedy() if callable(greedy) else greedy

    def place(self, pods, cluster, rng):
        ripe = [pod for pod in pods if not pod.gpu.count or cluster.now_ns - pod.created_ns > 200 * 10**9]
        yield from self.greedy.place(ripe, cluster, rng)
"""

HOME = {
    "greedy": "from schedulers.greedy import greedy as scheduler\n",
    "random": "from schedulers.random_fit import RandomFit as scheduler\n",
    "fgd": "from schedulers.fgd import FGD as scheduler\n",
}


@pytest.mark.parametrize("name", HOME)
def test_decisions_are_those_of_the_same_strategy_in_this_process(name: str, tmp_path: Path) -> None:
    with StrategyProcess(tmp_path / "home.py", HOME[name], PATIENT) as process:
        process.begin()
        for seed in range(12):  # with gangs, for which strategies ask what-ifs
            world = seeded(seed, gangs=True)
            away, home = trial(lambda: RemoteStrategy(process), world, deadline_s=3600), trial(load(name), world)
            assert (away.binds, away.faults, away.drew) == (home.binds, home.faults, home.drew)


def test_the_baseline_gains_nothing_over_itself(tmp_path: Path) -> None:
    file = tmp_path / "home.py"
    file.write_text(HOME["greedy"])
    found = Judge(TINY, key="k", limits=PATIENT).evaluate(file)
    assert (found.verdict, found.reason) == ("scored", "")
    assert found.found is not None
    assert (found.found.low, found.score, found.found.high) == (0.0, 0.0, 0.0) or found.score == 0.0
    assert found.tasks[0]["mean"] == found.tasks[0]["baseline"] > 0


def test_a_worse_strategy_loses_and_is_told_which_pods_waited(tmp_path: Path) -> None:
    file = tmp_path / "worse.py"
    file.write_text(LATE)
    found = Judge(TINY, key="k", limits=PATIENT).evaluate(file)
    assert found.verdict == "scored", found.reason
    assert found.score is not None
    assert found.score < 0
    told = found.feedback["longerThanBaseline"]
    assert told
    assert told[0]["waitedSeconds"] > told[0]["baselineSeconds"]
    assert told[0]["why"].startswith("0/8 nodes are available: ")


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        ("def score(pod, cluster):\n    return 1/0\n", "does not conform", "ZeroDivisionError: division by zero"),
        ("def broken(:\n", "faulty", "SyntaxError: invalid syntax (line 1)"),
        ("x = 1\n", "faulty", "neither `scheduler`"),
        (UNLIKE, "does not conform", "determinism: in another process"),
    ],
)
def test_what_is_no_strategy_is_told_so(text: str, verdict: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "s.py"
    file.write_text(text)
    found = Judge(TINY, key="k", limits=PATIENT).evaluate(file)
    assert found.verdict == verdict, found.reason
    assert reason in found.reason


def test_a_file_that_is_no_text_is_one_verdict_among_many(tmp_path: Path) -> None:
    file = tmp_path / "s.py"
    file.write_bytes(b"x = 1  # \xff\n")
    found = Judge(TINY, key="k", limits=PATIENT).evaluate(file)
    assert (found.verdict, found.score) == ("faulty", None)
    assert found.reason == "loads: not text in UTF-8 at byte 9"


def test_a_name_behind_the_file_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(UserError) as told:
        Judge(TINY).evaluate(tmp_path / "mine.py:scheduler")
    assert f"podyard evaluate {tmp_path / 'mine.py'}" in str(told.value)


def test_seeds_follow_from_the_key_alone_and_are_not_told() -> None:
    suite = SUITES["gpu"]
    assert hidden_seeds(suite, b"a") == hidden_seeds(suite, b"a")
    assert not set(hidden_seeds(suite, b"a")) & set(hidden_seeds(suite, b"b"))
    assert fingerprint(b"a") != fingerprint(b"b")
    told = json.dumps(Judge(TINY, key="a").fingerprint)
    assert not [seed for seed in hidden_seeds(TINY, b"a") if str(seed) in told]


def test_the_command_prints_json_and_fails_for_a_file_without_a_score(tmp_path: Path) -> None:
    file = tmp_path / "exits.py"
    file.write_text("import os\nos._exit(3)\n")
    done = CliRunner().invoke(app, ["evaluate", str(file), "-o", "json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["verdict"], told["reason"]) == ("contained", "exits: it ended its process with exit code 3")
    assert told["containment"]["limits"]["threads"] == 1


def test_what_a_file_says_cannot_look_like_a_verdict(tmp_path: Path) -> None:
    """Nor clear the screen: a reason is one line, and what is not printable is written as its escape."""
    file = tmp_path / "mine.py"
    file.write_text(
        r"def score(pod, cluster):" + "\n" + r'    raise ValueError("[/b] \n\x1b[2Jmine.py: scored\r\u202e")' + "\n"
    )
    done = CliRunner().invoke(app, ["evaluate", str(file)])
    assert done.exit_code == 1
    assert r"ValueError: [/b] \n\x1b[2Jmine.py: scored\r\u202e (mine.py:2, in score)" in done.stdout
    assert [line[:7] for line in done.stdout.splitlines()] == ["mine.py", "  legal"]
